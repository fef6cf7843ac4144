//! Clusters a file of little-endian binary32 values and prints time and inertia, for comparison with other implementations:
//! `inertia points.f32 <dimension> <centroids> [tolerance] [iterations]`.

#![allow(missing_docs)]

use std::time::Instant;

use seedpress_kmeans::{Points, Settings, cluster};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, dimension, centroids, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: inertia points.f32 <dimension> <centroids> [tolerance] [iterations]");
        return;
    };
    let bytes = std::fs::read(path).expect("a readable file");
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    let number = |text: &String| text.parse::<f64>().expect("a number");
    let mut settings = Settings::new(number(centroids) as usize);
    settings.tolerance = rest.first().map_or(settings.tolerance, number);
    settings.iterations = rest.get(1).map_or(settings.iterations, |text| number(text) as usize);
    let points = Points::new(&values, number(dimension) as usize);
    let start = Instant::now();
    let clusters = cluster(points, &settings);
    let seconds = start.elapsed().as_secs_f64();
    println!("{seconds:.4} s, inertia {:.6e}, {} iterations", clusters.inertia, clusters.iterations);
}
