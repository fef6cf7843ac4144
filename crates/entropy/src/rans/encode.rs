//! Encoding: a division per symbol becomes a multiplication.

use crate::frequencies::{Frequencies, PRECISION, TOTAL};
use crate::rans::lanes::START;

/// What encoding takes of a table of frequencies.
pub(crate) struct Divisors(Box<[Divisor; 256]>);

#[derive(Clone, Copy, Default)]
struct Divisor {
    /// `floor(2^44 / frequency) + 1`.
    reciprocal: u64,
    /// From this state on a word is emitted first: `frequency * 2^20`, at most 2^32.
    limit: u64,
    /// First slot.
    start: u32,
    /// `4096 - frequency`.
    rest: u32,
}

impl Divisors {
    /// Prepares frequencies.
    ///
    /// The quotient `floor(x / f)` is `x * r >> 44` with `r = floor(2^44 / f) + 1 = (2^44 + e) / f`, `0 < e <= f`: the product is
    /// `x / f + x e / (f 2^44)`, and as a state is below `f 2^20` after it emitted, the excess is below `f 2^-24 <= 1 / f` for every
    /// `f <= 2^12`, too small to reach the next integer. The product is below `2^64` since `(f 2^20 - 1)(2^44 + f) / f < 2^64` for
    /// those `f`.
    pub(crate) fn new(frequencies: &Frequencies) -> Self {
        let mut divisors = Box::new([Divisor::default(); 256]);
        let mut start = 0;
        for (divisor, &frequency) in divisors.iter_mut().zip(frequencies.get()).filter(|(_, f)| **f > 0) {
            *divisor = Divisor {
                reciprocal: (1 << 44) / u64::from(frequency) + 1,
                limit: u64::from(frequency) << (32 - PRECISION),
                start,
                rest: TOTAL - u32::from(frequency),
            };
            start += u32::from(frequency);
        }
        Self(divisors)
    }
}

/// Codes a block. Every symbol must have a frequency.
pub(crate) fn encode<const LANES: usize>(symbols: &[u8], divisors: &Divisors) -> Vec<u8> {
    let mut states = [START; LANES];
    // A symbol emits at most one word; they are written from the end on, in the order a decoder reads them.
    let mut words = vec![0u16; symbols.len()];
    let mut at = words.len();
    let whole = symbols.len() / LANES * LANES;
    let mut step = |states: &mut [u32], symbols: &[u8]| {
        for (state, &symbol) in states.iter_mut().zip(symbols).rev() {
            let divisor = &divisors.0[usize::from(symbol)];
            let emits = u64::from(*state) >= divisor.limit;
            // Written in any case: cheaper than a branch nobody can predict. There is room, as this symbol's own word is free.
            words[at - 1] = *state as u16;
            at -= usize::from(emits);
            let held = if emits { *state >> 16 } else { *state };
            let quotient = ((u64::from(held) * divisor.reciprocal) >> 44) as u32;
            // quotient * 4096 + (held mod frequency) + start.
            *state = held + divisor.start + quotient * divisor.rest;
        }
    };
    let rest = &symbols[whole..];
    step(&mut states[..rest.len()], rest);
    for chunk in symbols[..whole].rchunks_exact(LANES) {
        step(&mut states, chunk);
    }
    let mut bytes = vec![0; 4 * LANES + 2 * (words.len() - at)];
    let (head, body) = bytes.split_at_mut(4 * LANES);
    head.chunks_exact_mut(4).zip(&states).for_each(|(bytes, state)| bytes.copy_from_slice(&state.to_le_bytes()));
    body.chunks_exact_mut(2).zip(&words[at..]).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_multiplication_divides_exactly() {
        for frequency in 1..=TOTAL {
            let reciprocal = (1u64 << 44) / u64::from(frequency) + 1;
            let limit = u64::from(frequency) << 20;
            // Either side of every kind of multiple, the bounds of the range among them.
            for multiple in [0, 1, 2, 3, 0x7FFFF, 0x80000, 0xAAAAA, 0xFFFFE, 0xFFFFF, 0x100000] {
                let near = multiple * u64::from(frequency);
                for state in [near.wrapping_sub(1), near, near + 1, near + u64::from(frequency) / 2] {
                    if state < limit {
                        let quotient = state.checked_mul(reciprocal).unwrap() >> 44;
                        assert_eq!(quotient, state / u64::from(frequency), "{state} / {frequency}");
                    }
                }
            }
        }
    }
}
