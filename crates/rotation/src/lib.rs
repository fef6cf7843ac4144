//! Orthogonal transforms of rows. [`Cosine`] and a [`Basis`] of `principal` directions concentrate the energy of correlated columns in few
//! coefficients; [`Rotation`] does the opposite: it spreads the energy of any weight over its block.
//!
//! # Rotation
//!
//! Random signs and Hadamard transforms: what makes any weights look normal ("incoherence processing" of J. Chee et al., "QuIP",
//! NeurIPS 2023; with Hadamard transforms A. Tseng et al., "QuIP#", ICML 2024).
//!
//! A *block* of `2^k` weights, at most [`SIDE`], is multiplied by signs and transformed: an outlier is spread evenly over its block, and
//! sums of many weights are nearly normal. Whatever decodes it needs a seed and no table.
//!
//! [`hadamard`] and [`signs`] are the pieces, for codecs that transform exactly, in integers. [`Rotation`] makes of them an orthogonal
//! transform of a row of any length. It works in binary64 with additions in one fixed order, and one product and one rounding to
//! binary32 a weight and block: the same bits on every machine.
//!
//! The transform makes `(a + b, a - b)` of `(a, b)`, pairs of places at distance 1, then 2, 4, ... The sign of place `j` of block `b` is a
//! minus where bit `j mod 64` of word `w = floor(j / 64)` is set. A word is made of `z = 2^32 seed + (4 b + w + 1) 0x9E3779B97F4A7C15`
//! by `z = (z xor floor(z / 2^30)) 0xBF58476D1CE4E5B9`, `z = (z xor floor(z / 2^27)) 0x94D049BB133111EB` and `z xor floor(z / 2^31)`, all
//! modulo 2^64 (SplitMix64).

mod basis;
mod principal;

pub use basis::{Basis, Cosine, PIECE};
pub use principal::principal;

use std::ops::{Add, Sub};

use rayon::prelude::*;

/// Weights in a block at most.
pub const SIDE: usize = 256;

