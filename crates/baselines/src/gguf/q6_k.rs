//! `q6_k`: 256 weights in sixteen sub-blocks of 16, each `d * scale * (code - 32)` with signed 8-bit scales.
//!
//! | part | bytes |
//! | --- | --- |
//! | low four bits | 128: per half of 128 weights 64 bytes, weights 0-63 in the low halves, 64-127 in the high halves |
//! | upper two bits | 64: per half 32 bytes, weights `i`, `i + 32`, `i + 64`, `i + 96` from the lowest pair up |
//! | scales | 16 |
//! | `d` | binary16 |

use super::BlockFormat;
use super::search::{symmetric, symmetric_error};
use crate::codes::{f16_at, round, to_f16};

/// 6-bit codes.
pub struct Q6K;

const SUB: usize = 16;

impl BlockFormat for Q6K {
    const ID: &'static str = "q6_k";
    const SUMMARY: &'static str = "GGUF Q6_K: 6-bit codes, 8-bit scales per 16 weights (6.5625 bits)";
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;
    const HALVES: &'static [usize] = &[208];
    const REACH: f32 = 3800.0;
    const ZERO: bool = true;

    fn quantise(weights: &[f32], block: &mut [u8]) {
        let mut ideal = [0f32; 16];
        for (scale, values) in ideal.iter_mut().zip(weights.chunks_exact(SUB)) {
            *scale = symmetric(values, 32.0);
        }
        // The largest scale, with its sign, becomes -128: the codes' full range.
        let extreme = ideal.iter().fold(0f32, |e, &x| if x.abs() > e.abs() { x } else { e });
        let d = to_f16(extreme / -128.0);
        block[208..].copy_from_slice(&d.to_le_bytes());
        let d = d.to_f32();
        let mut codes = [32u8; 256];
        for (s, values) in weights.chunks_exact(SUB).enumerate() {
            let near = if d == 0.0 { 0 } else { round((ideal[s] / d).clamp(-128.0, 127.0)) as i32 };
            let (mut least, mut scale) = (f32::INFINITY, 0i32);
            for candidate in (near - 2).max(-128)..=(near + 2).min(127) {
                let error = symmetric_error(values, 32.0, d * candidate as f32);
                if error < least {
                    (least, scale) = (error, candidate);
                }
            }
            block[192 + s] = scale as i8 as u8;
            let step = d * scale as f32;
            let inverse = if step != 0.0 { 1.0 / step } else { 0.0 };
            for (code, &value) in codes[s * SUB..].iter_mut().zip(values) {
                *code = (round((value * inverse).clamp(-32.0, 31.0)) + 32.0) as u8;
            }
        }
        for (index, code) in codes.iter().enumerate() {
            let (half, at) = (index / 128, index % 128);
            block[half * 64 + at % 64] |= (code & 15) << (at / 64 * 4);
            block[128 + half * 32 + at % 32] |= (code >> 4) << (at / 32 * 2);
        }
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let d = f16_at(block, 208);
        for (s, weights) in weights.chunks_exact_mut(SUB).enumerate() {
            let step = d * f32::from(block[192 + s] as i8);
            let (half, at) = (s / 8, s % 8 * SUB);
            let low = &block[half * 64 + at % 64..][..SUB];
            let high = &block[128 + half * 32 + at % 32..][..SUB];
            for ((weight, &low), &high) in weights.iter_mut().zip(low).zip(high) {
                let code = (low >> (at / 64 * 4) & 15) | (high >> (at / 32 * 2) & 3) << 4;
                *weight = step * f32::from(code as i8 - 32);
            }
        }
    }
}
