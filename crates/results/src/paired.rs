//! Whether two figures over the same held-out samples differ, judged sample by sample.
//!
//! Two codecs are asked the same questions, so most of what makes their figures uncertain (which questions were asked) is shared and
//! cancels in the differences of single samples: intervals of two rows may overlap widely where one is certainly worse.
//!
//! The test flips signs: if both rows were alike, each unit's difference could as well have the other sign. Its p-value is exact where
//! all differences have one size (hits and misses: McNemar's test, a binomial) and where there are few units (every flip is tried);
//! elsewhere it comes from [`FLIPS`] seeded flips, or from Hoeffding's bound where that is smaller. The interval is a percentile bootstrap
//! (Efron 1979). Units are first pooled into at most [`GROUPS`] groups, which leaves the expectation of both as it is.

use crate::outcomes::Outcomes;
use crate::row::ModelRow;

/// Below this p-value a difference counts as detected.
pub const LEVEL: f64 = 0.05;

/// Seeded flips of signs; the smallest p-value they can give is `1 / (FLIPS + 1)`.
const FLIPS: usize = 4999;
/// Up to this many units every flip is tried: 2^16 of them.
const EXACT: usize = 16;
/// Independent units are pooled into this many sums: 512 of them are as good as normal, and cost a thousandth of 10,000 images.
const GROUPS: usize = 512;
/// Resamples drawn for an interval, as for the intervals of single figures.
const RESAMPLES: usize = 1000;
/// Standard errors that a difference must have to be detected four times out of five at the 5 % level: 1.960 + 0.842.
const DETECTABLE: f64 = 2.80;
/// Changed answers, all to one side, that the sign test needs at the 5 % level: `2 * 2^-6 = 0.031`.
const LEAST_CHANGED: f64 = 6.0;

/// The comparison of two figures over the same units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Independent units.
    pub units: usize,
    /// The second figure less the first, in the figure's unit.
    pub difference: f64,
    /// Bounds of the 95 % interval of the difference.
    pub interval: [f64; 2],
    /// Probability of a difference at least this large, to either side, if both were alike.
    pub p: f64,
    /// The smallest difference that would have been detected four times out of five: what "no difference" leaves open.
    pub detectable: f64,
}

impl Paired {
    /// Whether the difference is detected at [`LEVEL`], as the only comparison made. Many at once: see [`holm`].
    pub fn is_detected(&self) -> bool {
        self.p < LEVEL
    }
}

/// Compares two rows' outcomes; `None` where they are not of the same units.
///
/// The result follows from the outcomes alone: it is the same on every machine.
///
/// ```
/// use seedpress_results::{Outcomes, paired};
///
/// let ones = vec![1.0; 1000];
/// let hits: Vec<f64> = (0..1000).map(|image| f64::from(image % 10 != 0)).collect();
/// // Twelve of a hundred wrong answers became right, and none wrong: intervals of the two overlap, their pairs leave no doubt.
/// let more: Vec<f64> = (0..1000).map(|image| f64::from(image % 10 != 0 || image % 80 == 0)).collect();
/// let before = Outcomes::new(&hits, &ones).ok_or("not outcomes")?;
/// let after = Outcomes::new(&more, &ones).ok_or("not outcomes")?;
/// let compared = paired(&before, &after).ok_or("other samples")?;
/// assert!(compared.is_detected() && (compared.difference - 0.013).abs() < 1e-12 && compared.interval[0] > 0.0);
/// # Ok::<(), &str>(())
/// ```
pub fn paired(before: &Outcomes, after: &Outcomes) -> Option<Paired> {
    if before.weights() != after.weights() {
        return None;
    }
    let differences: Vec<f64> = before
        .values()
        .iter()
        .zip(after.values())
        .map(|(&before, &after)| f64::from(after) - f64::from(before))
        .collect();
    let weights: Vec<f64> = before.weights().iter().map(|&weight| f64::from(weight)).collect();
    let total: f64 = weights.iter().sum();
    let difference = differences.iter().sum::<f64>() / total;
    let binary =
        [before, after].iter().all(|outcomes| outcomes.values().iter().all(|&value| value == 0.0 || value == 1.0));
    let floor = if binary { LEAST_CHANGED / total } else { 0.0 };
    let (pooled, pooled_weights) = (pool(&differences), pool(&weights));
    Some(Paired {
        units: differences.len(),
        difference,
        interval: bootstrap(&pooled, &pooled_weights),
        p: if let Some(p) = of_one_size(&differences) { p } else { flips(&pooled) },
        detectable: (DETECTABLE * standard_error(&differences, &weights, difference, total)).max(floor),
    })
}

