//! What a clustering promises, whatever the points.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use seedpress_kmeans::{Clusters, Nearest, Points, Settings, cluster};
use seedpress_testing::Noise;

/// Sums of four uniform numbers.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut noise = Noise::new(seed);
    let mut die = || noise.unit();
    (0..count).map(|_| die() - die() + die() - die()).collect()
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// Labels are nearest, centroids are means, the inertia is what it says.
fn check(values: &[f32], dimension: usize, weights: Option<&[f32]>, clusters: &Clusters) {
    let mut labels = vec![0; values.len() / dimension];
    Nearest::new(&clusters.centroids, dimension).labels(values, &mut labels);
    assert!(labels == clusters.labels, "a label is not that of the nearest centroid");
    let cost = |(index, point): (usize, &[f32])| {
        let centroid = &clusters.centroids[labels[index] as usize * dimension..][..dimension];
        weights.map_or(1.0, |weights| f64::from(weights[index])) * squared(point, centroid)
    };
    let inertia: f64 = values.chunks(dimension).enumerate().map(cost).sum();
    assert!((inertia - clusters.inertia).abs() <= 1e-5 * inertia + 1e-30, "{inertia:e} {:e}", clusters.inertia);
    assert!(clusters.centroids.iter().all(|value| value.is_finite()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn bounds_change_no_label(count in 1usize..600, dimension in 1usize..9, centroids in 1usize..50, seed: u64, grid in 0u32..3) {
        let mut values = noise(count * dimension, seed);
        if grid > 0 {
            // Ties everywhere.
            values.iter_mut().for_each(|value| *value = (*value * grid as f32).round());
        }
        let weights: Vec<f32> = noise(count, seed ^ 1).iter().map(|weight| weight.max(0.0)).collect();
        let plain = cluster(Points::new(&values, dimension), &Settings::new(centroids));
        check(&values, dimension, None, &plain);
        let any = weights.iter().any(|&weight| weight > 0.0);
        let weighted = cluster(Points::new(&values, dimension).weighted(&weights), &Settings::new(centroids));
        check(&values, dimension, any.then_some(weights.as_slice()), &weighted);
    }
}

#[test]
fn as_many_centroids_as_distinct_points_lose_nothing() {
    let values: Vec<f32> = (0..900).map(|i| (i % 9) as f32).collect();
    for centroids in [9, 10, 40] {
        let clusters = cluster(Points::new(&values, 1), &Settings::new(centroids));
        assert_eq!(clusters.inertia, 0.0, "{centroids}");
        assert_eq!(clusters.centroids.len(), centroids);
    }
    let few = cluster(Points::new(&values[..3], 1), &Settings::new(16));
    assert_eq!(few.inertia, 0.0);
    let none = cluster(Points::new(&[], 4), &Settings::new(3));
    assert_eq!((none.centroids, none.labels), (vec![0.0; 12], Vec::new()));
}

#[test]
fn points_without_weight_do_not_pull() {
    let values = [0.0, 1.0, 50.0, 100.0, 101.0];
    let clusters = cluster(Points::new(&values, 1).weighted(&[1.0, 1.0, 0.0, 1.0, 1.0]), &Settings::new(2));
    let mut centroids = clusters.centroids.clone();
    centroids.sort_by(f32::total_cmp);
    assert_eq!(centroids, [0.5, 100.5]);
    // No weight at all is the same as equal weights.
    let none = cluster(Points::new(&values, 1).weighted(&[0.0; 5]), &Settings::new(2));
    assert_eq!(none, cluster(Points::new(&values, 1), &Settings::new(2)));
}

#[test]
fn one_point_far_out_costs_one_centroid() {
    for far in [1e6f32, 1e30] {
        let mut values = noise(80_000, 5);
        values[777] = far;
        let clusters = cluster(Points::new(&values, 2), &Settings::new(16));
        assert!(clusters.centroids.contains(&far), "{far}");
        assert!(clusters.centroids.iter().all(|value| value.is_finite()));
        if far < 1e10 {
            check(&values, 2, None, &clusters);
            // The rest is clustered as well as without it, but for one centroid.
            values[777] = 0.0;
            let without = cluster(Points::new(&values, 2), &Settings::new(15));
            assert!(clusters.inertia < 1.02 * without.inertia, "{} {}", clusters.inertia, without.inertia);
        }
    }
}

#[test]
fn magnitudes_do_not_matter() {
    let values = noise(6000, 8);
    let settings = Settings::new(20);
    let one = cluster(Points::new(&values, 3), &settings);
    for exponent in [-100, 60] {
        let unit = 2f32.powi(exponent);
        let scaled: Vec<f32> = values.iter().map(|value| value * unit).collect();
        let other = cluster(Points::new(&scaled, 3), &settings);
        assert!(one.labels == other.labels);
        assert!(one.centroids.iter().zip(&other.centroids).all(|(a, b)| a * unit == *b));
    }
}

#[test]
fn threads_change_no_bit() {
    let values = noise(4 * 30_000, 9);
    let weights: Vec<f32> = noise(30_000, 10).iter().map(|weight| weight.abs()).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let settings = Settings { iterations: 10, ..Settings::new(64) };
        pool.install(|| cluster(Points::new(&values, 4).weighted(&weights), &settings))
    };
    assert!(run(1) == run(3));
}

/// Lloyd's optimum of four levels for normal numbers (J. Max, 1960): a mean squared error of .1175.
#[test]
fn four_levels_for_normal_numbers() {
    let values: Vec<f32> = noise(3 * 200_000, 4).chunks(3).map(|three| three.iter().sum::<f32>()).collect();
    let power: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
    let clusters = cluster(Points::new(&values, 1), &Settings::new(4));
    let relative = clusters.inertia / power;
    assert!((0.113..0.1185).contains(&relative), "{relative}");
}
