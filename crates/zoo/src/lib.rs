//! Models with their real task metric: load, evaluate, calibrate.
//!
//! Weight error does not rank codecs by what a model still does. The zoo holds small models that were trained for real, the held-out
//! data that measures them, and calibration data that never overlaps with it.
//!
//! ```no_run
//! let model = seedpress_zoo::load("fashion-mlp")?;
//! let coarse = model.load(0)?;
//! for metric in model.evaluate([(0, &coarse)])? {
//!     println!("{}: {:.4} {:?}", metric.name, metric.value, metric.interval);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A folder a model (or a pair of models on the same data): its network, its data, its metrics.
//!
//! | module | holds |
//! | --- | --- |
//! | [`model`] | the models by name: network, weights and data put together |
//! | [`catalogue`] | what there is: summaries, licences, metrics, hashes |
//! | [`fashion`] | two image classifiers, Fashion-MNIST |
//! | [`sotu`] | two language models over bytes, State of the Union addresses |
//! | [`silero`] | Silero VAD, recordings of speech |
//! | `minilm`, `crepe`, `wordllama`, [`textgenrnn`] | fetched models: sentences, tones, tokens, characters |
//! | [`assets`], [`fetch`] | where files are and that they are the ones we mean; weights that are not committed |
//! | [`synthetic`](mod@synthetic) | seeded distributions with the same bits on every machine |
//! | [`sentences`], `rank` | English sentences, rank correlation |

pub mod assets;
pub mod catalogue;
mod crepe;
mod dense;
mod error;
pub mod fashion;
pub mod fetch;
mod minilm;
pub mod model;
mod rank;
pub mod sentences;
pub mod silero;
pub mod sotu;
pub mod synthetic;
pub mod textgenrnn;
mod weight_file;
mod wordllama;

pub use catalogue::{ModelInfo, info, models};
pub use error::ZooError;
pub use model::{calibration, load, load_from};
pub use synthetic::{Distribution, report_shapes, synthetic};
