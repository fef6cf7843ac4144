//! Rows of other people's programs: what their files decode to, judged by the metrics that ours are judged by.
//!
//! [`export`] writes a model's weights and the second moments of what they multiply for a program in any language; the program leaves
//! beside them, for each of its settings, `NAME.safetensors` with what its own file decodes to and `NAME.json` with [`Facts`]; [`rows`]
//! makes rows of both, marked with the program's name and version. Bytes and times are the program's word; errors and metrics are not.

use std::collections::BTreeMap;
use std::path::Path;

use seedpress_checkpoint::{Checkpoint, Content, SavedTensor, save_safetensors};
use seedpress_codec::Tensor;
use seedpress_results::{Mode, ModelRow, Row, Status, TensorRow};
use serde::Deserialize;

use crate::key;
use crate::measure::judge;
use crate::source::{Source, TensorInfo};
use crate::whole::{Baselines, metric_rows};

/// What a program says of one of its files.
#[derive(Debug, Clone, Deserialize)]
pub struct Facts {
    /// The row's name, e.g. `hqq-python:bits=4`.
    pub codec: String,
    /// The id of the codec here that does the same, or the program's own.
    pub codec_id: String,
    /// Program and version.
    pub program: String,
    /// Settings.
    pub options: serde_json::Value,
    /// Whether it was given the second moments.
    pub calibrated: bool,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// By name of tensor.
    pub tensors: BTreeMap<String, TensorFacts>,
}

/// What a program says of one tensor.
#[derive(Debug, Clone, Deserialize)]
pub struct TensorFacts {
    /// Bytes it takes in the file.
    pub bytes: u64,
    /// Seconds to encode.
    pub encode: f64,
    /// Seconds of each decode.
    pub decode: Vec<f64>,
}

/// Writes `weights.safetensors` and, where the model has calibration data, `inputs.safetensors` into `folder`.
///
/// # Errors
/// Data that cannot be read, files that cannot be written.
pub fn export(model: &Source, folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (mut weights, mut inputs) = (Vec::new(), Vec::new());
    for info in &model.tensors {
        let tensor = model.load(info)?;
        weights.push(saved(&info.name, tensor.shape().to_vec(), tensor.values()));
        if let Some(known) = model.calibration(info)?
            && let Some(moments) = known.second_moment()
        {
            inputs.push(saved(&info.name, vec![known.columns(); 2], moments));
        }
    }
    let write = |name: &str, tensors: &[(String, SavedTensor)]| {
        save_safetensors(&folder.join(name), tensors, &BTreeMap::new()).map_err(|error| error.to_string())
    };
    write("weights.safetensors", &weights)?;
    if inputs.is_empty() { Ok(()) } else { write("inputs.safetensors", &inputs) }
}

fn saved(name: &str, shape: Vec<usize>, values: &[f32]) -> (String, SavedTensor) {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    (name.to_owned(), SavedTensor { dtype: "F32".to_owned(), shape, bytes })
}

/// The rows of every file in `folder` that a program left for `model`, in the order of their names.
///
/// # Errors
/// Files that cannot be read, tensors that are missing or of another shape, a model that cannot be evaluated.
pub fn rows(model: &Source, baselines: &mut Baselines, folder: &Path) -> Result<Vec<Row>, String> {
    let listing = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    let mut rows = Vec::new();
    for file in files {
        let said = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| said(&error))?;
        let facts: Facts = serde_json::from_str(&text).map_err(|error| said(&error))?;
        let decoded = decoded(model, &file.with_extension("safetensors")).map_err(|error| said(&error))?;
        rows.extend(file_rows(model, baselines, &facts, decoded).map_err(|error| said(&error))?);
    }
    Ok(rows)
}

/// The measured tensors as a file holds them, rounded to the types they have at the source.
fn decoded(model: &Source, path: &Path) -> Result<Vec<Tensor>, String> {
    let file = Checkpoint::open(path).map_err(|error| error.to_string())?;
    let places: BTreeMap<&str, usize> =
        file.tensors().iter().enumerate().map(|(place, info)| (info.name.as_str(), place)).collect();
    let tensor = |info: &TensorInfo| {
        let place = *places.get(info.name.as_str()).ok_or_else(|| format!("lacks `{}`", info.name))?;
        match file.load(place).map_err(|error| error.to_string())? {
            Content::Float(tensor) if tensor.shape() == info.shape => {
                let mut values = tensor.into_values();
                info.dtype.round_all(&mut values);
                Tensor::new(info.shape.clone(), values, info.dtype).map_err(|error| error.to_string())
            }
            _ => Err(format!("`{}` has another shape or type", info.name)),
        }
    };
    model.tensors.iter().map(tensor).collect()
}

fn file_rows(
    model: &Source,
    baselines: &mut Baselines,
    facts: &Facts,
    decoded: Vec<Tensor>,
) -> Result<Vec<Row>, String> {
    let mode = if facts.calibrated { Mode::Calibrated } else { Mode::Plain };
    let mut rows = Vec::new();
    for (info, decoded) in model.tensors.iter().zip(&decoded) {
        let told = facts.tensors.get(&info.name).ok_or_else(|| format!("says nothing of `{}`", info.name))?;
        let mut row = TensorRow {
            key: key::key(&serde_json::json!([
                "foreign",
                facts.program,
                facts.codec,
                model.name,
                info.name,
                info.hash
            ])),
            codec: facts.codec.clone(),
            codec_id: facts.codec_id.clone(),
            options: facts.options.clone(),
            mode: Some(mode),
            foreign: Some(facts.program.clone()),
            bytes: told.bytes,
            encode_seconds: vec![told.encode],
            decode_seconds: told.decode.clone(),
            calibrated: facts.calibrated,
            stored_by: kept(info).then(|| "raw".to_owned()),
            status: Status::Ok,
            ..model.row(info)
        };
        row.parts.insert("file".to_owned(), told.bytes);
        judge(&info.name, &model.load(info)?, decoded, &mut row).map_err(|error| error.to_string())?;
        rows.push(Row::Tensor(row));
    }
    let seconds = |of: fn(&TensorFacts) -> f64| facts.tensors.values().map(of).sum::<f64>();
    let blank = ModelRow {
        key: key::key(&serde_json::json!(["foreign", facts.program, facts.codec, model.name])),
        codec: facts.codec.clone(),
        codec_id: facts.codec_id.clone(),
        options: facts.options.clone(),
        mode: Some(mode),
        foreign: Some(facts.program.clone()),
        model: model.name.clone(),
        bytes: facts.bytes,
        weights: model.weight_count(),
        source_bytes: model.source_bytes(),
        tensors_ok: model.tensors.len() as u64,
        tensors: model.tensors.len() as u64,
        encode_seconds: vec![seconds(|told| told.encode)],
        decode_seconds: vec![seconds(|told| told.decode.first().copied().unwrap_or(0.0))],
        ..ModelRow::default()
    };
    rows.extend(metric_rows(baselines, model, decoded, &blank)?.into_iter().map(Row::Model));
    Ok(rows)
}

/// The small-tensor policy of a run with its settings at their defaults, which the programs are asked to follow.
fn kept(info: &TensorInfo) -> bool {
    crate::config::RunSettings::default().keeps(&info.shape, info.weights)
}
