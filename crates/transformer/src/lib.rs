//! Language models of the Hugging Face kind on a CPU, described by data and run block by block.
//!
//! A folder with `config.json`, `model.safetensors` (or shards) and `tokenizer.json` is a model. The configuration becomes a
//! [`Description`]: which tensor multiplies what, in which order. One forward pass serves every family. It reads weights tensor by
//! tensor from memory-mapped files, so that a model larger than the memory runs, and shows what every weight multiplies to whoever
//! collects statistics.
//!
//! | module | idea |
//! | --- | --- |
//! | [`config`] | from a configuration and the tensors' names to a description; where to add a family |
//! | [`description`] | a transformer as data |
//! | `weights` | where weights come from |
//! | [`forward`] | embedding, one block after the other, head |
//! | `layers`, `attention`, `experts`, `rotary` | the steps of a block |
//! | `product`, `math` | matrix products, sums and smooth functions |
//! | `model` | a folder opened |
//! | [`text`] | documents, tokenised and cut into windows |
//! | [`evaluate`] | how well a model predicts text, and how far it is from another |
//! | [`gradient`] | the backward pass: how much the answers depend on each product's outputs |
//! | [`weighing`], [`spectra`] | how much each token of calibration text counts; what errors of each tensor cost |
//! | [`calibration_text`] | the text that calibrates, and what is kept of it |
//! | `language` | a model with text of one's own as every other model; [`overlap`]: whether texts are apart |
//! | `network`, [`guide`] | a model as others walk through it; compression with calibration text |
//! | `error` | what keeps a model from being read or run |

mod attention;
pub mod calibration_text;
pub mod config;
pub mod description;
mod error;
pub mod evaluate;
mod experts;
pub mod forward;
pub mod gradient;
pub mod guide;
mod language;
mod layers;
mod math;
mod model;
mod network;
pub mod overlap;
mod rotary;
pub mod spectra;
pub mod text;
pub mod weighing;
mod weights;

pub use calibration_text::CalibrationText;
pub use description::{Description, Linear};
pub use error::TransformerError;
pub use language::{LanguageModel, Texts};
pub use layers::{Inputs, Tap};
pub use model::Transformer;
pub use network::TransformerNetwork;
pub use weights::{MappedWeights, Replaced, Weights};
