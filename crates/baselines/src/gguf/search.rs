//! Scale searches for the sub-blocks of K-quants: try several grids, solve each in closed form, keep the least squared error.
//!
//! Given the codes a grid assigns, the best scale (and minimum) is a linear least-squares problem. The candidates differ in how far
//! the grid reaches beyond the sub-block's extremes, which trades clipping against resolution.
//!
//! Squared errors may count differently: [`Emphasis`] is what each counts.

use crate::codes::{round, within};

/// What squared errors count, by the place of the weight.
pub(crate) trait Emphasis: Copy {
    /// Whether all count the same.
    const ALIKE: bool;
    /// What the error of this weight counts.
    fn at(self, index: usize) -> f32;
    /// That of `length` weights from `start` on.
    fn part(self, start: usize, length: usize) -> Self;
}

/// All errors count the same.
#[derive(Clone, Copy)]
pub(super) struct Alike;

impl Emphasis for Alike {
    const ALIKE: bool = true;

    #[inline(always)]
    fn at(self, _: usize) -> f32 {
        1.0
    }

    #[inline(always)]
    fn part(self, _: usize, _: usize) -> Self {
        self
    }
}

impl Emphasis for &[f32] {
    const ALIKE: bool = false;

    #[inline(always)]
    fn at(self, index: usize) -> f32 {
        self[index]
    }

    #[inline(always)]
    fn part(self, start: usize, length: usize) -> Self {
        &self[start..start + length]
    }
}

/// Sums in eight lanes, a fixed order that still vectorises. `values` is a multiple of eight long.
#[inline]
fn lanes<E: Emphasis>(values: &[f32], emphasis: E, term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; 8];
    for (eight, chunk) in values.chunks_exact(8).enumerate() {
        let emphasis = emphasis.part(8 * eight, 8);
        for (lane, (sum, &value)) in sums.iter_mut().zip(chunk).enumerate() {
            *sum += emphasis.at(lane) * term(value);
        }
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

/// The sums of `q`, `q^2` and `q x` over the values `x` and their codes `q`, as their errors count, in the order of [`lanes`].
#[inline]
pub(super) fn moments<E: Emphasis>(values: &[f32], emphasis: E, code: impl Fn(f32) -> f32) -> [f32; 3] {
    let mut sums = [[0f32; 8]; 3];
    let [first, second, mixed] = &mut sums;
    for (eight, chunk) in values.chunks_exact(8).enumerate() {
        let emphasis = emphasis.part(8 * eight, 8);
        let places = first.iter_mut().zip(&mut *second).zip(&mut *mixed).zip(chunk).enumerate();
        for (lane, (((first, second), mixed), &value)) in places {
            let q = code(value);
            let weighed = emphasis.at(lane) * q;
            *first += weighed;
            *second += weighed * q;
            *mixed += weighed * value;
        }
    }
    sums.map(|s| ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])))
}

/// The squared error of `scale * code - minimum` with the nearest codes in `0 ..= top`.
#[inline]
pub(super) fn affine_error<E: Emphasis>(values: &[f32], emphasis: E, top: f32, scale: f32, minimum: f32) -> f32 {
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    lanes(values, emphasis, |value| {
        let code = round(within((value + minimum) * inverse, 0.0, top));
        let error = value - (scale * code - minimum);
        error * error
    })
}

/// The squared error of `scale * code` with the nearest codes in `-half ..= half - 1`; the scale may be negative.
#[inline]
pub(super) fn symmetric_error<E: Emphasis>(values: &[f32], emphasis: E, half: f32, scale: f32) -> f32 {
    let inverse = if scale != 0.0 { 1.0 / scale } else { 0.0 };
    lanes(values, emphasis, |value| {
        let code = round(within(value * inverse, -half, half - 1.0));
        let error = value - scale * code;
        error * error
    })
}

/// Scale and minimum (both at least 0) of `scale * code - minimum` with codes in `0 ..= top`.
pub(super) fn affine<E: Emphasis>(values: &[f32], emphasis: E, top: f32) -> (f32, f32) {
    let low = values.iter().fold(0f32, |a, &b| a.min(b));
    let high = values.iter().fold(f32::MIN, |a, &b| a.max(b));
    let range = high - low;
    // Below this everything rounds to the minimum, and reciprocals could overflow.
    if range < 1e-30 {
        return (0.0, -low);
    }
    let count = if E::ALIKE { values.len() as f32 } else { lanes(values, emphasis, |_| 1.0) };
    let sum_x = lanes(values, emphasis, |x| x);
    let mut best = (range / top, -low);
    let mut least = affine_error(values, emphasis, top, best.0, best.1);
    for step in 0..=20u8 {
        let inverse = (top - 1.0 + 0.1 * f32::from(step)) / range;
        let code = |x: f32| round(within((x - low) * inverse, 0.0, top));
        let [sum_q, sum_qq, sum_qx] = moments(values, emphasis, code);
        let determinant = count * sum_qq - sum_q * sum_q;
        if determinant <= 0.0 {
            continue;
        }
        let mut scale = (count * sum_qx - sum_q * sum_x) / determinant;
        let mut minimum = (scale * sum_q - sum_x) / count;
        if minimum < 0.0 {
            // The format has no positive offset.
            (scale, minimum) = (sum_qx / sum_qq, 0.0);
        }
        if scale <= 0.0 {
            continue;
        }
        let error = affine_error(values, emphasis, top, scale, minimum);
        if error < least {
            (least, best) = (error, (scale, minimum));
        }
    }
    best
}

/// The scale (of either sign) of `scale * code` with codes in `-half ..= half - 1`.
pub(super) fn symmetric<E: Emphasis>(values: &[f32], emphasis: E, half: f32) -> f32 {
    let extreme = values.iter().fold(0f32, |e, &x| if x.abs() > e.abs() { x } else { e });
    if extreme.abs() < 1e-30 {
        return 0.0;
    }
    let mut best = -extreme / half;
    let mut least = symmetric_error(values, emphasis, half, best);
    for step in -9..=9i8 {
        let inverse = -(half + 0.1 * f32::from(step)) / extreme;
        let code = |x: f32| round(within(x * inverse, -half, half - 1.0));
        let [_, sum_qq, sum_qx] = moments(values, emphasis, code);
        if sum_qq <= 0.0 {
            continue;
        }
        let scale = sum_qx / sum_qq;
        let error = symmetric_error(values, emphasis, half, scale);
        if error < least {
            (least, best) = (error, scale);
        }
    }
    best
}
