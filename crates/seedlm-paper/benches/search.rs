//! One thread, all 65,535 seeds: the joint search against evaluating seed after seed, four blocks an iteration.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use seedpress_lfsr_basis::subspace::BATCH;
use seedpress_lfsr_basis::{Factors, Subspaces, dot};
use seedpress_seedlm_paper::encode::windows;
use seedpress_seedlm_paper::grid::grid;
use seedpress_seedlm_paper::search::{Choice, Grid, MAX_COLUMNS, error, search, search_window};
use seedpress_simd::Level;

#[path = "../tests/common/mod.rs"]
mod common;

/// The paper's procedure: for every seed least squares, the smallest exponent that holds the largest coefficient, rounding, error.
fn rounded_per_seed(table: &Subspaces, grid: &Grid, block: &[f64]) -> Choice {
    let columns = table.columns();
    let mut best = Choice::nothing(dot(block, block));
    let mut factors = Factors::default();
    for window in 0..table.windows() {
        if !table.factors_into(window, &mut factors) {
            continue;
        }
        let mut solution = [0.0; MAX_COLUMNS];
        for row in (0..columns).rev() {
            let target = dot(&factors.q[row * table.rows()..][..table.rows()], block);
            let later = (row + 1..columns).fold(target, |t, k| t - factors.r[row * columns + k] * solution[k]);
            solution[row] = later / factors.r[row * columns + row];
        }
        let largest = solution.iter().fold(0f64, |largest, t| largest.max(t.abs()));
        let code = (0..16).find(|&code| grid.factors[code] * 7.5 >= largest).unwrap_or(15);
        let q =
            solution.map(|t| (t / grid.factors[code]).round().clamp(f64::from(grid.low), f64::from(grid.high)) as i16);
        let error = error(block, None, &factors.centred, columns, grid.factors[code], &q);
        best.improve(Choice { error, window: window as u32, exponent: code as u8, coefficients: q });
    }
    best
}

/// What the search finds, seed after seed: every window's own lattice search from the bound of the best so far.
fn joint_per_seed(table: &Subspaces, grid: &Grid, block: &[f64]) -> Choice {
    let mut best = Choice::nothing(dot(block, block));
    for window in 0..table.windows() as u32 {
        search_window(table, window, block, grid, &mut best);
    }
    best
}

fn bench(criterion: &mut Criterion) {
    for (rows, columns) in [(8, 3), (12, 4)] {
        let config = common::preset(rows, columns);
        let Ok(table) = windows(&config) else { return };
        let grid = grid(&config, 2.5);
        let mut random = common::Random(5);
        let weights: Vec<f64> = (0..table.rows() * 4 * BATCH).map(|_| random.gaussian()).collect();
        let name = format!("{rows}x{columns}");
        let mut group = criterion.benchmark_group("search");
        group.sample_size(10);
        group.throughput(Throughput::Elements((table.rows() * 4) as u64));
        let four = || weights.chunks_exact(table.rows()).take(4);
        group.bench_function(BenchmarkId::new("rounded_per_seed", &name), |bencher| {
            bencher.iter(|| four().map(|block| rounded_per_seed(&table, &grid, black_box(block)).error).sum::<f64>());
        });
        group.bench_function(BenchmarkId::new("joint_per_seed", &name), |bencher| {
            bencher.iter(|| four().map(|block| joint_per_seed(&table, &grid, black_box(block)).error).sum::<f64>());
        });
        group.throughput(Throughput::Elements(weights.len() as u64));
        for level in Level::supported() {
            group.bench_function(BenchmarkId::new(format!("{level:?}").to_lowercase(), &name), |bencher| {
                bencher.iter(|| {
                    let batches = weights.chunks(table.rows() * BATCH);
                    batches.map(|batch| search(level, &table, &grid, black_box(batch)).len()).sum::<usize>()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
