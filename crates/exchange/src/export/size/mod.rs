//! A type for every tensor, so that the whole file has a given size.
//!
//! Every matrix is tried in every type its rows fit, on some of its rows; what that costs is the relative squared error times the
//! number of weights times what a weight of the matrix is [`Worth`]: the same for all, or what calibration text tells. Types are then
//! chosen by one price of a byte for the whole model, and what is left of the budget goes to where it helps most.
//!
//! | module | idea |
//! | --- | --- |
//! | [`allot`](mod@allot) | one choice for every tensor under a budget |
//! | [`gguf`] | types of GGUF's |
//! | [`packed`] | bits and groups of compressed-tensors and MLX |

pub mod allot;
pub mod gguf;
pub mod packed;

use seedpress_codec::{AnyCodec, EncodeContext, Registry, Tensor};

use crate::error::ExchangeError;

/// What it costs to leave a weight of a matrix out, on average over its weights, by the matrix's name at Hugging Face's; in any unit that is
/// the same for all. An error costs its share of the matrix's energy.
pub type Worth<'a> = &'a dyn Fn(&str) -> f64;

/// All weights count alike, whatever the scale of their matrix.
pub fn alike(_: &str) -> f64 {
    1.0
}

/// Rows of a matrix that are tried, spread over it.
const TRIED: usize = 64;

/// Rows of a matrix, evenly spread.
fn sample(tensor: &Tensor) -> Result<Tensor, ExchangeError> {
    let columns = tensor.shape().last().copied().unwrap_or(1).max(1);
    let rows = tensor.values().len() / columns;
    let taken = rows.min(TRIED);
    let row = |at: usize| &tensor.values()[at * rows / taken * columns..][..columns];
    let values: Vec<f32> = (0..taken).flat_map(row).copied().collect();
    Tensor::new(vec![taken, columns], values, tensor.dtype()).map_err(|error| ExchangeError::Model(error.to_string()))
}

/// Relative squared error of a codec on some rows.
fn loss(rows: &Tensor, codec: &AnyCodec, registry: &Registry, name: &str) -> Result<f64, ExchangeError> {
    let wrong = |why: String| ExchangeError::Model(format!("tensor `{name}`: {why}"));
    let record = codec.encode(&rows.view(name), &EncodeContext::default()).map_err(|error| wrong(error.to_string()))?;
    let decoded = registry.decode_bytes(&record.to_bytes()).map_err(|error| wrong(error.to_string()))?.tensor;
    let square = |value: f32| f64::from(value) * f64::from(value);
    let energy: f64 = rows.values().iter().map(|&value| square(value)).sum();
    let error: f64 = rows.values().iter().zip(decoded.values()).map(|(a, b)| square(a - b)).sum();
    Ok(if energy > 0.0 && error.is_finite() { error / energy } else { 0.0 })
}
