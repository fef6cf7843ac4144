//! A block on its way to symbols: the states of its lanes, the words that are left, and the table of slots.

use seedpress_codec::DecodeError;

use crate::frequencies::{Frequencies, PRECISION, TOTAL};

/// What every state starts with, and ends with.
pub(super) const START: u32 = 1 << 16;

/// Lanes of the vector kernels.
#[cfg(target_arch = "x86_64")]
pub(super) const WIDE: usize = 32;

/// What decoding takes of a table of frequencies.
pub(crate) struct Slots {
    /// Symbol, frequency - 1 and position within the symbol, in 8 + 12 + 12 bits.
    pub(super) table: Box<[u32; TOTAL as usize]>,
    /// Symbols that occur, with first slot and frequency, in their order.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(super) present: Vec<(u8, u16, u16)>,
}

impl Slots {
    /// Spreads frequencies over the slots.
    pub(crate) fn new(frequencies: &Frequencies) -> Self {
        let mut table = Box::new([0u32; TOTAL as usize]);
        let mut present = Vec::new();
        let mut first = 0usize;
        for (symbol, &frequency) in frequencies.get().iter().enumerate().filter(|(_, f)| **f > 0) {
            let mut slot = symbol as u32 | (u32::from(frequency) - 1) << 8;
            for place in &mut table[first..first + usize::from(frequency)] {
                *place = slot;
                slot = slot.wrapping_add(1 << 20);
            }
            present.push((symbol as u8, first as u16, frequency));
            first += usize::from(frequency);
        }
        Self { table, present }
    }
}

/// A block on its way: states and the words that are left.
pub(super) struct Lanes<'a, const LANES: usize> {
    pub(super) states: [u32; LANES],
    pub(super) words: &'a [u8],
    len: usize,
}

impl<'a, const LANES: usize> Lanes<'a, LANES> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some((head, words)) = bytes.split_at_checked(4 * LANES) else {
            return Err(DecodeError::truncated(4 * LANES, bytes.len()));
        };
        if !words.len().is_multiple_of(2) {
            return Err(DecodeError::corrupt("half a word at the end of a block"));
        }
        let mut states = [0u32; LANES];
        for (state, stored) in states.iter_mut().zip(head.chunks_exact(4)) {
            *state = u32::from_le_bytes([stored[0], stored[1], stored[2], stored[3]]);
        }
        Ok(Self { states, words, len: bytes.len() })
    }

    /// Decodes what the vector kernels left over and checks the end.
    pub(super) fn finish(self, slots: &Slots, symbols: &mut [u8]) -> Result<(), DecodeError> {
        let mut states = self.states;
        let mut words = self.words.chunks_exact(2).map(|word| u32::from(word[0]) | u32::from(word[1]) << 8);
        let mut starved = false;
        for step in symbols.chunks_mut(LANES) {
            for (symbol, state) in step.iter_mut().zip(&mut states) {
                let slot = slots.table[(*state & (TOTAL - 1)) as usize];
                *symbol = slot as u8;
                let upper = *state >> PRECISION;
                // At most 2^20 * 2^12 - 1, whatever the stored state: no overflow.
                *state = upper * ((slot >> 8 & 0xFFF) + 1) + (slot >> 20);
                if *state < START {
                    let word = words.next();
                    starved |= word.is_none();
                    *state = *state << 16 | word.unwrap_or(0);
                }
            }
            if starved {
                return Err(DecodeError::truncated(self.len + 2, self.len));
            }
        }
        if words.next().is_some() || states.iter().any(|&state| state != START) {
            return Err(DecodeError::corrupt("an entropy-coded block does not end where it began"));
        }
        Ok(())
    }
}