/// Adjusts the p-values of several comparisons, so that among all that are below [`LEVEL`] a single false one has probability
/// [`LEVEL`] at most (Holm 1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 0.0f64;
    for (rank, place) in order.into_iter().enumerate() {
        least = least.max(p[place] * (p.len() - rank) as f64).min(1.0);
        adjusted[place] = least;
    }
    adjusted
}

impl ModelRow {
    /// This row against another's: differences are this one's figure less the other's. `None` where the two are not the same figure of
    /// the same units, or where one of them keeps no outcomes (rows of older runs, figures that are no quotients of sums).
    pub fn paired_with(&self, other: &Self) -> Option<Paired> {
        let same = self.metric == other.metric && self.model == other.model;
        same.then(|| paired(other.outcomes.as_ref()?, self.outcomes.as_ref()?)).flatten()
    }

    /// This row against the uncompressed model: `None` as for [`paired_with`](Self::paired_with).
    pub fn paired_with_baseline(&self) -> Option<Paired> {
        paired(self.baseline_outcomes.as_ref()?, self.outcomes.as_ref()?)
    }
}

/// Sums of the units whose numbers are congruent: neighbours, which may be alike, come to different sums.
fn pool(list: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; list.len().min(GROUPS)];
    let count = sums.len();
    list.iter().enumerate().for_each(|(unit, value)| sums[unit % count] += value);
    sums
}

/// That of the quotient of sums, linearised at the difference found.
fn standard_error(differences: &[f64], weights: &[f64], difference: f64, total: f64) -> f64 {
    let count = differences.len() as f64;
    let squares: f64 = differences.iter().zip(weights).map(|(d, weight)| (d - difference * weight).powi(2)).sum();
    if count > 1.0 { (squares * count / (count - 1.0)).sqrt() / total } else { f64::INFINITY }
}

/// The exact test where all differences that are not zero have one size; 1 where there are none.
fn of_one_size(differences: &[f64]) -> Option<f64> {
    let mut changed = differences.iter().filter(|d| **d != 0.0);
    let Some(first) = changed.next() else { return Some(1.0) };
    changed.all(|d| d.abs() == first.abs()).then(|| {
        let count = |sign: f64| differences.iter().filter(|d| **d * sign > 0.0).count();
        let (more, less) = (count(1.0), count(-1.0));
        sign_test(more.min(less), more + less)
    })
}

/// Two-sided probability of at most `least` heads, or tails, in `count` throws of a fair coin.
fn sign_test(least: usize, count: usize) -> f64 {
    // Logarithms: 2^-count may be less than any number.
    let mut log = -(count as f64) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for heads in 0..=least {
        sum += log.exp();
        log += ((count - heads) as f64).ln() - ((heads + 1) as f64).ln();
    }
    (2.0 * sum).min(1.0)
}

/// How often flipped signs give a sum at least as far from zero.
fn flips(groups: &[f64]) -> f64 {
    let found = groups.iter().sum::<f64>().abs();
    let squares: f64 = groups.iter().map(|value| value * value).sum();
    // Sums in another order differ in their last digits.
    let reached = |sum: f64| sum.abs() >= found - 1e-9 * squares.sqrt();
    if groups.len() <= EXACT {
        let all = 1usize << groups.len();
        let sum = |signs: usize| {
            groups.iter().enumerate().map(|(bit, value)| if signs >> bit & 1 == 1 { -value } else { *value }).sum()
        };
        return (0..all).filter(|&signs| reached(sum(signs))).count() as f64 / all as f64;
    }
    let mut random = Random(0x5EED);
    let mut hits = 1.0;
    for _ in 0..FLIPS {
        let mut sum = 0.0;
        for values in groups.chunks(64) {
            let mut bits = random.bits();
            for value in values {
                sum += if bits & 1 == 1 { *value } else { -*value };
                bits >>= 1;
            }
        }
        hits += f64::from(u8::from(reached(sum)));
    }
    // Hoeffding 1963: holds for any sizes, and where flips are too few to tell.
    let bound = 2.0 * (-found * found / (2.0 * squares)).exp();
    (hits / (FLIPS + 1) as f64).min(bound)
}

