//! Encoding time by content: no kind of weights should take longer than Gaussian ones. `cargo run --release --example contents`.

use std::time::Instant;

use seedpress_codec::{Codec, DType, EncodeContext, TensorView};
use seedpress_seedlm_paper::{Config, SeedLm};
use seedpress_testing::Noise;

fn gaussian(count: usize) -> Vec<f32> {
    let mut noise = Noise::new(1);
    (0..count).map(|_| noise.bell(12)).collect()
}

fn main() {
    let noise = gaussian(256 * 64);
    let with = |edit: &dyn Fn(f32) -> f32| noise.iter().map(|&v| edit(v)).collect::<Vec<_>>();
    let contents: [(&str, Vec<f32>); 8] = [
        ("Gaussian", noise.clone()),
        ("zeros", with(&|_| 0.0)),
        ("constant", with(&|_| 0.37)),
        ("nearly constant", with(&|v| 1.0 + 0.01 * v)),
        ("binary", with(&|v| v.signum() * 0.1)),
        ("ternary", with(&|v| if v.abs() < 0.5 { 0.0 } else { v.signum() })),
        ("positive", with(&|v| v.abs())),
        ("sparse", with(&|v| if v > 1.3 { v } else { 0.0 })),
    ];
    for (name, values) in contents {
        let shape = [64, 256];
        let Ok(tensor) = TensorView::new("w", &shape, &values, DType::F32) else { return };
        let codec = SeedLm::new(Config::default());
        // The first time fills tables.
        for round in 0..2 {
            let start = Instant::now();
            if codec.encode(&tensor, &EncodeContext::default()).is_ok() && round == 1 {
                println!("{name:>16} {:.3} s", start.elapsed().as_secs_f64());
            }
        }
    }
}
