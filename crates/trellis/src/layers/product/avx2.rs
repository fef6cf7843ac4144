//! Sixteen columns a register. The predecessors of sixteen columns in a row are every other of 32 columns in a row, permuted by an
//! exclusive or of their rank.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::states::{Branches, LANES, PERIOD, Product, settle};

/// How to gather one predecessor of sixteen columns.
#[derive(Clone, Copy)]
struct Gather {
    /// First of the 32 columns.
    first: usize,
    /// Puts the pairs of columns in order.
    pairs: __m256i,
    /// Whether the two of a pair change places.
    swap: __m256i,
}

impl Gather {
    /// The sixteen predecessors among 32 columns from `source` on: those of even number where `far` is 0, else the odd ones.
    ///
    /// # Safety
    /// AVX2, and 32 costs behind `source`.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn columns(&self, source: *const u16, far: usize) -> __m256i {
        // SAFETY: the caller vouches for both.
        let (a, b) = unsafe { (_mm256_loadu_si256(source.cast()), _mm256_loadu_si256(source.add(LANES).cast())) };
        let low = _mm256_set1_epi32(0xffff);
        let packed = match far {
            0 => _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low)),
            _ => _mm256_packus_epi32(_mm256_srli_epi32::<16>(a), _mm256_srli_epi32::<16>(b)),
        };
        _mm256_shuffle_epi8(_mm256_permutevar8x32_epi32(packed, self.pairs), self.swap)
    }
}

pub(super) fn forward(product: &mut Product, branches: &[Branches]) {
    let states = product.code.states();
    assert!(product.costs.len() == states * states && product.after.len() == product.costs.len());
    assert!(product.decisions.len() >= branches.len() * states * states / LANES);
    // SAFETY: the caller has checked for AVX2; the lengths are as asserted.
    unsafe { steps(product, branches) }
}

#[target_feature(enable = "avx2")]
fn gather(product: &Product, column: usize, parity: usize) -> Gather {
    let code = product.code;
    let rank = |lane: usize| code.previous(column + lane, parity) / 2;
    let base = rank(0) & !(LANES - 1);
    let mask = rank(0) - base;
    debug_assert!((0..LANES).all(|lane| rank(lane) == base + (lane ^ mask)));
    assert!(2 * base + 2 * LANES <= code.states());
    // `packus` leaves the pairs of ranks in this order.
    const PLACE: [i32; 8] = [0, 1, 4, 5, 2, 3, 6, 7];
    let pairs: [i32; 8] = std::array::from_fn(|pair| PLACE[pair ^ (mask >> 1)]);
    let swap: [u8; 32] = std::array::from_fn(|byte| ((byte & 15) ^ (2 * (mask & 1))) as u8);
    // SAFETY: loads of 32 bytes from arrays of 32 bytes.
    let load = |bytes: *const u8| unsafe { _mm256_loadu_si256(bytes.cast()) };
    Gather { first: 2 * base, pairs: load(pairs.as_ptr().cast()), swap: load(swap.as_ptr()) }
}

/// # Safety
/// AVX2; the lengths asserted by [`forward`].
#[target_feature(enable = "avx2")]
unsafe fn steps(product: &mut Product, branches: &[Branches]) {
    let states = product.code.states();
    let words = states / LANES;
    let butterflies = product.butterflies();
    let gathers: Vec<[Gather; 2]> =
        (0..words).map(|word| [0, 1].map(|parity| gather(product, LANES * word, parity))).collect();
    for (index, branch) in branches.iter().enumerate() {
        let decisions = product.decisions[index * states * words..][..states * words].as_mut_ptr();
        let (costs, after) = (product.costs.as_ptr(), product.after.as_mut_ptr());
        for butterfly in &butterflies {
            let near = 8 * (butterfly.sources[0] & 1);
            for (word, gathers) in gathers.iter().enumerate() {
                // Columns of the upper half come from the second quantiser, whose states are the odd ones.
                let far = usize::from(2 * word >= words);
                // SAFETY: rows and columns are below `states`; the 32 columns of a gather too, as it asserted.
                unsafe {
                    let predecessors = |row: usize| {
                        gathers.each_ref().map(|gather| gather.columns(costs.add(row * states + gather.first), far))
                    };
                    // The least of two, and where it is the first.
                    let least = |a: __m256i, b: __m256i| {
                        let least = _mm256_min_epu16(a, b);
                        (least, _mm256_cmpeq_epi16(least, a))
                    };
                    let into = |[even, odd]: [__m256i; 2], parity: usize| {
                        let cost = |far_parity: usize| {
                            _mm256_set1_epi16(branch[near + 4 * parity + 2 * far + far_parity] as i16)
                        };
                        least(_mm256_adds_epu16(even, cost(0)), _mm256_adds_epu16(odd, cost(1)))
                    };
                    let [first, second] = butterfly.sources.map(predecessors);
                    for (target, even, odd) in [
                        (butterfly.targets[0], into(first, 0), into(second, 1)),
                        (butterfly.targets[1], into(second, 0), into(first, 1)),
                    ] {
                        let (cost, near_even) = least(even.0, odd.0);
                        let far_even = _mm256_blendv_epi8(odd.1, even.1, near_even);
                        // Bytes are set where a parity is even.
                        let both = _mm256_movemask_epi8(_mm256_packs_epi16(near_even, far_even));
                        _mm256_storeu_si256(after.add(target * states + LANES * word).cast(), cost);
                        *decisions.add(target * words + word) = !both as u32;
                    }
                }
            }
        }
        std::mem::swap(&mut product.costs, &mut product.after);
        if index % PERIOD == PERIOD - 1 {
            settle(&mut product.costs);
        }
    }
}
