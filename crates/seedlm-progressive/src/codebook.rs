//! The codewords of one stage: windows of a decimated register sequence, mapped to small integers.
//!
//! A decimated sequence gives each stage codewords of its own; the maps are those of [`Values`].

use std::sync::Arc;

use seedpress_lfsr_basis::Sequence;
use seedpress_lfsr_basis::cache::Cache;

use crate::values::{Values, value};

/// Steps between the states of each stage's sequence: primes that divide no `2^K - 1` for `K` in 8..=18, one for each stage, so that
/// no two stages of a stream share codewords.
pub const DECIMATIONS: [u32; 32] = [
    29, 37, 41, 47, 53, 59, 61, 67, 71, 79, 83, 97, 101, 103, 107, 109, 113, 131, 137, 139, 149, 157, 163, 167, 173,
    179, 181, 191, 193, 197, 199, 211,
];

/// Values repeated after the end of the cycle: the longest block, and a vector more for kernels that read ahead.
pub const PADDING: usize = 96;

/// The values of one stage's sequence.
#[derive(Debug)]
pub struct Codebook {
    /// Values by position as exact integers in `f32`, followed by [`PADDING`] values from the start of the cycle.
    values: Box<[f32]>,
    period: usize,
}

static CODEBOOKS: Cache<(u32, usize, Values), Codebook> = Cache::new(32 << 20);

impl Codebook {
    /// The codebook of a stage below 32 with registers of `width` bits, 8 to 18. Shared: asking twice costs a lookup.
    pub fn new(width: u32, stage: usize, values: Values) -> Arc<Self> {
        CODEBOOKS.get((width, stage, values), Self::memory(width), || Self::build(width, stage, values))
    }

    /// Bytes a codebook takes.
    pub const fn memory(width: u32) -> usize {
        4 * ((1 << width) + PADDING)
    }

    pub(crate) fn build(width: u32, stage: usize, values: Values) -> Self {
        #[allow(clippy::expect_used)] // The table of decimations is checked by a test against every width.
        let sequence = Sequence::new(width, None, DECIMATIONS[stage]).expect("decimation coprime to the period");
        let map = |&state: &u32| value(state, width, values) as f32;
        let values = sequence.states().iter().cycle().take(sequence.len() + PADDING).map(map).collect();
        Self { values, period: sequence.len() }
    }

    /// Number of codewords, `2^K - 1`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.period
    }

    /// All values by position, padded.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The codeword at a position below [`len`](Self::len), `count <= 64` values.
    #[inline]
    pub fn codeword(&self, position: usize, count: usize) -> &[f32] {
        &self.values[position..position + count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_a_full_cycle_at_every_width() {
        for width in 8..=18 {
            for decimation in DECIMATIONS {
                assert!((1..(1u64 << width)).contains(&u64::from(decimation)));
                let period = (1u32 << width) - 1;
                assert!(!period.is_multiple_of(decimation), "{width} {decimation}");
            }
        }
    }
}
