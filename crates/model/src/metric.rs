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
    /// Numerator and denominator of every independent unit, where the figure is the quotient of their sums; empty for other figures.
    /// Two models that were asked the same questions are compared by them.
    pub units: Vec<[f64; 2]>,
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
        let value = statistic(&vec![1.0; units]);
        Self { name, value, higher_is_better, samples, interval, units: Vec::new() }
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
            units: numerators
                .iter()
                .zip(denominators)
                .map(|(&numerator, &denominator)| [numerator, denominator])
                .collect(),
        }
    }

    /// The smallest value that is not below a share `at` of all values (nearest rank), over independent units with several values
    /// each, resampled as whole units.
    pub fn quantile(name: &'static str, higher_is_better: bool, units: &[Vec<f64>], at: f64) -> Self {
        let labelled =
            units.iter().enumerate().flat_map(|(unit, values)| values.iter().map(move |&value| (value, unit)));
        let mut descending: Vec<(f64, usize)> = labelled.collect();
        descending.sort_by(|a, b| b.0.total_cmp(&a.0));
        // Walks down from the top, each value as often as its unit was drawn.
        let find = |times: &[u64]| {
            let total: u64 = units.iter().zip(times).map(|(values, times)| values.len() as u64 * times).sum();
            let above = total - ((at * total as f64).ceil() as u64).clamp(1.min(total), total);
            let mut passed = 0;
            let reached = descending.iter().find(|(_, unit)| {
                passed += times[*unit];
                passed > above
            });
            reached.map_or(0.0, |(value, _)| *value)
        };
        let mut random = Random::new(0x5EED);
        let mut draws: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let mut times = vec![0; units.len()];
                (0..units.len()).for_each(|_| times[random.below(units.len())] += 1);
                find(&times)
            })
            .collect();
        draws.sort_unstable_by(f64::total_cmp);
        Self {
            name,
            value: find(&vec![1; units.len()]),
            higher_is_better,
            samples: descending.len() as u64,
            interval: [draws[RESAMPLES / 40 - 1], draws[RESAMPLES * 39 / 40]],
            units: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        let singles: Vec<Vec<f64>> = values.iter().rev().map(|&value| vec![value]).collect();
        let metric = Metric::quantile("x", false, &singles, 0.99);
        assert_eq!((metric.value, metric.samples), (990.0, 1000));
        // The order statistic's rank is binomial: 990 +- 1.96 sqrt(1000 * 0.99 * 0.01).
        let [low, high] = metric.interval;
        assert!((981.0..=987.0).contains(&low) && (994.0..=999.0).contains(&high), "{low} {high}");
        assert_eq!(Metric::quantile("x", false, &[values], 0.5).value, 500.0);
        assert_eq!(Metric::quantile("x", false, &[vec![7.0], vec![7.0, 7.0]], 0.99).interval, [7.0, 7.0]);
        assert_eq!(Metric::quantile("x", false, &[vec![]], 0.99).value, 0.0);
    }
}
