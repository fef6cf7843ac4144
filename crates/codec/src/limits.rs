//! What a decoder may allocate.

use crate::error::{DecodeError, DecodeErrorKind};

/// A budget of bytes. Every allocation whose size a stream dictates is taken from it *before* memory is touched.
#[derive(Debug, Clone)]
pub struct Limits {
    remaining: u64,
}

impl Limits {
    /// The smallest input may ask for this much: a constant tensor of 16 Mi weights is legitimately a few bytes.
    const FLOOR: u64 = 256 << 20;
    /// Beyond the floor, bytes of memory per byte of input: 1024 covers 1/32 bit a weight with room to work in.
    const EXPANSION: u64 = 1024;

    /// A budget of exactly `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { remaining: bytes }
    }

    /// The default budget for `input` bytes of stream.
    pub fn for_input(input: usize) -> Self {
        Self::new((input as u64).saturating_mul(Self::EXPANSION).max(Self::FLOOR))
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
