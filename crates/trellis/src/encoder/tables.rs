//! From what was counted to the costs the trellis is searched with.

use crate::math::exp2;
use crate::stream::Params;
use crate::symbols::{Counts, MOST_SHIFT};
use crate::viterbi::Tables;

/// Entries of the cost tables where the binarisation has up to two low bits; every further one doubles them.
const REACH: usize = 160;
/// Entries of a table at most.
const MOST_REACH: usize = 1 << 11;

/// The tables of the points in `params` and of an entropy code that has seen `counts`.
pub(super) fn tables(params: &Params, counts: &[Counts], lambda: f32) -> Tables {
    let reach = (REACH << params.shift.saturating_sub(2)).min(MOST_REACH);
    let points =
        [0, 1].map(|quantizer| std::iter::once(0.0).chain((0..reach).map(|k| params.point(quantizer, k))).collect());
    let mut rates = Vec::with_capacity(counts.len() * (reach + 1));
    let mut costs = vec![0f32; reach];
    for counts in counts {
        counts.costs(params.shift, &mut costs);
        rates.push(1e30);
        rates.extend(costs.iter().map(|bits| bits * lambda));
    }
    Tables { reach, points, rates, lambda }
}

/// Where the search starts: counts as a Laplacian of mean magnitude `mean` (in steps) would leave them, with Q1's zero as frequent as
/// `zero` of its share. The alternation of path and tables has two good optima: one in which Q1 does without its zero (Gaussian sources,
/// high rates) and one in which both quantisers favour it (peaked sources, low rates).
pub(super) fn guess(mean: f64, shift: u32, contexts: usize, zero: f64) -> Vec<Counts> {
    let reach = (16u32 << shift).min(512);
    let rate = 2.0 / mean.max(0.05);
    let quantizer = |zero: f64| {
        let mut counts = Counts::default();
        for k in 0..reach {
            let weight = exp2(-f64::from(k) * rate * std::f64::consts::LOG2_E) * if k == 0 { zero } else { 1.0 };
            counts.add(k, (weight * 20_000.0) as u32 + 1, shift);
        }
        counts
    };
    let both = [quantizer(1.0), quantizer(zero)];
    (0..contexts).map(|context| both[context % 2].clone()).collect()
}

/// Low bits that keep the unary part short, for weights of this mean magnitude.
pub(super) fn shift(mean: f64, step: f32) -> u32 {
    let index = mean / f64::from(step) / 2.0;
    (0..MOST_SHIFT).find(|&shift| index < f64::from(5u32 << shift)).unwrap_or(MOST_SHIFT)
}
