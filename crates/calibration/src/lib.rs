//! What calibration data says about a layer, and how a quantiser uses it.
//!
//! A layer `y = W x` whose weights become `W'` errs at its output by `(W - W') x`. Over calibration inputs the mean square of that is the
//! quadratic form `tr(E H E^T)` of `E = W - W'` and the second moment `H = mean(x x^T)`: all that a codec needs to know of the data.
//! Everything here works on slices, row-major, one output a row and one input a column.
//!
//! | to | use |
//! | --- | --- |
//! | collect statistics | [`Accumulator`] -> [`InputStatistics`] |
//! | collect them behind layers already compressed | [`AsymmetricAccumulator`] -> [`AsymmetricStatistics`] |
//! | say how much each output counts | [`OutputWeights`] -> [`InputStatistics::with_outputs`] |
//! | say how much rows count that are also read one by one | [`Lookups`] -> [`Lookups::joined`] |
//! | quantise with error feedback (GPTQ, LDLQ) | [`Factor`], then `sweep` with a [`Quantizer`] or a closure |
//! | go over what was quantised again, block by block | [`Blocks`], [`Gradient`] |
//! | solve against the second moment | [`Factor::solve`] |
//! | say what a compression costs at the output | [`output_error`] |
//!
//! All arithmetic has one order, products of matrices that of `seedpress-matrix`: results are equal on any machine and any number of threads.
//!
//! # Example
//!
//! Integers with error feedback. Rows are independent, so callers sweep as many together as they like.
//!
//! ```
//! use seedpress_calibration::{Accumulator, DAMPING, Factor, Order, output_error, sweep};
//!
//! // Three inputs, the last two nearly alike.
//! let inputs: Vec<f32> = (0..100).flat_map(|i| [i % 7, i % 5, i % 5 + i % 2].map(|v| v as f32 - 2.0)).collect();
//! let mut moments = Accumulator::new(3);
//! moments.add(&inputs);
//! let statistics = moments.finish()?;
//!
//! let weights = [0.3f32, 1.4, 0.4, -2.4, 0.45, 1.3];
//! let plain: Vec<f32> = weights.iter().map(|w| w.round()).collect();
//! let factor = Factor::new(&statistics, DAMPING, Order::Natural).expect("the second moment was collected");
//! let fed = sweep(&factor, &weights, 1, &mut |_: &[usize], aims: &[f32], out: &mut [f32]| {
//!     out.iter_mut().zip(aims).for_each(|(out, aim)| *out = aim.round());
//! });
//!
//! let error = |decoded: &[f32]| output_error(&weights, decoded, &statistics).unwrap().relative();
//! assert!(error(&fed) < 0.5 * error(&plain));
//! # Ok::<(), seedpress_calibration::StatisticsError>(())
//! ```

mod accumulator;
mod asymmetric;
mod batch;
mod descent;
mod factor;
mod ldl;
mod lookups;
mod output;
mod outputs;
mod quantizer;
mod statistics;
mod sweep;
mod tiles;

pub use accumulator::Accumulator;
pub use asymmetric::{AsymmetricAccumulator, AsymmetricStatistics};
pub use descent::{Blocks, Gradient};
pub use factor::{DAMPING, Factor, Order, damping};
pub use lookups::Lookups;
pub use output::{OutputError, output_error};
pub use outputs::{FLOOR, OutputWeights};
pub use quantizer::Quantizer;
pub use statistics::{InputStatistics, StatisticsError};
pub use sweep::{sweep, sweep_columns, visit_columns};
