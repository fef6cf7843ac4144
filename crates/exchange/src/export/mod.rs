//! Weights out into what engines load.
//!
//! A [`Supply`] gives tensors one at a time: as floats, or quantised already where its file holds them so. [`packed`](mod@packed) writes
//! a Hugging Face folder in one of the layouts of [`crate::packed`], [`gguf`](mod@gguf) one GGUF file. What is left to quantise on the
//! way is quantised by the codecs of the registry that is handed over.

pub mod gguf;
pub mod model;
pub mod packed;
mod packed_config;
mod shards;
pub mod size;
pub mod supply;

pub use gguf::{GgufOptions, write_gguf};
pub use model::ModelFiles;
pub use packed::{PackedOptions, Target, write_packed};
pub use size::gguf::fit_gguf;
pub use size::packed::fit_packed;
pub use size::{Worth, alike};
pub use supply::{FileSupply, Form, SdpSupply, Supply, Weights};

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct Exported {
    /// Bytes of all files of weights.
    pub bytes: u64,
    /// Weights in them.
    pub weights: u64,
    /// Name and type of every tensor, in the order written.
    pub tensors: Vec<(String, String)>,
    /// What the user should know: fallbacks, rounded scales, what was left out. A sentence each.
    pub notes: Vec<String>,
}
