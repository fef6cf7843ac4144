//! What a row measures: a codec with its options, a stage, and what the encoder is told. Names are for display; this is what counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the encoder of a row is told beside the tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing.
    #[default]
    Plain,
    /// What the tensor multiplies in the uncompressed model, where the model has calibration data.
    Calibrated,
    /// What it multiplies behind the compressed tensors before it, and which weights bring the outputs back.
    Sequential,
    /// Which codec a plan chose for it.
    Plan,
    /// Both: a plan's choice, behind the compressed tensors before it.
    SequentialPlan,
}

impl Mode {
    /// In words, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Calibrated => "calibrated",
            Self::Sequential => "sequential",
            Self::Plan => "plan",
            Self::SequentialPlan => "sequential plan",
        }
    }

    /// Whether each tensor is compressed behind those before it.
    pub fn is_sequential(self) -> bool {
        matches!(self, Self::Sequential | Self::SequentialPlan)
    }
}

/// How a row stores tensors. Two rows of a run never share one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The codec's id, `plan` where a plan chooses.
    pub codec_id: String,
    /// The stage's id, empty where there is none.
    pub stage: String,
    /// Every option of the codec, defaults included.
    pub options: serde_json::Value,
    /// What the encoder is told.
    pub mode: Mode,
}

/// The code that made the bytes of a row: `format.revision` of every codec, stage and algorithm that took part, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub BTreeMap<String, String>);

impl Code {
    /// Whether it is not known: rows of older runs.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }
}

/// `ans 1.1, trellis 2.1`, or `unknown revision`.
impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_unknown() {
            return f.write_str("unknown revision");
        }
        for (index, (name, version)) in self.0.iter().enumerate() {
            write!(f, "{}{name} {version}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}
