//! `iq4_nl`: 32 weights as 4-bit indices into sixteen fixed levels, denser about zero, times one binary16 scale.
//!
//! | part | bytes |
//! | --- | --- |
//! | scale | binary16 |
//! | indices | 16: weight `i` in the low half of byte `i`, weight `i + 16` in the high half |
//!
//! The encoder lets the block's extreme fall on or near either end of the levels, solves for the scale given the indices, and keeps
//! the one of least squared error.

use super::format::BlockFormat;
use super::grid::{Grid, Head, Levels, Steps};
use super::search::{Emphasis, moments};
use crate::codes::{extreme, f16_at, half_at, to_f16};
use half::f16;

/// 4-bit indices into [`LEVELS`].
pub(crate) struct Iq4Nl;

/// ggml's levels.
const LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The index of the nearest level: how many midpoints lie below.
#[inline]
fn nearest(value: f32) -> u8 {
    LEVELS.windows(2).map(|pair| u8::from(2.0 * value > f32::from(i16::from(pair[0]) + i16::from(pair[1])))).sum()
}

/// The nearest level itself: the first, and every step below `value` on top.
#[inline]
fn level(value: f32) -> f32 {
    LEVELS.windows(2).fold(f32::from(LEVELS[0]), |level, pair| {
        let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
        level + if 2.0 * value > low + high { high - low } else { 0.0 }
    })
}

fn scale<E: Emphasis>(weights: &[f32], emphasis: E) -> f32 {
    let extreme = extreme(weights);
    if extreme.abs() < 1e-30 {
        return 0.0;
    }
    let (mut gain, mut best) = (0f32, 0f32);
    for end in [LEVELS[0], LEVELS[15]] {
        for step in -7..=7i8 {
            let inverse = (f32::from(end) + f32::from(step)) / extreme;
            // Squared error = energy - (sum q x)^2 / sum q^2; no level is zero.
            let [_, squares, products] = moments(weights, emphasis, |value| level(value * inverse));
            if products * products > gain * squares {
                (gain, best) = (products * products / squares, products / squares);
            }
        }
    }
    best
}

impl BlockFormat for Iq4Nl {
    const ID: &'static str = "iq4_nl";
    const SUMMARY: &'static str = "GGUF IQ4_NL: 4-bit indices into uneven levels, a scale per 32 weights (4.5 bits)";
    const WEIGHTS: usize = 32;
    const BYTES: usize = 18;
    const HALVES: &'static [usize] = &[0];
    const REACH: f32 = 100.0;
    const ZERO: bool = false;
    const SUB: usize = 32;
    const LEVELS: Levels = Levels::Table(&LEVELS);
    const STEPS: Steps = Steps::Free;

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let unit = to_f16(scale(weights, emphasis));
        let scale = unit.to_f32();
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let codes: [u8; 32] = std::array::from_fn(|index| nearest(weights[index] * inverse));
        Self::write(&Head::single(unit, f16::ZERO), &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        Grid { step: scale(weights, emphasis), shift: 0.0 }
    }

    fn head(block: &[u8]) -> Head {
        Head::single(half_at(block, 0), f16::ZERO)
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        block[..2].copy_from_slice(&head.units[0].to_le_bytes());
        let (low, high) = codes.split_at(16);
        block[2..].iter_mut().zip(low.iter().zip(high)).for_each(|(byte, (low, high))| *byte = low | high << 4);
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let scale = f16_at(block, 0);
        let table = LEVELS.map(|level| scale * f32::from(level));
        let (low, high) = weights.split_at_mut(16);
        for ((low, high), &byte) in low.iter_mut().zip(high).zip(&block[2..]) {
            *low = table[usize::from(byte & 15)];
            *high = table[usize::from(byte >> 4)];
        }
    }
}
