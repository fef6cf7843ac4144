//! Thresholds and levels: which weights become zero, and what the others decode to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
pub struct Ternary {
    pub threshold: f32,
    pub level: f32,
}

impl Ternary {
    pub fn digit(self, value: f32) -> i8 {
        i8::from(value > self.threshold && self.level > 0.0) - i8::from(value < -self.threshold && self.level > 0.0)
    }
}

/// The rule's choice for `values`, its level rounded by `store`.
pub fn single(values: &[f32], rule: Rule, store: impl Fn(f32) -> f32) -> Ternary {
    let mean = values.iter().map(|value| f64::from(value.abs())).sum::<f64>() / values.len().max(1) as f64;
    match rule {
        Rule::Absmean => {
            let level = store(mean as f32);
            Ternary { threshold: level * 0.5, level }
        }
        Rule::Mse => {
            // The nearest of -a, 0, a: for the level as it is stored, nothing beats half of it.
            let level = store(best_level(values));
            Ternary { threshold: level * 0.5, level }
        }
        Rule::Twn => {
            let threshold = (0.7 * mean) as f32;
            let kept = values.iter().filter(|value| value.abs() > threshold);
            let (sum, count) = kept.fold((0f64, 0u64), |(sum, count), value| (sum + f64::from(value.abs()), count + 1));
            Ternary { threshold, level: store((sum / count.max(1) as f64) as f32) }
        }
    }
}

/// With the `k` largest magnitudes kept their mean is the best level, and the squared error falls by `sum^2 / k`: take the best `k`.
pub fn best_level(values: &[f32]) -> f32 {
    let mut magnitudes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    magnitudes.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut best, mut level) = (0f64, 0f64, 0f64);
    for (index, &magnitude) in magnitudes.iter().enumerate() {
        sum += f64::from(magnitude);
        let kept = (index + 1) as f64;
        if sum * sum / kept > best {
            (best, level) = (sum * sum / kept, sum / kept);
        }
    }
    level as f32
}

/// How much the first plane's own error counts beside that of both planes.
const ALONE: f32 = 0.125;

/// The digits of both planes for one weight: least joint error, plus a share of the first plane's own.
pub fn joint_digits(value: f32, levels: [f32; 2]) -> [i8; 2] {
    let [first, second] = levels;
    let magnitude = value.abs();
    let candidate = |plane: i8| {
        let rest = magnitude - f32::from(plane) * first;
        let digit = if rest.abs() > second * 0.5 { if rest < 0.0 { -1 } else { 1 } } else { 0i8 };
        let error = rest - f32::from(digit) * second;
        (error * error + ALONE * rest * rest, [plane, digit])
    };
    let (zero, one) = (candidate(0), candidate(1));
    let [a, b] = if one.0 < zero.0 { one.1 } else { zero.1 };
    if value < 0.0 { [-a, -b] } else { [a, b] }
}

/// Alternates between digits and levels (a 2 x 2 least-squares problem) from the greedy start.
pub fn joint_levels(values: &[f32], mut levels: [f32; 2]) -> [f32; 2] {
    for _ in 0..8 {
        let (mut s11, mut s12, mut s22, mut b1, mut b2) = (0f64, 0f64, 0f64, 0f64, 0f64);
        for &value in values {
            let [a, b] = joint_digits(value, levels).map(f64::from);
            let value = f64::from(value);
            s11 += a * a;
            s12 += a * b;
            s22 += b * b;
            b1 += a * value;
            b2 += b * value;
        }
        let alone = 1.0 + f64::from(ALONE);
        (s11, b1) = (s11 * alone, b1 * alone);
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
