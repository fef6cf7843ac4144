//! Integer grids: a binary16 scale and a zero point for some weights.

use half::f16;

/// What a grid is fitted by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Bits of a code, 2 to 8.
    pub bits: u8,
    /// About zero; otherwise from the least to the largest weight, zero included.
    pub symmetric: bool,
}

/// Codes `0 ..= 2^bits - 1`, which stand for `(code - zero) scale`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Grid {
    /// Finite, not negative.
    pub scale: f16,
    /// A code.
    pub zero: u8,
}

impl Rule {
    /// The largest code.
    pub(crate) fn top(self) -> f32 {
        f32::from((1u16 << self.bits) - 1)
    }

    /// The grid of weights between these extremes, which enclose zero.
    pub(crate) fn between(self, low: f32, high: f32) -> Grid {
        let range = if self.symmetric { 2.0 * high.max(-low) } else { high - low };
        let scale = f16::from_f32((range / self.top()).min(65504.0));
        if self.symmetric || scale == f16::ZERO {
            return Grid { scale, zero: 1 << (self.bits - 1) };
        }
        Grid { scale, zero: (-low / scale.to_f32()).round_ties_even().clamp(0.0, self.top()) as u8 }
    }

    /// The grid from the least to the largest of these weights and zero.
    pub(crate) fn fit(self, values: impl Iterator<Item = f32>) -> Grid {
        let (low, high) = values.fold((0f32, 0f32), |(low, high), value| (low.min(value), high.max(value)));
        self.between(low, high)
    }

    /// The nearest code.
    #[inline]
    pub(crate) fn code(self, grid: Grid, value: f32) -> u8 {
        let scale = grid.scale.to_f32();
        if scale == 0.0 {
            return grid.zero;
        }
        ((value / scale).round_ties_even() + f32::from(grid.zero)).clamp(0.0, self.top()) as u8
    }
}

impl Grid {
    /// What a code stands for.
    #[inline]
    pub(crate) fn value(self, code: u8) -> f32 {
        f32::from(i16::from(code) - i16::from(self.zero)) * self.scale.to_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_weight_is_further_than_half_a_step() {
        let values: Vec<f32> = (0..200).map(|i| (i * 37 % 101) as f32 / 20.0 - 1.3).collect();
        for bits in 2..=8 {
            for symmetric in [false, true] {
                let rule = Rule { bits, symmetric };
                let grid = rule.fit(values.iter().copied());
                let half = 0.5 * grid.scale.to_f32();
                for &value in &values {
                    let error = (grid.value(rule.code(grid, value)) - value).abs();
                    // Rounding the zero point and the scale moves the ends.
                    assert!(error <= half * 2.02, "{bits} {symmetric} {value}: {error}");
                }
                assert_eq!(grid.value(rule.code(grid, 0.0)), 0.0);
            }
        }
    }

    #[test]
    fn nothing_but_zeros_stays_zero() {
        for symmetric in [false, true] {
            let rule = Rule { bits: 4, symmetric };
            let grid = rule.fit([0.0, -0.0].into_iter());
            assert_eq!(grid.value(rule.code(grid, 0.0)).to_bits(), 0);
        }
    }
}
