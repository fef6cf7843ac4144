//! What the windows of a sequence cover: statistics of states, and how near random vectors find a window.

#![allow(clippy::unwrap_used)] // Helpers of tests, outside the lint's own exemption.

use seedpress_lfsr_basis::{Sequence, Subspaces, Survivors};

/// Unit vectors in random directions: sums of twelve uniform numbers are normal enough.
fn directions(rows: usize, count: usize) -> Vec<f32> {
    let mut state = 11u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count)
        .flat_map(|_| {
            let vector: Vec<f64> = (0..rows).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect();
            let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
            vector.into_iter().map(move |v| (v / norm) as f32)
        })
        .collect()
}

/// Mean and largest part of a unit vector's energy that the best window leaves.
fn residuals(decimation: u32, rows: usize, columns: usize, count: usize) -> (f64, f64) {
    let sequence = Sequence::new(16, None, decimation).unwrap();
    let windows = Subspaces::new(sequence, rows, columns, 0, None);
    let left: Vec<f64> = directions(rows, count)
        .chunks(rows)
        .map(|vector| {
            let mut survivors = [Survivors::within_factor(1.0, windows.margin())];
            windows.screen(vector, &mut survivors);
            1.0 - f64::from(survivors[0].ranked(|_| true)[0].0)
        })
        .collect();
    (left.iter().sum::<f64>() / count as f64, left.iter().copied().fold(0.0, f64::max))
}

/// Correlation of values `lag` apart.
fn correlation(sequence: &Sequence, lag: usize) -> f64 {
    let values = &sequence.values()[..sequence.len() + lag];
    let product = |offset: usize| -> f64 {
        (0..sequence.len()).map(|i| f64::from(values[i]) * f64::from(values[i + offset])).sum()
    };
    product(lag) / product(0)
}

/// A state is half the state before it plus a new bit: correlations halve with every step. Every 29th state knows nothing of it.
#[test]
fn decimation_removes_the_correlation_of_neighbours() {
    let plain = Sequence::new(16, None, 1).unwrap();
    let decimated = Sequence::new(16, None, 29).unwrap();
    for lag in 1..=8 {
        assert!((correlation(&plain, lag) - 0.5f64.powi(lag as i32)).abs() < 0.01, "{lag}");
        assert!(correlation(&decimated, lag).abs() < 0.02, "{lag}: {}", correlation(&decimated, lag));
    }
}

/// Every pair of neighbouring states falls into every cell of a grid equally often, within four standard deviations.
#[test]
fn pairs_of_a_decimated_sequence_fill_the_plane() {
    let sequence = Sequence::new(16, None, 29).unwrap();
    let states = sequence.states();
    let mut cells = [0u32; 64];
    for (index, &state) in states.iter().enumerate() {
        let next = states[(index + 1) % states.len()];
        cells[((state >> 13) * 8 + (next >> 13)) as usize] += 1;
    }
    let expected = states.len() as f64 / 64.0;
    assert!(cells.iter().all(|&count| (f64::from(count) - expected).abs() < 4.0 * expected.sqrt()), "{cells:?}");
}

/// One decimated window comes far nearer to a vector of eight than one of consecutive states, on average and at worst.
#[test]
fn decimated_windows_cover_directions_better() {
    let (plain, decimated) = (residuals(1, 8, 1, 200), residuals(11, 8, 1, 200));
    println!("one column: consecutive {plain:?}, decimated {decimated:?}");
    assert!(decimated.0 < 0.1 && decimated.1 < 0.2 && plain.0 > 2.0 * decimated.0 && plain.1 > 2.0 * decimated.1);
    // With several columns, correlated neighbours still span nearly the same planes as independent ones.
    let (plain, decimated) = (residuals(1, 8, 3, 100), residuals(11, 8, 3, 100));
    println!("three columns: consecutive {plain:?}, decimated {decimated:?}");
    assert!(plain.0 < 0.02 && decimated.0 < 0.02);
}
