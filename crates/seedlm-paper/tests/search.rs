//! The search against exhaustive references, and the distortion of the written bytes.

#![allow(clippy::unwrap_used)] // Helpers of tests, outside the lint's own exemption.

use seedpress_codec::{AnyCodec, Codec, DType, EncodeContext, Int, Registry, TensorView};
use seedpress_lfsr_basis::Survivors;
use seedpress_lfsr_basis::subspace::{BATCH, Path};
use seedpress_seedlm_paper::encode::{grid, windows};
use seedpress_seedlm_paper::search::{Choice, Grid, MAX_COLUMNS, error, search, search_window};
use seedpress_seedlm_paper::{Config, SeedLm, register};

fn preset(block: i64, coefficients: i64) -> Config {
    Config { block: Int::of(block), coefficients: Int::of(coefficients), ..Config::default() }
}

/// Uniform numbers in (0, 1) from SplitMix64.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + f64::EPSILON
    }

    fn gaussian(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn laplace(&mut self) -> f64 {
        let sign = if self.uniform() < 0.5 { -1.0 } else { 1.0 };
        sign * self.uniform().ln()
    }
}

fn nothing(block: &[f64]) -> Choice {
    Choice { error: block.iter().map(|w| w * w).sum(), window: 0, exponent: 0, coefficients: [0; MAX_COLUMNS] }
}

/// Every window on its own, no bound carried from one to the next.
fn brute_force(config: &Config, grid: &Grid, block: &[f64]) -> Choice {
    let table = windows(config).unwrap();
    let mut best = nothing(block);
    for window in 0..table.windows() as u32 {
        let mut alone =
            Choice { error: best.error.max(block.iter().map(|w| w * w).sum()), window: u32::MAX, ..nothing(block) };
        search_window(&table, window, block, grid, &mut alone);
        if alone.window == window {
            best.improve(alone);
        }
    }
    best
}

fn compare(config: &Config, blocks: usize) {
    let table = windows(config).unwrap();
    let mut random = Random(7);
    let grid = grid(config, 2.5);
    let rows = table.rows();
    let gaussian = blocks / 2;
    for first in (0..blocks).step_by(BATCH) {
        let draw = |random: &mut Random| if first < gaussian { random.gaussian() } else { random.laplace() };
        let weights: Vec<f64> = (0..rows * BATCH).map(|_| f64::from(draw(&mut random) as f32)).collect();
        let fast = search(Path::fastest(), &table, &grid, &weights);
        assert_eq!(search(Path::Portable, &table, &grid, &weights), fast);
        for (block, choice) in weights.chunks_exact(rows).zip(fast) {
            assert_eq!(brute_force(config, &grid, block), choice);
        }
    }
}

#[test]
fn the_fast_search_is_brute_force() {
    compare(&preset(8, 3), BATCH);
    compare(&preset(12, 4), BATCH);
}

/// `cargo test --release -p seedpress-seedlm-paper -- --ignored`
#[test]
#[ignore = "minutes"]
fn the_fast_search_is_brute_force_on_thousands_of_blocks() {
    compare(&preset(8, 3), 2000);
    compare(&preset(12, 4), 2000);
}

/// The lattice enumeration against every point of the box at every exponent.
#[test]
fn the_lattice_search_is_the_whole_box() {
    let config = preset(8, 3);
    let (table, grid) = (windows(&config).unwrap(), grid(&config, 2.5));
    let mut random = Random(3);
    for window in (0..table.windows() as u32).step_by(1311) {
        let block: Vec<f64> = (0..8).map(|_| random.gaussian()).collect();
        let centred = table.factors(window as usize).unwrap().centred;
        let mut expected = nothing(&block);
        for code in 0..16 {
            for point in 0..4096i16 {
                let q = [(point >> 8) - 8, ((point >> 4) & 15) - 8, (point & 15) - 8, 0, 0, 0];
                let error = error(&block, None, &centred, 3, grid.factors[code], &q);
                expected.improve(Choice { error, window, exponent: code as u8, coefficients: q });
            }
        }
        let mut found = nothing(&block);
        search_window(&table, window, &block, &grid, &mut found);
        assert_eq!(found, expected, "window {window}");
    }
}

#[test]
fn every_window_of_the_presets_has_full_rank() {
    for config in [preset(8, 3), preset(12, 4)] {
        let table = windows(&config).unwrap();
        assert!((0..table.windows()).all(|window| table.factors(window).is_some()));
    }
}

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

/// The figures of 2^20 weights.
#[test]
#[ignore = "minutes"]
fn distortion_of_a_million_gaussian_weights() {
    for (config, bound) in [(preset(8, 3), 0.0145), (preset(12, 4), 0.0488)] {
        let start = std::time::Instant::now();
        let (loss, rate) = distortion(&config, 1 << 20, 1.0);
        println!("block {}: relMSE {loss:.5} at {rate:.4} bits, {:?}", config.block.get(), start.elapsed());
        assert!(loss <= bound);
    }
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

/// Where the exponents' octaves fall relative to the weights.
#[test]
#[ignore = "an experiment"]
fn distortion_by_phase_of_the_scale() {
    for config in [preset(8, 3), preset(12, 4)] {
        let table = windows(&config).unwrap();
        let mut random = Random(5);
        let weights: Vec<f64> = (0..table.rows() * 2000).map(|_| random.gaussian()).collect();
        let energy: f64 = weights.iter().map(|w| w * w).sum();
        let mut residual = 0.0;
        for block in weights.chunks(table.rows()).take(500) {
            let norm = block.iter().map(|w| w * w).sum::<f64>().sqrt();
            let unit: Vec<f32> = block.iter().map(|w| (w / norm) as f32).collect();
            let mut survivors = [Survivors::within_factor(2.5, table.margin())];
            table.screen(&unit, &mut survivors);
            residual += (1.0 - f64::from(survivors[0].ranked()[0].0)) / 500.0;
        }
        println!("block {}: {residual:.5} with unquantised coefficients", table.rows());
        for phase in [1.0f32, 1.41] {
            let grid = grid(&config, 2.0 * phase);
            let start = std::time::Instant::now();
            let batches = weights.chunks(table.rows() * BATCH);
            let lost: f64 =
                batches.flat_map(|batch| search(Path::fastest(), &table, &grid, batch)).map(|c| c.error).sum();
            println!(
                "block {} phase {phase}: {:.5}, {:?} for 2000 blocks",
                table.rows(),
                lost / energy,
                start.elapsed()
            );
        }
    }
}
