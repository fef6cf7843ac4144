//! The register: one step, many steps at once, and which taps are maximal.
//!
//! Fibonacci form, shifting right (SeedLM, Section 3.1): the XOR of the tapped bits enters at the top, so the bits that leave at the
//! bottom obey `a[n + K] = XOR of a[n + i] over the taps i`, and the state at time `n` is `a[n] ..= a[n + K - 1]`, lowest bit first.
//! That recurrence has the characteristic polynomial `f(x) = x^K + sum of x^i`; the register is maximal exactly where `x` has order
//! `2^K - 1` modulo `f`.

use std::ops::RangeInclusive;

/// Register widths this crate handles.
pub(crate) const WIDTHS: RangeInclusive<u32> = 2..=24;

/// The taps of the paper's Table 6 as bit masks, by width; 0 where there is no such register.
pub const PAPER_TAPS: [u32; 25] = [
    0,
    0,
    mask(&[0, 1]),
    mask(&[0, 1]),
    mask(&[0, 1]),
    mask(&[0, 2]),
    mask(&[0, 1]),
    mask(&[0, 1]),
    mask(&[0, 2, 3, 4]),
    mask(&[0, 4]),
    mask(&[0, 3]),
    mask(&[0, 2]),
    mask(&[0, 1, 2, 8]),
    mask(&[0, 1, 2, 5]),
    mask(&[0, 1, 2, 12]),
    mask(&[0, 1]),
    mask(&[0, 1, 3, 12]),
    mask(&[0, 3]),
    mask(&[0, 7]),
    mask(&[0, 1, 2, 5]),
    mask(&[0, 3]),
    mask(&[0, 2]),
    mask(&[0, 1]),
    mask(&[0, 5]),
    mask(&[0, 1, 2, 7]),
];

const fn mask(bits: &[u32]) -> u32 {
    let (mut mask, mut index) = (0, 0);
    while index < bits.len() {
        mask |= 1 << bits[index];
        index += 1;
    }
    mask
}

/// Parameters that name no maximal register or no full-length sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BasisError {
    /// The width is not between 2 and 24.
    #[error("a register of {0} bits is not supported: legal widths are 2 to 24")]
    Width(u32),
    /// The taps do not visit every non-zero state.
    #[error("taps {taps:#x} of a {width}-bit register do not give the full period")]
    NotMaximal {
        /// Bits of the register.
        width: u32,
        /// The mask as given.
        taps: u32,
    },
    /// Taking every `decimation`-th state would miss states.
    #[error("decimation {decimation} is not coprime to the period {period}")]
    Decimation {
        /// States taken apart.
        decimation: u32,
        /// Length of the cycle.
        period: u32,
    },
}

/// A maximal register: from any non-zero state it visits all `2^K - 1` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Register {
    width: u32,
    taps: u32,
}

impl Register {
    /// The paper's register of `width` bits.
    ///
    /// # Errors
    /// [`BasisError::Width`].
    pub fn new(width: u32) -> Result<Self, BasisError> {
        if !WIDTHS.contains(&width) {
            return Err(BasisError::Width(width));
        }
        Ok(Self { width, taps: PAPER_TAPS[width as usize] })
    }

    /// A register with taps of one's own: bit `i` of `taps` says that bit `i` of the state is fed back.
    ///
    /// # Errors
    /// [`BasisError::Width`], or [`BasisError::NotMaximal`] where some state would be missed.
    pub fn with_taps(width: u32, taps: u32) -> Result<Self, BasisError> {
        if !WIDTHS.contains(&width) {
            return Err(BasisError::Width(width));
        }
        if is_maximal(width, taps) { Ok(Self { width, taps }) } else { Err(BasisError::NotMaximal { width, taps }) }
    }

    /// Bits of the state, `K`.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// The tapped bits as a mask.
    pub const fn taps(self) -> u32 {
        self.taps
    }

    /// Length of the cycle, `2^K - 1`: every seed from 1 to this is legal.
    pub const fn period(self) -> u32 {
        (1 << self.width) - 1
    }

    /// The state after `state`.
    #[inline]
    pub const fn step(self, state: u32) -> u32 {
        let feedback = (state & self.taps).count_ones() & 1;
        (state >> 1) | (feedback << (self.width - 1))
    }

    /// The state `steps` steps after `state`, in `O(K log steps)`.
    pub fn jump(self, state: u32, steps: u64) -> u32 {
        // With x^steps = sum of c[i] x^i modulo f, the output bit `steps` ahead is the XOR of c[i] a[n + i]; bit j of the state there
        // is the output bit one more step ahead each, hence one more factor x.
        let field = Field { width: self.width, taps: self.taps };
        let mut combination = field.power_of_x(steps % u64::from(self.period()));
        let mut result = 0;
        for bit in 0..self.width {
            result |= ((combination & state).count_ones() & 1) << bit;
            combination = field.times_x(combination);
        }
        result
    }
}

/// Polynomials over GF(2) modulo the characteristic polynomial; bit `i` is the coefficient of `x^i`.
#[derive(Clone, Copy)]
struct Field {
    width: u32,
    taps: u32,
}

impl Field {
    fn times_x(self, a: u32) -> u32 {
        let carry = (a >> (self.width - 1)) & 1;
        ((a << 1) & ((1 << self.width) - 1)) ^ (carry * self.taps)
    }

    fn times(self, mut a: u32, mut b: u32) -> u32 {
        let mut product = 0;
        while b != 0 {
            if b & 1 == 1 {
                product ^= a;
            }
            a = self.times_x(a);
            b >>= 1;
        }
        product
    }

    fn power_of_x(self, mut exponent: u64) -> u32 {
        let (mut result, mut square) = (1, self.times_x(1));
        while exponent != 0 {
            if exponent & 1 == 1 {
                result = self.times(result, square);
            }
            square = self.times(square, square);
            exponent >>= 1;
        }
        result
    }
}

/// Whether `x` has order `2^K - 1`: then its powers are all `2^K - 1` non-zero residues, so the quotient is a field and the register
/// visits every non-zero state.
fn is_maximal(width: u32, taps: u32) -> bool {
    // Without bit 0 the step is not invertible; bits above the register do not exist.
    if taps & 1 == 0 || taps >> width != 0 {
        return false;
    }
    let field = Field { width, taps };
    let period = (1u64 << width) - 1;
    field.power_of_x(period) == 1 && prime_factors(period).all(|prime| field.power_of_x(period / prime) != 1)
}

/// The distinct prime factors, by trial division: at most 4096 trials for 24 bits.
fn prime_factors(mut rest: u64) -> impl Iterator<Item = u64> {
    let mut candidate = 2;
    std::iter::from_fn(move || {
        while candidate * candidate <= rest {
            if rest.is_multiple_of(candidate) {
                while rest.is_multiple_of(candidate) {
                    rest /= candidate;
                }
                return Some(candidate);
            }
            candidate += 1;
        }
        let last = rest;
        rest = 1;
        (last > 1).then_some(last)
    })
}
