//! An interleaved range-ANS kernel: 32-bit states, 16-bit renormalisation, 12-bit probabilities.
//!
//! Duda, "Asymmetric numeral systems" (arXiv 1311.2540); interleaving as in Giesen, "Interleaved entropy coders" (arXiv 1402.3392).
//! Symbol `i` belongs to lane `i mod LANES`; the lanes share one stream of words in the order the decoder needs them.
//! A block is the final state of each lane, `u32` each, then the `u16` words. A decoder must end with every state at its start
//! value and every word used, which catches most damage.

use seedpress_codec::DecodeError;

use crate::frequencies::{Frequencies, PRECISION, TOTAL};

const START: u32 = 1 << 16;

/// What decoding a slot takes: symbol, frequency - 1 and position within the symbol, in 8 + 12 + 12 bits.
pub struct Slots(Box<[u32; TOTAL as usize]>);

impl Slots {
    /// Spreads frequencies over the slots.
    pub fn new(frequencies: &Frequencies) -> Self {
        let mut slots = Box::new([0u32; TOTAL as usize]);
        let mut at = 0usize;
        for (symbol, &frequency) in frequencies.get().iter().enumerate() {
            for bias in 0..u32::from(frequency) {
                slots[at] = symbol as u32 | (u32::from(frequency) - 1) << 8 | bias << 20;
                at += 1;
            }
        }
        Self(slots)
    }
}

/// Codes a block. Every symbol must have a frequency.
pub fn encode<const LANES: usize>(symbols: &[u8], frequencies: &Frequencies) -> Vec<u8> {
    let table = frequencies.get();
    let mut starts = [0u32; 256];
    let mut sum = 0;
    for (start, &frequency) in starts.iter_mut().zip(table) {
        *start = sum;
        sum += u32::from(frequency);
    }
    let mut states = [START; LANES];
    let mut words: Vec<u16> = Vec::with_capacity(symbols.len() / 2);
    for (index, &symbol) in symbols.iter().enumerate().rev() {
        let state = &mut states[index % LANES];
        let frequency = u32::from(table[usize::from(symbol)]);
        if u64::from(*state) >= u64::from(frequency) << (32 - PRECISION) {
            words.push(*state as u16);
            *state >>= 16;
        }
        *state = (*state / frequency) << PRECISION | (*state % frequency + starts[usize::from(symbol)]);
    }
    let mut bytes: Vec<u8> = states.iter().flat_map(|state| state.to_le_bytes()).collect();
    bytes.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
    bytes
}

/// Decodes a block into `symbols`.
///
/// # Errors
/// Truncated where words are missing, corrupt where they are left over or the final states are wrong.
pub fn decode<const LANES: usize>(bytes: &[u8], slots: &Slots, symbols: &mut [u8]) -> Result<(), DecodeError> {
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
    let mut words = words.chunks_exact(2).map(|word| u32::from(word[0]) | u32::from(word[1]) << 8);
    let mut starved = false;
    for step in symbols.chunks_mut(LANES) {
        for (symbol, state) in step.iter_mut().zip(&mut states) {
            let slot = slots.0[(*state & (TOTAL - 1)) as usize];
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
            return Err(DecodeError::truncated(bytes.len() + 2, bytes.len()));
        }
    }
    if words.next().is_some() || states.iter().any(|&state| state != START) {
        return Err(DecodeError::corrupt("an entropy-coded block does not end where it began"));
    }
    Ok(())
}
