//! The exact search: which codewords are nearest to a target.
//!
//! Everything is integer. A target is the residual of a block in units of the stage's gain times [`UNIT`](crate::codebook::UNIT) times
//! [`FINE`], rounded; its squared distance to `+-codeword` is, up to a constant, `-2/FINE` times the *score*
//! `|<target, codeword>| - FINE |codeword|^2 / 2`. Sums of at most 64 products of 16-bit numbers this small fit 32 bits, so every
//! instruction set finds the same scores, and the winner is the highest score at the lowest position.
//!
//! Positions are cut into [`BUCKETS`] ranges with one winner each: the best of them is the best codeword, the others are alternatives
//! for a beam, from one pass.

use crate::codebook::Codebook;

/// Ranges of positions with a winner each.
pub const BUCKETS: usize = 64;

/// Steps of a target within one step of a codeword's values.
pub const FINE: i32 = 8;

/// Longest block.
pub const LONGEST: usize = 64;

/// Largest magnitude of a target's component: 64 products with the largest value stay below `2^31`.
pub const TARGET_LIMIT: f32 = 32_767.0;

/// A target: two components a word, the first in the low half.
pub type Target = [i32; LONGEST / 2];

/// The best codeword of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Winner {
    /// See the module's description.
    pub score: i32,
    /// Where its codeword begins.
    pub position: u32,
}

/// Makes a target of components in units of the gain times [`UNIT`](crate::codebook::UNIT).
pub fn target(components: impl Iterator<Item = f32>) -> Target {
    let mut target = [0; LONGEST / 2];
    for (index, component) in components.enumerate() {
        let rounded = (component * FINE as f32).round().clamp(-TARGET_LIMIT, TARGET_LIMIT) as i32;
        target[index / 2] |= if index % 2 == 0 { rounded & 0xFFFF } else { rounded << 16 };
    }
    target
}

/// The component `index` of a target.
#[inline]
fn component(target: &Target, index: usize) -> i32 {
    let word = target[index / 2];
    i32::from((if index.is_multiple_of(2) { word } else { word >> 16 }) as i16)
}

/// A codebook prepared for blocks of one length.
#[derive(Debug)]
pub struct Index {
    /// The values at a position and the one after it, packed as a [`Target`]'s words are: what multiply-add instructions take.
    pairs: Box<[i32]>,
    /// `FINE |codeword|^2 / 2` by position, padded with values that never win.
    penalties: Box<[i32]>,
    /// Positions searched.
    count: usize,
    block: usize,
}

/// Codewords a kernel takes at once; bucket boundaries are multiples of it.
const TILE: usize = 16;

impl Index {
    /// Prepares the first `candidates` codewords for blocks of `block` values.
    pub fn new(codebook: &Codebook, block: usize, candidates: usize) -> Self {
        let values = codebook.values();
        let pairs = values.windows(2).map(|pair| (pair[0] as i32 & 0xFFFF) | ((pair[1] as i32) << 16)).collect();
        let count = codebook.len().min(candidates);
        let squares = |position: usize| codebook.codeword(position, block).iter().map(|&v| (v * v) as i32).sum::<i32>();
        let mut penalties: Vec<i32> = (0..count).map(|position| squares(position) * (FINE / 2)).collect();
        penalties.resize(count.next_multiple_of(TILE), i32::MAX);
        Self { pairs, penalties: penalties.into(), count, block }
    }

    /// The positions of a bucket; empty for the last buckets of a small codebook.
    fn bucket(&self, bucket: usize) -> std::ops::Range<usize> {
        let size = self.count.div_ceil(BUCKETS).next_multiple_of(TILE);
        (bucket * size).min(self.count)..((bucket + 1) * size).min(self.count)
    }

    /// The inner product of a target with the codeword at a position.
    pub fn product(&self, target: &Target, position: usize) -> i32 {
        (0..self.block).map(|i| component(target, i) * i32::from(self.pairs[position + i] as i16)).sum()
    }

    /// The score of the codeword at a position, by the definition: the reference for [`winners`](Self::winners).
    pub fn score(&self, target: &Target, position: usize) -> i32 {
        self.product(target, position).abs() - self.penalties[position]
    }

    /// The winner of each bucket for each target, `BUCKETS` of them a target. Buckets without positions hold `i32::MIN`.
    pub fn winners(&self, targets: &[Target], winners: &mut Vec<Winner>) {
        winners.clear();
        winners.resize(targets.len() * BUCKETS, Winner { score: i32::MIN, position: 0 });
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            avx2::winners(self, targets, winners);
            return;
        }
        self.portable(targets, winners);
    }

    /// [`winners`](Self::winners) without special instructions.
    pub fn portable(&self, targets: &[Target], winners: &mut [Winner]) {
        for (target, winners) in targets.iter().zip(winners.chunks_mut(BUCKETS)) {
            for (bucket, winner) in winners.iter_mut().enumerate() {
                let range = self.bucket(bucket);
                for start in range.clone().step_by(TILE) {
                    let mut products = [0i32; TILE];
                    for i in 0..self.block {
                        let factor = component(target, i);
                        for (product, &pair) in products.iter_mut().zip(&self.pairs[start + i..start + i + TILE]) {
                            *product += factor * i32::from(pair as i16);
                        }
                    }
                    let penalties = &self.penalties[start..start + TILE];
                    for (lane, (product, penalty)) in products.iter().zip(penalties).enumerate() {
                        let score = product.abs() - penalty;
                        if score > winner.score {
                            *winner = Winner { score, position: (start + lane) as u32 };
                        }
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Values;

    fn targets(count: usize, block: usize, heavy: bool) -> Vec<Target> {
        let mut state = 7u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 3.4
        };
        (0..count)
            .map(|_| {
                target((0..block).map(|_| {
                    let sum = next() + next() * next();
                    sum * if heavy { 60.0 * next().abs() * next().abs().powi(3) } else { 148.0 }
                }))
            })
            .collect()
    }

    #[test]
    fn every_path_finds_what_brute_force_finds() {
        for (width, block, candidates, values, count) in [
            (16, 16, usize::MAX, Values::Gaussian, 500),
            (12, 17, usize::MAX, Values::Uniform, 200),
            (14, 64, usize::MAX, Values::Gaussian, 30),
            (10, 5, 700, Values::Gaussian, 200),
            (8, 4, 16, Values::Uniform, 50),
        ] {
            let index = Index::new(&Codebook::new(width, 1, values), block, candidates);
            let mut targets = targets(count, block, false);
            targets.extend(self::targets(21, block, true));
            targets.push(target(std::iter::repeat_n(1e9, block)));
            targets.push(target(std::iter::repeat_n(0.0, block)));
            let mut found = Vec::new();
            index.winners(&targets, &mut found);
            let mut portable = vec![Winner { score: i32::MIN, position: 0 }; found.len()];
            index.portable(&targets, &mut portable);
            assert_eq!(found, portable);
            for (target, winners) in targets.iter().zip(found.chunks(BUCKETS)) {
                // Independent of buckets, tiles and packing: the definition over all positions.
                let best = (0..index.count).max_by_key(|&p| (index.score(target, p), std::cmp::Reverse(p))).unwrap();
                let mut winner = winners[0];
                for &other in winners {
                    if other.score > winner.score {
                        winner = other;
                    }
                }
                assert_eq!((winner.position as usize, winner.score), (best, index.score(target, best)));
            }
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        let largest = LONGEST as i64 * i64::from(crate::codebook::LARGEST) * TARGET_LIMIT as i64;
        assert!(largest < i64::from(i32::MAX));
    }
}
