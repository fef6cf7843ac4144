//! GGUF block types, byte for byte as ggml lays them out.
//!
//! GGUF cuts each row into blocks and therefore demands rows of whole blocks. Here the *flattened* tensor is cut, and its tail block
//! padded with zeros whose bytes are counted: the same bytes wherever GGUF could store the tensor, a defined result elsewhere.
//!
//! Every block scale is a binary16, which neither weights of 1e-6 nor of 1e9 fit: there a power of two comes to its help, for the whole
//! tensor or for single blocks ([`shifts`]). All other blocks are what ggml writes, and decode to exactly what it decodes, whatever
//! outliers lie elsewhere in the tensor.
//!
//! With `importance = "input"` and calibration data the searches weigh squared errors as llama.cpp does with an importance matrix; with
//! `hessian = "full"` sub-blocks make up for each other's errors at the layer's output ([`feedback`]). The layout stays the same.
//!
//! Parameters: the shifts. One segment: the blocks. Format 1 knew a shift of the whole tensor only, and its encoder used it as soon
//! as one weight was above 1024.
//!
//! | codec | weights | bytes | bits a weight | quantiser |
//! | --- | --- | --- | --- | --- |
//! | `q8_0` | 32 | 34 | 8.5 | ggml's, exactly |
//! | `q4_0` | 32 | 18 | 4.5 | ggml's, exactly |
//! | `q4_1` | 32 | 20 | 5 | ggml's, exactly |
//! | `q5_0` | 32 | 22 | 5.5 | ggml's, exactly |
//! | `q5_1` | 32 | 24 | 6 | ggml's, exactly |
//! | `iq4_nl` | 32 | 18 | 4.5 | least squares per block, own search |
//! | `q2_k` | 256 | 84 | 2.625 | least squares per sub-block, own search |
//! | `q3_k` | 256 | 110 | 3.4375 | the same |
//! | `q4_k` | 256 | 144 | 4.5 | the same |
//! | `q5_k` | 256 | 176 | 5.5 | the same |
//! | `q6_k` | 256 | 210 | 6.5625 | the same |
//! | `tq1_0` | 256 | 54 | 1.6875 | best ternary level per block, then ggml's |
//! | `tq2_0` | 256 | 66 | 2.0625 | the same |

mod affine;
mod feedback;
mod grid;
mod iq4_nl;
mod joint;
mod legacy;
mod q2_k;
mod q3_k;
mod q6_k;
mod search;
mod shifts;
mod ternary;

use std::marker::PhantomData;

pub use affine::{Q4K, Q5K};
pub use iq4_nl::Iq4Nl;
pub use legacy::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub use q2_k::Q2K;
pub use q3_k::Q3K;
pub use q6_k::Q6K;
use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::packing::exact_len;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Packing, PowerOfTwo,
    Registry, Role, Segment, Symbols, TensorView,
};
pub use ternary::{Tq1_0, Tq2_0};

use grid::{Grid, Head, Levels, Steps};
use search::{Alike, Emphasis};
use serde::{Deserialize, Serialize};
use shifts::Shifts;

use crate::feedback::Hessian;

/// Blocks a parallel task works on.
const TASK: usize = 64;

/// One block type.
pub trait BlockFormat: Send + Sync + 'static {
    /// The codec's id: ggml's name in lower case.
    const ID: &'static str;
    /// One line for listings.
    const SUMMARY: &'static str;
    /// Weights in a block.
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Where in a block the binary16 scales lie.
    const HALVES: &'static [usize];
    /// A block whose magnitudes are at most 65504 times this gets finite scales.
    const REACH: f32;
    /// Whether a zero comes back as zero whatever else is in the block.
    const ZERO: bool;

    /// Weights that share a step and a shift.
    const SUB: usize;
    /// What codes stand for.
    const LEVELS: Levels;
    /// What steps and shifts may be.
    const STEPS: Steps;

    /// Fills `block` (zeroed, [`BYTES`](Self::BYTES) long) from [`WEIGHTS`](Self::WEIGHTS) finite weights, whose errors count as `emphasis`
    /// says.
    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]);

    /// The best grid for one sub-block by itself.
    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid;

    /// Reads what a block holds beside its codes.
    fn head(block: &[u8]) -> Head;

    /// Fills `block` (zeroed) from its parts, a code a weight.
    fn write(head: &Head, codes: &[u8], block: &mut [u8]);

    /// Fills `weights` from a block whose scales are finite.
    fn dequantise(block: &[u8], weights: &mut [f32]);
}

