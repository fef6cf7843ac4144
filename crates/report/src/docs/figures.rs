//! Figures of committed reports by name.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seedpress_results::{ModelRow, Status};

use crate::contender::{Contender, Mode};
use crate::study::Study;
use crate::sums::{Sums, speed};

/// Reports below a folder, each read when it is first asked for.
pub(crate) struct Figures {
    folders: BTreeMap<String, PathBuf>,
    studies: BTreeMap<String, OnceCell<Study>>,
}

impl Figures {
    /// The reports below `reports`.
    pub(crate) fn new(reports: &Path) -> Self {
        let entries = std::fs::read_dir(reports).into_iter().flatten().flatten().map(|entry| entry.path());
        let folders: BTreeMap<String, PathBuf> = entries
            .filter(|folder| folder.join("results.jsonl").exists())
            .filter_map(|folder| Some((folder.file_name()?.to_str()?.to_owned(), folder)))
            .collect();
        let studies = folders.keys().map(|name| (name.clone(), OnceCell::new())).collect();
        Self { folders, studies }
    }

    /// A report by the name of its folder.
    pub(crate) fn study(&self, name: &str) -> Result<&Study, String> {
        let names = || self.folders.keys().cloned().collect::<Vec<_>>().join(", ");
        let (Some(folder), Some(cell)) = (self.folders.get(name), self.studies.get(name)) else {
            return Err(format!("no report `{name}`: there are {}", names()));
        };
        if let Some(study) = cell.get() {
            return Ok(study);
        }
        let study = Study::read(folder).map_err(|error| error.to_string())?;
        Ok(cell.get_or_init(|| study))
    }
}

/// A row by its canonical name or its label.
pub(super) fn contender<'a>(study: &'a Study, name: &str) -> Result<&'a Contender, String> {
    let own = study.contenders.iter().find(|contender| contender.codec == name);
    let named = || study.contenders.iter().find(|contender| contender.label == name);
    own.or_else(named).ok_or_else(|| format!("`{}` has no row `{name}`", study.run.name))
}

/// Whether a row is of a kind: a mode (`plain`, `calibrated`, `sequential`, `planned`), `lossy`, a series (`trellis calibrated`), or the
/// row itself by name.
pub(super) fn is_kind(study: &Study, contender: &Contender, kind: &str) -> bool {
    if contender.is_floor() {
        return false;
    }
    match kind {
        "plain" => contender.mode() == Mode::Plain,
        "calibrated" => contender.mode() == Mode::Calibrated,
        "sequential" => contender.mode() == Mode::Sequential,
        "planned" => contender.mode() == Mode::Planned,
        "foreign" => contender.mode() == Mode::Foreign,
        "lossy" => study.tensors.iter().any(|row| row.codec == contender.codec && row.squared_error != 0.0),
        other => contender.family() == other || contender.codec == other || contender.label == other,
    }
}

/// The row of a whole model for a metric; for figures that no metric changes, its first.
pub(super) fn whole<'a>(
    study: &'a Study,
    contender: &'a Contender,
    model: &'a str,
    metric: &str,
) -> Result<&'a ModelRow, String> {
    let mut rows = study.whole(contender, model).filter(|row| row.status == Status::Ok);
    let row = if metric.is_empty() { rows.next() } else { rows.find(|row| row.metric == metric) };
    row.ok_or_else(|| format!("no row of {} on {model} with `{metric}`", contender.codec))
}

/// A figure of one row on one model, or over all real models where that makes sense.
pub(super) fn figure(study: &Study, model: &str, name: &str, field: &str) -> Result<f64, String> {
    let contender = contender(study, name)?;
    let sums = || {
        let own = study.measured().filter(|row| row.codec == contender.codec);
        let sums = Sums::over(own.filter(|row| if model == "*" { !row.synthetic } else { row.model == model }));
        if sums.tensors == 0 { Err(format!("{name} has no tensors of {model}")) } else { Ok(sums) }
    };
    let missing = || format!("{name} on {model} has no {field}");
    let first = || whole(study, contender, model, "");
    Ok(match field {
        "average" => {
            let models = crate::average::models(study);
            let reference = crate::average::reference(study).ok_or("no reference row")?;
            crate::average::average(study, contender, reference, &models).ok_or_else(missing)?.ratio
        }
        "relative error" => sums()?.relative_error(),
        "snr" => sums()?.snr(),
        "gap" => sums()?.gap(),
        "tensor bits" => sums()?.bits_per_weight(),
        "bits" | "ratio" if model == "*" => {
            let models = study.model_names.iter().filter(|model| !study.is_synthetic(model));
            let (mut bytes, mut weights) = (0, 0);
            for row in models.map(|model| whole(study, contender, model, "")) {
                let row = row?;
                bytes += row.bytes;
                weights += row.weights;
            }
            let bits = seedpress_results::derive::bits_per_weight(bytes, weights);
            if field == "bits" { bits } else { 32.0 / bits }
        }
        "bytes" => first()?.bytes as f64,
        "bits" => first()?.bits_per_weight(),
        "ratio" => first()?.ratio(),
        "source ratio" => first()?.source_ratio(),
        "weights" => first()?.weights as f64,
        "encode" => {
            if model == "*" { sums()?.encode_speed() } else { speed(first()?.weights, &first()?.encode_seconds) }
                .ok_or_else(missing)?
        }
        "decode" => {
            if model == "*" { sums()?.decode_speed() } else { speed(first()?.weights, &first()?.decode_seconds) }
                .ok_or_else(missing)?
        }
        "decode of memcpy" => sums()?.decode_speed().ok_or_else(missing)? / (study.run.memcpy_bytes_per_second / 4.0),
        metric => {
            let (metric, part) = metric.rsplit_once('.').unwrap_or((metric, "value"));
            let row = whole(study, contender, model, metric)?;
            let found = match part {
                "value" => row.compressed,
                "baseline" => row.baseline,
                "low" => row.interval.map(|ends| ends[0]),
                "high" => row.interval.map(|ends| ends[1]),
                "samples" => Some(row.samples as f64),
                _ => None,
            };
            found.ok_or_else(missing)?
        }
    })
}
