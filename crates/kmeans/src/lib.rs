//! Weighted k-means on slices: the building block of every codec with a learned codebook.
//!
//! Given points `x_i` with weights `w_i >= 0`, it looks for `k` centroids of low inertia `sum_i w_i min_c |x_i - c|^2`. Four steps:
//!
//! 1. *a coreset*: where points are many, a weighted sample stands for them that surely holds what is far out (`sample`);
//! 2. *seeding* by k-means++ on it (`seeding`);
//! 3. *Lloyd's iterations* on the coreset, then on all points, with Hamerly's bounds to spare the distances that cannot change a label
//!    (`lloyd`);
//! 4. *repair* of empty clusters in between: each moves to the point that costs most.
//!
//! Every distance is computed in one order of binary32 operations (`nearest`), whatever the vector unit, every sum in binary64 over parts
//! whose number depends on the data alone: the same input gives the same centroids on any machine and any number of threads.
//!
//! ```
//! use seedpress_kmeans::{Points, Settings, cluster};
//!
//! let values = [0.0, 0.1, 5.0, 5.1];
//! let clusters = cluster(Points::new(&values, 1), &Settings::new(2));
//! assert_eq!(clusters.labels[0], clusters.labels[1]);
//! assert_ne!(clusters.labels[0], clusters.labels[2]);
//! ```

mod clusters;
mod lloyd;
mod nearest;
mod points;
mod random;
mod sample;
mod seeding;

pub use clusters::{Clusters, Settings};
pub use nearest::Nearest;
pub use points::Points;

use crate::random::Random;

/// Clusters points. Without any point, every centroid is the origin.
///
/// # Panics
/// Where no centroid or more than 2^32 are asked for.
pub fn cluster(points: Points<'_>, settings: &Settings) -> Clusters {
    assert!(settings.centroids > 0 && u32::try_from(settings.centroids).is_ok(), "1 to 2^32 centroids");
    if points.count() == 0 {
        let centroids = vec![0.0; settings.centroids * points.dimension];
        return Clusters { centroids, labels: Vec::new(), inertia: 0.0, iterations: 0 };
    }
    // Squares of any finite number must neither overflow nor all vanish: a power of two changes nothing else.
    let unit = Unit::of(points.values);
    let scaled: Vec<f32> = points.values.iter().map(|&value| unit.down(value)).collect();
    let points = Points { values: &scaled, ..points };
    let mut random = Random::new(settings.seed);
    let start = match sample::coreset(points, settings.centroids, &mut random) {
        None => seeding::centroids(points, settings.centroids, &mut random),
        Some(coreset) => {
            let coreset = coreset.points(points.dimension);
            let seeds = seeding::centroids(coreset, settings.centroids, &mut random);
            lloyd::run(coreset, seeds, settings).centroids
        }
    };
    let mut clusters = lloyd::run(points, start, settings);
    clusters.centroids.iter_mut().for_each(|value| *value = unit.up(*value));
    clusters.inertia *= unit.0 * unit.0;
    clusters
}

/// A power of two: the order of magnitude of the largest value.
struct Unit(f64);

impl Unit {
    fn of(values: &[f32]) -> Self {
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        // Every finite binary32 is a normal binary64: without its fraction it is a power of two.
        let power = f64::from_bits(f64::from(largest).to_bits() & (0x7FF << 52));
        Self(if power > 0.0 && power.is_finite() { power } else { 1.0 })
    }

    fn down(&self, value: f32) -> f32 {
        (f64::from(value) / self.0) as f32
    }

    fn up(&self, value: f32) -> f32 {
        ((f64::from(value) * self.0) as f32).clamp(f32::MIN, f32::MAX)
    }
}
