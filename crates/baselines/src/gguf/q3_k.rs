//! `q3_k`: 256 weights in sixteen sub-blocks of 16, each `d * (scale - 32) * (code - 4)` with 6-bit scales.
//!
//! | part | bytes |
//! | --- | --- |
//! | third bits | 32: bit `k` of byte `i` is the code's highest of weight `32 k + i` |
//! | low two bits | 64: per half of 128 weights 32 bytes, weights `i`, `i + 32`, `i + 64`, `i + 96` from the lowest pair up |
//! | scales | 12: the low four bits of scales 0-7 in the low halves of bytes 0-7, of 8-15 in the high halves; the upper two of scale `j` in byte `8 + j mod 4` from bit `j / 4 * 2` on |
//! | `d` | binary16 |

use super::format::BlockFormat;
use super::grid::{Grid, Head, Levels, Steps};
use super::joint::fit_symmetric;
use super::search::{Emphasis, symmetric};
use crate::codes::{f16_at, half_at};
use half::f16;

/// 3-bit codes.
pub(crate) struct Q3K;

const SUB: usize = 16;

fn put_scales(scales: &[i16; 16], bytes: &mut [u8]) {
    for (j, &scale) in scales.iter().enumerate() {
        let code = (scale + 32) as u8;
        bytes[j % 8] |= (code & 15) << (j / 8 * 4);
        bytes[8 + j % 4] |= (code >> 4) << (j / 4 * 2);
    }
}

fn scale(bytes: &[u8], j: usize) -> i8 {
    let low = bytes[j % 8] >> (j / 8 * 4) & 15;
    (low | (bytes[8 + j % 4] >> (j / 4 * 2) & 3) << 4) as i8 - 32
}

impl BlockFormat for Q3K {
    const ID: &'static str = "q3_k";
    const SUMMARY: &'static str = "GGUF Q3_K: 3-bit codes, 6-bit scales per 16 weights (3.4375 bits)";
    const WEIGHTS: usize = 256;
    const BYTES: usize = 110;
    const HALVES: &'static [usize] = &[108];
    const REACH: f32 = 100.0;
    const ZERO: bool = true;
    const SUB: usize = SUB;
    const LEVELS: Levels = Levels::Even(-4, 3);
    const STEPS: Steps = Steps::Integers(-32, 31, 0);

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = fit_symmetric::<16, E>(weights, emphasis, 4.0, 32);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        Grid { step: symmetric(weights, emphasis, 4.0), shift: 0.0 }
    }

    fn head(block: &[u8]) -> Head {
        let mut head = Head::of([half_at(block, 108), f16::ZERO]);
        head.scales = std::array::from_fn(|j| i16::from(scale(&block[96..108], j)));
        head
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        for (index, code) in codes.iter().enumerate() {
            block[index % 32] |= (code >> 2) << (index / 32);
            block[32 + index / 128 * 32 + index % 32] |= (code & 3) << (index % 128 / 32 * 2);
        }
        put_scales(&head.scales, &mut block[96..108]);
        block[108..].copy_from_slice(&head.units[0].to_le_bytes());
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let d = f16_at(block, 108);
        for (s, weights) in weights.chunks_exact_mut(SUB).enumerate() {
            let step = d * f32::from(scale(&block[96..108], s));
            let (half, at) = (s / 8, s % 8 * SUB);
            let low = &block[32 + half * 32 + at % 32..][..SUB];
            let high = &block[at % 32..][..SUB];
            for ((weight, &low), &high) in weights.iter_mut().zip(low).zip(high) {
                let code = (low >> (at / 32 * 2) & 3) | (high >> (s / 2) & 1) << 2;
                *weight = step * f32::from(code as i8 - 4);
            }
        }
    }
}
