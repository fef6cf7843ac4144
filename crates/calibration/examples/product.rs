//! How fast second moments are summed: billions of operations a second of one accumulator.

use std::time::Instant;

fn main() {
    for columns in [576usize, 1536] {
        let rows: Vec<f32> = (0..2048 * columns).map(|at| ((at * 7919) % 1013) as f32 / 1013.0 - 0.5).collect();
        let mut moments = seedpress_calibration::Accumulator::new(columns);
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed().as_secs_f64() < 2.0 {
            moments.add(&rows);
            count += 2048;
        }
        let seconds = start.elapsed().as_secs_f64();
        let operations = f64::from(count) * (columns * columns) as f64;
        println!("{columns} columns: {:.1} GFLOP/s ({:?})", operations / seconds / 1e9, moments.samples());
    }
}
