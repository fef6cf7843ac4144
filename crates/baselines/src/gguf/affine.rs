//! `q4_k` and `q5_k`: 256 weights in eight sub-blocks of 32, each `d * scale * code - dmin * minimum` with 6-bit scales and minima.
//!
//! | part | bytes |
//! | --- | --- |
//! | `d`, `dmin` | binary16 each |
//! | scales and minima | 12: sub-blocks 0-3 in the low six bits of bytes 0-3 (scale) and 4-7 (minimum); the low four bits of sub-blocks 4-7 in bytes 8-11 (scale low, minimum high), their upper two in the top bits of bytes 0-7 |
//! | fifth bits (`q5_k`) | 32: bit `s` of byte `i` belongs to weight `i` of sub-block `s` |
//! | low four bits | 128: 32 bytes per pair of sub-blocks, the even one in the low halves |

use super::format::BlockFormat;
use super::grid::{Grid, Head, Levels, Steps};
use super::joint::fit;
use super::search::{Emphasis, affine};
use crate::codes::{f16_at, half_at};

/// 4-bit codes.
pub(crate) struct Q4K;

/// 5-bit codes.
pub(crate) struct Q5K;

const SUB: usize = 32;

fn put_scales(head: &Head, bytes: &mut [u8]) {
    let (scales, minima) = (head.scales.map(|scale| scale as u8), head.minima);
    for s in 0..4 {
        bytes[s] = scales[s] | (scales[s + 4] >> 4) << 6;
        bytes[s + 4] = minima[s] | (minima[s + 4] >> 4) << 6;
        bytes[s + 8] = (scales[s + 4] & 15) | (minima[s + 4] & 15) << 4;
    }
}

fn scale_and_minimum(bytes: &[u8], s: usize) -> (u8, u8) {
    if s < 4 {
        (bytes[s] & 63, bytes[s + 4] & 63)
    } else {
        ((bytes[s + 4] & 15) | (bytes[s - 4] >> 6) << 4, (bytes[s + 4] >> 4) | (bytes[s] >> 6) << 4)
    }
}

fn put_head(head: &Head, block: &mut [u8]) {
    block[..2].copy_from_slice(&head.units[0].to_le_bytes());
    block[2..4].copy_from_slice(&head.units[1].to_le_bytes());
    put_scales(head, &mut block[4..16]);
}

fn head(block: &[u8]) -> Head {
    let mut head = Head::of([half_at(block, 0), half_at(block, 2)]);
    for s in 0..8 {
        let (scale, minimum) = scale_and_minimum(&block[4..16], s);
        (head.scales[s], head.minima[s]) = (i16::from(scale), minimum);
    }
    head
}

fn seek(weights: &[f32], emphasis: &[f32], top: f32) -> Grid {
    let (step, shift) = affine(weights, emphasis, top);
    Grid { step, shift }
}

/// Writes the low four bits of the codes.
fn put_nibbles(codes: &[u8], bytes: &mut [u8]) {
    for (bytes, codes) in bytes.chunks_exact_mut(SUB).zip(codes.chunks_exact(2 * SUB)) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (codes[index] & 15) | (codes[index + SUB] & 15) << 4;
        }
    }
}

/// `fifth(s, i)` is the code's part above its low four bits.
fn dequantise(block: &[u8], nibbles: &[u8], weights: &mut [f32], fifth: impl Fn(usize, usize) -> u8) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    for (s, weights) in weights.chunks_exact_mut(SUB).enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], s);
        let (step, shift) = (d * f32::from(scale), dmin * f32::from(minimum));
        let bytes = &nibbles[s / 2 * SUB..];
        for (i, (weight, &byte)) in weights.iter_mut().zip(bytes).enumerate() {
            let low = (byte >> (s % 2 * 4)) & 15;
            *weight = step * f32::from(low | fifth(s, i)) - shift;
        }
    }
}

impl BlockFormat for Q4K {
    const ID: &'static str = "q4_k";
    const SUMMARY: &'static str = "GGUF Q4_K: 4-bit codes, 6-bit scales and minima per 32 weights (4.5 bits)";
    const WEIGHTS: usize = 256;
    const BYTES: usize = 144;
    const HALVES: &'static [usize] = &[0, 2];
    const REACH: f32 = 60.0;
    const ZERO: bool = false;
    const SUB: usize = SUB;
    const LEVELS: Levels = Levels::Even(0, 15);
    const STEPS: Steps = Steps::Integers(0, 63, 63);

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = fit::<8, E>(weights, emphasis, 15.0, 63);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        seek(weights, emphasis, 15.0)
    }

    fn head(block: &[u8]) -> Head {
        head(block)
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        put_head(head, block);
        put_nibbles(codes, &mut block[16..]);
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        dequantise(block, &block[16..], weights, |_, _| 0);
    }
}

impl BlockFormat for Q5K {
    const ID: &'static str = "q5_k";
    const SUMMARY: &'static str = "GGUF Q5_K: 5-bit codes, 6-bit scales and minima per 32 weights (5.5 bits)";
    const WEIGHTS: usize = 256;
    const BYTES: usize = 176;
    const HALVES: &'static [usize] = &[0, 2];
    const REACH: f32 = 60.0;
    const ZERO: bool = false;
    const SUB: usize = SUB;
    const LEVELS: Levels = Levels::Even(0, 31);
    const STEPS: Steps = Steps::Integers(0, 63, 63);

    fn quantise<E: Emphasis>(weights: &[f32], emphasis: E, block: &mut [u8]) {
        let (head, codes) = fit::<8, E>(weights, emphasis, 31.0, 63);
        Self::write(&head, &codes, block);
    }

    fn seek(weights: &[f32], emphasis: &[f32]) -> Grid {
        seek(weights, emphasis, 31.0)
    }

    fn head(block: &[u8]) -> Head {
        head(block)
    }

    fn write(head: &Head, codes: &[u8], block: &mut [u8]) {
        put_head(head, block);
        for (index, code) in codes.iter().enumerate() {
            block[16 + index % SUB] |= (code >> 4) << (index / SUB);
        }
        put_nibbles(codes, &mut block[48..]);
    }

    fn dequantise(block: &[u8], weights: &mut [f32]) {
        let high = &block[16..48];
        dequantise(block, &block[48..], weights, |s, i| (high[i] >> s & 1) << 4);
    }
}
