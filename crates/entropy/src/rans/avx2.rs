//! Thirty-two lanes in four registers of eight.
//!
//! Both kernels stop while at least [`REACH`] bytes of words are left, so that loads stay inside; the portable path does the rest.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::frequencies::{PRECISION, TOTAL};
use crate::rans::lanes::{Lanes, WIDE};

/// The alphabet that [`Small`] holds.
pub(super) const SMALL: usize = 16;

/// A step reads at most 32 words; the last load of sixteen bytes may start after 24 of them.
const REACH: usize = 64;

/// For every mask of eight lanes: which of the next words each lane takes, a byte a lane.
static TAKES: [u64; 256] = {
    let mut takes = [0u64; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut word) = (0, 0u64);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                takes[mask] |= word << (8 * lane);
                word += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    takes
};

/// Refills the lanes whose state fell below 2^16 from the words at `at`, and counts the words.
///
/// # Safety
/// Sixteen bytes can be read at `at`.
#[target_feature(enable = "avx2,popcnt")]
#[inline]
unsafe fn refill(state: __m256i, at: *const u8) -> (__m256i, usize) {
    let low = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(state), _mm256_setzero_si256());
    let mask = _mm256_movemask_ps(_mm256_castsi256_ps(low)) as usize & 0xFF;
    let takes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(TAKES[mask] as i64));
    // SAFETY: the caller's.
    let words = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(at.cast()) });
    let words = _mm256_permutevar8x32_epi32(words, takes);
    let filled = _mm256_or_si256(_mm256_slli_epi32::<16>(state), words);
    (_mm256_blendv_epi8(state, filled, low), mask.count_ones() as usize)
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_states(lanes: &Lanes<'_, WIDE>) -> [__m256i; 4] {
    let at = lanes.states.as_ptr();
    // SAFETY: four times eight states.
    [0, 8, 16, 24].map(|first| unsafe { _mm256_loadu_si256(at.add(first).cast()) })
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_states(lanes: &mut Lanes<'_, WIDE>, states: [__m256i; 4]) {
    let at = lanes.states.as_mut_ptr();
    for (index, state) in states.into_iter().enumerate() {
        // SAFETY: four times eight states.
        unsafe { _mm256_storeu_si256(at.add(8 * index).cast(), state) };
    }
}

/// Alphabets of at most sixteen symbols: no table in memory.
pub(super) struct Small {
    borders: [i16; SMALL],
    count: usize,
    symbols: [u8; SMALL],
    first: [[u8; SMALL]; 2],
    frequency: [[u8; SMALL]; 2],
}

impl Small {
    /// Takes symbols with their first slot and frequency.
    pub(super) fn new(present: &[(u8, u16, u16)]) -> Self {
        let mut kernel = Self {
            borders: [i16::MAX; SMALL],
            count: present.len(),
            symbols: [0; SMALL],
            first: [[0; SMALL]; 2],
            frequency: [[0; SMALL]; 2],
        };
        for (index, &(symbol, first, frequency)) in present.iter().enumerate() {
            kernel.symbols[index] = symbol;
            for (half, (a, b)) in first.to_le_bytes().into_iter().zip(frequency.to_le_bytes()).enumerate() {
                kernel.first[half][index] = a;
                kernel.frequency[half][index] = b;
            }
            if index > 0 {
                kernel.borders[index - 1] = first as i16 - 1;
            }
        }
        kernel
    }

    /// Decodes as many whole steps as the words safely bear; the number of symbols.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2,popcnt")]
    pub(super) unsafe fn run(&self, lanes: &mut Lanes<'_, WIDE>, symbols: &mut [u8]) -> usize {
        match self.count {
            0..=4 => self.steps::<3>(lanes, symbols),
            5..=8 => self.steps::<7>(lanes, symbols),
            _ => self.steps::<15>(lanes, symbols),
        }
    }

    /// As many whole steps as the words safely bear. One function, however long: its constants stay in registers across the loop.
    #[target_feature(enable = "avx2,popcnt")]
    #[inline]
    fn steps<const BORDERS: usize>(&self, lanes: &mut Lanes<'_, WIDE>, symbols: &mut [u8]) -> usize {
        let table = |bytes: &[u8; SMALL]| {
            // SAFETY: sixteen bytes.
            _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        };
        let mut borders = [_mm256_setzero_si256(); BORDERS];
        for (border, &slot) in borders.iter_mut().zip(&self.borders) {
            *border = _mm256_set1_epi16(slot);
        }
        let names = table(&self.symbols);
        let (first, frequency) = (self.first.each_ref().map(table), self.frequency.each_ref().map(table));
        let slot_mask = _mm256_set1_epi16(TOTAL as i16 - 1);
        let (low_half, low_only) = (_mm256_set1_epi32(0xFFFF), _mm256_set1_epi16(i16::MIN));
        let high_only = _mm256_set1_epi16(0x80);
        let in_lane = _mm256_setr_epi8(
            0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15, 0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15,
        );
        let across = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let mut states = load_states(lanes);
        let mut words = lanes.words;
        let mut done = 0;
        for out in symbols.chunks_exact_mut(WIDE) {
            if words.len() < REACH {
                break;
            }
            let mut indices = [_mm256_setzero_si256(); 2];
            for pair in 0..2 {
                let (even, odd) = (states[2 * pair], states[2 * pair + 1]);
                // Sixteen slots of sixteen bits: those of `even` in the lower halves, those of `odd` in the upper.
                let slots = _mm256_blend_epi16::<0xAA>(even, _mm256_slli_epi32::<16>(odd));
                let slots = _mm256_and_si256(slots, slot_mask);
                let mut index = _mm256_setzero_si256();
                for border in borders {
                    index = _mm256_sub_epi16(index, _mm256_cmpgt_epi16(slots, border));
                }
                // A shuffle fetches a byte of each pair and clears the other.
                let fetch_low = _mm256_or_si256(index, low_only);
                let fetch_high = _mm256_or_si256(_mm256_slli_epi16::<8>(index), high_only);
                let fetch = |halves: [__m256i; 2]| {
                    _mm256_or_si256(
                        _mm256_shuffle_epi8(halves[0], fetch_low),
                        _mm256_shuffle_epi8(halves[1], fetch_high),
                    )
                };
                let (factor, bias) = (fetch(frequency), _mm256_sub_epi16(slots, fetch(first)));
                let advance = |state, factor, bias| {
                    let upper = _mm256_srli_epi32::<{ PRECISION as i32 }>(state);
                    _mm256_add_epi32(_mm256_mullo_epi32(upper, factor), bias)
                };
                states[2 * pair] = advance(even, _mm256_and_si256(factor, low_half), _mm256_and_si256(bias, low_half));
                states[2 * pair + 1] = advance(odd, _mm256_srli_epi32::<16>(factor), _mm256_srli_epi32::<16>(bias));
                indices[pair] = index;
            }
            let packed = _mm256_shuffle_epi8(_mm256_packus_epi16(indices[0], indices[1]), in_lane);
            let packed = _mm256_shuffle_epi8(names, _mm256_permutevar8x32_epi32(packed, across));
            // SAFETY: thirty-two symbols.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), packed) };
            let mut used = 0;
            for state in &mut states {
                // SAFETY: at most 24 words were used in this step, and `REACH` bytes are there.
                let (filled, count) = unsafe { refill(*state, words.as_ptr().add(used)) };
                *state = filled;
                used += 2 * count;
            }
            words = &words[used..];
            done += WIDE;
        }
        store_states(lanes, states);
        lanes.words = words;
        done
    }
}

/// Any alphabet: gathers from the table of slots. As many whole steps as the words safely bear; the number of symbols.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2,popcnt")]
pub(super) unsafe fn large(lanes: &mut Lanes<'_, WIDE>, table: &[u32; TOTAL as usize], symbols: &mut [u8]) -> usize {
    let slot_mask = _mm256_set1_epi32(TOTAL as i32 - 1);
    let (byte, one) = (_mm256_set1_epi32(0xFF), _mm256_set1_epi32(1));
    let across = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let mut states = load_states(lanes);
    let mut words = lanes.words;
    let mut done = 0;
    for out in symbols.chunks_exact_mut(WIDE) {
        if words.len() < REACH {
            break;
        }
        let mut names = [_mm256_setzero_si256(); 4];
        let mut used = 0;
        for (state, name) in states.iter_mut().zip(&mut names) {
            // SAFETY: twelve bits index 4096 slots.
            let slot =
                unsafe { _mm256_i32gather_epi32::<4>(table.as_ptr().cast(), _mm256_and_si256(*state, slot_mask)) };
            *name = _mm256_and_si256(slot, byte);
            let factor = _mm256_and_si256(_mm256_srli_epi32::<8>(slot), slot_mask);
            let factor = _mm256_add_epi32(factor, one);
            let upper = _mm256_srli_epi32::<{ PRECISION as i32 }>(*state);
            let next = _mm256_add_epi32(_mm256_mullo_epi32(upper, factor), _mm256_srli_epi32::<20>(slot));
            // SAFETY: at most 24 words were used in this step, and `REACH` bytes are there.
            let (filled, count) = unsafe { refill(next, words.as_ptr().add(used)) };
            *state = filled;
            used += 2 * count;
        }
        let halves = [_mm256_packus_epi32(names[0], names[1]), _mm256_packus_epi32(names[2], names[3])];
        let packed = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(halves[0], halves[1]), across);
        // SAFETY: thirty-two symbols.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), packed) };
        words = &words[used..];
        done += WIDE;
    }
    store_states(lanes, states);
    lanes.words = words;
    done
}
