//! Behaviour averaged over models: each model's divergence as a ratio to a reference codec, then the geometric mean.

use seedpress_results::{ModelRow, Status};

use crate::contender::Contender;
use crate::study::Study;

/// The metric that averages are made of.
pub(crate) const DIVERGENCE: &str = "KL divergence";

/// What averages are held against, the first that a run has: what most people use today.
const REFERENCES: [&str; 4] = ["q4_k", "q4_0", "nf4", "rtn"];

/// The reference row of a run: without any of the usual ones its first row that loses something on every model.
pub(crate) fn reference(study: &Study) -> Option<&Contender> {
    let usual = REFERENCES.iter().find_map(|name| study.contenders.iter().find(|contender| contender.codec == *name));
    usual.or_else(|| {
        let loses = |contender: &&Contender| {
            let lost = |model: &&str| divergence(study, contender, model).and_then(|row| row.compressed) > Some(0.0);
            !contender.is_floor() && models(study).iter().all(lost)
        };
        study.contenders.iter().find(loses)
    })
}

/// Real models with a divergence, in the order of the run.
pub(crate) fn models(study: &Study) -> Vec<&str> {
    let names = study.model_names.iter().map(String::as_str).filter(|model| !study.is_synthetic(model));
    names.filter(|model| study.metrics(model).contains(&DIVERGENCE)).collect()
}

/// The divergence of a row on a model.
pub(crate) fn divergence<'a>(study: &'a Study, contender: &'a Contender, model: &'a str) -> Option<&'a ModelRow> {
    study.whole(contender, model).find(|row| row.metric == DIVERGENCE && row.status == Status::Ok)
}

/// Size of all files together, and the mean ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Average {
    /// Bits per weight of all models' whole files.
    pub bits: f64,
    /// Geometric mean of ratios to the reference; 0 where nothing is lost.
    pub ratio: f64,
}

/// A row over models; `None` where it lacks one of them, or where the reference loses nothing.
pub(crate) fn average(study: &Study, contender: &Contender, reference: &Contender, models: &[&str]) -> Option<Average> {
    let (mut bytes, mut weights, mut sum) = (0, 0, 0.0);
    for model in models {
        let row = divergence(study, contender, model)?;
        let base = divergence(study, reference, model)?.compressed.filter(|base| *base > 0.0)?;
        bytes += row.bytes;
        weights += row.weights;
        sum += (row.compressed? / base).ln();
    }
    (weights > 0).then(|| Average {
        bits: seedpress_results::derive::bits_per_weight(bytes, weights),
        ratio: (sum / models.len() as f64).exp(),
    })
}
