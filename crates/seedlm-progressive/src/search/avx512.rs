//! Screening with 8-bit dot products of AVX-512: 32 codewords by [`GROUP`] targets at a time, four components an instruction.
#![allow(unsafe_code)]
// Registers are named by their indices here.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::codewords::TILE;
use super::exact::{Judge, Search};
use super::rounded::{Codes, Rounded};
use super::target::{GROUP, LONGEST, Target};

/// The codes of a codebook, made for unsigned times signed products.
#[derive(Debug)]
pub(super) struct Table {
    codes: Codes,
    /// Four codes from each position on, plus 128, the first lowest.
    quads: Box<[u32]>,
}

impl Table {
    /// See [`Index::with_level`](super::Index::with_level).
    pub(super) fn new(values: &[i16], count: usize, block: usize) -> Self {
        let codes = Codes::new(values, 2, 127, count, block);
        let offset = |&code: &i8| (code as u8) ^ 0x80;
        let quad = |w: &[i8]| u32::from_le_bytes([offset(&w[0]), offset(&w[1]), offset(&w[2]), offset(&w[3])]);
        let quads = codes.values.windows(4).map(quad).collect();
        Self { codes, quads }
    }
}

/// See [`Index::screen`](super::Index::screen). The table was made where the level is supported.
pub(super) fn screen(search: Search<'_>, table: &Table, targets: &[Target], judge: &mut impl Judge) {
    debug_assert!(seedpress_simd::Level::Avx512.is_supported());
    for first in (0..targets.len()).step_by(GROUP) {
        let group = &targets[first..targets.len().min(first + GROUP)];
        // SAFETY: tables exist only on machines with AVX-512 and VNNI.
        unsafe {
            match search.codewords.block.div_ceil(4) {
                6 => pass::<6>(search, table, first, group, judge),
                7 => pass::<7>(search, table, first, group, judge),
                8 => pass::<8>(search, table, first, group, judge),
                _ => pass::<0>(search, table, first, group, judge),
            }
        }
    }
}

/// Decides with the instructions of [`pass`].
///
/// # Safety
/// AVX-512 F and BW must be available.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn decide(
    search: Search<'_>,
    number: usize,
    target: &Target,
    start: usize,
    marked: u32,
    judge: &mut impl Judge,
) {
    search.decide(number, target, start, marked, judge);
}

/// One function, however long: its sums and constants stay in registers across the loop.
///
/// # Safety
/// AVX-512 F, BW and VNNI must be available.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn pass<const WORDS: usize>(
    search: Search<'_>,
    table: &Table,
    first: usize,
    targets: &[Target],
    judge: &mut impl Judge,
) {
    let rounded = Rounded::new(&table.codes, targets, f64::from(i32::MAX >> 1));
    let Search { codewords, penalties } = search;
    let words = if WORDS == 0 { codewords.block.div_ceil(4) } else { WORDS };
    // Known to the compiler, this spares a check of bounds in the inner loop.
    assert!(words <= LONGEST / 4);
    // [word][target]: four components.
    let mut factors = [[0i32; GROUP]; LONGEST / 4];
    let mut offsets = [_mm512_setzero_si512(); GROUP];
    for (t, target) in rounded.targets.iter().enumerate() {
        for (word, components) in target.as_chunks::<4>().0.iter().enumerate() {
            factors[word][t] = i32::from_le_bytes(components.map(|c| c as u8));
        }
        // Codes are 128 too large.
        offsets[t] = _mm512_set1_epi32(-128 * target.iter().map(|&c| i32::from(c)).sum::<i32>());
    }
    let shift = _mm_cvtsi32_si128(rounded.shift as i32);
    let cut = |t: usize, judge: &_| {
        let bar = (t < targets.len()).then(|| Judge::bar(judge, first + t));
        _mm512_set1_epi32(rounded.cut(t, bar))
    };
    let mut cuts: [_; GROUP] = std::array::from_fn(|t| cut(t, judge));
    for start in (0..codewords.count).step_by(TILE) {
        // Bounds for every read below: the codes reach PADDING beyond the last position, a block is at most 64.
        let quads = &table.quads[start..start + TILE + 4 * words - 4];
        let own = &penalties.as_slice()[start..start + TILE];
        let mut sums = [offsets, offsets];
        for word in 0..words {
            for half in 0..2 {
                // SAFETY: 4 * word + 16 * half + 16 <= quads.len().
                let codes = unsafe { _mm512_loadu_si512(quads.as_ptr().add(4 * word + 16 * half).cast()) };
                for t in 0..GROUP {
                    sums[half][t] = _mm512_dpbusd_epi32(sums[half][t], codes, _mm512_set1_epi32(factors[word][t]));
                }
            }
        }
        let penalty = |half: usize| {
            // SAFETY: the slice holds 32 penalties.
            _mm512_sra_epi32(unsafe { _mm512_loadu_si512(own.as_ptr().add(16 * half).cast()) }, shift)
        };
        let penalty = [penalty(0), penalty(1)];
        // How far a product is above what its target asks for, before the codeword's penalty.
        let above = |half: usize, t: usize| _mm512_sub_epi32(_mm512_abs_epi32(sums[half][t]), cuts[t]);
        let reached = |half: usize, above: __m512i| _mm512_cmpge_epi32_mask(above, penalty[half]);
        let mut most = [above(0, 0), above(1, 0)];
        for t in 1..GROUP {
            most = [_mm512_max_epi32(most[0], above(0, t)), _mm512_max_epi32(most[1], above(1, t))];
        }
        if reached(0, most[0]) | reached(1, most[1]) != 0 {
            // Constant indices keep the sums in registers.
            let mut marked = [0u32; GROUP];
            for t in 0..GROUP {
                marked[t] = u32::from(reached(0, above(0, t))) | u32::from(reached(1, above(1, t))) << 16;
            }
            for (t, target) in targets.iter().enumerate() {
                if marked[t] != 0 {
                    // SAFETY: as here.
                    unsafe { decide(search, first + t, target, start, marked[t], judge) }
                }
            }
            for t in 0..GROUP {
                cuts[t] = cut(t, judge);
            }
        }
    }
}
