//! Zero points by half-quadratic splitting.

use half::f16;
use rayon::prelude::*;

/// The weight of the quadratic term.
const BETA: f32 = 10.0;

/// The package's bound on the inverse of a scale, for the sake of binary16.
const LARGEST_INVERSE: f32 = 2e4;

/// The largest zero point: also binary16.
const LARGEST_ZERO: f32 = 32_768.0;

/// A group's grid as stored: codes stand for `(code - zero) scale`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub scale: f16,
    pub zero: f16,
}

impl Grid {
    /// The nearest code.
    pub(crate) fn code(&self, value: f32, bits: u8) -> u32 {
        let scaled = value / self.scale.to_f32() + self.zero.to_f32();
        scaled.round_ties_even().clamp(0.0, f32::from((1u16 << bits) - 1)) as u32
    }
}

/// A group on its way: the inverse of its scale, fixed, and its zero point.
#[derive(Debug, Clone, Copy)]
struct State {
    inverse: f32,
    zero: f32,
}

/// All groups of a tensor.
pub(crate) struct Fit<'a> {
    values: &'a [f32],
    columns: usize,
    size: usize,
    top: f32,
    states: Vec<State>,
    best: f64,
}

/// `x^-0.3` for `x >= 0`, relative error below 2e-5, from plain arithmetic: the same on every machine.
#[inline]
fn power(x: f32) -> f32 {
    let x = x.max(f32::MIN_POSITIVE);
    // x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m by the area hyperbolic tangent.
    let shifted = x.to_bits().wrapping_sub(0x3F35_04F3);
    let e = (shifted as i32) >> 23;
    let m = f32::from_bits((shifted & 0x007F_FFFF).wrapping_add(0x3F35_04F3));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let log = e as f32 + s * (2.885_39 + q * (0.961_796_7 + q * (0.577_078 + q * 0.412_198_6)));
    let y = -0.3 * log;
    let whole = y.floor();
    let t = y - whole;
    let series = [
        1.525_273e-5,
        1.540_353e-4,
        1.333_355e-3,
        9.618_129e-3,
        5.550_411e-2,
        0.240_226_5,
        std::f32::consts::LN_2,
        1.0,
    ];
    let series = series.into_iter().fold(0.0, |sum: f32, term| sum * t + term);
    series * f32::from_bits(((whole as i32 + 127) as u32) << 23)
}

/// What is taken for an outlier's share of an error: the proximal step of the norm to the power .7.
#[inline]
fn shrink(error: f32) -> f32 {
    let left = (error.abs() - power(error.abs()) / BETA).max(0.0);
    if error < 0.0 { -left } else { left }
}

impl State {
    fn new(values: &[f32], top: f32) -> Self {
        let (low, high) = values
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)));
        let range = high - low;
        let inverse = if range > 0.0 { (top / range).min(LARGEST_INVERSE) } else { 1.0 };
        let limit = LARGEST_ZERO / low.abs().max(high.abs()).max(f32::MIN_POSITIVE);
        let inverse = inverse.min(limit);
        Self { inverse, zero: -low * inverse }
    }

    /// The next zero point, and the sum of absolute errors with the one before.
    fn next(&self, values: &[f32], top: f32) -> (f32, f64) {
        let (mut sum, mut error) = (0f64, 0f64);
        for &value in values {
            let code = (value * self.inverse + self.zero).round_ties_even().clamp(0.0, top);
            let miss = value - (code - self.zero) / self.inverse;
            sum += f64::from(code - (value - shrink(miss)) * self.inverse);
            error += f64::from(miss.abs());
        }
        ((sum / values.len() as f64) as f32, error)
    }
}

impl<'a> Fit<'a> {
    pub(crate) fn new(values: &'a [f32], columns: usize, size: usize, bits: u8) -> Self {
        let top = f32::from((1u16 << bits) - 1);
        let groups = |row: &'a [f32]| row.chunks(size).map(move |group| State::new(group, top));
        let states = values.par_chunks(columns).flat_map_iter(groups).collect();
        Self { values, columns, size, top, states, best: f64::INFINITY }
    }

    /// One iteration over all groups; whether the error of the zero points it started from was less than ever before.
    pub(crate) fn improve(&mut self) -> bool {
        let (size, top) = (self.size, self.top);
        let rows = self.states.par_chunks_mut(self.columns.div_ceil(size)).zip(self.values.par_chunks(self.columns));
        let errors: Vec<f64> = rows
            .map(|(states, row)| {
                let step = |(state, group): (&mut State, &[f32])| {
                    let (zero, error) = state.next(group, top);
                    state.zero = zero.clamp(-LARGEST_ZERO, LARGEST_ZERO);
                    error
                };
                states.iter_mut().zip(row.chunks(size)).map(step).sum()
            })
            .collect();
        let error: f64 = errors.iter().sum();
        let better = error < self.best;
        self.best = self.best.min(error);
        better
    }

    /// The grids as stored.
    pub(crate) fn grids(&self) -> Vec<Grid> {
        let grid = |state: &State| Grid {
            // A scale of zero would lose the group.
            scale: f16::from_f32((1.0 / state.inverse).min(65504.0)).max(f16::from_bits(1)),
            zero: f16::from_f32(state.zero),
        };
        self.states.iter().map(grid).collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn powers_are_accurate() {
        for exponent in -120..120 {
            for step in 0..16 {
                let x = 2f64.powi(exponent) * (1.0 + f64::from(step) / 16.0);
                let found = f64::from(super::power(x as f32));
                assert!((found / x.powf(-0.3) - 1.0).abs() < 2e-5, "{x:e}");
            }
        }
    }
}
