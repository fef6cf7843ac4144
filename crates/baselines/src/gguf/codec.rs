//! The codec of any block type: options, and tensors cut into blocks.

use std::marker::PhantomData;

use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::packing::exact_len;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Packing, PowerOfTwo,
    Role, Segment, Symbols, TensorView,
};
use serde::{Deserialize, Serialize};

use super::feedback;
use super::format::{BlockFormat, LONGEST, restore};
use super::search::Alike;
use super::shifts::{Shifts, TASK};
use crate::feedback::Hessian;

/// Options of every block type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GgufOptions {
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
pub(crate) enum Importance {
    /// All the same.
    #[default]
    None,
    /// By its input.
    Input,
}

/// The codec of a block type.
#[derive(Debug, Clone)]
pub(crate) struct Gguf<F>(GgufOptions, PhantomData<F>);

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
