//! What block formats have in common: levels of codes, steps of sub-blocks, and what may be chosen of them.

use half::f16;

use crate::codes::{round, to_f16, within};

/// Most sub-blocks in a block.
const SUBS: usize = 16;

/// What codes stand for before they are scaled, code 0 the first.
#[derive(Clone, Copy)]
pub(crate) enum Levels {
    /// All integers between two.
    Even(i16, i16),
    /// Those of a table.
    Table(&'static [i8; 16]),
}

/// How a sub-block's weights come from its levels: `step * level - shift`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Grid {
    /// Of either sign.
    pub step: f32,
    /// 0 in formats without minima.
    pub shift: f32,
}

impl Levels {
    /// The code whose weight is nearest to `aim`, and that weight. `inverse` is the reciprocal of the step, 0 where that is 0.
    #[inline]
    pub(crate) fn nearest(self, aim: f32, grid: Grid, inverse: f32) -> (u8, f32) {
        let place = (aim + grid.shift) * inverse;
        match self {
            Self::Even(low, high) => {
                let level = round(within(place, f32::from(low), f32::from(high)));
                ((level - f32::from(low)) as u8, grid.step * level - grid.shift)
            }
            Self::Table(levels) => {
                let above = |pair: &[i8]| 2.0 * place > f32::from(i16::from(pair[0]) + i16::from(pair[1]));
                let code: u8 = levels.windows(2).map(|pair| u8::from(above(pair))).sum();
                (code, grid.step * f32::from(levels[usize::from(code)]) - grid.shift)
            }
        }
    }

    /// The code nearest to zero.
    pub(crate) fn zero(self) -> u8 {
        self.nearest(0.0, Grid { step: 1.0, shift: 0.0 }, 1.0).0
    }
}

/// What a sub-block's step and shift may be.
#[derive(Clone, Copy)]
pub(crate) enum Steps {
    /// Integers times units of the whole block: scales between two, minima from 0 to a third.
    Integers(i16, i16, u8),
    /// The block is one sub-block, its step a binary16.
    Free,
    /// The same, and its shift another.
    FreeWithShift,
}

/// A block but for its codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Head {
    /// Units of scales and of minima.
    pub units: [f16; 2],
    /// By sub-block; 1 where the unit is the step.
    pub scales: [i16; SUBS],
    /// By sub-block; 1 where the unit is the shift.
    pub minima: [u8; SUBS],
}

impl Head {
    /// Of a block that is one sub-block.
    pub(crate) fn single(step: f16, shift: f16) -> Self {
        Self { units: [step, shift], scales: [1; SUBS], minima: [1; SUBS] }
    }

    /// Of sub-blocks, the other scales and minima being 0.
    pub(crate) fn of(units: [f16; 2]) -> Self {
        Self { units, scales: [0; SUBS], minima: [0; SUBS] }
    }

    /// The grid of a sub-block, in the arithmetic of the decoders.
    pub(crate) fn grid(&self, sub: usize) -> Grid {
        let [d, dmin] = self.units.map(f16::to_f32);
        Grid { step: d * f32::from(self.scales[sub]), shift: dmin * f32::from(self.minima[sub]) }
    }

    /// Takes over a sub-block of another head.
    pub(crate) fn take(&mut self, sub: usize, other: &Self) {
        self.units = other.units;
        (self.scales[sub], self.minima[sub]) = (other.scales[sub], other.minima[sub]);
    }
}

impl Steps {
    /// Heads whose sub-block `sub` has a grid near `centre`, the nearest first.
    pub(crate) fn near(self, head: &Head, sub: usize, centre: Grid, visit: &mut impl FnMut(&Head)) {
        match self {
            Self::Integers(low, high, most) => {
                let [d, dmin] = head.units.map(f16::to_f32);
                let ideal =
                    |value: f32, unit: f32| if unit == 0.0 { 0.0 } else { round((value / unit).clamp(-300.0, 300.0)) };
                let (scale, minimum) = (ideal(centre.step, d) as i16, ideal(centre.shift, dmin) as i16);
                let (reach, offsets): (i16, &[i16]) = if most == 0 { (4, &[0]) } else { (2, &[0, -1, 1, -2, 2]) };
                for step in (0..=reach).flat_map(|by| [-by, by]).skip(1) {
                    for offset in offsets {
                        let (scale, minimum) = (scale + step, minimum + offset);
                        if (low..=high).contains(&scale) && (0..=i16::from(most)).contains(&minimum) {
                            let mut head = *head;
                            (head.scales[sub], head.minima[sub]) = (scale, minimum as u8);
                            visit(&head);
                        }
                    }
                }
            }
            Self::Free | Self::FreeWithShift => {
                /// Relative distance of the steps that are tried, and that of shifts in steps.
                const STRIDE: f32 = 0.02;
                const OFFSET: f32 = 0.2;
                let offsets: &[f32] = if matches!(self, Self::Free) { &[0.0] } else { &[0.0, -1.0, 1.0, -2.0, 2.0] };
                for by in [0i8, -1, 1, -2, 2, -3, 3, -4, 4] {
                    let step = to_f16(centre.step * (1.0 + STRIDE * f32::from(by)));
                    for offset in offsets {
                        let shift = centre.shift + OFFSET * offset * centre.step;
                        visit(&Head::single(step, if matches!(self, Self::Free) { f16::ZERO } else { to_f16(shift) }));
                    }
                }
            }
        }
    }
}
