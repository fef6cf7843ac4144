//! The first-generation types, 32 weights with one binary16 scale in front: `q8_0` and `q4_0`.
//!
//! Codes come from the unrounded scale in binary32, as ggml computes them, so the bytes are ggml's.

use super::BlockFormat;
use crate::codes::{extreme, f16_at, largest, to_f16, within};

/// 8-bit signed codes.
pub struct Q8_0;

/// 4-bit codes, offset 8; weight `i` in the low half of byte `i`, weight `i + 16` in the high half.
pub struct Q4_0;

/// 0 where a scale is so small that its reciprocal overflows: as binary16 it is 0 anyway.
fn reciprocal(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

impl BlockFormat for Q8_0 {
    const ID: &'static str = "q8_0";
    const SUMMARY: &'static str = "GGUF Q8_0: 8-bit codes, a scale per 32 weights (8.5 bits)";
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;
    const HALVES: &'static [usize] = &[0];
    const REACH: f32 = 127.0;
    const ZERO: bool = true;

    fn quantise(weights: &[f32], block: &mut [u8]) {
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

    fn quantise(weights: &[f32], block: &mut [u8]) {
        // The first weight of the largest magnitude, with its sign, becomes exactly -8 steps.
        let scale = extreme(weights) / -8.0;
        let inverse = reciprocal(scale);
        block[..2].copy_from_slice(&to_f16(scale).to_le_bytes());
        let code = |weight: f32| within(weight * inverse + 8.5, 0.0, 15.0) as i32 as u8;
        for (index, byte) in block[2..].iter_mut().enumerate() {
            *byte = code(weights[index]) | code(weights[index + 16]) << 4;
        }
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
