//! The convolutional codes behind the trellis: Ungerboeck's one-dimensional codes of 4 to 256 states.
//!
//! The reproduction points fall into four subsets. A state allows two of them (its *quantiser*, Q0 or Q1); the parity of the index
//! picks one of the two and thereby the next state. G. Ungerboeck, "Trellis-coded modulation with redundant signal sets, part II",
//! IEEE Communications Magazine 25 (2), 1987, table I (amplitude modulation), in systematic feedback form.

/// Parity-check polynomials `(h0, h1)` by memory, from 2 (4 states) to 8 (256 states).
const POLYNOMIALS: [(u16, u16); 7] =
    [(0o5, 0o2), (0o13, 0o4), (0o23, 0o4), (0o45, 0o10), (0o103, 0o24), (0o235, 0o126), (0o515, 0o362)];

/// A rate-1/2 convolutional code as a state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    memory: u8,
    /// Added to the shifted state where the quantiser bit is set.
    feedback: u16,
    /// Added to the shifted state where the index is odd.
    input: u16,
}

impl Code {
    /// The smallest memory on offer.
    pub const LEAST: u8 = 2;
    /// The largest memory on offer.
    pub const MOST: u8 = 8;

    /// The code of `2^memory` states.
    pub fn new(memory: u8) -> Option<Self> {
        let index = usize::from(memory.checked_sub(Self::LEAST)?);
        let &(h0, h1) = POLYNOMIALS.get(index)?;
        Some(Self { memory, feedback: h0 >> 1, input: h1 >> 1 })
    }

    /// Base-2 logarithm of the number of states.
    pub fn memory(self) -> u8 {
        self.memory
    }

    /// Number of states.
    pub fn states(self) -> usize {
        1 << self.memory
    }

    /// The state after coding an index of this parity (0 or 1). The quantiser of a state is its lowest bit.
    #[inline]
    pub fn next(self, state: usize, parity: usize) -> usize {
        (state >> 1) ^ ((state & 1) * usize::from(self.feedback)) ^ (parity * usize::from(self.input))
    }

    /// The quantiser shared by both predecessors of a state.
    #[inline]
    pub fn incoming_quantizer(self, state: usize) -> usize {
        state >> (self.memory - 1)
    }

    /// The state from which an index of this parity leads to `state`.
    #[inline]
    pub fn previous(self, state: usize, parity: usize) -> usize {
        let quantizer = self.incoming_quantizer(state);
        let shifted = state ^ (quantizer * usize::from(self.feedback)) ^ (parity * usize::from(self.input));
        2 * shifted + quantizer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predecessors_invert_transitions() {
        for memory in Code::LEAST..=Code::MOST {
            let code = Code::new(memory).unwrap();
            for state in 0..code.states() {
                for parity in 0..2 {
                    let next = code.next(state, parity);
                    assert!(next < code.states());
                    assert_eq!(code.previous(next, parity), state);
                    assert_eq!(code.incoming_quantizer(next), state & 1);
                }
            }
        }
        assert!(Code::new(1).is_none() && Code::new(9).is_none());
    }

    /// Squared free distance in units of the spacing of the union of the subsets, from the same table.
    #[test]
    fn free_distances_are_those_published() {
        for (memory, published) in [(2u8, 9u32), (3, 10), (4, 11), (5, 13), (6, 14), (7, 16)] {
            let code = Code::new(memory).unwrap();
            let states = code.states();
            // Distance of two parallel walks whose difference is a walk of the linear code: subset differences 1, 2, 3 have squared
            // distances 1, 4, 1.
            let weight = |state: usize, parity: usize| match (state & 1, parity) {
                (0, 0) => 0,
                (0, _) => 4,
                _ => 1,
            };
            let mut best = vec![u32::MAX; states];
            best[code.next(0, 1)] = weight(0, 1);
            let mut merged = u32::MAX;
            for _ in 0..8 * states {
                let mut after = best.clone();
                for (state, &reached) in best.iter().enumerate().skip(1) {
                    for parity in 0..2 {
                        let next = code.next(state, parity);
                        let cost = reached.saturating_add(weight(state, parity));
                        if next == 0 {
                            merged = merged.min(cost);
                        } else {
                            after[next] = after[next].min(cost);
                        }
                    }
                }
                best = after;
            }
            assert_eq!(merged.min(16), published, "memory {memory}");
        }
    }
}
