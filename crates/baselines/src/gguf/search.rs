//! Scale searches for the sub-blocks of K-quants: try several grids, solve each in closed form, keep the least squared error.
//!
//! Given the codes a grid assigns, the best scale (and minimum) is a linear least-squares problem. The candidates differ in how far
//! the grid reaches beyond the sub-block's extremes, which trades clipping against resolution.

use crate::codes::{round, within};

/// Sums in eight lanes, a fixed order that still vectorises. `values` is a multiple of eight long.
#[inline]
fn lanes(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; 8];
    for chunk in values.chunks_exact(8) {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += term(value);
        }
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

/// The sums of `q`, `q^2` and `q x` over the values `x` and their codes `q`, in the order of [`lanes`].
#[inline]
pub fn moments(values: &[f32], code: impl Fn(f32) -> f32) -> [f32; 3] {
    let mut sums = [[0f32; 8]; 3];
    let [first, second, mixed] = &mut sums;
    for chunk in values.chunks_exact(8) {
        for (((first, second), mixed), &value) in first.iter_mut().zip(&mut *second).zip(&mut *mixed).zip(chunk) {
            let q = code(value);
            *first += q;
            *second += q * q;
            *mixed += q * value;
        }
    }
    sums.map(|s| ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])))
}

/// The squared error of `scale * code - minimum` with the nearest codes in `0 ..= top`.
#[inline]
pub fn affine_error(values: &[f32], top: f32, scale: f32, minimum: f32) -> f32 {
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    lanes(values, |value| {
        let code = round(within((value + minimum) * inverse, 0.0, top));
        let error = value - (scale * code - minimum);
        error * error
    })
}

/// The squared error of `scale * code` with the nearest codes in `-half ..= half - 1`; the scale may be negative.
#[inline]
pub fn symmetric_error(values: &[f32], half: f32, scale: f32) -> f32 {
    let inverse = if scale != 0.0 { 1.0 / scale } else { 0.0 };
    lanes(values, |value| {
        let code = round(within(value * inverse, -half, half - 1.0));
        let error = value - scale * code;
        error * error
    })
}

/// Scale and minimum (both at least 0) of `scale * code - minimum` with codes in `0 ..= top`.
pub fn affine(values: &[f32], top: f32) -> (f32, f32) {
    let low = values.iter().fold(0f32, |a, &b| a.min(b));
    let high = values.iter().fold(f32::MIN, |a, &b| a.max(b));
    let range = high - low;
    // Below this everything rounds to the minimum, and reciprocals could overflow.
    if range < 1e-30 {
        return (0.0, -low);
    }
    let count = values.len() as f32;
    let sum_x = lanes(values, |x| x);
    let mut best = (range / top, -low);
    let mut least = affine_error(values, top, best.0, best.1);
    for step in 0..=20u8 {
        let inverse = (top - 1.0 + 0.1 * f32::from(step)) / range;
        let code = |x: f32| round(within((x - low) * inverse, 0.0, top));
        let [sum_q, sum_qq, sum_qx] = moments(values, code);
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
        let error = affine_error(values, top, scale, minimum);
        if error < least {
            (least, best) = (error, (scale, minimum));
        }
    }
    best
}

/// The scale (of either sign) of `scale * code` with codes in `-half ..= half - 1`.
pub fn symmetric(values: &[f32], half: f32) -> f32 {
    let extreme = values.iter().fold(0f32, |e, &x| if x.abs() > e.abs() { x } else { e });
    if extreme.abs() < 1e-30 {
        return 0.0;
    }
    let mut best = -extreme / half;
    let mut least = symmetric_error(values, half, best);
    for step in -9..=9i8 {
        let inverse = -(half + 0.1 * f32::from(step)) / extreme;
        let code = |x: f32| round(within(x * inverse, -half, half - 1.0));
        let [_, sum_qq, sum_qx] = moments(values, code);
        if sum_qq <= 0.0 {
            continue;
        }
        let scale = sum_qx / sum_qq;
        let error = symmetric_error(values, half, scale);
        if error < least {
            (least, best) = (error, scale);
        }
    }
    best
}
