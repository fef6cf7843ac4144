//! Lloyd's iterations with Hamerly's bounds.
//!
//! Each point keeps an upper bound on the distance to its own centroid and a lower bound on that to all others. Moving centroids loosen
//! both; as long as the first is below the second, or below half the way from its centroid to the next one, the label cannot change and
//! no distance is computed (G. Hamerly, "Making k-means even faster", SIAM SDM 2010). Bounds are widened by more than rounding can
//! amount to ([`margin`]), so that labels are those of a full search, always.

use rayon::prelude::*;

use crate::clusters::{Clusters, Settings};
use crate::nearest::{Nearest, NearestCentroid, distance};
use crate::points::Points;

/// Points a task assigns.
const PART: usize = 1024;

/// Points in a partial sum of centroids, at least; and partial sums, at most.
const LEAST: usize = 8192;
const MOST: usize = 32;

/// More than the relative error of a distance, of its square root and of the few sums of bounds since it was computed.
fn margin(dimension: usize) -> f32 {
    (dimension + 8) as f32 * f32::EPSILON
}

/// What is known of a point.
#[derive(Clone, Copy)]
struct Bound {
    label: u32,
    /// At least the distance to the centroid of this label.
    upper: f32,
    /// At most the distance to any other.
    lower: f32,
}

/// How centroids moved: everyone's way, the longest of all and whose it is, and the longest of the others.
struct Moves {
    each: Vec<f32>,
    longest: (f32, u32),
    next: f32,
}

struct State<'a> {
    points: Points<'a>,
    centroids: Vec<f32>,
    bounds: Vec<Bound>,
}

/// Weights and weighted sums of the points of every centroid.
struct Sums {
    weights: Vec<f64>,
    sums: Vec<f64>,
}

/// Iterates from these centroids.
pub(crate) fn run(points: Points<'_>, centroids: Vec<f32>, settings: &Settings) -> Clusters {
    let unknown = Bound { label: 0, upper: f32::INFINITY, lower: 0.0 };
    let mut state = State { points, centroids, bounds: vec![unknown; points.count()] };
    state.assign(None);
    let enough = settings.tolerance * state.inertia();
    let mut iterations = 0;
    while iterations < settings.iterations {
        iterations += 1;
        let (moves, gain) = state.update();
        state.assign(Some(&moves));
        if gain <= enough {
            break;
        }
    }
    let inertia = state.inertia();
    let labels = state.bounds.iter().map(|bound| bound.label).collect();
    Clusters { centroids: state.centroids, labels, inertia, iterations }
}

