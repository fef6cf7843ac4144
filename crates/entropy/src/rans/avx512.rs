//! Thirty-two lanes in two registers of sixteen, with alphabets held in registers.
//!
//! A step of one block is a chain of dependent operations: four blocks at a time keep the processor busy.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::frequencies::{PRECISION, TOTAL};
use crate::rans::lanes::{Lanes, WIDE};

/// The largest alphabet: words of two registers.
pub(super) const LARGEST: usize = 64;

/// A step reads at most 32 words; its second load of 32 bytes may start after 16 of them.
const REACH: usize = 64;

/// Tables of at most 64 symbols.
pub(super) struct Kernel {
    count: usize,
    symbols: [u8; LARGEST],
    first: [u16; LARGEST],
    frequency: [u16; LARGEST],
}

impl Kernel {
    /// Takes symbols with their first slot and frequency.
    pub(super) fn new(present: &[(u8, u16, u16)]) -> Self {
        // A first slot that no slot reaches keeps places without a symbol out of the search.
        let mut kernel =
            Self { count: present.len(), symbols: [0; LARGEST], first: [u16::MAX; LARGEST], frequency: [0; LARGEST] };
        for (index, &(symbol, first, frequency)) in present.iter().enumerate() {
            kernel.symbols[index] = symbol;
            kernel.first[index] = first;
            kernel.frequency[index] = frequency;
        }
        kernel
    }

    /// Decodes as many whole steps as the words of every block safely bear; the number of symbols of each block.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW and VBMI.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
    pub(super) unsafe fn run<const BLOCKS: usize>(
        &self,
        lanes: &mut [Lanes<'_, WIDE>; BLOCKS],
        symbols: [&mut [u8]; BLOCKS],
    ) -> usize {
        match self.count {
            0..=4 => self.steps::<BLOCKS, 3, 0>(lanes, symbols),
            5..=8 => self.steps::<BLOCKS, 7, 0>(lanes, symbols),
            9..=16 => self.steps::<BLOCKS, 0, 4>(lanes, symbols),
            17..=32 => self.steps::<BLOCKS, 0, 5>(lanes, symbols),
            _ => self.steps::<BLOCKS, 0, 6>(lanes, symbols),
        }
    }

    /// `BORDERS` comparisons or a binary search of `DEPTH` steps. One function, however long: its constants stay in registers across the
    /// loop.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
    #[inline]
    fn steps<const BLOCKS: usize, const BORDERS: usize, const DEPTH: u32>(
        &self,
        lanes: &mut [Lanes<'_, WIDE>; BLOCKS],
        symbols: [&mut [u8]; BLOCKS],
    ) -> usize {
        let load = |table: &[u16; LARGEST]| {
            // SAFETY: twice 32 words.
            [0, 32].map(|from| unsafe { _mm512_loadu_epi16(table.as_ptr().add(from).cast()) })
        };
        let (first, frequency) = (load(&self.first), load(&self.frequency));
        let fetch = |table: [__m512i; 2], index| {
            if DEPTH > 5 {
                _mm512_permutex2var_epi16(table[0], index, table[1])
            } else {
                _mm512_permutexvar_epi16(index, table[0])
            }
        };
        // SAFETY: 64 bytes.
        let names = unsafe { _mm512_loadu_epi8(self.symbols.as_ptr().cast()) };
        let mut borders = [_mm512_setzero_si512(); BORDERS];
        for (border, &slot) in borders.iter_mut().zip(&self.first[1..]) {
            *border = _mm512_set1_epi16(slot as i16);
        }
        let (slot_mask, ones) = (_mm512_set1_epi16(TOTAL as i16 - 1), _mm512_set1_epi16(1));
        let (low_half, start) = (_mm512_set1_epi32(0xFFFF), _mm512_set1_epi32(1 << 16));
        // Bytes 0, 4, ... belong to lanes 0..16, bytes 2, 6, ... to lanes 16..32.
        let order = _mm512_setr_epi32(
            0x0C08_0400,
            0x1C18_1410,
            0x2C28_2420,
            0x3C38_3430,
            0x0E0A_0602,
            0x1E1A_1612,
            0x2E2A_2622,
            0x3E3A_3632,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        );
        let mut states = [[_mm512_setzero_si512(); 2]; BLOCKS];
        for (states, lanes) in states.iter_mut().zip(lanes.iter()) {
            // SAFETY: twice sixteen states.
            *states = [0, 16].map(|from| unsafe { _mm512_loadu_epi32(lanes.states.as_ptr().add(from).cast()) });
        }
        let steps = symbols.iter().map(|symbols| symbols.len() / WIDE).min().unwrap_or(0);
        let mut done = 0;
        while done < steps && lanes.iter().all(|lanes| lanes.words.len() >= REACH) {
            for block in 0..BLOCKS {
                let [even, odd] = states[block];
                // Thirty-two slots of sixteen bits: those of `even` in the lower halves, those of `odd` in the upper.
                let slots = _mm512_mask_blend_epi16(0xAAAA_AAAA, even, _mm512_slli_epi32::<16>(odd));
                let slots = _mm512_and_si512(slots, slot_mask);
                let mut index = _mm512_setzero_si512();
                for border in borders {
                    let reached = _mm512_cmpge_epu16_mask(slots, border);
                    index = _mm512_mask_add_epi16(index, reached, index, ones);
                }
                for step in (0..DEPTH).rev() {
                    let further = _mm512_add_epi16(index, _mm512_set1_epi16(1 << step));
                    let reached = _mm512_cmpge_epu16_mask(slots, fetch(first, further));
                    index = _mm512_mask_mov_epi16(index, reached, further);
                }
                let factor = fetch(frequency, index);
                let bias = _mm512_sub_epi16(slots, fetch(first, index));
                let advance = |state, factor, bias| {
                    let upper = _mm512_srli_epi32::<{ PRECISION }>(state);
                    _mm512_add_epi32(_mm512_mullo_epi32(upper, factor), bias)
                };
                let next = [
                    advance(even, _mm512_and_si512(factor, low_half), _mm512_and_si512(bias, low_half)),
                    advance(odd, _mm512_srli_epi32::<16>(factor), _mm512_srli_epi32::<16>(bias)),
                ];
                let ordered = _mm512_permutexvar_epi8(_mm512_permutexvar_epi8(order, index), names);
                let mut used = 0;
                for (state, next) in states[block].iter_mut().zip(next) {
                    let low = _mm512_cmplt_epu32_mask(next, start);
                    // SAFETY: at most sixteen words were used in this step, and `REACH` bytes are there.
                    let words = unsafe { _mm256_loadu_si256(lanes[block].words.as_ptr().add(used).cast()) };
                    let words = _mm512_maskz_expand_epi32(low, _mm512_cvtepu16_epi32(words));
                    *state = _mm512_mask_or_epi32(next, low, _mm512_slli_epi32::<16>(next), words);
                    used += 2 * low.count_ones() as usize;
                }
                lanes[block].words = &lanes[block].words[used..];
                let out = &mut symbols[block][done * WIDE..][..WIDE];
                // SAFETY: thirty-two symbols.
                unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_castsi512_si256(ordered)) };
            }
            done += 1;
        }
        for (states, lanes) in states.into_iter().zip(lanes) {
            for (half, state) in states.into_iter().enumerate() {
                // SAFETY: twice sixteen states.
                unsafe { _mm512_storeu_epi32(lanes.states.as_mut_ptr().add(16 * half).cast(), state) };
            }
        }
        done * WIDE
    }
}
