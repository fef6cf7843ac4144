//! Screening with AVX2: 32 codewords by [`WIDE`] targets at a time, two components an instruction, sums of 16 bits.
#![allow(unsafe_code)]
// Registers are named by their indices here.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::codewords::TILE;
use super::exact::{Judge, Search};
use super::rounded::{Codes, Rounded};
use super::target::{GROUP, LONGEST, Target};

/// Targets whose sums are in registers together: with two vectors of codewords they fit the 16 registers.
const WIDE: usize = 4;

/// The codes of a codebook, made for unsigned times signed products.
///
/// Codes are of 7 bits: the sum of two products with 8-bit numbers then fits 16 bits, `2 * 127 * 127 < 2^15`. Further sums may wrap
/// around, but what they end with, less the offset of the codes, is a product of at most `2^15 - 1`, since targets are rounded so.
#[derive(Debug)]
pub(super) struct Table {
    codes: Codes,
    /// Two codes from each position on, plus 64, the first lower.
    pairs: Box<[u16]>,
}

impl Table {
    /// See [`Index::with_level`](super::Index::with_level).
    pub(super) fn new(values: &[i16], count: usize, block: usize) -> Self {
        let codes = Codes::new(values, 3, 63, count, block);
        let offset = |code: i8| (code + 64) as u8;
        let pairs = codes.values.windows(2).map(|w| u16::from_le_bytes([offset(w[0]), offset(w[1])])).collect();
        Self { codes, pairs }
    }
}

/// See [`Index::screen`](super::Index::screen). The table was made where the level is supported.
pub(super) fn screen(search: Search<'_>, table: &Table, targets: &[Target], judge: &mut impl Judge) {
    debug_assert!(seedpress_simd::Level::Avx2.is_supported());
    for first in (0..targets.len()).step_by(GROUP) {
        let group = &targets[first..targets.len().min(first + GROUP)];
        // SAFETY: tables exist only on machines with AVX2.
        unsafe { pass(search, table, first, group, judge) }
    }
}

/// One function, however long: its sums and constants stay in registers across the loop.
///
/// # Safety
/// AVX2 must be available.
#[target_feature(enable = "avx2")]
unsafe fn pass(search: Search<'_>, table: &Table, first: usize, targets: &[Target], judge: &mut impl Judge) {
    let rounded = Rounded::new(&table.codes, targets, f64::from(i16::MAX));
    let Search { codewords, penalties } = search;
    let words = codewords.block.div_ceil(2);
    // Known to the compiler, this spares a check of bounds in the inner loop.
    assert!(words <= LONGEST / 2);
    // [word][target]: two components, twice.
    let mut factors = [[0i32; GROUP]; LONGEST / 2];
    let mut offsets = [_mm256_setzero_si256(); GROUP];
    for (t, target) in rounded.targets.iter().enumerate() {
        for (word, &[a, b]) in target.as_chunks::<2>().0.iter().enumerate() {
            factors[word][t] = i32::from_le_bytes([a as u8, b as u8, a as u8, b as u8]);
        }
        // Codes are 64 too large; modulo 2^16 like the sums.
        offsets[t] = _mm256_set1_epi16((-64 * target.iter().map(|&c| i32::from(c)).sum::<i32>()) as i16);
    }
    let shift = _mm_cvtsi32_si128(rounded.shift as i32);
    // What lies beyond 16 bits is not reached or always reached; saturated, the test only errs on the safe side.
    let cut = |t: usize, judge: &_| {
        let bar = (t < targets.len()).then(|| Judge::bar(judge, first + t));
        _mm256_set1_epi16(rounded.cut(t, bar).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16)
    };
    let mut cuts: [_; GROUP] = std::array::from_fn(|t| cut(t, judge));
    for start in (0..codewords.count).step_by(TILE) {
        // Bounds for every read below: the codes reach PADDING beyond the last position, a block is at most 64.
        let pairs = &table.pairs[start..start + TILE + 2 * words - 2];
        let own = &penalties.as_slice()[start..start + TILE];
        let penalty = |at: usize| {
            // SAFETY: the slice holds 32 penalties.
            let load = |at| unsafe { _mm256_loadu_si256(own.as_ptr().add(at).cast()) };
            let (low, high) = (_mm256_sra_epi32(load(at), shift), _mm256_sra_epi32(load(at + 8), shift));
            // Packing takes the halves of both in turn; the permutation puts them in order.
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high))
        };
        let penalty = [penalty(0), penalty(16)];
        let mut marked = [0u32; GROUP];
        for quad in (0..targets.len()).step_by(WIDE) {
            let mut sums = [[_mm256_setzero_si256(); 2]; WIDE];
            for t in 0..WIDE {
                sums[t] = [offsets[quad + t]; 2];
            }
            for word in 0..words {
                // SAFETY: 2 * word + 32 <= pairs.len().
                let load = |at| unsafe { _mm256_loadu_si256(pairs.as_ptr().add(2 * word + at).cast()) };
                let codes = [load(0), load(16)];
                for t in 0..WIDE {
                    let factor = _mm256_set1_epi32(factors[word][quad + t]);
                    for half in 0..2 {
                        let product = _mm256_maddubs_epi16(codes[half], factor);
                        sums[t][half] = _mm256_add_epi16(sums[t][half], product);
                    }
                }
            }
            for t in 0..WIDE {
                let below = |half: usize| {
                    let least = _mm256_adds_epi16(penalty[half], cuts[quad + t]);
                    _mm256_cmpgt_epi16(least, _mm256_abs_epi16(sums[t][half]))
                };
                // Bytes of both halves, in the order 0..8, 16..24, 8..16, 24..32 of codewords.
                marked[quad + t] = !(_mm256_movemask_epi8(_mm256_packs_epi16(below(0), below(1))) as u32);
            }
        }
        if marked.iter().fold(0, |any, mask| any | mask) != 0 {
            for (t, target) in targets.iter().enumerate() {
                let m = marked[t];
                if m != 0 {
                    let marked = (m & 0xFF00_00FF) | (m & 0xFF00) << 8 | (m >> 8) & 0xFF00;
                    search.decide(first + t, target, start, marked, judge);
                }
            }
            cuts = std::array::from_fn(|t| cut(t, judge));
        }
    }
}