fn bootstrap(differences: &[f64], weights: &[f64]) -> [f64; 2] {
    let mut random = Random(0x5EED);
    let count = differences.len();
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let (mut sum, mut weight) = (0.0, 0.0);
            for _ in 0..count {
                let index = random.below(count);
                sum += differences[index];
                weight += weights[index];
            }
            if weight > 0.0 { sum / weight } else { 0.0 }
        })
        .collect();
    drawn.sort_unstable_by(f64::total_cmp);
    [drawn[RESAMPLES / 40 - 1], drawn[RESAMPLES * 39 / 40]]
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn outcomes(values: impl IntoIterator<Item = f64>) -> Outcomes {
        let values: Vec<f64> = values.into_iter().collect();
        Outcomes::new(&values, &vec![1.0; values.len()]).unwrap()
    }

    /// Sums of 12 uniform numbers: normal enough.
    fn noise(random: &mut Random) -> f64 {
        (0..12).map(|_| (random.bits() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }

    #[test]
    fn the_sign_test_is_the_binomial() {
        // Sums of binomial coefficients in whole numbers of any length.
        for (least, count, p) in [
            (1, 10, 0.021484375),
            (40, 100, 0.05688793364098079),
            (5, 10, 1.0),
            (0, 0, 1.0),
            (400, 1000, 2.7284641560660184e-10),
        ] {
            assert!(
                (sign_test(least, count) / p - 1.0).abs() < 1e-6,
                "{least} of {count}: {}",
                sign_test(least, count)
            );
        }
        let before = outcomes((0..500).map(|unit| f64::from(unit % 2)));
        let after = outcomes((0..500).map(|unit| if unit < 20 { 1.0 } else { f64::from(unit % 2) }));
        let compared = paired(&before, &after).unwrap();
        assert!((compared.p - 2.0 * 0.5f64.powi(10)).abs() < 1e-15 && compared.difference == 0.02, "{compared:?}");
        let same = paired(&before, &before).unwrap();
        assert_eq!((same.p, same.difference, same.interval, same.detectable), (1.0, 0.0, [0.0; 2], 6.0 / 500.0));
    }

    #[test]
    fn few_units_are_flipped_in_every_way() {
        // Two of eight flips of 1, 2, 4 reach 7; six reach 3 with 1, 2 and -4 found at 1: all eight.
        let of = |differences: [f64; 3]| paired(&outcomes([0.0; 3]), &outcomes(differences)).unwrap().p;
        assert_eq!((of([1.0, 2.0, 4.0]), of([1.0, 2.0, -4.0])), (0.25, 1.0));
    }

    /// Of figures that are alike one in twenty is called different, and what is called detectable is seen four times in five.
    #[test]
    fn errors_are_as_frequent_as_they_are_said_to_be() {
        let mut random = Random(7);
        let (mut false_ones, mut seen, mut inside) = (0, 0, 0);
        let runs = 400;
        for _ in 0..runs {
            let own: Vec<f64> = (0..100).map(|_| noise(&mut random)).collect();
            let alike: Vec<f64> = own.iter().map(|value| value + 0.3 * noise(&mut random)).collect();
            let before = outcomes(own);
            let compared = paired(&before, &outcomes(alike.clone())).unwrap();
            false_ones += usize::from(compared.is_detected());
            let shift = 2.8 * 0.3 / 10.0;
            assert!((compared.detectable / shift - 1.0).abs() < 0.3, "{} {shift}", compared.detectable);
            let compared = paired(&before, &outcomes(alike.iter().map(|value| value + shift))).unwrap();
            seen += usize::from(compared.is_detected());
            inside += usize::from((compared.interval[0]..=compared.interval[1]).contains(&shift));
        }
        // Three standard deviations of a binomial around 20, 320 and 380 of 400.
        assert!((7..=33).contains(&false_ones) && (296..=344).contains(&seen), "{false_ones} {seen}");
        assert!(inside >= 367, "{inside}");
    }

    #[test]
    fn quotients_count_units_by_their_weights() {
        let weights = [100.0, 300.0, 50.0, 50.0];
        let before = Outcomes::new(&[10.0, 30.0, 5.0, 5.0], &weights).unwrap();
        let after = Outcomes::new(&[20.0, 60.0, 10.0, 10.0], &weights).unwrap();
        let compared = paired(&before, &after).unwrap();
        assert!((compared.difference - 0.1).abs() < 1e-12 && compared.detectable < 1e-12, "{compared:?}");
        assert!(paired(&before, &outcomes([1.0; 4])).is_none(), "other units");
    }

    #[test]
    fn certain_differences_are_not_limited_by_the_number_of_flips() {
        let after = outcomes((0..2000).map(|unit| 1.0 + f64::from(unit % 7)));
        assert!(paired(&outcomes([0.0; 2000]), &after).unwrap().p < 1e-20);
    }

    #[test]
    fn many_comparisons_are_adjusted() {
        // R: p.adjust(c(.01, .04, .03, .005), "holm").
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(&holm(&[0.01, 0.04, 0.03, 0.005]), &[0.03, 0.06, 0.06, 0.02]));
        assert!(holm(&[]).is_empty() && close(&holm(&[0.9, 0.8]), &[1.0, 1.0]));
    }
}
