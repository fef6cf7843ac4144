//! Blocks into weights: the types whose codes are indices into fixed grids or levels.
//!
//! The grids are ggml's, in `grids.bin` as the `gguf` package packs them: two bits a coordinate (four for those of four coordinates),
//! in the order of [`GRIDS`].

use std::sync::LazyLock;

use crate::gguf::dequantise::{half_at, u16_at, u32_at};

/// The five packed grids, one after the other.
static PACKED: &[u8] = include_bytes!("grids.bin");

/// A grid of points of `N` coordinates.
struct Grid<const N: usize> {
    start: usize,
    points: usize,
    levels: &'static [i8],
}

impl<const N: usize> Grid<N> {
    fn unpack(&self) -> Vec<[i8; N]> {
        let bits = if self.levels.len() > 4 { 4 } else { 2 };
        let per_byte = 8 / bits;
        let code =
            |index: usize| PACKED[self.start + index / per_byte] >> (index % per_byte * bits) & ((1 << bits) - 1);
        let point = |p: usize| std::array::from_fn(|i| self.levels[usize::from(code(p * N + i))]);
        (0..self.points).map(point).collect()
    }
}

const LEVELS_2: &[i8] = &[0x08, 0x19, 0x2b, 0];
const LEVELS_3XXS: &[i8] = &[0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3e];
const LEVELS_3S: &[i8] = &[0x01, 0x03, 0x05, 0x07, 0x09, 0x0b, 0x0d, 0x0f];
const LEVELS_1: &[i8] = &[-1, 0, 1, 0];

static GRID_2XXS: LazyLock<Vec<[i8; 8]>> = LazyLock::new(|| Grid { start: 0, points: 256, levels: LEVELS_2 }.unpack());
static GRID_2XS: LazyLock<Vec<[i8; 8]>> = LazyLock::new(|| Grid { start: 512, points: 512, levels: LEVELS_2 }.unpack());
static GRID_2S: LazyLock<Vec<[i8; 8]>> =
    LazyLock::new(|| Grid { start: 1536, points: 1024, levels: LEVELS_2 }.unpack());
static GRID_3XXS: LazyLock<Vec<[i8; 4]>> =
    LazyLock::new(|| Grid { start: 3584, points: 256, levels: LEVELS_3XXS }.unpack());
static GRID_3S: LazyLock<Vec<[i8; 4]>> =
    LazyLock::new(|| Grid { start: 4096, points: 512, levels: LEVELS_3S }.unpack());
static GRID_1: LazyLock<Vec<[i8; 8]>> = LazyLock::new(|| Grid { start: 5120, points: 2048, levels: LEVELS_1 }.unpack());

/// The eight signs of a 7-bit index: an even number is negative.
fn even_signs(index: u32) -> u8 {
    let index = (index & 127) as u8;
    index | ((index.count_ones() as u8) & 1) << 7
}

/// Writes `step * point`, negative where a bit of `signs` is set.
fn put_signed(weights: &mut [f32], step: f32, point: &[i8], signs: u8) {
    for (i, (weight, &level)) in weights.iter_mut().zip(point).enumerate() {
        let magnitude = step * f32::from(level);
        *weight = if signs >> i & 1 == 1 { -magnitude } else { magnitude };
    }
}

/// For every 32 weights four grid indices of a byte, then four sign indices of seven bits and a scale of four.
pub(super) fn iq2_xxs(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (s, weights) in weights.chunks_exact_mut(32).enumerate() {
        let at = 2 + s * 8;
        let about = u32_at(block, at + 4);
        let step = d * (0.5 + (about >> 28) as f32) * 0.25;
        for (i, weights) in weights.chunks_exact_mut(8).enumerate() {
            put_signed(weights, step, &GRID_2XXS[usize::from(block[at + i])], even_signs(about >> (7 * i)));
        }
    }
}

/// For every 8 weights nine bits of a grid index and seven of signs; a scale of four bits for every 16.
pub(super) fn iq2_xs(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (i, weights) in weights.chunks_exact_mut(8).enumerate() {
        let code = u16_at(block, 2 + i * 2);
        let scale = block[66 + i / 4] >> (i / 2 % 2 * 4) & 15;
        let step = d * (0.5 + f32::from(scale)) * 0.25;
        put_signed(weights, step, &GRID_2XS[usize::from(code & 511)], even_signs(u32::from(code >> 9)));
    }
}

