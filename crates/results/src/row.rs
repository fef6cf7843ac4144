//! What is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::outcomes::Outcomes;
use crate::recipe::{Code, Mode, Recipe};

/// One line of `results.jsonl`.
// Most rows are of tensors: a box around each would save nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Row {
    /// One codec on one tensor.
    Tensor(TensorRow),
    /// One codec on a whole model, with its task metric. A model with several metrics has several rows.
    Model(ModelRow),
}

impl Row {
    /// The key of the cell.
    pub fn key(&self) -> &str {
        match self {
            Row::Tensor(row) => &row.key,
            Row::Model(row) => &row.key,
        }
    }

    /// Why the cell failed, `None` where it did not.
    pub fn error(&self) -> Option<&str> {
        let (status, error) = match self {
            Row::Tensor(row) => (row.status, &row.error),
            Row::Model(row) => (row.status, &row.error),
        };
        (status == Status::Failed).then(|| error.as_deref().unwrap_or("failed"))
    }

    /// Whether the cell failed.
    pub fn failed(&self) -> bool {
        self.error().is_some()
    }

    /// What was measured; the mode is a guess in rows of older runs.
    pub fn recipe(&self) -> Recipe {
        match self {
            Row::Tensor(row) => row.recipe(),
            Row::Model(row) => row.recipe(),
        }
    }

    /// The commit it was added at, where that is not the run's.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Row::Tensor(row) => row.commit.as_deref(),
            Row::Model(row) => row.commit.as_deref(),
        }
    }

    /// Says that it was added at another commit than the run's.
    pub fn set_commit(&mut self, commit: Option<String>) {
        match self {
            Row::Tensor(row) => row.commit = commit,
            Row::Model(row) => row.commit = commit,
        }
    }

    /// The code that made the bytes: empty, of unknown revision, in rows of older runs.
    pub fn code(&self) -> &Code {
        match self {
            Row::Tensor(row) => &row.code,
            Row::Model(row) => &row.code,
        }
    }
}

/// How a cell of the matrix ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Encoded, decoded from the written bytes, measured.
    #[default]
    Ok,
    /// Failed; `error` says why.
    Failed,
}

/// Error at a prefix of a progressive stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prefix {
    /// Bytes of the prefix, header included.
    pub bytes: u64,
    /// Sum of squared errors when decoded from it.
    #[serde(deserialize_with = "number")]
    pub squared_error: f64,
}

/// One codec on one tensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TensorRow {
    /// Hash of everything the measurement depends on: presence means resume can skip it.
    pub key: String,
    /// Canonical name with non-default options, e.g. `bitnet:scale=row+zstd`.
    pub codec: String,
    /// The row's name in the config, where it was given one.
    pub label: Option<String>,
    /// The codec's id, e.g. `bitnet`.
    pub codec_id: String,
    /// The stage's id, empty where there is none.
    pub stage: String,
    /// Every option, defaults included.
    pub options: serde_json::Value,
    /// How the encoder was told what to encode. `None` in rows of older runs.
    pub mode: Option<Mode>,
    /// The code that made the bytes. Empty in rows of older runs: of unknown revision.
    pub code: Code,
    /// The commit of a cell that was added to a run made at another one; with a + where there were local changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The program and version that made the bytes, where it is not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
    /// Model name.
    pub model: String,
    /// Whether the weights are generated rather than trained.
    pub synthetic: bool,
    /// Tensor name in the checkpoint.
    pub tensor: String,
    /// `linear`, `conv3x3`, `conv1x1`, `embedding`, `recurrent`, `bias`, `norm`, `other`.
    pub layer_type: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Source data type: `f32`, `f16`, `bf16`.
    pub dtype: String,
    /// Number of weights.
    pub weights: u64,
    /// Everything written for this tensor, headers and checksums included.
    pub bytes: u64,
    /// `bytes` by role: scales, indices, codebook, header...
    pub parts: BTreeMap<String, u64>,
    /// Sum of squared errors of the decoded tensor.
    #[serde(deserialize_with = "number")]
    pub squared_error: f64,
    /// Sum of squared weights.
    #[serde(deserialize_with = "number")]
    pub energy: f64,
    /// Sum of weight times reconstruction, for the cosine.
    #[serde(deserialize_with = "number")]
    pub dot: f64,
    /// Sum of squared reconstructed weights.
    #[serde(deserialize_with = "number")]
    pub decoded_energy: f64,
    /// Largest absolute error.
    #[serde(deserialize_with = "number")]
    pub max_abs_error: f64,
    /// Largest absolute weight.
    #[serde(deserialize_with = "number")]
    pub max_abs: f64,
    /// Rows of the matrix view whose squared error is above their energy: zeros would have been nearer. `None` in rows of older runs.
    pub rows_worse_than_zeros: Option<u64>,
    /// Rows of the matrix view.
    pub rows: Option<u64>,
    /// The median of the rows' relative errors.
    pub median_row_error: Option<f64>,
    /// Every encode run.
    pub encode_seconds: Vec<f64>,
    /// Every decode run.
    pub decode_seconds: Vec<f64>,
    /// Threads the timed encodes used.
    pub threads: usize,
    /// Threads the timed decodes used.
    pub decode_threads: usize,
    /// Peak resident memory of the process after the cell, bytes.
    pub peak_memory: u64,
    /// Codec that stored the tensor instead, where the small-tensor policy applied.
    pub stored_by: Option<String>,
    /// Whether the encoder was given statistics of the tensor's inputs.
    pub calibrated: bool,
    /// Rows of inputs that reached the tensor itself, where so few did that others stood in for them: experts of a mixture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scarce: Option<u64>,
    /// For a sequential row: whether the tensor was compressed behind those before it; `false` for a tensor whose inputs cannot be
    /// followed, and for one that the small-tensor policy keeps. `None` in other rows and in those of older runs.
    pub sequential: Option<bool>,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
    /// Error at every layer prefix; empty for codecs that are not progressive.
    pub prefixes: Vec<Prefix>,
}

