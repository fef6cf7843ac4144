//! Models with their real task metric: train, load, evaluate.
//!
//! Weight error does not rank codecs by what a model still does. The zoo holds small models that were trained for real, the held-out
//! data that measures them, and calibration data that never overlaps with it.
//!
//! ```no_run
//! let model = seedpress_zoo::load("fashion-mlp")?;
//! let tensors: Vec<_> = model.tensors.iter().map(|named| named.tensor.clone()).collect();
//! for metric in model.evaluate(&tensors)? {
//!     println!("{}: {:.4} {:?}", metric.name, metric.value, metric.interval);
//! }
//! # Ok::<(), seedpress_zoo::ZooError>(())
//! ```
//!
//! | module | idea |
//! | --- | --- |
//! | [`catalogue`] | what there is: summaries, licences, metrics, hashes |
//! | `architecture` | what a kind of model must say of itself: tensors, task, inputs; a new kind is one module and one line there |
//! | [`assets`] | where the files are, and that they are the files we mean |
//! | [`model`] | named tensors that can be evaluated and calibrated |
//! | [`synthetic`] | seeded sources with the same bits on every machine |
//! | [`classifier`], [`convolution`] | the image classifiers' forward pass |
//! | [`fashion`] | Fashion-MNIST |
//! | [`language`] | the language models: text, networks forward and backward, evaluation, calibration |
//! | [`silero`] | Silero VAD's forward pass and recordings |
//! | [`fetch`] | weights that are not committed: brought by name, checked, kept |
//! | [`sentences`], [`crepe`], [`textgenrnn`] | what measures fetched models: sentences, tones, text |
//! | [`train`] | how the committed weights were made |

mod architecture;
pub mod assets;
mod behind;
mod calibrate;
pub mod catalogue;
pub mod classifier;
pub mod convolution;
pub mod crepe;
mod dense;
pub mod error;
pub mod fashion;
pub mod fetch;
pub mod language;
mod minilm;
pub mod model;
mod rank;
pub mod sentences;
pub mod silero;
pub mod synthetic;
pub mod textgenrnn;
pub mod train;
mod wordllama;

pub use behind::Behind;
pub use catalogue::{ModelInfo, info, models};
pub use error::ZooError;
pub use model::{Model, NamedTensor, calibration, load};
pub use seedpress_model::{Metric, Outputs, metric, outputs, random};
pub use synthetic::{Source, report_shapes, synthetic};