/// Options of every block type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GgufOptions {
    /// What the error of a weight counts: `none`, all the same, or `input`, by the mean square of its input where calibration data is
    /// given, as llama.cpp uses an importance matrix. `q8_0`, `tq1_0` and `tq2_0` have no search and stay as they are.
    pub importance: Importance,
    /// What of the inputs' second moment the output error is minimised by, where calibration data is given: `full` lets sub-blocks make up
    /// for each other's errors, starting from what `importance = "input"` gives. Any engine reads the blocks as before.
    pub hessian: Hessian,
}

/// What the error of a weight counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// All the same.
    #[default]
    None,
    /// By its input.
    Input,
}

/// The codec of a block type.
#[derive(Debug, Clone)]
pub struct Gguf<F>(GgufOptions, PhantomData<F>);

/// Most weights in a block of any type.
const LONGEST: usize = 256;

/// The largest finite binary16.
const LARGEST_HALF: f32 = 65504.0;

impl<F: BlockFormat> Codec for Gguf<F> {
    const ID: &'static str = F::ID;
    const FORMAT: u32 = 2;
    const SUMMARY: &'static str = F::SUMMARY;
    type Config = GgufOptions;

    fn new(config: GgufOptions) -> Self {
        Self(config, PhantomData)
    }

    fn config(&self) -> &GgufOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            uses_calibration: self.0.importance == Importance::Input || self.0.hessian == Hessian::Full,
            local_scales: true,
            keeps_zeros: F::ZERO,
            ..Capabilities::default()
        }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let values = tensor.values();
        let weighed = Codec::capabilities(self).uses_calibration;
        let columns = columns_of(tensor, context).filter(|_| weighed);
        let shifts = Shifts::choose(values, F::WEIGHTS, F::REACH * LARGEST_HALF);
        let blocks = values.len().div_ceil(F::WEIGHTS);
        let mut bytes = vec![0u8; blocks * F::BYTES];
        let tasks = bytes.par_chunks_mut(TASK * F::BYTES).zip(values.par_chunks(TASK * F::WEIGHTS)).enumerate();
        tasks.for_each(|(task, (bytes, values))| {
            if context.check_cancelled().is_err() {
                return;
            }
            let parts = bytes.chunks_exact_mut(F::BYTES).zip(values.chunks(F::WEIGHTS));
            for (number, (block, weights)) in (task * TASK..).zip(parts) {
                let mut shifted = [0f32; LONGEST];
                let power = shifts.of(number);
                let weights = if weights.len() == F::WEIGHTS && power == PowerOfTwo::ONE {
                    weights
                } else {
                    shifted.iter_mut().zip(weights).for_each(|(shifted, &weight)| *shifted = power.down(weight));
                    &shifted[..F::WEIGHTS]
                };
                match &columns {
                    None => F::quantise(weights, Alike, block),
                    Some(columns) => {
                        let emphasis = emphasis(weights, columns, number * F::WEIGHTS);
                        F::quantise(weights, &emphasis[..F::WEIGHTS], block);
                    }
                }
            }
            context.advance(values.len());
        });
        context.check_cancelled()?;
        if self.0.hessian == Hessian::Full && columns.is_some() {
            feedback::apply::<F>(tensor, context, &shifts, &mut bytes)?;
        }
        let symbols = Symbols { packing: Packing::Records(F::BYTES as u16), count: blocks as u64, row: 0 };
        Ok(Encoded::single(shifts.to_bytes(), vec![Segment::new(Role::Blocks, symbols, bytes)]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let blocks = out.len().div_ceil(F::WEIGHTS);
        let [bytes] = encoded.single([Role::Blocks])?;
        exact_len(bytes, blocks.saturating_mul(F::BYTES)).map_err(|error| error.at(0, 0))?;
        if encoded.format == 1 && encoded.params.len() > 2 {
            return Err(DecodeError::corrupt("a shift of single blocks in format 1").at_offset(2));
        }
        let shifts = Shifts::read(encoded.params, blocks, limits)?;
        for (index, block) in bytes.chunks_exact(F::BYTES).enumerate() {
            if let Some(at) = F::HALVES.iter().find(|&&at| block[at + 1] & 0x7C == 0x7C) {
                return Err(DecodeError::corrupt("a scale is not finite").at(0, 0).at_offset(index * F::BYTES + at));
            }
        }
        restore::<F>(bytes, &shifts, out);
        Ok(())
    }
}

