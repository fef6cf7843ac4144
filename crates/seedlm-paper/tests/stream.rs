//! Written bytes: distortion, rate, and what any tensor must survive.

#![allow(clippy::unwrap_used)] // Helpers of tests, outside the lint's own exemption.

mod common;

use common::{Random, preset};
use seedpress_codec::{AnyCodec, Codec, DType, EncodeContext, InputStatistics, Int, Registry, TensorView};
use seedpress_seedlm_paper::{Config, SeedLm, register};

fn distortion(config: &Config, count: usize, scale: f64) -> (f64, f64) {
    let mut random = Random(1);
    let values: Vec<f32> = (0..count).map(|_| (random.gaussian() * scale) as f32).collect();
    let shape = [count / 256, 256];
    let tensor = TensorView::new("w", &shape, &values, DType::F32).unwrap();
    let bytes =
        AnyCodec::new(SeedLm::new(config.clone())).encode(&tensor, &EncodeContext::default()).unwrap().to_bytes();
    let back = register(Registry::default()).decode_bytes(&bytes).unwrap().tensor;
    let square = |x: f64| x * x;
    let lost: f64 = values.iter().zip(back.values()).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let energy: f64 = values.iter().map(|a| square(f64::from(*a))).sum();
    (lost / energy, bytes.len() as f64 * 8.0 / count as f64)
}

#[test]
fn distortion_and_rate_of_the_written_bytes() {
    for (config, bits, bound) in [(preset(8, 3), 4.0, 0.0146), (preset(12, 4), 3.0, 0.0492)] {
        for scale in [1.0, 1e-6, 1e6] {
            let (loss, rate) = distortion(&config, 12288, scale);
            assert!(loss < bound && rate < bits + 0.1, "scale {scale}: relMSE {loss}, {rate} bits");
        }
    }
}

/// The figures of 2^20 weights: .01413 and .04794 measured. The search is exact (`tests/search.rs`) and the octaves' phase, the only
/// freedom left to the tensor's scale, moves them by less than .0002 (`examples/grids.rs`), so .0139 and .0468, which were hoped for,
/// lie beyond whole octaves. Half octaves and quarters reach them at the same bits.
#[test]
#[ignore = "a minute"]
fn distortion_of_a_million_gaussian_weights() {
    let bounds = [(preset(8, 3), [0.01418, 0.0129, 0.0121]), (preset(12, 4), [0.0481, 0.0462, 0.0452])];
    for (config, bounds) in bounds {
        for (exponents, bound) in [1, 2, 4].into_iter().zip(bounds) {
            let config = Config { exponents_per_octave: Int::of(exponents), ..config.clone() };
            let start = std::time::Instant::now();
            let (loss, rate) = distortion(&config, 1 << 20, 1.0);
            let block = config.block.get();
            println!("block {block}, 1/{exponents} octaves: relMSE {loss:.5} at {rate:.4} bits, {:?}", start.elapsed());
            assert!(loss < bound);
        }
    }
}

/// Weighted errors shrink and plain errors grow where columns count differently.
#[test]
fn calibration_moves_error_to_columns_that_matter_less() {
    let (rows, columns) = (24, 16);
    let mut random = Random(9);
    let values: Vec<f32> = (0..rows * columns).map(|_| random.gaussian() as f32).collect();
    let shape = [rows, columns];
    let tensor = TensorView::new("w", &shape, &values, DType::F32).unwrap();
    let mean_square: Vec<f32> = (0..columns).map(|column| if column % 3 == 0 { 25.0 } else { 0.5 }).collect();
    let calibration = InputStatistics::from_mean_square(100, mean_square.clone()).unwrap();
    let context = EncodeContext { calibration: Some(&calibration), ..EncodeContext::default() };
    let errors = |weighted| {
        let config = Config { weighted, k: Int::of(10), ..preset(8, 3) };
        let bytes = AnyCodec::new(SeedLm::new(config)).encode(&tensor, &context).unwrap().to_bytes();
        let back = register(Registry::default()).decode_bytes(&bytes).unwrap().tensor;
        let pairs = values.iter().zip(back.values()).enumerate();
        pairs.fold((0.0, 0.0), |(plain, scaled), (index, (a, b))| {
            let square = (f64::from(*a) - f64::from(*b)).powi(2);
            (plain + square, scaled + square * f64::from(mean_square[index % columns]))
        })
    };
    let (plain, weighted) = (errors(false), errors(true));
    assert!(weighted.1 < 0.8 * plain.1 && weighted.0 > plain.0, "{plain:?} {weighted:?}");
}

#[test]
fn extremes_stay_finite_and_threads_do_not_matter() {
    let codec = AnyCodec::new(SeedLm::default());
    for values in [vec![f32::MAX, -f32::MAX, 1.0], vec![f32::from_bits(1); 9], vec![0.0; 5], vec![3.0], vec![0.25; 100]]
    {
        let shape = [values.len()];
        let tensor = TensorView::new("w", &shape, &values, DType::F32).unwrap();
        let encode = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| codec.encode(&tensor, &EncodeContext::default()).unwrap().to_bytes())
        };
        assert_eq!(encode(1), encode(3));
        let back = register(Registry::default()).decode_bytes(&encode(1)).unwrap().tensor;
        assert!(back.values().iter().all(|value| value.is_finite()));
    }
}
