//! A weighted sample that stands for all points.
//!
//! Half of the chance of a point is its share of the weight, half its share of the spread about the mean, so that what is far out is in the
//! sample for sure; dividing weights by chances keeps every sum right on average: the lightweight coreset of O. Bachem, M. Lucic,
//! A. Krause, "Scalable k-Means Clustering via Lightweight Coresets", KDD 2018. Drawn systematically, one random number for all: a
//! point of chance above `1 / size` is drawn at least once.

use crate::points::Points;
use crate::random::Random;

/// Points of a coreset for every centroid. With 48, full iterations from a coreset's result end as low as from k-means++ on all points.
const PER_CENTROID: usize = 48;

/// Points of the smallest coreset: below, a sample spares nothing.
const SMALLEST: usize = 4096;

/// Distinct points, in their order, with weights.
pub(crate) struct Coreset {
    values: Vec<f32>,
    weights: Vec<f32>,
}

impl Coreset {
    pub(crate) fn points(&self, dimension: usize) -> Points<'_> {
        Points { values: &self.values, dimension, weights: Some(&self.weights) }
    }
}

/// A coreset for `centroids`, where it is worth one.
pub(crate) fn coreset(points: Points<'_>, centroids: usize, random: &mut Random) -> Option<Coreset> {
    let size = (PER_CENTROID * centroids).max(SMALLEST);
    let (count, dimension) = (points.count(), points.dimension);
    if count / 2 < size {
        return None;
    }
    let mut mean = vec![0f64; dimension];
    let mut total = 0f64;
    for index in 0..count {
        let weight = f64::from(points.weight(index));
        total += weight;
        mean.iter_mut().zip(points.point(index)).for_each(|(mean, &x)| *mean += weight * f64::from(x));
    }
    mean.iter_mut().for_each(|mean| *mean /= total);
    let spread = |index: usize| {
        let squares = points.point(index).iter().zip(&mean).map(|(&x, mean)| (f64::from(x) - mean).powi(2));
        f64::from(points.weight(index)) * squares.sum::<f64>()
    };
    let spreads: Vec<f64> = (0..count).map(spread).collect();
    let whole = spreads.iter().sum::<f64>();
    let chance = |index: usize| {
        let share = f64::from(points.weight(index)) / total;
        if whole > 0.0 { 0.5 * (share + spreads[index] / whole) } else { share }
    };
    let mut drawn = Coreset { values: Vec::with_capacity(size * dimension), weights: Vec::with_capacity(size) };
    let step = 1.0 / size as f64;
    let (mut next, mut sum) = (random.unit() * step, 0f64);
    for index in 0..count {
        let chance = chance(index);
        sum += chance;
        let mut times = 0u32;
        while next < sum {
            (times, next) = (times + 1, next + step);
        }
        if times > 0 {
            drawn.values.extend_from_slice(points.point(index));
            drawn.weights.push((f64::from(points.weight(index)) * f64::from(times) * step / chance) as f32);
        }
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coreset_keeps_what_is_far_out_and_the_weight_of_all() {
        let mut values: Vec<f32> =
            (0..40_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 16) as f32 / 65536.0).collect();
        values[1234] = 1e6;
        let coreset = coreset(Points::new(&values, 2), 4, &mut Random::new(1)).unwrap();
        assert!(coreset.values.contains(&1e6));
        assert!(coreset.weights.len() <= SMALLEST + 1);
        let total: f64 = coreset.weights.iter().map(|&weight| f64::from(weight)).sum();
        assert!((total / 20_000.0 - 1.0).abs() < 0.02, "{total}");
    }
}
