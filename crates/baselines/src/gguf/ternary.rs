//! `tq1_0` and `tq2_0`: 256 ternary weights and one binary16 level.
//!
//! ggml takes the block's largest magnitude as the level, which is right for weights trained to be ternary and useless for others
//! (relative squared error .65 on a Gaussian). So the block is ternarised first, with the level of least squared error; a block
//! that is ternary already is left as it is, and its bytes are ggml's.

use super::format::BlockFormat;
use super::grid::{Grid, Head, Levels, Steps};
use super::search::Emphasis;
use crate::codes::{f16_at, half_at, to_f16};
use half::f16;

/// Five digits a byte.
pub(crate) struct Tq1_0;

/// Four digits a byte, two bits each.
pub(crate) struct Tq2_0;

/// The level of least squared error: with the `k` largest magnitudes kept, it is their mean, and the error falls by `sum^2 / k`.
fn best_level(weights: &[f32]) -> f32 {
    // The bits of magnitudes sort as the magnitudes do, and integers sort faster.
    let mut magnitudes: Vec<u32> = weights.iter().map(|weight| weight.abs().to_bits()).collect();
    magnitudes.sort_unstable();
    let (mut sum, mut best, mut level) = (0f64, 0f64, 0f64);
    for (index, &magnitude) in magnitudes.iter().rev().enumerate() {
        sum += f64::from(f32::from_bits(magnitude));
        let kept = (index + 1) as f64;
        if sum * sum / kept > best {
            (best, level) = (sum * sum / kept, sum / kept);
        }
    }
    level as f32
}

/// The level and the digits 0, 1, 2 for -1, 0, 1.
fn ternarise(weights: &[f32]) -> (Head, [u8; 256]) {
    let level = to_f16(best_level(weights));
    let threshold = level.to_f32() * 0.5;
    let mut digits = [1u8; 256];
    if threshold > 0.0 {
        for (digit, &weight) in digits.iter_mut().zip(weights) {
            *digit = 1 + u8::from(weight > threshold) - u8::from(weight < -threshold);
        }
    }
    (Head::single(level, f16::ZERO), digits)
}

/// Where the digits of `tq1_0` lie: first byte, bytes, digits a byte. Digit `j` of byte `i` is weight `start + j * bytes + i`.
const RUNS: [(usize, usize, usize); 3] = [(0, 32, 5), (32, 16, 5), (48, 4, 4)];
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

impl BlockFormat for Tq1_0 {
    const ID: &'static str = "tq1_0";
    const SUMMARY: &'static str = "GGUF TQ1_0: ternary, five digits a byte, a level per 256 weights (1.6875 bits)";
    const WEIGHTS: usize = 256;
    const BYTES: usize = 54;
    const HALVES: &'static [usize] = &[52];
    const REACH: f32 = 1.0;
    const ZERO: bool = true;
    const SUB: usize = 256;
    const LEVELS: Levels = Levels::Even(-1, 1);
    const STEPS: Steps = Steps::Free;

    fn quantise<E: Emphasis>(weights: &[f32], _: E, block: &mut [u8]) {
        let (head, digits) = ternarise(weights);
        Self::write(&head, &digits, block);
    }

    fn seek(weights: &[f32], _: &[f32]) -> Grid {
        Grid { step: best_level(weights), shift: 0.0 }
    }

    fn head(block: &[u8]) -> Head {
        Head::single(half_at(block, 52), f16::ZERO)
    }

    fn write(head: &Head, digits: &[u8], block: &mut [u8]) {
        block[52..].copy_from_slice(&head.units[0].to_le_bytes());
        let mut start = 0;
        for (first, bytes, count) in RUNS {
            for i in 0..bytes {
                // The first digit counts most, and a run of four leaves the last place empty.
                let number: u16 =
                    (0..count).map(|j| u16::from(digits[start + j * bytes + i]) * u16::from(POWERS[4 - j])).sum();
                // As a fraction of 243 in 256ths, rounded up: a digit is then the carry of a multiplication by three.
                block[first + i] = (number * 256).div_ceil(243) as u8;
            }
            start += bytes * count;
        }
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let level = f16_at(block, 52);
        let mut start = 0;
        for (first, bytes, count) in RUNS {
            for (j, weights) in weights[start..start + bytes * count].chunks_exact_mut(bytes).enumerate() {
                for (weight, &byte) in weights.iter_mut().zip(&block[first..]) {
                    let rest = byte.wrapping_mul(POWERS[j]);
                    *weight = level * f32::from(((u16::from(rest) * 3) >> 8) as i8 - 1);
                }
            }
            start += bytes * count;
        }
    }
}

impl BlockFormat for Tq2_0 {
    const ID: &'static str = "tq2_0";
    const SUMMARY: &'static str = "GGUF TQ2_0: ternary in two bits, a level per 256 weights (2.0625 bits)";
    const WEIGHTS: usize = 256;
    const BYTES: usize = 66;
    const HALVES: &'static [usize] = &[64];
    const REACH: f32 = 1.0;
    const ZERO: bool = true;
    const SUB: usize = 256;
    const LEVELS: Levels = Levels::Even(-1, 1);
    const STEPS: Steps = Steps::Free;

    fn quantise<E: Emphasis>(weights: &[f32], _: E, block: &mut [u8]) {
        let (head, digits) = ternarise(weights);
        Self::write(&head, &digits, block);
    }

    fn seek(weights: &[f32], _: &[f32]) -> Grid {
        Grid { step: best_level(weights), shift: 0.0 }
    }

    fn head(block: &[u8]) -> Head {
        Head::single(half_at(block, 64), f16::ZERO)
    }

    fn write(head: &Head, digits: &[u8], block: &mut [u8]) {
        block[64..].copy_from_slice(&head.units[0].to_le_bytes());
        for (index, digit) in digits.iter().enumerate() {
            block[index / 128 * 32 + index % 32] |= digit << (index % 128 / 32 * 2);
        }
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let level = f16_at(block, 64);
        for (run, weights) in weights.chunks_exact_mut(32).enumerate() {
            for (weight, &byte) in weights.iter_mut().zip(&block[run / 4 * 32..]) {
                *weight = level * f32::from((byte >> (run % 4 * 2) & 3) as i8 - 1);
            }
        }
    }
}
