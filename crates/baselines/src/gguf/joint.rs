//! Sub-blocks of `d * scale * code - dmin * minimum` with small integers for scales and minima: the search that K-quants share.

use half::f16;

use super::grid::{Grid, Head};
use super::search::{Emphasis, affine, affine_error};
use crate::codes::{round_to_u8, to_f16, within};

/// Fits `SUBS` sub-blocks of codes of `0 ..= top` with scales and minima of `0 ..= most`.
pub(super) fn fit<const SUBS: usize, E: Emphasis>(
    weights: &[f32],
    emphasis: E,
    top: f32,
    most: u8,
) -> (Head, [u8; 256]) {
    let length = 256 / SUBS;
    let part = |s: usize| emphasis.part(s * length, length);
    let largest = f32::from(most);
    let mut grids = [(0f32, 0f32); SUBS];
    for (s, (grid, values)) in grids.iter_mut().zip(weights.chunks_exact(length)).enumerate() {
        *grid = affine(values, part(s), top);
    }
    let halves = [
        to_f16(grids.iter().fold(0f32, |a, grid| a.max(grid.0)) / largest),
        to_f16(grids.iter().fold(0f32, |a, grid| a.max(grid.1)) / largest),
    ];
    let [d, dmin] = halves.map(f16::to_f32);
    let near = |value: f32, unit: f32| if unit > 0.0 { (value / unit).min(largest) as i32 } else { 0 };
    let legal = 0..=i32::from(most);

    let (mut head, mut codes) = (Head::of(halves), [0u8; 256]);
    for (s, values) in weights.chunks_exact(length).enumerate() {
        // The rounded pair depends on its partner: look at the neighbours of the ideal one.
        let (scale, minimum) = (near(grids[s].0, d), near(grids[s].1, dmin));
        let mut least = f32::INFINITY;
        for candidate in scale - 1..=scale + 2 {
            for offset in minimum - 1..=minimum + 2 {
                if !legal.contains(&candidate) || !legal.contains(&offset) {
                    continue;
                }
                let error = affine_error(values, part(s), top, d * candidate as f32, dmin * offset as f32);
                if error < least {
                    least = error;
                    (head.scales[s], head.minima[s]) = (candidate as i16, offset as u8);
                }
            }
        }
        let Grid { step, shift } = head.grid(s);
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        for (code, &value) in codes[s * length..].iter_mut().zip(values) {
            *code = round_to_u8(within((value + shift) * inverse, 0.0, top));
        }
    }
    (head, codes)
}

/// Fits `SUBS` sub-blocks of codes `-half ..= half - 1` (stored plus `half`) with scales of `-range ..= range - 1`.
pub(super) fn fit_symmetric<const SUBS: usize, E: Emphasis>(
    weights: &[f32],
    emphasis: E,
    half: f32,
    range: i16,
) -> (Head, [u8; 256]) {
    use super::search::{symmetric, symmetric_error};
    use crate::codes::round;
    let length = 256 / SUBS;
    let part = |s: usize| emphasis.part(s * length, length);
    let (lowest, highest) = (-f32::from(range), f32::from(range - 1));
    let mut ideal = [0f32; SUBS];
    for (s, (scale, values)) in ideal.iter_mut().zip(weights.chunks_exact(length)).enumerate() {
        *scale = symmetric(values, part(s), half);
    }
    // The largest scale, with its sign, becomes the lowest integer: their full range.
    let extreme = ideal.iter().fold(0f32, |e, &x| if x.abs() > e.abs() { x } else { e });
    let unit = to_f16(extreme / lowest);
    let d = unit.to_f32();
    let (mut head, mut codes) = (Head::of([unit, f16::ZERO]), [half as u8; 256]);
    for (s, values) in weights.chunks_exact(length).enumerate() {
        let near = if d == 0.0 { 0 } else { round((ideal[s] / d).clamp(lowest, highest)) as i32 };
        let (mut least, mut scale) = (f32::INFINITY, 0i32);
        for candidate in (near - 2).max(lowest as i32)..=(near + 2).min(highest as i32) {
            let error = symmetric_error(values, part(s), half, d * candidate as f32);
            if error < least {
                (least, scale) = (error, candidate);
            }
        }
        head.scales[s] = scale as i16;
        let step = d * scale as f32;
        let inverse = if step != 0.0 { 1.0 / step } else { 0.0 };
        for (code, &value) in codes[s * length..].iter_mut().zip(values) {
            *code = (round((value * inverse).clamp(-half, half - 1.0)) + half) as u8;
        }
    }
    (head, codes)
}
