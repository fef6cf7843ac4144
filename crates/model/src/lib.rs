//! What a model is: named tensors, a network that runs block by block, weights from anywhere, data apart.
//!
//! Compression needs three things of a model beside its weights: what each weight multiplies, what the model says, how good that is. A
//! [`Network`] is written once and gives all of them: [`Walk`] gathers statistics of inputs in one walk through its blocks, plain or
//! behind tensors already compressed; [`Model`] compares answers and measures tasks. Nothing needs the whole model in memory.
//!
//! | module | idea |
//! | --- | --- |
//! | `tensor` | what is known of a tensor without its values |
//! | `network` | a network, block by block, with taps on what weights multiply |
//! | `weights` | where weights come from |
//! | `data` | data sets, apart from networks |
//! | `states` | hidden states between two blocks, in memory or in a temporary file |
//! | [`walk`] | statistics of every weight's inputs, in one walk |
//! | [`run`](mod@run) | what a network says of data |
//! | [`model`] | network, weights and data together |
//! | `outputs`, `metric` | what a model says; a figure with its uncertainty |
//! | [`random`] | a generator with the same output everywhere |
//!
//! # Example
//!
//! A network of two layers, and each layer's weights compressed behind those before it.
//!
//! ```
//! use seedpress_codec::{DType, Tensor};
//! use seedpress_model::{
//!     BlockWeights, Hidden, Mode, Model, ModelError, Network, Outputs, Samples, Tap, TensorInfo, Walk, model::DataSets,
//! };
//!
//! /// Two inputs, three rectified, two classes.
//! struct Toy([TensorInfo; 2]);
//!
//! impl Network for Toy {
//!     fn tensors(&self) -> &[TensorInfo] {
//!         &self.0
//!     }
//!
//!     fn blocks(&self) -> usize {
//!         2
//!     }
//!
//!     fn block_tensors(&self, block: usize) -> Vec<usize> {
//!         vec![block]
//!     }
//!
//!     fn step(&self, block: usize, weights: &BlockWeights<'_>, hidden: &Hidden, tap: &mut dyn Tap) -> Result<Hidden, ModelError> {
//!         tap.inputs(block, &hidden.values)?;
//!         let row = |x: &[f32]| -> Vec<f32> {
//!             let dot = |w: &[f32]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
//!             weights.values(block).chunks(x.len()).map(|w| if block == 0 { dot(w).max(0.0) } else { dot(w) }).collect()
//!         };
//!         let values = hidden.values.chunks(hidden.width).flat_map(row).collect();
//!         Ok(hidden.with(values, self.0[block].shape[0]))
//!     }
//!
//!     fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
//!         Ok(Outputs::Logits { width: 2, values: hidden.values })
//!     }
//! }
//!
//! struct Data;
//!
//! impl DataSets for Data {
//!     fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
//!         let values = (0..200).map(|i| (i as f32 * 0.7).sin()).collect();
//!         Ok(Some(Box::new(vec![Hidden::new(values, 2, vec![1; 100])?])))
//!     }
//! }
//!
//! let toy = Toy([TensorInfo::new("hidden", &[3, 2], "linear"), TensorInfo::new("classes", &[2, 3], "linear")]);
//! let tensor = |shape: [usize; 2], values: [f32; 6]| Tensor::new(shape.to_vec(), values.to_vec(), DType::F32);
//! let weights = vec![
//!     tensor([3, 2], [0.9, -0.4, 0.6, 1.1, -0.7, 0.2])?,
//!     tensor([2, 3], [0.8, -1.2, 0.3, -0.6, 0.7, 1.4])?,
//! ];
//! let model = Model::new("toy", Box::new(toy), Box::new(weights), Box::new(Data));
//!
//! let mut walk = model.walk(Mode::Sequential)?;
//! let mut decoded = Vec::new();
//! for tensor in Walk::order(model.network()) {
//!     let statistics = walk.statistics(tensor)?.expect("both layers multiply inputs");
//!     let wanted = statistics.corrected(&model.load(tensor)?)?.expect("the walk is sequential");
//!     // A codec would be told `statistics.inputs()`.
//!     let rounded = wanted.values().iter().map(|value| (value * 4.0).round() / 4.0).collect();
//!     let rounded = Tensor::new(wanted.shape().to_vec(), rounded, DType::F32)?;
//!     walk.compressed(tensor, &rounded)?;
//!     decoded.push((tensor, rounded));
//! }
//! let divergence = model.divergence(decoded.iter().map(|(tensor, values)| (*tensor, values)))?;
//! assert!(divergence < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block_weights;
mod data;
mod error;
mod metric;
pub mod model;
mod network;
mod outputs;
pub mod random;
pub mod run;
mod states;
mod tensor;
pub mod walk;
mod weights;

pub use block_weights::BlockWeights;
pub use data::{Evaluation, Samples, Scorer};
pub use error::ModelError;
pub use metric::Metric;
pub use model::{DataSets, Model, NoData};
pub use network::{Hidden, Network, NoTap, Tap, TapAll};
pub use outputs::Outputs;
pub use run::run;
pub use states::{States, Storage};
pub use tensor::{TensorInfo, guess_layer_type};
pub use walk::{Mode, RowWeights, Statistics, Walk};
pub use weights::{CheckpointWeights, Replaced, Weights};