/// The unnormalised Hadamard transform of `2^k` values: its own inverse up to a factor of their number.
#[inline(always)]
pub fn hadamard<T: Copy + Add<Output = T> + Sub<Output = T>>(block: &mut [T]) {
    let mut half = 1;
    while half < block.len() {
        for pair in block.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// Signs of a block: a set bit is a minus. SplitMix64 of seed and place (G. L. Steele et al., OOPSLA 2014).
#[inline(always)]
pub fn signs(seed: u32, block: usize) -> [u64; SIDE / 64] {
    std::array::from_fn(|word| {
        let at = (block as u64).wrapping_mul(4).wrapping_add(word as u64 + 1);
        let mut z = (u64::from(seed) << 32).wrapping_add(at.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// 1 or -1 for a place in a block.
#[inline(always)]
pub fn sign(signs: &[u64; SIDE / 64], at: usize) -> f32 {
    if signs[at / 64] >> (at % 64) & 1 == 1 { -1.0 } else { 1.0 }
}

/// An orthogonal transform of rows of one length.
///
/// The length of a block is the largest power of two that is neither above the row's nor above [`SIDE`]. Blocks lie side by side from
/// the start of the row; where they leave a rest, one more, transformed after them, ends with the row and overlaps the last. So every
/// weight is mixed with others whatever the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    seed: u32,
    columns: usize,
}

impl Rotation {
    /// The rotation of rows of `columns` weights, at least 1.
    pub fn new(seed: u32, columns: usize) -> Self {
        Self { seed, columns: columns.max(1) }
    }

    fn length(self) -> usize {
        SIDE.min(1 << self.columns.ilog2())
    }

    /// Where the blocks start, in order.
    fn starts(self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        let (length, columns) = (self.length(), self.columns);
        (0..columns.div_ceil(length)).map(move |block| (block, (block * length).min(columns - length)))
    }

    /// Transforms every row.
    pub fn apply(self, rows: &mut [f32]) {
        rows.par_chunks_exact_mut(self.columns).for_each(|row| {
            for (block, start) in self.starts() {
                let signs = signs(self.seed, block);
                self.block(
                    &mut row[start..start + self.length()],
                    |at, value| value * f64::from(sign(&signs, at)),
                    |_, v| v,
                );
            }
        });
    }

    /// Transforms every row back.
    pub fn undo(self, rows: &mut [f32]) {
        rows.par_chunks_exact_mut(self.columns).for_each(|row| {
            for (block, start) in self.starts().rev() {
                let signs = signs(self.seed, block);
                self.block(
                    &mut row[start..start + self.length()],
                    |_, v| v,
                    |at, value| value * f64::from(sign(&signs, at)),
                );
            }
        });
    }

    /// What the transform makes of the variances of a row of uncorrelated values: every block gets the mean of its own.
    pub fn mix(self, variances: &[f32]) -> Vec<f32> {
        let mut mixed = variances.to_vec();
        for (_, start) in self.starts() {
            let block = &mut mixed[start..start + self.length()];
            let sum = block.iter().map(|&variance| f64::from(variance)).sum::<f64>();
            block.fill((sum / block.len() as f64) as f32);
        }
        mixed
    }

    #[inline(always)]
    fn block(self, row: &mut [f32], before: impl Fn(usize, f64) -> f64, after: impl Fn(usize, f64) -> f64) {
        let mut room = [0f64; SIDE];
        for (at, (to, &from)) in room.iter_mut().zip(&*row).enumerate() {
            *to = before(at, f64::from(from));
        }
        // A length known when compiling lets loops unroll.
        if row.len() == SIDE {
            hadamard(&mut room)
        } else {
            hadamard(&mut room[..row.len()])
        }
        let scale = norm(row.len());
        for (at, (to, &from)) in row.iter_mut().zip(&room).enumerate() {
            *to = ((after(at, from) * scale) as f32).clamp(-f32::MAX, f32::MAX);
        }
    }
}

/// One over the square root of a power of two.
fn norm(length: usize) -> f64 {
    let order = length.ilog2();
    let even = 1.0 / f64::from(1u32 << (order / 2));
    if order.is_multiple_of(2) { even } else { even * std::f64::consts::FRAC_1_SQRT_2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_transform_is_a_factor() {
        let block: [i32; SIDE] = std::array::from_fn(|i| (i * i % 97) as i32 - 40);
        let mut twice = block;
        hadamard(&mut twice);
        hadamard(&mut twice);
        assert!(twice.iter().zip(&block).all(|(&a, &b)| a == 256 * b));
    }

    #[test]
    fn signs_are_balanced() {
        let ones: u32 = (0..1000).flat_map(|block| signs(7, block)).map(u64::count_ones).sum();
        assert!((126_000..130_000).contains(&ones), "{ones}");
    }

    #[test]
    fn rows_of_any_length_are_rotated_and_come_back() {
        for columns in (1..40).chain([63, 64, 65, 255, 256, 257, 300, 511, 512, 784]) {
            let rotation = Rotation::new(5, columns);
            let rows: Vec<f32> = (0..3 * columns).map(|i| (i * i * 31 % 113) as f32 / 16.0 - 3.0).collect();
            let mut turned = rows.clone();
            rotation.apply(&mut turned);
            let power = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            for (row, turned) in rows.chunks(columns).zip(turned.chunks(columns)) {
                assert!((power(turned) / power(row) - 1.0).abs() < 1e-5, "{columns}");
            }
            rotation.undo(&mut turned);
            assert!(turned.iter().zip(&rows).all(|(a, b)| (a - b).abs() < 1e-5), "{columns}");
        }
    }

    #[test]
    fn an_outlier_anywhere_is_spread() {
        for (columns, most) in [(16, 0.26), (27, 0.4), (300, 0.3), (784, 0.3)] {
            for at in 0..columns {
                let mut row = vec![0f32; columns];
                row[at] = 1.0;
                Rotation::new(0, columns).apply(&mut row);
                let largest = row.iter().fold(0f32, |largest, v| largest.max(v.abs()));
                assert!(largest < most, "{columns} {at}: {largest}");
            }
        }
    }

    #[test]
    fn what_overflows_is_the_largest_finite_number() {
        let mut row = [f32::MAX; 8];
        Rotation::new(0, 8).apply(&mut row);
        Rotation::new(0, 8).undo(&mut row);
        assert!(row.iter().all(|v| v.is_finite()));
    }
}