impl State<'_> {
    fn centroid(&self, label: u32) -> &[f32] {
        &self.centroids[label as usize * self.points.dimension..][..self.points.dimension]
    }

    fn cost(&self, index: usize) -> f64 {
        let squared = distance(self.points.point(index), self.centroid(self.bounds[index].label));
        f64::from(self.points.weight(index)) * f64::from(squared)
    }

    /// The weighted squared distances of all points to their centroids.
    fn inertia(&self) -> f64 {
        let part = |part: usize| (part * PART..(part * PART + PART).min(self.bounds.len())).map(|i| self.cost(i)).sum();
        let parts: Vec<f64> = (0..self.bounds.len().div_ceil(PART)).into_par_iter().map(part).collect();
        parts.iter().sum()
    }

    /// Gives every point the label of its nearest centroid, after these moves.
    fn assign(&mut self, moves: Option<&Moves>) {
        let dimension = self.points.dimension;
        let (more, less) = (1.0 + margin(dimension), 1.0 - margin(dimension));
        let nearest = Nearest::new(&self.centroids, dimension);
        let reach: Vec<f32> = match moves {
            // At the first time every point is searched for anyway.
            None => Vec::new(),
            Some(_) => half_ways(&nearest, &self.centroids, dimension).into_iter().map(|way| way * less).collect(),
        };
        let (points, centroids) = (self.points, &self.centroids);
        self.bounds.par_chunks_mut(PART).enumerate().for_each(|(part, bounds)| {
            let mut open = [0u32; PART];
            let mut count = 0;
            for (at, bound) in bounds.iter_mut().enumerate() {
                if let Some(moves) = moves {
                    let label = bound.label as usize;
                    let longest = if moves.longest.1 == bound.label { moves.next } else { moves.longest.0 };
                    bound.upper = (bound.upper + moves.each[label]) * more;
                    bound.lower = (bound.lower - longest) * less;
                    let limit = reach[label].max(bound.lower);
                    if bound.upper < limit {
                        continue;
                    }
                    let own = distance(points.point(part * PART + at), &centroids[label * dimension..][..dimension]);
                    bound.upper = own.sqrt() * more;
                    if bound.upper < limit {
                        continue;
                    }
                }
                open[count] = at as u32;
                count += 1;
            }
            let mut found = [NearestCentroid::default(); PART];
            let open = &open[..count];
            nearest.search(count, |index| points.point(part * PART + open[index] as usize), &mut found[..count]);
            for (&at, found) in open.iter().zip(&found) {
                let (upper, lower) = (found.distance.sqrt() * more, found.other.sqrt() * less);
                bounds[at as usize] = Bound { label: found.label, upper, lower };
            }
        });
    }

    /// Moves every centroid to the mean of its points; returns the moves and by how much the inertia fell.
    fn update(&mut self) -> (Moves, f64) {
        let dimension = self.points.dimension;
        let mut sums = self.sums();
        self.fill_empty(&mut sums);
        let mut moves = Moves { each: vec![0f32; sums.weights.len()], longest: (0.0, 0), next: 0.0 };
        let mut gain = 0f64;
        for (label, (&weight, sum)) in sums.weights.iter().zip(sums.sums.chunks_exact(dimension)).enumerate() {
            if weight <= 0.0 {
                continue;
            }
            let old = &mut self.centroids[label * dimension..][..dimension];
            let mut squared = 0f64;
            for (old, sum) in old.iter_mut().zip(sum) {
                let new = (sum / weight) as f32;
                squared += (f64::from(new) - f64::from(*old)).powi(2);
                *old = new;
            }
            gain += weight * squared;
            let way = squared.sqrt() as f32 * (1.0 + margin(dimension));
            moves.each[label] = way;
            if way > moves.longest.0 {
                moves.next = moves.longest.0;
                moves.longest = (way, label as u32);
            } else {
                moves.next = moves.next.max(way);
            }
        }
        (moves, gain)
    }

    /// In parts of fixed length, added in their order.
    fn sums(&self) -> Sums {
        let (dimension, count) = (self.points.dimension, self.bounds.len());
        let centroids = self.centroids.len() / dimension;
        // A partial sum must be worth its memory.
        let length = count.div_ceil(MOST).max(LEAST).max(4 * centroids);
        let sum = |(part, bounds): (usize, &[Bound])| {
            let mut sums = Sums { weights: vec![0f64; centroids], sums: vec![0f64; centroids * dimension] };
            for (at, bound) in bounds.iter().enumerate() {
                sums.add(
                    bound.label,
                    self.points.point(part * length + at),
                    self.points.weight(part * length + at),
                    1.0,
                );
            }
            sums
        };
        let parts: Vec<Sums> = self.bounds.par_chunks(length).enumerate().map(sum).collect();
        let add = |mut total: Sums, part: Sums| {
            total.weights.iter_mut().zip(&part.weights).for_each(|(total, part)| *total += part);
            total.sums.iter_mut().zip(&part.sums).for_each(|(total, part)| *total += part);
            total
        };
        parts.into_iter().reduce(add).unwrap_or(Sums { weights: Vec::new(), sums: Vec::new() })
    }

    /// Gives each empty cluster the point that costs most where it is.
    fn fill_empty(&mut self, sums: &mut Sums) {
        let empty: Vec<u32> =
            (0..).zip(&sums.weights).filter(|(_, weight)| **weight <= 0.0).map(|(label, _)| label).collect();
        if empty.is_empty() {
            return;
        }
        let mut costly: Vec<(f64, usize)> =
            (0..self.bounds.len()).map(|index| (self.cost(index), index)).filter(|(cost, _)| *cost > 0.0).collect();
        costly.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (label, (_, index)) in empty.into_iter().zip(costly) {
            let (point, weight) = (self.points.point(index), self.points.weight(index));
            sums.add(self.bounds[index].label, point, weight, -1.0);
            sums.add(label, point, weight, 1.0);
            // It is to be searched for again.
            self.bounds[index] = Bound { label, upper: f32::INFINITY, lower: 0.0 };
        }
    }
}

impl Sums {
    #[inline]
    fn add(&mut self, label: u32, point: &[f32], weight: f32, sign: f64) {
        let (label, weight) = (label as usize, f64::from(weight) * sign);
        self.weights[label] += weight;
        let sums = &mut self.sums[label * point.len()..][..point.len()];
        sums.iter_mut().zip(point).for_each(|(sum, &x)| *sum += weight * f64::from(x));
    }
}

/// Half the distance of every centroid to the next one.
fn half_ways(nearest: &Nearest, centroids: &[f32], dimension: usize) -> Vec<f32> {
    let mut ways = vec![0f32; centroids.len() / dimension];
    ways.par_chunks_mut(PART).enumerate().for_each(|(part, ways)| {
        let mut found = [NearestCentroid::default(); PART];
        let point = |index: usize| &centroids[(part * PART + index) * dimension..][..dimension];
        nearest.search(ways.len(), point, &mut found[..ways.len()]);
        // The nearest is the centroid itself, or its twin.
        ways.iter_mut().zip(&found).for_each(|(way, found)| *way = 0.5 * found.other.sqrt());
    });
    ways
}
