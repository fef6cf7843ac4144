//! `nf4`: 4-bit NormalFloat (QLoRA, arXiv 2305.14314, section 3), as bitsandbytes stores it.
//!
//! The flattened tensor is cut into blocks; a weight divided by its block's largest magnitude becomes the nearest of 16 levels, the
//! quantiles of a normal distribution with an exact zero. Double quantisation stores those maxima in 8 bits: their mean is taken
//! off, and every 256 of them share a scale for signed integers in `-127 ..= 127` (torchao's linear variant of the paper's map).
//!
//! | part | plain | double quantised |
//! | --- | --- | --- |
//! | parameters | block (varint), 0 (1) | block (varint), 1 (1), mean of the maxima (4) |
//! | scales | binary32 per block | binary32 per 256 blocks |
//! | scale codes | empty | one byte per block: code + 127 |
//! | indices | 4 bits per weight | the same |

use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::packing::{BitReader, exact_len};
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Packing, Role,
    Segment, Symbols, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::codes::{TASK, largest, pack};
use crate::feedback::{Hessian, choose};
use crate::units::Units;

/// The levels, ascending (QLoRA, appendix E).
pub(crate) const LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The two levels a byte of indices stands for.
static PAIRS: [[f32; 2]; 256] = {
    let mut pairs = [[0.0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [LEVELS[byte & 15], LEVELS[byte >> 4]];
        byte += 1;
    }
    pairs
};

/// Maxima that share a scale under double quantisation.
const MAXIMA: usize = 256;

/// Options of [`Nf4`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nf4Options {
    /// Weights that share a maximum.
    pub block: Int<8, 4096>,
    /// Stores the maxima in 8 bits: 4.127 instead of 4.5 bits a weight at the default block.
    pub double_quant: bool,
    /// `full` feeds errors forward by the second moment of the inputs, with calibration data: same maxima, other codes.
    pub hessian: Hessian,
}

impl Default for Nf4Options {
    fn default() -> Self {
        Self { block: Int::of(64), double_quant: false, hessian: Hessian::None }
    }
}

/// 4-bit NormalFloat.
#[derive(Debug, Clone)]
pub struct Nf4(Nf4Options);

/// The index of the nearest level: how many midpoints lie below.
#[inline]
fn nearest(value: f32) -> u8 {
    LEVELS.windows(2).map(|pair| u8::from(value > (pair[0] + pair[1]) * 0.5)).sum()
}

/// One maximum from its code. Both sides compute it, so indices are chosen for the maximum that will be decoded.
fn maximum(mean: f32, scale: f32, code: i32) -> f32 {
    (f64::from(mean) + f64::from(scale) * f64::from(code) / 127.0).clamp(0.0, f64::from(f32::MAX)) as f32
}

/// Mean, scales and codes of the maxima.
fn quantise_maxima(maxima: &[f32]) -> (f32, Vec<f32>, Vec<u8>) {
    let mean = (maxima.iter().map(|&value| f64::from(value)).sum::<f64>() / maxima.len() as f64) as f32;
    let mut scales = Vec::new();
    let mut codes = Vec::with_capacity(maxima.len());
    for part in maxima.chunks(MAXIMA) {
        let scale = part.iter().fold(0f32, |widest, &value| widest.max((value - mean).abs()));
        for &value in part {
            let code = if scale > 0.0 {
                (f64::from(value - mean) / f64::from(scale) * 127.0).round_ties_even() as i32
            } else {
                0
            };
            codes.push((code.clamp(-127, 127) + 127) as u8);
        }
        scales.push(scale);
    }
    (mean, scales, codes)
}

