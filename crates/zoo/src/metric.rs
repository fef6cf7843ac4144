//! A figure with its direction and its uncertainty.

use rayon::prelude::*;

use crate::random::Random;

/// What a model achieves on held-out data.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Which figure: `accuracy`, `bits per byte`, ...
    pub name: &'static str,
    /// The figure itself.
    pub value: f64,
    /// The direction of good.
    pub higher_is_better: bool,
    /// How many held-out samples it is the mean of.
    pub samples: u64,
    /// Bounds of the 95 % percentile bootstrap interval (Efron 1979), seeded.
    pub interval: [f64; 2],
}

/// Resamples drawn for an interval.
const RESAMPLES: usize = 1000;

impl Metric {
    /// The mean of `scores`, one per held-out sample, with a bootstrap interval over the samples.
    pub fn mean(name: &'static str, higher_is_better: bool, scores: &[f64]) -> Self {
        Self::ratio(name, higher_is_better, scores, &vec![1.0; scores.len()], scores.len() as u64)
    }

    /// Any statistic of independent units: it is given how often each of them was drawn, once each for the value itself.
    pub fn resampled(
        name: &'static str,
        higher_is_better: bool,
        samples: u64,
        units: usize,
        statistic: impl Fn(&[f64]) -> f64 + Sync,
    ) -> Self {
        let mut random = Random::new(0x5EED);
        let draws: Vec<Vec<f64>> = (0..RESAMPLES)
            .map(|_| {
                let mut drawn = vec![0.0; units];
                (0..units).for_each(|_| drawn[random.below(units)] += 1.0);
                drawn
            })
            .collect();
        let mut values: Vec<f64> = draws.par_iter().map(|drawn| statistic(drawn)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let interval = [values[RESAMPLES / 40 - 1], values[RESAMPLES * 39 / 40]];
        Self { name, value: statistic(&vec![1.0; units]), higher_is_better, samples, interval }
    }

    /// The quotient of sums `sum(numerators) / sum(denominators)` over independent units (a document, a recording), resampled as
    /// whole units. `samples` is what the denominators count.
    pub fn ratio(
        name: &'static str,
        higher_is_better: bool,
        numerators: &[f64],
        denominators: &[f64],
        samples: u64,
    ) -> Self {
        let quotient = |sums: [f64; 2]| if sums[1] == 0.0 { 0.0 } else { sums[0] / sums[1] };
        let value = quotient([numerators.iter().sum(), denominators.iter().sum()]);
        let mut random = Random::new(0x5EED);
        let count = numerators.len();
        let mut draws: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let mut sums = [0.0; 2];
                for _ in 0..count {
                    let index = random.below(count);
                    sums[0] += numerators[index];
                    sums[1] += denominators[index];
                }
                quotient(sums)
            })
            .collect();
        draws.sort_unstable_by(f64::total_cmp);
        Self {
            name,
            value,
            higher_is_better,
            samples,
            interval: [draws[RESAMPLES / 40 - 1], draws[RESAMPLES * 39 / 40]],
        }
    }
}
