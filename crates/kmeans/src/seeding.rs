//! First centroids by k-means++ (D. Arthur, S. Vassilvitskii, SODA 2007): each next one is a point, drawn with a chance that grows with
//! its cost so far; of a few candidates the one that lowers the cost most (the greedy variant of the same paper's implementation).

use rayon::prelude::*;

use crate::points::Points;
use crate::random::Random;

/// Points a task treats: their costs and one component stay in the first cache.
const PART: usize = 2048;

/// Differences of components that candidates may cost; beyond, fewer candidates have to do.
const BUDGET: usize = 20_000_000_000;

/// Costs of all points, in binary32, and their sum in parts.
struct Costs {
    each: Vec<f32>,
    parts: Vec<f64>,
}

impl Costs {
    fn total(&self) -> f64 {
        self.parts.iter().sum()
    }

    /// The point where the running sum passes `share` of the total; never one without cost, where any has one.
    fn at(&self, share: f64) -> usize {
        let mut left = share * self.total();
        let mut part = 0;
        while part + 1 < self.parts.len() && left >= self.parts[part] {
            left -= self.parts[part];
            part += 1;
        }
        let mut last = None;
        for (index, &cost) in self.each.iter().enumerate().skip(part * PART).take(PART).filter(|(_, cost)| **cost > 0.0)
        {
            last = Some(index);
            if left < f64::from(cost) {
                return index;
            }
            left -= f64::from(cost);
        }
        // Rounding of the sums may lead past the last point with a cost.
        last.or_else(|| self.each.iter().position(|&cost| cost > 0.0)).unwrap_or(0)
    }
}

/// The sum in eight lanes, so that no addition waits for the one before.
fn sum(costs: &[f32]) -> f64 {
    let mut lanes = [0f64; 8];
    let (eights, rest) = costs.as_chunks::<8>();
    for eight in eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, &cost)| *lane += f64::from(cost));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &cost)| *lane += f64::from(cost));
    lanes.iter().sum()
}

/// Points with their components apart, for loops along points.
struct Columns {
    values: Vec<f32>,
    weights: Option<Vec<f32>>,
    count: usize,
    dimension: usize,
}

impl Columns {
    fn new(points: Points<'_>) -> Self {
        let (count, dimension) = (points.count(), points.dimension);
        let values = (0..dimension).flat_map(|j| points.values[j..].iter().step_by(dimension).copied()).collect();
        Self { values, weights: points.weights.map(<[f32]>::to_vec), count, dimension }
    }

    /// The lesser of each cost and that of the way to `center`.
    fn with(&self, costs: Option<&Costs>, center: &[f32]) -> Costs {
        let mut each = vec![0f32; self.count];
        let parts = each
            .par_chunks_mut(PART)
            .enumerate()
            .map(|(part, each)| {
                let first = part * PART;
                for (j, &c) in center.iter().enumerate().take(self.dimension) {
                    let values = &self.values[j * self.count + first..][..each.len()];
                    each.iter_mut().zip(values).for_each(|(sum, &x)| *sum += (x - c) * (x - c));
                }
                if let Some(weights) = &self.weights {
                    each.iter_mut().zip(&weights[first..]).for_each(|(cost, &weight)| *cost *= weight);
                }
                if let Some(costs) = costs {
                    let before = &costs.each[first..];
                    each.iter_mut()
                        .zip(before)
                        .for_each(|(cost, &before)| *cost = if before < *cost { before } else { *cost });
                }
                sum(each)
            })
            .collect();
        Costs { each, parts }
    }
}

/// As many first centroids as asked for. Once every point is one, or has no weight, the first point is repeated.
pub(crate) fn centroids(points: Points<'_>, wanted: usize, random: &mut Random) -> Vec<f32> {
    let columns = Columns::new(points);
    let work = points.values.len().saturating_mul(wanted);
    // 2 + ln k, as scikit-learn has it.
    let candidates = (2 + wanted.ilog2() as usize * 7 / 10).min(BUDGET / work.max(1)).max(1);
    let weights: Vec<f32> = (0..points.count()).map(|index| points.weight(index)).collect();
    let parts = weights.chunks(PART).map(|part| part.iter().map(|&weight| f64::from(weight)).sum()).collect();
    let first = Costs { each: weights, parts }.at(random.unit());
    let mut centroids = points.point(first).to_vec();
    let mut costs = columns.with(None, points.point(first));
    while centroids.len() < wanted * points.dimension {
        if costs.total() <= 0.0 {
            centroids.extend_from_slice(points.point(first));
            continue;
        }
        let mut best: Option<(f64, usize, Costs)> = None;
        for _ in 0..candidates {
            let index = costs.at(random.unit());
            let trial = columns.with(Some(&costs), points.point(index));
            let total = trial.total();
            if best.as_ref().is_none_or(|best| total < best.0) {
                best = Some((total, index, trial));
            }
        }
        if let Some((_, index, trial)) = best {
            centroids.extend_from_slice(points.point(index));
            costs = trial;
        }
    }
    centroids
}
