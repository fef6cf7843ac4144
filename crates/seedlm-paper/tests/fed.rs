//! Choices under the quadratic form: what they buy, rows that are no whole blocks, statistics that say little, a block against enumeration.

#![allow(clippy::unwrap_used)] // Helpers of tests, outside the lint's own exemption.

mod common;

use common::{Random, preset};
use seedpress_calibration::output_error;
use seedpress_codec::{DType, EncodeContext, InputStatistics, Registry, TensorView};
use seedpress_lfsr_basis::Emphasis;
use seedpress_lfsr_basis::subspace::BATCH;
use seedpress_seedlm_paper::encode::windows;
use seedpress_seedlm_paper::grid::grid;
use seedpress_seedlm_paper::register;
use seedpress_seedlm_paper::search::{Choice, error, search, search_window};
use seedpress_simd::Level;

fn gaussian(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count).map(|_| random.gaussian() as f32).collect()
}

/// Inputs whose neighbours are alike, some louder than others.
fn correlated(columns: usize) -> InputStatistics {
    let loud = |i: usize| (1 + i % 5) as f32;
    let entry = |i: usize, j: usize| 0.9f32.powi(i.abs_diff(j) as i32) * loud(i) * loud(j);
    let moment = (0..columns).flat_map(|i| (0..columns).map(move |j| entry(i, j))).collect();
    InputStatistics::from_second_moment(1000, columns, moment).unwrap()
}

fn encode(name: &str, values: &[f32], columns: usize, calibration: Option<&InputStatistics>) -> Vec<u8> {
    let shape = [values.len() / columns, columns];
    let tensor = TensorView::new("w", &shape, values, DType::F32).unwrap();
    let context = EncodeContext { calibration, ..EncodeContext::default() };
    register(Registry::default()).parse(name).unwrap().encode(&tensor, &context).unwrap().to_bytes()
}

fn decoded(bytes: &[u8]) -> Vec<f32> {
    register(Registry::default()).decode_bytes(bytes).unwrap().tensor.into_values()
}

#[test]
fn outputs_err_less_at_the_same_bytes() {
    // Whole blocks a row; blocks across two rows, and across three; a last block that is cut.
    for (options, rows, columns) in [("k=10", 12, 64), ("k=10", 13, 20), ("k=10,block=12,coefficients=4", 7, 20)] {
        let (values, statistics) = (gaussian(rows * columns, 3), correlated(columns));
        let error = |bytes: &[u8]| output_error(&values, &decoded(bytes), &statistics).unwrap().relative();
        let codec = format!("seedlm-paper:{options}");
        let plain = encode(&codec, &values, columns, None);
        let fed = encode(&format!("{codec},hessian=full"), &values, columns, Some(&statistics));
        let (before, after) = (error(&plain), error(&fed));
        assert!(after < 0.5 * before, "{codec} {rows} x {columns}: {after:e} against {before:e}");
        if columns == 64 {
            let weighted = encode(&format!("{codec},weighted=true"), &values, columns, Some(&statistics));
            assert!(after < 0.7 * error(&weighted), "{codec}: {after:e} against {:e}", error(&weighted));
        }
        // The record's options are a few letters longer.
        assert!(fed.len() <= plain.len() + 16);
    }
}

#[test]
fn statistics_that_say_little_do_no_harm() {
    let (rows, columns) = (6, 32);
    let values = gaussian(rows * columns, 5);
    let input = gaussian(2 * columns, 9);
    let entry = |i: usize, j: usize| input[i] * input[j] + input[columns + i] * input[columns + j];
    let low = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
    let low = InputStatistics::from_second_moment(2, columns, low).unwrap();
    let zero = InputStatistics::from_second_moment(2, columns, vec![0.0; columns * columns]).unwrap();
    let broken = (0..columns * columns).map(|at| if at % (columns + 1) == 0 { 1.0 } else { -1.0 }).collect();
    let broken = InputStatistics::from_second_moment(2, columns, broken).unwrap();
    let power: f32 = values.iter().map(|v| v * v).sum();
    for (name, statistics) in [("rank 2", low), ("zero", zero), ("not positive", broken)] {
        let back = decoded(&encode("seedlm-paper:k=8,hessian=full", &values, columns, Some(&statistics)));
        let error: f32 = values.iter().zip(&back).map(|(v, b)| (v - b).powi(2)).sum();
        assert!(error < power, "{name}: {}", error / power);
    }
    // Mean squares alone, or statistics of another layer: as without.
    let plain = decoded(&encode("seedlm-paper:k=8", &values, columns, None));
    let squares = InputStatistics::from_mean_square(9, correlated(columns).mean_square().to_vec()).unwrap();
    for statistics in [&squares, &correlated(7)] {
        assert_eq!(decoded(&encode("seedlm-paper:k=8,hessian=full", &values, columns, Some(statistics))), plain);
    }
}

#[test]
fn threads_change_no_byte() {
    let (rows, columns) = (40, 24);
    let (values, statistics) = (gaussian(rows * columns, 11), correlated(columns));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| encode("seedlm-paper:k=9,hessian=full", &values, columns, Some(&statistics)))
    };
    assert!(run(1) == run(3));
}

/// Under a form, too, the search claims what no window improves on, at every level.
#[test]
fn the_search_under_a_form_is_the_best_of_all_windows() {
    let config = preset(8, 3);
    let mut random = Random(5);
    // Well conditioned, and so badly that most windows are screened with bases of their own.
    for spread in [1.0, 40.0] {
        let triangle: Vec<f64> = (0..64)
            .map(|at: u32| match (at / 8, at % 8) {
                (row, column) if row == column => 1.0 + spread * random.uniform() * f64::from(row % 3),
                (row, column) if row > column => random.gaussian() * spread.sqrt(),
                _ => 0.0,
            })
            .collect();
        let table = windows(&config).unwrap().emphasised(Emphasis::of_form(8, triangle));
        let grid = grid(&config, 2.5);
        let blocks: Vec<f64> = (0..8 * BATCH).map(|_| random.gaussian()).collect();
        let found = search(Level::Portable, &table, &grid, &blocks);
        for level in Level::supported() {
            assert_eq!(search(level, &table, &grid, &blocks), found, "{level:?}");
        }
        for (block, claim) in blocks.chunks_exact(8).zip(&found).take(3) {
            // A bound so large that no window is passed over.
            let mut best = Choice { error: claim.error * (1.0 + 1e-9), window: u32::MAX, ..*claim };
            (0..table.windows() as u32).for_each(|window| search_window(&table, window, block, &grid, &mut best));
            assert_eq!(best, *claim, "spread {spread}");
            let factors = table.factors(claim.window as usize).unwrap();
            let factor = grid.factors[usize::from(claim.exponent)];
            assert_eq!(error(block, table.emphasis(), &factors.centred, 3, factor, &claim.coefficients), claim.error);
        }
    }
}
