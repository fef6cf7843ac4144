//! `q6_k`: 256 weights in sixteen sub-blocks of 16, each `d * scale * (code - 32)` with signed 8-bit scales.
//!
//! | part | bytes |
//! | --- | --- |
//! | low four bits | 128: per half of 128 weights 64 bytes, weights 0-63 in the low halves, 64-127 in the high halves |
//! | upper two bits | 64: per half 32 bytes, weights `i`, `i + 32`, `i + 64`, `i + 96` from the lowest pair up |
//! | scales | 16 |
//! | `d` | binary16 |

use super::format::BlockFormat;
use super::grid::{Grid, Head, Levels, Steps};
use super::joint::fit_symmetric;
use super::search::{Emphasis, symmetric};
use crate::codes::{f16_at, half_at};
use half::f16;

/// 6-bit codes.
pub(crate) struct Q6K;

const SUB: usize = 16;

impl BlockFormat for Q6K {
    const ID: &'static str = "q6_k";
    const SUMMARY: &'static str = "GGUF Q6_K: 6-bit codes, 8-bit scales per 16 weights (6.5625 bits)";
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;
    const HALVES: &'static [usize] = &[208];
    const REACH: f32 = 3800.0;
    const ZERO: bool = true;
    const SUB: usize = SUB;
    const LEVELS: Levels = Levels::Even(-32, 31);
    const STEPS: Steps = Steps::Integers(-128, 127, 0);

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = fit_symmetric::<16, E>(weights, emphasis, 32.0, 128);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        Grid { step: symmetric(weights, emphasis, 32.0), shift: 0.0 }
    }

    fn head(block: &[u8]) -> Head {
        let mut head = Head::of([half_at(block, 208), f16::ZERO]);
        head.scales = std::array::from_fn(|s| i16::from(block[192 + s] as i8));
        head
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        block[208..].copy_from_slice(&head.units[0].to_le_bytes());
        block[192..208].iter_mut().zip(head.scales).for_each(|(byte, scale)| *byte = scale as i8 as u8);
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
