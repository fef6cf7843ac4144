//! Numbers of 8 bits in place of exact ones, and how far products may be off.
//!
//! With a codeword `c = s q + d` (`s` a power of two, `q` rounded) and a target `t = 2^k r + e`, the rounded product `s 2^k <r, q>` is
//! off by `<e, c> + 2^k <r, d>`, at most `|e| |c| + 2^k |r| |d|`: a *margin*, from the largest `|c|` and `|d|` of all codewords.

use super::target::{GROUP, LONGEST, Target};

/// Bounds of a codebook's rounding.
#[derive(Debug)]
pub(super) struct Codes {
    /// Binary logarithm of `s`.
    pub step: u32,
    /// `q` by position.
    pub values: Vec<i8>,
    /// Largest `|c|`.
    pub longest: f64,
    /// Largest `|q|`.
    pub longest_code: f64,
    /// Largest `|d|`.
    pub deviation: f64,
}

impl Codes {
    /// Rounds values to multiples of `2^step` of magnitude `limit` at most; bounds are those of the first `count` windows of `block`.
    pub(super) fn new(values: &[i16], step: u32, limit: i16, count: usize, block: usize) -> Self {
        let half = (1i16 << step) >> 1;
        let codes: Vec<i8> = values.iter().map(|&v| ((v + half) >> step).clamp(-limit, limit) as i8).collect();
        let norm = |of: &dyn Fn(usize) -> i64| {
            let squares: Vec<i64> = (0..count + block - 1).map(|at| of(at) * of(at)).collect();
            let largest = squares.windows(block).map(|w| w.iter().sum::<i64>()).max().unwrap_or(0);
            (largest as f64).sqrt()
        };
        Self {
            step,
            longest: norm(&|at| i64::from(values[at])),
            longest_code: norm(&|at| i64::from(codes[at])),
            deviation: norm(&|at| i64::from(values[at]) - (i64::from(codes[at]) << step)),
            values: codes,
        }
    }
}

/// Targets rounded with one step, so that codewords' penalties are scaled once for all of them. Missing ones are zero.
pub(super) struct Rounded {
    /// `r`.
    pub targets: [[i8; LONGEST]; GROUP],
    /// What rounded products count: scores are divided by `2^shift`.
    pub shift: u32,
    margins: [i32; GROUP],
}

impl Rounded {
    /// Rounds up to [`GROUP`] targets as finely as 8 bits hold them and products with codes stay at most `limit`.
    #[inline(always)]
    pub(super) fn new(codes: &Codes, targets: &[Target], limit: f64) -> Self {
        let largest = targets.iter().flatten().fold(0i32, |largest, &t| largest.max(i32::from(t).abs()));
        let longest = targets.iter().map(|t| length(t.iter().map(|&t| i32::from(t)))).fold(0.0, f64::max);
        let fits = |k: &u32| {
            let half = (1i32 << k) >> 1;
            // Rounding adds at most half a step to every component.
            let rounded = longest / f64::from(1 << k) + 0.5 * (LONGEST as f64).sqrt();
            (largest + half) >> k <= 127 && rounded * codes.longest_code <= limit
        };
        // 64 components of 15 bits fit 16-bit products long before.
        let k = (0..15).find(fits).unwrap_or(15);
        let half = (1i32 << k) >> 1;
        let mut rounded = [[0i8; LONGEST]; GROUP];
        let mut margins = [0; GROUP];
        for ((target, rounded), margin) in targets.iter().zip(&mut rounded).zip(&mut margins) {
            for (&exact, r) in target.iter().zip(rounded.iter_mut()) {
                *r = ((i32::from(exact) + half) >> k) as i8;
            }
            let off = length(target.iter().zip(rounded.iter()).map(|(&t, &r)| i32::from(t) - (i32::from(r) << k)));
            let size = length(rounded.iter().map(|&r| i32::from(r)));
            let bound = off * codes.longest + f64::from(1 << k) * size * codes.deviation;
            // Below 2^31 by far; one more than the bound's own rounding.
            *margin = bound.ceil() as i32 + 1;
        }
        Self { targets: rounded, shift: k + codes.step, margins }
    }

    /// The least `|<r, q>| - floor(penalty / 2^shift)` of a codeword that reaches the bar of the target `t` of the group; one that is
    /// missing is never reached.
    #[inline]
    pub(super) fn cut(&self, t: usize, bar: Option<i32>) -> i32 {
        bar.map_or(i32::MAX >> 1, |bar| bar.saturating_sub(self.margins[t]) >> self.shift)
    }
}

/// Euclidean length of at most [`LONGEST`] integers of 16 bits.
#[inline(always)]
fn length(components: impl Iterator<Item = i32>) -> f64 {
    // Sums of 64 squares of 2^15 need 36 bits.
    (components.map(|x| i64::from(x * x)).sum::<i64>() as f64).sqrt()
}
