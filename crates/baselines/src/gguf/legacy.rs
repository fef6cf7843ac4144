//! The first-generation types, 32 weights behind one binary16 scale: `q8_0`, `q4_0`, `q5_0`; and, with a minimum beside it, `q4_1`, `q5_1`.
//!
//! Codes come from the unrounded scale in binary32, as ggml computes them, so the bytes are ggml's; with an emphasis of errors, from a search
//! for the scale.
//!
//! | type | bytes |
//! | --- | --- |
//! | `q8_0` | scale, 32 signed codes |
//! | `q4_0` | scale, 16 bytes of codes |
//! | `q4_1` | scale, minimum, 16 bytes of codes |
//! | `q5_0` | scale, fifth bits (4 bytes, bit `i` is weight `i`'s), 16 bytes of the low four bits |
//! | `q5_1` | scale, minimum, fifth bits, 16 bytes |
//!
//! The low four bits of weight `i` are in the low half of byte `i`, those of weight `i + 16` in its high half.

use super::format::BlockFormat;
use super::grid::{Grid, Head, Levels, Steps};
use super::search::{Emphasis, affine, symmetric};
use crate::codes::{extreme, f16_at, half_at, largest, to_f16, within};
use half::f16;

/// 8-bit signed codes.
pub(crate) struct Q8_0;

/// 4-bit codes and a minimum.
pub(crate) struct Q4_1;

/// 5-bit codes, offset 16.
pub(crate) struct Q5_0;

/// 5-bit codes and a minimum.
pub(crate) struct Q5_1;

/// 4-bit codes, offset 8; weight `i` in the low half of byte `i`, weight `i + 16` in the high half.
pub(crate) struct Q4_0;

/// 0 where a scale is so small that its reciprocal overflows: as binary16 it is 0 anyway.
fn reciprocal(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// Scale and codes about `half`, for codes of `0 ..= 2 half - 1`.
fn around_zero<E: Emphasis>(weights: &[f32], emphasis: E, half: f32) -> (Head, [u8; 32]) {
    let top = 2.0 * half - 1.0;
    // The first weight of the largest magnitude, with its sign, becomes exactly `-half` steps.
    let scale = if E::ALIKE { extreme(weights) / -half } else { symmetric(weights, emphasis, half) };
    let inverse = reciprocal(if E::ALIKE { scale } else { to_f16(scale).to_f32() });
    let mut codes = [0u8; 32];
    for (code, &weight) in codes.iter_mut().zip(weights) {
        *code = within(weight * inverse + (half + 0.5), 0.0, top) as i32 as u8;
    }
    (Head::single(to_f16(scale), f16::ZERO), codes)
}

/// Scale, minimum and codes of `0 ..= top`.
fn above_minimum<E: Emphasis>(weights: &[f32], emphasis: E, top: f32) -> (Head, [u8; 32]) {
    let (scale, minimum) = if E::ALIKE {
        let low = weights.iter().fold(f32::MAX, |low, &weight| if weight < low { weight } else { low });
        let high = weights.iter().fold(f32::MIN, |high, &weight| if weight > high { weight } else { high });
        ((high - low) / top, low)
    } else {
        let (scale, below) = affine(weights, emphasis, top);
        (to_f16(scale).to_f32(), to_f16(-below).to_f32())
    };
    let inverse = reciprocal(scale);
    let mut codes = [0u8; 32];
    for (code, &weight) in codes.iter_mut().zip(weights) {
        *code = within((weight - minimum) * inverse + 0.5, 0.0, top) as i32 as u8;
    }
    (Head::single(to_f16(scale), to_f16(-minimum)), codes)
}

/// The scale of a block with levels about zero.
fn seek_around_zero(weights: &[f32], emphasis: &[f32], half: f32) -> Grid {
    Grid { step: symmetric(weights, emphasis, half), shift: 0.0 }
}

/// Scale and minimum; the formats keep the minimum with its sign, a grid has what is taken off.
fn seek_above_minimum(weights: &[f32], emphasis: &[f32], top: f32) -> Grid {
    let (step, shift) = affine(weights, emphasis, top);
    Grid { step, shift }
}

fn with_minimum(block: &[u8]) -> Head {
    Head::single(half_at(block, 0), -half_at(block, 2))
}

fn put_minimum(head: &Head, block: &mut [u8]) {
    block[..2].copy_from_slice(&head.units[0].to_le_bytes());
    block[2..4].copy_from_slice(&(-head.units[1]).to_le_bytes());
}

fn put_nibbles(codes: &[u8], bytes: &mut [u8]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (codes[index] & 15) | (codes[index + 16] & 15) << 4;
    }
}

/// The fifth bits of all codes.
fn fifth_bits(codes: &[u8]) -> [u8; 4] {
    codes.iter().rev().fold(0u32, |bits, code| bits << 1 | u32::from(code >> 4)).to_le_bytes()
}