/// One codec on a whole model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRow {
    /// Hash of everything the measurement depends on.
    pub key: String,
    /// Canonical codec name.
    pub codec: String,
    /// The row's name in the config, where it was given one.
    pub label: Option<String>,
    /// The codec's id, e.g. `bitnet`. Empty in rows of older runs, as are the next two.
    pub codec_id: String,
    /// The stage's id, empty where there is none.
    pub stage: String,
    /// Every option, defaults included.
    pub options: serde_json::Value,
    /// How the encoder was told what to encode. `None` in rows of older runs.
    pub mode: Option<Mode>,
    /// The code that made the bytes. Empty in rows of older runs: of unknown revision.
    pub code: Code,
    /// The commit of a cell that was added to a run made at another one; with a + where there were local changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The program and version that made the bytes, where it is not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
    /// Model name.
    pub model: String,
    /// Bytes of the whole compressed file: container, every tensor.
    pub bytes: u64,
    /// Weights in the model.
    pub weights: u64,
    /// Bytes of the weights at the source.
    pub source_bytes: u64,
    /// Metric name, e.g. `accuracy`; empty where the model has no task metric.
    pub metric: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The metric of the uncompressed model.
    pub baseline: Option<f64>,
    /// The metric of the model decoded from the file.
    pub compressed: Option<f64>,
    /// 95 % bootstrap interval of `compressed`.
    #[serde(deserialize_with = "interval")]
    pub interval: Option<[f64; 2]>,
    /// 95 % bootstrap interval of `baseline`.
    #[serde(deserialize_with = "interval")]
    pub baseline_interval: Option<[f64; 2]>,
    /// Held-out samples the metric was measured on.
    pub samples: u64,
    /// `compressed` by independent unit, where it is a quotient of sums over them. `None` in rows of older runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<Outcomes>,
    /// The same metric of further files, of weights moved by next to nothing: the scatter of the encoder, which widened `interval`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drawn: Vec<f64>,
    /// `baseline` by the same units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_outcomes: Option<Outcomes>,
    /// Rows that this cell has, one per metric: fewer are there where a crash tore them. 0 in rows of older runs.
    pub cell_rows: usize,
    /// Tensors that were encoded and decoded.
    pub tensors_ok: u64,
    /// Tensors in the model.
    pub tensors: u64,
    /// Encoding the whole model, wall time, all threads.
    pub encode_seconds: Vec<f64>,
    /// Decoding the whole model, wall time, all threads.
    pub decode_seconds: Vec<f64>,
    /// Threads used.
    pub threads: usize,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
}

