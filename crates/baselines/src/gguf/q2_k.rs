//! `q2_k`: 256 weights in sixteen sub-blocks of 16, each `d * scale * code - dmin * minimum` with 4-bit scales and minima.
//!
//! | part | bytes |
//! | --- | --- |
//! | scales and minima | 16: the scale in the low half of a byte, the minimum in the high half |
//! | codes | 64: per half of 128 weights 32 bytes, weights `i`, `i + 32`, `i + 64`, `i + 96` from the lowest pair of bits up |
//! | `d`, `dmin` | binary16 each |

use super::format::BlockFormat;
use super::grid::{Grid, Head, Levels, Steps};
use super::joint::fit;
use super::search::{Emphasis, affine};
use crate::codes::{f16_at, half_at};

/// 2-bit codes.
pub(crate) struct Q2K;

const SUB: usize = 16;

impl BlockFormat for Q2K {
    const ID: &'static str = "q2_k";
    const SUMMARY: &'static str = "GGUF Q2_K: 2-bit codes, 4-bit scales and minima per 16 weights (2.625 bits)";
    const WEIGHTS: usize = 256;
    const BYTES: usize = 84;
    const HALVES: &'static [usize] = &[80, 82];
    const REACH: f32 = 14.0;
    const ZERO: bool = false;
    const SUB: usize = SUB;
    const LEVELS: Levels = Levels::Even(0, 3);
    const STEPS: Steps = Steps::Integers(0, 15, 15);

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = fit::<16, E>(weights, emphasis, 3.0, 15);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        let (step, shift) = affine(weights, emphasis, 3.0);
        Grid { step, shift }
    }

    fn head(block: &[u8]) -> Head {
        let mut head = Head::of([half_at(block, 80), half_at(block, 82)]);
        for (s, byte) in block[..16].iter().enumerate() {
            (head.scales[s], head.minima[s]) = (i16::from(byte & 15), byte >> 4);
        }
        head
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        for (byte, (scale, minimum)) in block.iter_mut().zip(head.scales.into_iter().zip(head.minima)) {
            *byte = scale as u8 | minimum << 4;
        }
        for (index, code) in codes.iter().enumerate() {
            block[16 + index / 128 * 32 + index % 32] |= code << (index % 128 / 32 * 2);
        }
        block[80..82].copy_from_slice(&head.units[0].to_le_bytes());
        block[82..].copy_from_slice(&head.units[1].to_le_bytes());
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
        for (s, weights) in weights.chunks_exact_mut(SUB).enumerate() {
            let (step, shift) = (d * f32::from(block[s] & 15), dmin * f32::from(block[s] >> 4));
            let (half, at) = (s / 8, s % 8 * SUB);
            for (weight, &byte) in weights.iter_mut().zip(&block[16 + half * 32 + at % 32..]) {
                *weight = step * f32::from(byte >> (at / 32 * 2) & 3) - shift;
            }
        }
    }
}
