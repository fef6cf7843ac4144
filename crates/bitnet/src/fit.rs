//! Thresholds and levels: which weights become zero, and what the others decode to.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::level::best_level;

/// How the threshold is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// As published (arXiv 2402.17764): level = mean |w|, weights above half of it are kept. Made for ternary-aware training.
    #[default]
    Absmean,
    /// Least squared error, by exact search over the sorted magnitudes. Right for weights that were not trained to be ternary.
    Mse,
    /// Ternary weight networks (arXiv 1605.04711): threshold .7 mean |w|, level = mean of the weights above it.
    Twn,
}

/// A weight of magnitude above `threshold` becomes plus or minus `level`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ternary {
    pub threshold: f32,
    pub level: f32,
}

impl Ternary {
    pub(crate) fn digit(self, value: f32) -> i8 {
        i8::from(value > self.threshold && self.level > 0.0) - i8::from(value < -self.threshold && self.level > 0.0)
    }
}

/// The rule's choice for `values`, its level rounded by `store`.
pub(crate) fn single(values: &[f32], rule: Rule, store: impl Fn(f32) -> f32) -> Ternary {
    let mean = || {
        let [sum] = summed(values, |part| [part.iter().map(|value| f64::from(value.abs())).sum()]);
        sum / values.len().max(1) as f64
    };
    match rule {
        Rule::Absmean => {
            let level = store(mean() as f32);
            Ternary { threshold: level * 0.5, level }
        }
        Rule::Mse => {
            // The nearest of -a, 0, a: for the level as it is stored, nothing beats half of it.
            let level = store(best_level(values));
            Ternary { threshold: level * 0.5, level }
        }
        Rule::Twn => {
            let threshold = (0.7 * mean()) as f32;
            let [sum, count] = summed(values, |part| {
                let kept = part.iter().filter(|value| value.abs() > threshold);
                kept.fold([0f64; 2], |[sum, count], value| [sum + f64::from(value.abs()), count + 1.0])
            });
            Ternary { threshold, level: store((sum / count.max(1.0)) as f32) }
        }
    }
}

/// How much the first plane's own error counts beside that of both planes.
const ALONE: f32 = 0.125;

/// The digits of both planes for one weight: least joint error, plus a share of the first plane's own. All selections, no branches:
/// random weights would mispredict half of them, and this way whole slices vectorise.
#[inline]
fn joint(value: f32, [first, second]: [f32; 2]) -> [f32; 2] {
    let (magnitude, half) = (value.abs(), second * 0.5);
    let candidate = |rest: f32| {
        let digit = if rest > half { 1.0 } else { 0.0 } - if rest < -half { 1.0 } else { 0.0 };
        let error = rest - digit * second;
        (error * error + ALONE * rest * rest, digit)
    };
    let (zero, one) = (candidate(magnitude), candidate(magnitude - first));
    let sign = if value < 0.0 { -1.0 } else { 1.0 };
    let [a, b] = if one.0 < zero.0 { [1.0, one.1] } else { [0.0, zero.1] };
    [a * sign, b * sign]
}

/// The digits of both planes for one weight.
pub(crate) fn joint_digits(value: f32, levels: [f32; 2]) -> [i8; 2] {
    joint(value, levels).map(|digit| digit as i8)
}

/// What the least-squares problem needs to know of the weights and their digits.
fn joint_sums(values: &[f32], levels: [f32; 2]) -> [f64; 5] {
    let mut sums = [0f64; 5];
    let (mut first, mut second) = ([0f32; 256], [0f32; 256]);
    for values in values.chunks(256) {
        for ((a, b), &value) in first.iter_mut().zip(&mut second).zip(values) {
            [*a, *b] = joint(value, levels);
        }
        for ((&a, &b), &value) in first.iter().zip(&second).zip(values) {
            let (a, b, value) = (f64::from(a), f64::from(b), f64::from(value));
            for (sum, term) in sums.iter_mut().zip([a * a, a * b, b * b, a * value, b * value]) {
                *sum += term;
            }
        }
    }
    sums
}

/// Alternates between digits and levels (a 2 x 2 least-squares problem) from the greedy start.
pub(crate) fn joint_levels(values: &[f32], mut levels: [f32; 2]) -> [f32; 2] {
    for _ in 0..8 {
        let [s11, s12, s22, b1, b2] = summed(values, |part| joint_sums(part, levels));
        let alone = 1.0 + f64::from(ALONE);
        let (s11, b1) = (s11 * alone, b1 * alone);
        let determinant = s11 * s22 - s12 * s12;
        if determinant <= 1e-9 * s11 * s22 {
            break;
        }
        let next = [((b1 * s22 - b2 * s12) / determinant) as f32, ((b2 * s11 - b1 * s12) / determinant) as f32];
        if !(next[0] > 0.0 && next[1] > 0.0 && next[0] >= next[1]) {
            break;
        }
        levels = next;
    }
    levels
}

/// Weights a task sums. Fixed, and the parts are added in order: sums do not depend on the number of threads.
const PART: usize = 1 << 16;

/// Sums over all threads.
fn summed<const N: usize>(values: &[f32], sum: impl Fn(&[f32]) -> [f64; N] + Sync + Send) -> [f64; N] {
    if values.len() <= PART {
        return sum(values);
    }
    let parts: Vec<[f64; N]> = values.par_chunks(PART).map(sum).collect();
    let mut total = [0f64; N];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    total
}