/// Calls `weight` with the code of every weight, from nibbles and fifth bits.
fn each_code(nibbles: &[u8], fifth: u32, weights: &mut [f32], weight: impl Fn(u8) -> f32) {
    let (low, high) = weights.split_at_mut(16);
    for (index, ((low, high), &byte)) in low.iter_mut().zip(high).zip(nibbles).enumerate() {
        *low = weight((byte & 15) | ((fifth >> index & 1) as u8) << 4);
        *high = weight((byte >> 4) | ((fifth >> (index + 16) & 1) as u8) << 4);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl BlockFormat for Q8_0 {
    const ID: &'static str = "q8_0";
    const SUMMARY: &'static str = "GGUF Q8_0: 8-bit codes, a scale per 32 weights (8.5 bits)";
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;
    const HALVES: &'static [usize] = &[0];
    const REACH: f32 = 127.0;
    const ZERO: bool = true;
    const SUB: usize = 32;
    const LEVELS: Levels = Levels::Even(-127, 127);
    const STEPS: Steps = Steps::Free;

    fn quantise<E: Emphasis>(weights: &[f32], _: E, block: &mut [u8]) {
        let scale = largest(weights) / 127.0;
        let inverse = reciprocal(scale);
        block[..2].copy_from_slice(&to_f16(scale).to_le_bytes());
        for (code, weight) in block[2..].iter_mut().zip(weights) {
            // Half away from zero.
            let scaled = weight * inverse;
            let whole = scaled.abs() as i32;
            let rounded = whole + i32::from(scaled.abs() - whole as f32 >= 0.5);
            *code = (if scaled < 0.0 { -rounded } else { rounded }) as i8 as u8;
        }
    }

    fn seek(weights: &[f32], _: &[f32]) -> Grid {
        Grid { step: largest(weights) / 127.0, shift: 0.0 }
    }

    fn head(block: &[u8]) -> Head {
        Head::single(half_at(block, 0), f16::ZERO)
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        block[..2].copy_from_slice(&head.units[0].to_le_bytes());
        block[2..].iter_mut().zip(codes).for_each(|(byte, code)| *byte = code.wrapping_sub(127));
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let scale = f16_at(block, 0);
        for (weight, &code) in weights.iter_mut().zip(&block[2..]) {
            *weight = f32::from(code as i8) * scale;
        }
    }
}

impl BlockFormat for Q4_0 {
    const ID: &'static str = "q4_0";
    const SUMMARY: &'static str = "GGUF Q4_0: 4-bit codes, a scale per 32 weights (4.5 bits)";
    const WEIGHTS: usize = 32;
    const BYTES: usize = 18;
    const HALVES: &'static [usize] = &[0];
    const REACH: f32 = 8.0;
    const ZERO: bool = true;
    const SUB: usize = 32;
    const LEVELS: Levels = Levels::Even(-8, 7);
    const STEPS: Steps = Steps::Free;

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = around_zero(weights, emphasis, 8.0);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        seek_around_zero(weights, emphasis, 8.0)
    }

    fn head(block: &[u8]) -> Head {
        Head::single(half_at(block, 0), f16::ZERO)
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        block[..2].copy_from_slice(&head.units[0].to_le_bytes());
        put_nibbles(codes, &mut block[2..]);
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let scale = f16_at(block, 0);
        let (low, high) = weights.split_at_mut(16);
        for ((low, high), &byte) in low.iter_mut().zip(high).zip(&block[2..]) {
            *low = scale * f32::from((byte & 15) as i8 - 8);
            *high = scale * f32::from((byte >> 4) as i8 - 8);
        }
    }
}

impl BlockFormat for Q4_1 {
    const ID: &'static str = "q4_1";
    const SUMMARY: &'static str = "GGUF Q4_1: 4-bit codes, a scale and a minimum per 32 weights (5 bits)";
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;
    const HALVES: &'static [usize] = &[0, 2];
    const REACH: f32 = 1.0;
    const ZERO: bool = false;
    const SUB: usize = 32;
    const LEVELS: Levels = Levels::Even(0, 15);
    const STEPS: Steps = Steps::FreeWithShift;

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = above_minimum(weights, emphasis, 15.0);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        seek_above_minimum(weights, emphasis, 15.0)
    }

    fn head(block: &[u8]) -> Head {
        with_minimum(block)
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        put_minimum(head, block);
        put_nibbles(codes, &mut block[4..]);
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
        each_code(&block[4..], 0, weights, |code| f32::from(code) * scale + minimum);
    }
}

impl BlockFormat for Q5_0 {
    const ID: &'static str = "q5_0";
    const SUMMARY: &'static str = "GGUF Q5_0: 5-bit codes, a scale per 32 weights (5.5 bits)";
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;
    const HALVES: &'static [usize] = &[0];
    const REACH: f32 = 16.0;
    const ZERO: bool = true;
    const SUB: usize = 32;
    const LEVELS: Levels = Levels::Even(-16, 15);
    const STEPS: Steps = Steps::Free;

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = around_zero(weights, emphasis, 16.0);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        seek_around_zero(weights, emphasis, 16.0)
    }

    fn head(block: &[u8]) -> Head {
        Head::single(half_at(block, 0), f16::ZERO)
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        block[..2].copy_from_slice(&head.units[0].to_le_bytes());
        block[2..6].copy_from_slice(&fifth_bits(codes));
        put_nibbles(codes, &mut block[6..]);
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let scale = f16_at(block, 0);
        each_code(&block[6..], u32_at(block, 2), weights, |code| f32::from(code as i8 - 16) * scale);
    }
}

impl BlockFormat for Q5_1 {
    const ID: &'static str = "q5_1";
    const SUMMARY: &'static str = "GGUF Q5_1: 5-bit codes, a scale and a minimum per 32 weights (6 bits)";
    const WEIGHTS: usize = 32;
    const BYTES: usize = 24;
    const HALVES: &'static [usize] = &[0, 2];
    const REACH: f32 = 1.0;
    const ZERO: bool = false;
    const SUB: usize = 32;
    const LEVELS: Levels = Levels::Even(0, 31);
    const STEPS: Steps = Steps::FreeWithShift;

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = above_minimum(weights, emphasis, 31.0);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        seek_above_minimum(weights, emphasis, 31.0)
    }

    fn head(block: &[u8]) -> Head {
        with_minimum(block)
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        put_minimum(head, block);
        block[4..8].copy_from_slice(&fifth_bits(codes));
        put_nibbles(codes, &mut block[8..]);
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
        each_code(&block[8..], u32_at(block, 4), weights, |code| f32::from(code) * scale + minimum);
    }
}