/// Where a run was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// seedpress version.
    pub version: String,
    /// Git commit, `unknown` outside a checkout.
    pub commit: String,
    /// Whether the work tree had changes.
    pub dirty: bool,
    /// Compiler version.
    pub rustc: String,
    /// `debug` or `release`.
    pub profile: String,
    /// Processor model.
    pub cpu: String,
    /// Processors available.
    pub cores: usize,
    /// Instruction sets detected, e.g. `avx2`.
    pub features: Vec<String>,
    /// Operating system.
    pub os: String,
}

/// `run.json`: what was run, where, and whether it is complete.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Run name.
    pub name: String,
    /// The config text as given.
    pub config: String,
    /// Where, at the start; cells that were added at another commit name it in their rows.
    pub environment: Environment,
    /// Unix seconds at the start.
    pub started: u64,
    /// Unix seconds at the end; 0 while unfinished.
    pub finished: u64,
    /// Whether every cell of the matrix has a row.
    pub complete: bool,
    /// Cells in the matrix.
    pub cells: u64,
    /// Cells that failed.
    pub failed: u64,
    /// Canonical codec names in the order of the config: charts and tables keep it.
    pub codecs: Vec<String>,
    /// Models in the order of the config.
    pub models: Vec<String>,
    /// Bytes per second of a plain copy in this run: the roof of every decode speed.
    #[serde(deserialize_with = "number")]
    pub memcpy_bytes_per_second: f64,
}

/// JSON has no NaN and no infinity: they are written as `null`, which reads as NaN.
fn number<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or(f64::NAN))
}

/// As [`number`], for both ends.
fn interval<'de, D: Deserializer<'de>>(input: D) -> Result<Option<[f64; 2]>, D::Error> {
    let ends: Option<[Option<f64>; 2]> = Option::deserialize(input)?;
    Ok(ends.map(|ends| ends.map(|end| end.unwrap_or(f64::NAN))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_json_cannot_say_reads_as_nan() {
        let row = TensorRow {
            key: "k".into(),
            squared_error: f64::INFINITY,
            energy: 2.0,
            prefixes: vec![Prefix { bytes: 3, squared_error: f64::NAN }],
            ..TensorRow::default()
        };
        let text = serde_json::to_string(&Row::Tensor(row)).unwrap();
        let Row::Tensor(back) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert!(back.squared_error.is_nan() && back.prefixes[0].squared_error.is_nan());
        assert_eq!((back.key.as_str(), back.energy), ("k", 2.0));

        let row = ModelRow { interval: Some([f64::NAN, 1.0]), ..ModelRow::default() };
        let text = serde_json::to_string(&Row::Model(row)).unwrap();
        let Row::Model(back) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        let [low, high] = back.interval.unwrap();
        assert!(low.is_nan() && high == 1.0 && back.baseline_interval.is_none());
    }

    #[test]
    fn numbers_survive_reading_and_writing() {
        let (mut value, mut noise) = (0.0, seedpress_testing::Noise::new(1));
        for _ in 0..2000 {
            value += (noise.bits() >> 11) as f64 / 3e9;
            let text = serde_json::to_string(&Prefix { bytes: 1, squared_error: value }).unwrap();
            let back: Prefix = serde_json::from_str(&text).unwrap();
            assert_eq!(back.squared_error.to_bits(), value.to_bits(), "{text}");
        }
    }

    /// Names that other tools read.
    #[test]
    fn field_names_are_a_contract() {
        let tensor = serde_json::to_value(Row::Tensor(TensorRow::default())).unwrap();
        let model = serde_json::to_value(Row::Model(ModelRow::default())).unwrap();
        assert_eq!((&tensor["kind"], &model["kind"]), (&"tensor".into(), &"model".into()));
        for name in "codec model tensor shape weights bytes squared_error energy max_abs_error encode_seconds decode_seconds threads status prefixes".split(' ') {
            assert!(tensor.get(name).is_some(), "{name}");
        }
        for name in "codec model bytes weights metric baseline compressed tensors_ok tensors".split(' ') {
            assert!(model.get(name).is_some(), "{name}");
        }
        let prefix = serde_json::to_value(Prefix { bytes: 1, squared_error: 2.0 }).unwrap();
        assert_eq!(prefix, serde_json::json!({"bytes": 1, "squared_error": 2.0}));
        assert_eq!(tensor["status"], "ok");
    }
}
