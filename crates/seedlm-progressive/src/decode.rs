//! From a prefix of layers to weights.

use rayon::prelude::*;
use seedpress_codec::packing::{BitReader, exact_len};
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodedView, Limits, Role};
use seedpress_lfsr_basis::Sequence;

use crate::codebook::Codebook;
use crate::gain;
use crate::params::Params;

mod kernel;

use kernel::{Stage, Work};

/// Blocks a task decodes.
const TASK: usize = 1024;

/// Larger multipliers are not written: with gains below 2^16 and values below 2^9 nothing here leaves the range of `f32`.
const LARGEST_MULTIPLIER: f32 = 1e6;

/// Beyond these, units are applied in `f64` after the sum, which then neither overflows nor loses bits below the normal numbers.
const PLAIN_EXPONENTS: std::ops::RangeInclusive<i32> = -60..=60;

pub(crate) fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    let params = Params::parse(encoded.params)?;
    let layers = encoded.layers.len();
    params.check_layers(layers)?;
    let Some(exponent) = params.exponent else {
        // A tensor that is its mean has nothing to add.
        let [] = encoded.single([])?;
        out.fill(params.mean);
        return Ok(());
    };
    let blocks = out.len().div_ceil(params.block);
    let count = blocks.checked_mul(params.terms).ok_or(DecodeError::corrupt("block count overflows"))?;
    let mut stages = Vec::with_capacity(layers * params.terms);
    let mut levels = Vec::new();
    for index in 0..layers {
        let segments = read_segments(encoded, index)?;
        let seeds = BitReader::new(segments.seeds, params.width as u8, count).map_err(|e| e.at(index, 0))?;
        let signs = BitReader::new(segments.signs, 1, count).map_err(|e| e.at(index, 1))?;
        exact_len(segments.scales, 4 * (index + 1) * params.terms).map_err(|e| e.at(index, segments.last))?;
        if let Some(bytes) = segments.gains {
            levels = limits.filled(blocks, 0i8)?;
            gain::read(bytes, &mut levels).map_err(|e| e.at(index, 2))?;
        }
        for term in 0..params.terms {
            let memory = Codebook::memory(params.width) + Sequence::memory(params.width);
            limits.take(memory as u64)?;
            let codebook = Codebook::new(params.width, stages.len(), params.values);
            stages.push(Stage { seeds, signs, first: term * blocks, codebook, multiplier: 0.0 });
        }
        if index + 1 == layers {
            let mut scales = Reader::new(segments.scales);
            for stage in &mut stages {
                stage.multiplier = scales.finite_f32()?;
                if stage.multiplier.abs() > LARGEST_MULTIPLIER {
                    return Err(DecodeError::corrupt("a multiplier is out of range").at(index, segments.last));
                }
            }
        }
    }
    let plain = PLAIN_EXPONENTS.contains(&exponent);
    let unit = if plain { power(exponent) } else { 1.0 };
    out.par_chunks_mut(params.block * TASK).enumerate().for_each(|(task, out)| {
        let first = task * TASK;
        let levels = &levels[first..(first + TASK).min(levels.len())];
        let mean = if plain { params.mean } else { 0.0 };
        let work = Work { stages: &stages, first, levels, mean, unit: unit as f32, block: params.block };
        kernel::sum(&work, out);
        if !plain {
            let (unit, mean) = (power(exponent), f64::from(params.mean));
            for value in out.iter_mut() {
                *value = (f64::from(*value) * unit + mean) as f32;
            }
        }
        if exponent > 60 || params.mean.abs() > 1e30 {
            out.iter_mut().for_each(|value| *value = value.clamp(f32::MIN, f32::MAX));
        }
    });
    Ok(())
}

/// `2^exponent` within the normal numbers.
pub(crate) fn power(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

struct LayerSegments<'a> {
    seeds: &'a [u8],
    signs: &'a [u8],
    /// Of layer 0 only.
    gains: Option<&'a [u8]>,
    scales: &'a [u8],
    /// The place of `scales`, for errors.
    last: usize,
}

fn read_segments<'a>(encoded: &EncodedView<'a>, layer: usize) -> Result<LayerSegments<'a>, DecodeError> {
    let mut segments = encoded.segments(layer)?;
    let last = segments.remaining().saturating_sub(1);
    let (seeds, signs) = (segments.take(Role::Seeds)?, segments.take(Role::Signs)?);
    let gains = if layer == 0 { Some(segments.take(Role::Coefficients)?) } else { None };
    let scales = segments.take(Role::Scales)?;
    segments.finish()?;
    Ok(LayerSegments { seeds, signs, gains, scales, last })
}
