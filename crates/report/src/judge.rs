//! What a metric's numbers mean: their unit, how much of a model's behaviour a row keeps, and when it counts as broken.

use seedpress_results::{ModelRow, Paired, Status};

use crate::contender::Contender;
use crate::study::Study;

/// A row that keeps less than this share of what lies between a model of zeros and the uncompressed one is broken.
pub(crate) const BROKEN_BELOW: f64 = 0.5;

/// The unit of a metric of a model: divergences of the zoo's language models are in bits a byte, as their losses are, those of language
/// models with text of one's own in nats a token, those of others in nats.
pub(crate) fn unit(study: &Study, model: &str, metric: &str) -> &'static str {
    let language =
        study.metrics(model).iter().any(|name| name.starts_with("bits per") || name.starts_with("perplexity"));
    match metric {
        "KL divergence" if study.has_own_text(model) => "nat",
        "KL divergence" if language => "bit",
        "KL divergence" => "nat",
        name if name.starts_with("KL") || name.starts_with("bits per") => "bit",
        name if name.starts_with("cents") => "cent",
        name if name.contains("accuracy") || name.contains("agreement") || name.contains("overlap") => "share",
        _ => "",
    }
}

/// Whether a metric is a distance to the uncompressed model, which has 0 of it.
pub(crate) fn is_distance(row: &ModelRow) -> bool {
    !row.higher_is_better && row.baseline == Some(0.0)
}

/// A row against the uncompressed model, sample by sample. Distances to the uncompressed model are no test of themselves.
pub(crate) fn against_uncompressed(row: &ModelRow) -> Option<Paired> {
    if is_distance(row) { None } else { row.paired_with_baseline() }
}

/// The share of the way from a model whose weights are all zero (the `zeros` row) to the uncompressed one that a row keeps of its
/// headline metric; `None` where either is missing or they do not differ.
pub(crate) fn kept(study: &Study, contender: &Contender, model: &str) -> Option<f64> {
    let headline = *study.metrics(model).first()?;
    let find = |codec: &str| {
        study
            .models
            .iter()
            .find(|row| row.codec == codec && row.model == model && row.metric == headline && row.status == Status::Ok)
    };
    let floor = study.contenders.iter().find(|other| other.is_floor()).and_then(|floor| find(&floor.codec))?;
    let row = find(&contender.codec)?;
    let (zero, whole) = (floor.compressed?, row.baseline?);
    (zero != whole).then_some((row.compressed? - zero) / (whole - zero))
}

/// Whether a row no longer does what the model was made for. Where behaviour was not measured, a squared error above that of zeros
/// counts.
pub(crate) fn is_broken(study: &Study, contender: &Contender, model: &str) -> bool {
    if contender.is_floor() {
        return false;
    }
    match kept(study, contender, model) {
        Some(kept) => kept.is_nan() || kept < BROKEN_BELOW,
        None => {
            let sums = crate::sums::Sums::over(study.cell(contender, model));
            sums.tensors > 0 && (sums.relative_mse().is_nan() || sums.relative_mse() >= 1.0)
        }
    }
}