/// Low bytes of grid indices, signs, upper two bits of indices, scales.
pub(super) fn iq2_s(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (i, weights) in weights.chunks_exact_mut(8).enumerate() {
        let high = block[66 + i / 4] >> (i % 4 * 2) & 3;
        let scale = block[74 + i / 4] >> (i / 2 % 2 * 4) & 15;
        let step = d * (0.5 + f32::from(scale)) * 0.25;
        let index = usize::from(block[2 + i]) | usize::from(high) << 8;
        put_signed(weights, step, &GRID_2S[index], block[34 + i]);
    }
}

/// A byte of grid index for every 4 weights; for every 32 four sign indices and a scale.
pub(super) fn iq3_xxs(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (s, weights) in weights.chunks_exact_mut(32).enumerate() {
        let about = u32_at(block, 66 + s * 4);
        let step = d * (0.5 + (about >> 28) as f32) * 0.5;
        for (i, weights) in weights.chunks_exact_mut(4).enumerate() {
            let signs = even_signs(about >> (7 * (i / 2))) >> (i % 2 * 4);
            put_signed(weights, step, &GRID_3XXS[usize::from(block[2 + s * 8 + i])], signs);
        }
    }
}

/// Low bytes of grid indices, their ninth bits, signs, scales.
pub(super) fn iq3_s(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (i, weights) in weights.chunks_exact_mut(4).enumerate() {
        let high = block[66 + i / 8] >> (i % 8) & 1;
        let scale = block[106 + i / 16] >> (i / 8 % 2 * 4) & 15;
        let step = d * (1.0 + 2.0 * f32::from(scale));
        let signs = block[74 + i / 2] >> (i % 2 * 4);
        put_signed(weights, step, &GRID_3S[usize::from(block[2 + i]) | usize::from(high) << 8], signs);
    }
}

/// What a ternary grid is shifted by.
const DELTA: f32 = 0.125;

fn put_shifted(weights: &mut [f32], step: f32, point: &[i8; 8], negative: bool) {
    let delta = if negative { -DELTA } else { DELTA };
    for (weight, &level) in weights.iter_mut().zip(point) {
        *weight = step * (f32::from(level) + delta);
    }
}

/// Low bytes of grid indices; for every 32 weights upper three bits of four indices, a scale of three bits, the sign of the shift.
pub(super) fn iq1_s(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (i, weights) in weights.chunks_exact_mut(8).enumerate() {
        let about = u16_at(block, 34 + i / 4 * 2);
        let step = d * f32::from(2 * (about >> 12 & 7) + 1);
        let index = usize::from(block[2 + i]) | usize::from(about >> (i % 4 * 3) & 7) << 8;
        put_shifted(weights, step, &GRID_1[index], about & 0x8000 != 0);
    }
}

/// As `iq1_s` with a shift for every 8 and a scale for every 16 weights; `d` lies in the top bits of the scales.
pub(super) fn iq1_m(block: &[u8], weights: &mut [f32]) {
    let scales: [u16; 4] = std::array::from_fn(|i| u16_at(block, 48 + i * 2));
    let bits = scales.iter().enumerate().fold(0, |bits, (i, scale)| bits | scale >> 12 << (4 * i));
    let d = half::f16::from_bits(bits).to_f32();
    for (i, weights) in weights.chunks_exact_mut(8).enumerate() {
        let scale = scales[i / 8] >> (i / 2 % 4 * 3) & 7;
        let high = block[32 + i / 2] >> (i % 2 * 4);
        let index = usize::from(block[i]) | usize::from(high & 7) << 8;
        put_shifted(weights, d * f32::from(2 * scale + 1), &GRID_1[index], high & 8 != 0);
    }
}

/// Sixteen levels, denser about zero.
const LEVELS_4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

pub(super) fn iq4_nl(block: &[u8], weights: &mut [f32]) {
    let d = half_at(block, 0);
    for (index, weight) in weights.iter_mut().enumerate() {
        let code = block[2 + index % 16] >> (index / 16 * 4) & 15;
        *weight = d * f32::from(LEVELS_4[usize::from(code)]);
    }
}

/// `d`, the upper two bits of eight scales, their lower four, codes.
pub(super) fn iq4_xs(block: &[u8], weights: &mut [f32]) {
    let (d, high) = (half_at(block, 0), u16_at(block, 2));
    for (s, weights) in weights.chunks_exact_mut(32).enumerate() {
        let low = block[4 + s / 2] >> (s % 2 * 4) & 15;
        let scale = low | ((high >> (2 * s) & 3) as u8) << 4;
        let step = d * (f32::from(scale) - 32.0);
        for (i, weight) in weights.iter_mut().enumerate() {
            let code = block[8 + s * 16 + i % 16] >> (i / 16 * 4) & 15;
            *weight = step * f32::from(LEVELS_4[usize::from(code)]);
        }
    }
}
