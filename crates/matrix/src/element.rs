//! What matrices hold, and what a kernel of theirs is.

use std::ops::{Add, Mul};

/// `f32` or `f64`.
pub trait Element:
    Copy + Send + Sync + PartialEq + 'static + Add<Output = Self> + Mul<Output = Self> + Kernels
{
    /// Zero.
    const ZERO: Self;

    /// `self * factor + sum`, rounded once.
    #[must_use]
    fn times_plus(self, factor: Self, sum: Self) -> Self;
}

impl Element for f32 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn times_plus(self, factor: Self, sum: Self) -> Self {
        self.mul_add(factor, sum)
    }
}

impl Element for f64 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn times_plus(self, factor: Self, sum: Self) -> Self {
        self.mul_add(factor, sum)
    }
}

/// `c += sum over k of left[k] right[k]`, for a tile of `height x width` whose rows lie `stride` values apart. Panels hold `height` and
/// `width` values for each `k`.
#[derive(Clone, Copy)]
pub struct Kernel<T> {
    /// Rows of a tile.
    pub(crate) height: usize,
    /// Columns of a tile.
    pub(crate) width: usize,
    /// Instructions that it needs.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) name: &'static str,
    pub(crate) run: fn(c: &mut [T], stride: usize, left: &[T], right: &[T]),
}

/// The kernels of a type of elements.
pub trait Kernels: Sized {
    /// Those that this machine can run, fastest first; the last one runs anywhere.
    fn kernels() -> Vec<Kernel<Self>>;

    /// The fastest.
    fn kernel() -> Kernel<Self>;
}
