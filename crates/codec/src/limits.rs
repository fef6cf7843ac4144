//! What a decoder may allocate.

use crate::error::{DecodeError, DecodeErrorKind};

/// A budget of bytes. Every allocation whose size a stream dictates is taken from it *before* memory is touched.
///
/// How much a stream may ask for follows from its length, by one rule that writers know too: decoded values of
/// [`justified`](Self::justified) bytes, and three times that while decoding.
#[derive(Debug, Clone)]
pub struct Limits {
    remaining: u64,
    values: u64,
}

impl Limits {
    /// Bytes of decoded values that the smallest input may ask for.
    const FLOOR: u64 = 16 << 20;
    /// Beyond the floor, bytes of decoded values per byte of input: 1/32 bit a weight.
    const EXPANSION: u64 = 1024;
    /// Memory while decoding, over that of the decoded values: restored segments, symbols and tables beside the values themselves.
    const WORKING: u64 = 3;

    /// A budget of exactly `bytes`, for a caller who trusts the input that far.
    pub fn new(bytes: u64) -> Self {
        Self { remaining: bytes, values: bytes }
    }

    /// The default budget for `input` bytes of stream.
    pub fn for_input(input: usize) -> Self {
        let values = Self::justified(input as u64);
        Self { remaining: values.saturating_mul(Self::WORKING), values }
    }

    /// Bytes of decoded values (four a weight) that `input` bytes of stream may stand for.
    pub const fn justified(input: u64) -> u64 {
        let values = input.saturating_mul(Self::EXPANSION);
        if values > Self::FLOOR { values } else { Self::FLOOR }
    }

    /// The least length of input whose default budget holds `values` bytes of decoded values and `memory` bytes while decoding.
    pub const fn least_input(values: u64, memory: u64) -> u64 {
        let working = memory.div_ceil(Self::WORKING);
        let needed = if values > working { values } else { working };
        if needed <= Self::FLOOR { 0 } else { needed.div_ceil(Self::EXPANSION) }
    }

    /// Fails where a tensor of `weights` values is more than the input justifies.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Limit`].
    pub fn check_values(&self, weights: usize) -> Result<(), DecodeError> {
        let asked = (weights as u64).saturating_mul(size_of::<f32>() as u64);
        if asked <= self.values {
            return Ok(());
        }
        Err(DecodeError::new(DecodeErrorKind::Limit { asked, allowed: self.values }))
    }

    /// Bytes still allowed.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Takes `bytes` from the budget.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Limit`] where the budget does not hold them.
    pub fn take(&mut self, bytes: u64) -> Result<(), DecodeError> {
        match self.remaining.checked_sub(bytes) {
            Some(rest) => {
                self.remaining = rest;
                Ok(())
            }
            None => Err(DecodeError::new(DecodeErrorKind::Limit { asked: bytes, allowed: self.remaining })),
        }
    }

    /// An empty vector with room for `count` elements, taken from the budget.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Limit`] where the budget does not hold them.
    pub fn vec<T>(&mut self, count: usize) -> Result<Vec<T>, DecodeError> {
        self.take((count as u64).saturating_mul(size_of::<T>() as u64))?;
        Ok(Vec::with_capacity(count))
    }

    /// A vector of `count` copies of `value`, taken from the budget.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Limit`] where the budget does not hold them.
    pub fn filled<T: Clone>(&mut self, count: usize, value: T) -> Result<Vec<T>, DecodeError> {
        self.take((count as u64).saturating_mul(size_of::<T>() as u64))?;
        Ok(vec![value; count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_input_is_what_the_rule_asks_for() {
        for (values, memory) in [(0, 0), (16 << 20, 48 << 20), ((16 << 20) + 1, 0), (1 << 28, 1 << 29), (5, 1 << 30)] {
            let least = Limits::least_input(values, memory);
            let fits = |input: u64| {
                let limits = Limits::for_input(input as usize);
                limits.values >= values && limits.remaining >= memory
            };
            assert!(fits(least), "{values} {memory}");
            assert!(least == 0 || !fits(least - 1), "{values} {memory}");
        }
    }
}