fn f32_at(bytes: &[u8], index: usize) -> f32 {
    let b = &bytes[4 * index..];
    f32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

impl Codec for Nf4 {
    const ID: &'static str = "nf4";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "4-bit NormalFloat with a maximum per block (QLoRA, bitsandbytes)";
    type Config = Nf4Options;

    fn new(config: Nf4Options) -> Self {
        Self(config)
    }

    fn config(&self) -> &Nf4Options {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        let uses_calibration = self.0.hessian != Hessian::None;
        Capabilities { keeps_zeros: true, uses_calibration, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let block = self.0.block.size();
        let values = tensor.values();
        let mut maxima: Vec<f32> = values.par_chunks(block).map(largest).collect();
        let mut params = Vec::new();
        params.put_varint(block as u64);
        params.push(u8::from(self.0.double_quant));
        let (mut scales, mut scale_codes) = (maxima.clone(), Vec::new());
        if self.0.double_quant {
            let mean;
            (mean, scales, scale_codes) = quantise_maxima(&maxima);
            params.put_f32(mean);
            for (index, value) in maxima.iter_mut().enumerate() {
                *value = maximum(mean, scales[index / MAXIMA], i32::from(scale_codes[index]) - 127);
            }
        }
        let mut codes = vec![0u8; values.len()];
        codes.par_chunks_mut(block).zip(values.par_chunks(block)).zip(&maxima).for_each(
            |((codes, values), &maximum)| {
                let divisor = if maximum > 0.0 { maximum } else { 1.0 };
                for (code, &value) in codes.iter_mut().zip(values) {
                    *code = nearest(value / divisor);
                }
            },
        );
        if let Some(factor) = self.0.hessian.factor(tensor, context) {
            choose(&factor, values, &mut codes, |index, aim| {
                let maximum = maxima[index / block];
                let code = nearest(aim / if maximum > 0.0 { maximum } else { 1.0 });
                (code, LEVELS[usize::from(code)] * maximum)
            });
        }
        context.advance(values.len());
        let scale_bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        Ok(Encoded::single(
            params,
            vec![
                Segment::new(Role::Scales, Symbols::floats(Packing::F32, scales.len()), scale_bytes),
                Segment::new(Role::Scales, Symbols::bits(8, scale_codes.len(), 0), scale_codes),
                Segment::new(Role::Indices, Symbols::bits(4, codes.len(), tensor.columns()), pack(&codes, 4)),
            ],
        ))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let mut reader = Reader::new(encoded.params);
        let block = reader.length()?;
        if !(8..=4096).contains(&block) {
            return Err(DecodeError::corrupt("block length outside 8..=4096").at_offset(0));
        }
        let double = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::corrupt("unknown kind of scales").at_offset(reader.position() - 1)),
        };
        let mean = if double { reader.finite_f32()? } else { 0.0 };
        reader.finish()?;
        let [scales, scale_codes, codes] = encoded.single([Role::Scales, Role::Scales, Role::Indices])?;
        let blocks = out.len().div_ceil(block);
        let scale_count = if double { blocks.div_ceil(MAXIMA) } else { blocks };
        exact_len(scales, scale_count.saturating_mul(4)).map_err(|error| error.at(0, 0))?;
        exact_len(scale_codes, if double { blocks } else { 0 }).map_err(|error| error.at(0, 1))?;
        if let Some(bad) = (0..scale_count).find(|&index| !f32_at(scales, index).is_finite()) {
            return Err(DecodeError::corrupt("a scale is not finite").at(0, 0).at_offset(4 * bad));
        }
        if let Some(bad) = scale_codes.iter().position(|&code| code == 255) {
            return Err(DecodeError::corrupt("a scale's code is above 254").at(0, 1).at_offset(bad));
        }
        BitReader::new(codes, 4, out.len()).map_err(|error| error.at(0, 2))?;
        let units = Units::new((1, out.len()), block).ok_or(DecodeError::corrupt("block count overflows"))?;
        out.par_chunks_mut(TASK).zip(codes.par_chunks(TASK / 2)).enumerate().for_each(|(task, (out, bytes))| {
            let mut pairs = out.chunks_exact_mut(2);
            for (pair, &byte) in pairs.by_ref().zip(bytes) {
                pair.copy_from_slice(&PAIRS[usize::from(byte)]);
            }
            if let ([last], Some(&byte)) = (pairs.into_remainder(), bytes.last()) {
                *last = PAIRS[usize::from(byte)][0];
            }
            units.stretches(task * TASK, out.len(), |index, range| {
                let largest = if double {
                    maximum(mean, f32_at(scales, index / MAXIMA), i32::from(scale_codes[index]) - 127)
                } else {
                    f32_at(scales, index)
                };
                out[range].iter_mut().for_each(|value| *value *= largest);
            });
        });
        Ok(())
    }
}