/// What blocks with finite scales decode to.
fn restore<F: BlockFormat>(bytes: &[u8], shifts: &Shifts, out: &mut [f32]) {
    let tasks = out.par_chunks_mut(TASK * F::WEIGHTS).zip(bytes.par_chunks(TASK * F::BYTES)).enumerate();
    tasks.for_each(|(task, (out, bytes))| {
        let parts = out.chunks_mut(F::WEIGHTS).zip(bytes.chunks_exact(F::BYTES));
        for (number, (weights, block)) in (task * TASK..).zip(parts) {
            if weights.len() == F::WEIGHTS {
                F::dequantise(block, weights);
            } else {
                let mut padded = [0f32; LONGEST];
                F::dequantise(block, &mut padded[..F::WEIGHTS]);
                weights.copy_from_slice(&padded[..weights.len()]);
            }
            shifts.of(number).up_all(weights);
        }
    });
}

/// What calibration says of the inputs, where it fits the tensor: the mean square of each, with a little for those it never saw.
fn columns_of(tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Option<Vec<f32>> {
    let squares = context.calibration?.mean_square();
    let mean = squares.iter().map(|&square| f64::from(square)).sum::<f64>() / squares.len() as f64;
    let fits = squares.len() == tensor.columns() && mean.is_finite() && mean > 0.0 && squares.iter().all(|&s| s >= 0.0);
    // Relative to their mean, so that no magnitude overflows.
    fits.then(|| squares.iter().map(|&square| (f64::from(square) / mean).max(SILENT_INPUT) as f32).collect())
}

/// What an input that calibration never saw counts against the mean one.
const SILENT_INPUT: f64 = 1e-3;

/// What the errors of a block's weights count, from its first one in the tensor: llama.cpp's importance `h sqrt(s^2 + w^2)`, `h` the
/// column's, `s^2` the mean square of the block's weights.
fn emphasis(weights: &[f32], columns: &[f32], first: usize) -> [f32; LONGEST] {
    let mean = weights.iter().map(|weight| weight * weight).sum::<f32>() / weights.len() as f32;
    let mut emphasis = [0f32; LONGEST];
    for (at, (emphasis, &weight)) in emphasis.iter_mut().zip(weights).enumerate() {
        *emphasis = columns[(first + at) % columns.len()] * (mean + weight * weight).sqrt();
    }
    emphasis
}

/// Adds every block type to a registry.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .with::<Gguf<Q8_0>>()
        .with::<Gguf<Q4_0>>()
        .with::<Gguf<Q4_1>>()
        .with::<Gguf<Q5_0>>()
        .with::<Gguf<Q5_1>>()
        .with::<Gguf<Iq4Nl>>()
        .with::<Gguf<Q2K>>()
        .with::<Gguf<Q3K>>()
        .with::<Gguf<Q4K>>()
        .with::<Gguf<Q5K>>()
        .with::<Gguf<Q6K>>()
        .with::<Gguf<Tq1_0>>()
        .with::<Gguf<Tq2_0>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads and codes read from a block make the same block.
    fn comes_apart_and_together<F: BlockFormat>() {
        let weights: Vec<f32> = (0..F::WEIGHTS as u32)
            .map(|i| ((i + 1).wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8_388_608.0 - 0.9 + (i / 16) as f32 * 0.01)
            .collect();
        let mut block = vec![0u8; F::BYTES];
        F::quantise(&weights, Alike, &mut block);
        let head = F::head(&block);
        let mut decoded = vec![0f32; F::WEIGHTS];
        F::dequantise(&block, &mut decoded);
        let code = |(index, &value): (usize, &f32)| {
            let grid = head.grid(index / F::SUB);
            let (code, found) = F::LEVELS.nearest(value, grid, 1.0 / grid.step);
            assert_eq!(found, value, "{} {index}", F::ID);
            code
        };
        let codes: Vec<u8> = decoded.iter().enumerate().map(code).collect();
        let mut again = vec![0u8; F::BYTES];
        F::write(&head, &codes, &mut again);
        assert_eq!(block, again, "{}", F::ID);
    }

    #[test]
    fn blocks_come_apart_and_together() {
        comes_apart_and_together::<Q8_0>();
        comes_apart_and_together::<Q4_0>();
        comes_apart_and_together::<Q4_1>();
        comes_apart_and_together::<Q5_0>();
        comes_apart_and_together::<Q5_1>();
        comes_apart_and_together::<Iq4Nl>();
        comes_apart_and_together::<Q2K>();
        comes_apart_and_together::<Q3K>();
        comes_apart_and_together::<Q4K>();
        comes_apart_and_together::<Q5K>();
        comes_apart_and_together::<Q6K>();
        comes_apart_and_together::<Tq1_0>();
        comes_apart_and_together::<Tq2_0>();
    }
}
