//! Powers of two that bring weights into the range of binary16 block scales, where ggml's own scaling leaves it.
//!
//! ggml divides a block's largest magnitude by a constant and stores the quotient as binary16. Beyond 65504 times that constant it
//! writes an infinite scale, and the block decodes to NaN; a tensor of tiny weights gets subnormal scales, or zeros. So:
//!
//! - a tensor whose largest magnitude is below 2^-6 is shifted up as a whole, which no block is the worse for;
//! - a tensor of which more than half of the blocks are beyond ggml's range is shifted down as a whole, by the median block;
//! - every block that is still beyond the range, or that shifting down has left too small, has a shift of its own.
//!
//! All others keep the tensor's shift, which for ordinary tensors is none: their bytes are ggml's, whatever lies in other blocks.
//!
//! Wire: the tensor's exponent (2 bytes), then for each block with a shift of its own, ascending: the distance of its number from the
//! one before (from -1 for the first; varint, at least 1) and its exponent (2 bytes). Format 1 ends after the tensor's exponent.

use rayon::prelude::*;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Limits, PowerOfTwo};

use crate::codes::largest;

/// Blocks a parallel task works on.
pub(super) const TASK: usize = 64;

/// Least largest magnitude of a tensor that is left as it is. Below, sub-block scales would become subnormal.
const LEAST: f32 = 0.015_625;

/// Largest magnitude of a block, after a shift of the whole tensor down, below which it has a shift of its own.
const LEFT_BEHIND: f32 = 0.000_976_562_5;

/// Fewest bytes of a block with a shift of its own.
const ENTRY: usize = 3;

/// The shift of every block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shifts {
    tensor: PowerOfTwo,
    /// Blocks with a shift of their own, by number, ascending.
    blocks: Vec<(usize, PowerOfTwo)>,
}

impl Shifts {
    /// The shifts of `values` in blocks of `weights`; ggml's scales are finite for blocks of largest magnitudes up to `reach`.
    pub(super) fn choose(values: &[f32], weights: usize, reach: f32) -> Self {
        let magnitudes: Vec<f32> = values
            .par_chunks(TASK * weights)
            .flat_map_iter(|task| task.chunks(weights).map(largest).collect::<Vec<_>>())
            .collect();
        let most = magnitudes.iter().fold(0f32, |most, &magnitude| most.max(magnitude));
        let tensor = if most < LEAST {
            PowerOfTwo::bringing(most, 0)
        } else if 2 * magnitudes.iter().filter(|&&magnitude| magnitude > reach).count() > magnitudes.len() {
            let mut sorted = magnitudes.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            PowerOfTwo::bringing(sorted[sorted.len() / 2], 0)
        } else {
            PowerOfTwo::ONE
        };
        let down = tensor != PowerOfTwo::ONE && most >= LEAST;
        let own = magnitudes.iter().enumerate().filter(|&(_, &magnitude)| {
            let shifted = tensor.down(magnitude);
            magnitude > 0.0 && (shifted > reach || down && shifted < LEFT_BEHIND)
        });
        let blocks = own.map(|(block, &magnitude)| (block, PowerOfTwo::bringing(magnitude, 0))).collect();
        Self { tensor, blocks }
    }

    /// The shift of a block.
    pub(super) fn of(&self, block: usize) -> PowerOfTwo {
        if self.blocks.is_empty() {
            return self.tensor;
        }
        self.blocks.binary_search_by_key(&block, |own| own.0).map_or(self.tensor, |at| self.blocks[at].1)
    }

    /// The shift of all blocks that have none of their own.
    pub(super) fn common(&self) -> PowerOfTwo {
        self.tensor
    }

    /// Whether any of these blocks has a shift of its own.
    pub(super) fn any_own(&self, blocks: std::ops::Range<usize>) -> bool {
        self.blocks.iter().any(|own| blocks.contains(&own.0))
    }

    /// The bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.tensor.to_bytes().to_vec();
        let mut next = 0;
        for &(block, power) in &self.blocks {
            bytes.put_varint((block + 1 - next) as u64);
            bytes.extend_from_slice(&power.to_bytes());
            next = block + 1;
        }
        bytes
    }

    /// Reads the shifts of `count` blocks.
    ///
    /// # Errors
    /// Truncated, corrupt, or the limit.
    pub(super) fn read(bytes: &[u8], count: usize, limits: &mut Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let tensor = PowerOfTwo::read(&mut reader)?;
        let mut blocks = limits.vec(reader.remaining() / ENTRY)?;
        let mut next = 0usize;
        while reader.remaining() > 0 {
            let at = reader.position();
            let step = reader.length()?;
            next = next
                .checked_add(step)
                .filter(|&next| step > 0 && next <= count)
                .ok_or(DecodeError::corrupt("a shifted block lies outside the tensor").at_offset(at))?;
            blocks.push((next - 1, PowerOfTwo::read(&mut reader)?));
        }
        Ok(Self { tensor, blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_beyond_the_range_are_shifted() {
        let mut values = vec![0.02f32; 8 * 32];
        assert_eq!(Shifts::choose(&values, 32, 1e6), Shifts { tensor: PowerOfTwo::ONE, blocks: Vec::new() });
        values[100] = 1e5;
        assert_eq!(Shifts::choose(&values, 32, 1e6), Shifts { tensor: PowerOfTwo::ONE, blocks: Vec::new() });
        values[100] = 1e30;
        values[255] = -1e7;
        let shifts = Shifts::choose(&values, 32, 1e6);
        assert_eq!(shifts.blocks.iter().map(|own| own.0).collect::<Vec<_>>(), [3, 7]);
        assert_eq!(shifts.of(2), PowerOfTwo::ONE);
        assert!((1.0..2.0).contains(&shifts.of(3).down(1e30)));
        let read = |bytes: &[u8], count| Shifts::read(bytes, count, &mut Limits::new(1000));
        assert_eq!(read(&shifts.to_bytes(), 8).unwrap(), shifts);
        assert!(read(&shifts.to_bytes(), 7).is_err(), "the last block is outside");
        assert!(read(&[0, 0, 0, 1, 0], 8).is_err(), "twice the same block");
    }

    #[test]
    fn tensors_of_any_magnitude_are_shifted_as_a_whole() {
        for factor in [1e-30f32, 1e-4, 1e20] {
            let values: Vec<f32> = (0..256).map(|index| factor * (1.0 + (index % 7) as f32)).collect();
            let shifts = Shifts::choose(&values, 32, 1e6);
            assert!(shifts.blocks.is_empty() && (0.5..16.0).contains(&shifts.of(0).down(values[6])), "{factor:e}");
        }
        // Most blocks are huge, one is not.
        let mut values = vec![1e20f32; 256];
        values[32..64].fill(0.02);
        let shifts = Shifts::choose(&values, 32, 1e6);
        assert_eq!(shifts.blocks.len(), 1);
        assert!((1.0..2.0).contains(&shifts.of(1).down(0.02)));
    }
}
