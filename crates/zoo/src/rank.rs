//! Rank correlation (Spearman 1904) with its uncertainty.

use seedpress_model::Metric;

/// Ranks from 0, ties sharing the mean of theirs. What is no number ranks lowest.
pub(crate) fn ranks(values: &[f64]) -> Vec<f64> {
    let key = |index: usize| if values[index].is_nan() { f64::NEG_INFINITY } else { values[index] };
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| key(a).total_cmp(&key(b)));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for tied in order.chunk_by(|&a, &b| key(a) == key(b)) {
        for &index in tied {
            ranks[index] = before + (tied.len() - 1) as f64 / 2.0;
        }
        before += tied.len() as f64;
    }
    ranks
}

/// Pearson's correlation of weighted pairs; 0 where one side does not vary.
fn correlation(pairs: impl Iterator<Item = (f64, f64, f64)>) -> f64 {
    let mut sums = [0.0; 6];
    for (weight, a, b) in pairs {
        for (sum, term) in sums.iter_mut().zip([1.0, a, b, a * a, b * b, a * b]) {
            *sum += weight * term;
        }
    }
    let [count, a, b, aa, bb, ab] = sums;
    let variance = (aa - a * a / count) * (bb - b * b / count);
    if variance > 0.0 { (ab - a * b / count) / variance.sqrt() } else { 0.0 }
}

/// Centred, so that the sums of squares stay exact.
fn centred(values: &[f64]) -> Vec<f64> {
    let middle = (values.len().max(1) - 1) as f64 / 2.0;
    ranks(values).into_iter().map(|rank| rank - middle).collect()
}

/// Spearman's correlation of two lists, one pair a sample. Resamples keep the ranks of the whole sample.
pub(crate) fn spearman(name: &'static str, a: &[f64], b: &[f64]) -> Metric {
    let (a, b) = (centred(a), centred(b));
    Metric::resampled(name, true, a.len() as u64, a.len(), |drawn| {
        correlation(drawn.iter().zip(a.iter().zip(&b)).map(|(&weight, (&a, &b))| (weight, a, b)))
    })
}

/// Spearman's correlation of two lists of what all pairs of `items` things have, in the order of [`pairs`]. Resamples draw things, not
/// pairs: pairs that share a thing are not independent.
pub(crate) fn spearman_of_pairs(name: &'static str, items: usize, a: &[f64], b: &[f64]) -> Metric {
    let (a, b) = (centred(a), centred(b));
    Metric::resampled(name, true, items as u64, items, |drawn| {
        let weights = pairs(items).map(|(i, j)| drawn[i] * drawn[j]);
        correlation(weights.zip(a.iter().zip(&b)).map(|(weight, (&a, &b))| (weight, a, b)))
    })
}

/// Every pair of different items once.
pub(crate) fn pairs(items: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..items).flat_map(|i| (0..i).map(move |j| (i, j)))
}

/// Cosines of all pairs of unit vectors in the order of [`pairs`].
pub(crate) fn cosines(vectors: &[Vec<f32>]) -> Vec<f64> {
    pairs(vectors.len()).map(|(i, j)| dot(&vectors[i], &vectors[j])).collect()
}

/// The dot product.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Scales to length one; a vector without direction becomes zero.
pub(crate) fn normalise(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    let factor = if length.is_finite() && length > 0.0 { 1.0 / length } else { 0.0 };
    vector.iter_mut().for_each(|value| *value = if factor > 0.0 { (f64::from(*value) * factor) as f32 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, f64::NAN, 2.0]), [3.5, 1.0, 3.5, 0.0, 2.0]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn correlation_is_that_of_the_formula_without_ties() {
        // 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 0, 1, -1, 0, 2, -2.
        let metric = spearman("", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[10.0, 30.0, 20.0, 40.0, 70.0, 35.0]);
        let squares = [0.0, 1.0, 1.0, 1.0, 1.0, 4.0];
        assert!((metric.value - (1.0 - 6.0 * squares.iter().sum::<f64>() / 210.0)).abs() < 1e-12, "{}", metric.value);
        assert!(metric.interval[0] <= metric.value && metric.value <= metric.interval[1]);
    }

    #[test]
    fn pairs_of_items_are_resampled_by_item() {
        let vectors: Vec<Vec<f32>> = (0..40u16).map(|i| vec![f32::from(i * 7 % 11), f32::from(i * 5 % 13)]).collect();
        let values = cosines(&vectors);
        assert_eq!(values.len(), 40 * 39 / 2);
        let same = spearman_of_pairs("", 40, &values, &values);
        assert!((same.value - 1.0).abs() < 1e-12 && same.interval[0] > 0.999_999);
        let flat = spearman_of_pairs("", 40, &values, &vec![0.0; values.len()]);
        assert_eq!(flat.value, 0.0);
        // As many independent pairs would give a narrower interval.
        let noisy: Vec<f64> = values.iter().enumerate().map(|(i, v)| v + 30.0 * (i as f64 * 0.7).sin()).collect();
        let width = |metric: &Metric| metric.interval[1] - metric.interval[0];
        assert!(width(&spearman_of_pairs("", 40, &values, &noisy)) > width(&spearman("", &values, &noisy)));
    }
}
