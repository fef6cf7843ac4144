//! The level of least squared error for one ternary plane.
//!
//! With the `k` largest magnitudes kept, their mean is the best level and the squared error falls by `sum^2 / k`: take the best `k`.
//! A few thousand weights are sorted and every `k` is tried. More of them are first counted into buckets by the upper bits of
//! their magnitudes. Inside a bucket no `k` can gain more than the bound in [`reach`] says, so all but the few buckets around the
//! optimum are ruled out by what is gained at the buckets' edges, and only those few are sorted: the same optimum in linear time.

use rayon::prelude::*;

/// Weights from which on buckets pay.
const MANY: usize = 1 << 14;

/// Weights that are counted by one task. Fixed, so that sums do not depend on the number of threads.
const PART: usize = 1 << 20;

/// Upper bits of a magnitude: sign (0), exponent, seven bits of the fraction.
const BUCKETS: usize = 1 << 15;
const SHIFT: u32 = 16;

/// What is kept so far, and the best so far.
#[derive(Clone, Copy, Default)]
struct Search {
    kept: f64,
    sum: f64,
    best: f64,
    level: f64,
}

impl Search {
    /// Keeps `count` more weights of this `sum`, and judges the result.
    fn keep(&mut self, count: f64, sum: f64) {
        self.kept += count;
        self.sum += sum;
        let gain = self.sum * self.sum / self.kept;
        if gain > self.best {
            (self.best, self.level) = (gain, self.sum / self.kept);
        }
    }

    /// Keeps all of `magnitudes` (as bits), the largest first.
    fn keep_each(&mut self, magnitudes: &mut [u32]) {
        // The bits of magnitudes sort as the magnitudes do, and integers sort faster.
        magnitudes.sort_unstable();
        for &magnitude in magnitudes.iter().rev() {
            self.keep(1.0, f64::from(f32::from_bits(magnitude)));
        }
    }
}

/// No choice inside a bucket of `count` weights up to `largest` gains more: `(sum + j largest)^2 / (kept + j)` bounds the gain of its
/// `j` first weights and is convex in `j`, hence largest at an end.
fn reach(before: Search, count: f64, largest: f64) -> f64 {
    let gain = |sum: f64, kept: f64| if kept > 0.0 { sum * sum / kept } else { 0.0 };
    gain(before.sum, before.kept).max(gain(before.sum + count * largest, before.kept + count))
}

fn bits(value: f32) -> u32 {
    value.abs().to_bits()
}

/// How many weights every bucket holds, and their sum.
fn histogram(values: &[f32]) -> Vec<(u64, f64)> {
    let mut total = vec![(0u64, 0f64); BUCKETS];
    let count = |part: &[f32]| {
        let mut buckets = vec![(0u64, 0f64); BUCKETS];
        for &value in part {
            let bucket = &mut buckets[(bits(value) >> SHIFT) as usize % BUCKETS];
            *bucket = (bucket.0 + 1, bucket.1 + f64::from(value.abs()));
        }
        buckets
    };
    // A few parts at a time: their buckets take memory.
    for parts in values.chunks(16 * PART) {
        let counted: Vec<_> = parts.par_chunks(PART).map(count).collect();
        for buckets in counted {
            for (total, bucket) in total.iter_mut().zip(buckets) {
                *total = (total.0 + bucket.0, total.1 + bucket.1);
            }
        }
    }
    total
}

/// The level of least squared error for `values`.
pub(crate) fn best_level(values: &[f32]) -> f32 {
    let mut search = Search::default();
    if values.len() < MANY {
        search.keep_each(&mut values.iter().map(|&value| bits(value)).collect::<Vec<_>>());
        return search.level as f32;
    }
    let buckets = histogram(values);
    let mut before = vec![Search::default(); BUCKETS];
    for (index, &(count, sum)) in buckets.iter().enumerate().rev().filter(|(_, bucket)| bucket.0 > 0) {
        before[index] = search;
        search.keep(count as f64, sum);
    }
    let open = |index: usize| {
        let largest = f64::from(f32::from_bits(((index as u32 + 1) << SHIFT) - 1));
        buckets[index].0 > 0 && reach(before[index], buckets[index].0 as f64, largest) > search.best
    };
    let open: Vec<bool> = (0..BUCKETS).map(open).collect();
    let is_open = |value: f32| open[(bits(value) >> SHIFT) as usize % BUCKETS];
    let mut inside: Vec<u32> = values.par_iter().filter(|&&value| is_open(value)).map(|&value| bits(value)).collect();
    inside.par_sort_unstable();
    let mut rest = inside.as_mut_slice();
    let mut found = search;
    while let Some(&first) = rest.first() {
        let index = first >> SHIFT;
        let (bucket, others) = rest.split_at_mut(rest.partition_point(|&magnitude| magnitude >> SHIFT == index));
        let start = before[index as usize % BUCKETS];
        let mut inner = Search { best: found.best, level: found.level, ..start };
        inner.keep_each(bucket);
        found = inner;
        rest = others;
    }
    found.level as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, levels: f64) -> Vec<f32> {
        let mut noise = seedpress_testing::Noise::new(11);
        let mut next = move || (noise.bits() >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        (0..count).map(|_| ((next() + next() * next() * 4.0) * levels).round() / levels).map(|v| v as f32).collect()
    }

    /// Every `k`, by brute force.
    fn gains(values: &[f32]) -> (f64, f64) {
        let mut search = Search::default();
        search.keep_each(&mut values.iter().map(|&value| bits(value)).collect::<Vec<_>>());
        (search.best, search.level)
    }

    #[test]
    fn buckets_find_what_trying_every_count_finds() {
        // Fine values, many ties, hardly any values, one outlier, a constant, all magnitudes from 2^-149.
        let mut cases = vec![noise(3 * MANY, 1e9), noise(MANY, 50.0), noise(MANY + 1, 2.0), vec![0.25; MANY]];
        let mut outlier = noise(MANY, 1e9);
        outlier[77] = 3000.0;
        cases.push(outlier);
        cases.push((0..MANY as u32).map(|index| f32::from_bits(index * 100_003 % 0x4700_0000)).collect());
        cases.push((0..MANY as u32).map(f32::from_bits).collect());
        for (case, values) in cases.iter().enumerate() {
            let (best, level) = gains(values);
            let found = best_level(values);
            // Sums are taken in another order, so the last bit may differ.
            let expected = level as f32;
            assert!(
                (found - expected).abs() <= expected * 1e-6,
                "case {case}: {found:e} instead of {expected:e} ({best:e})"
            );
        }
        assert_eq!(best_level(&vec![0.0; MANY]), 0.0);
    }
}
