//! The search against references that enumerate, at every level of instructions.

#![allow(clippy::unwrap_used)] // Helpers of tests, outside the lint's own exemption.

mod common;

use common::{Random, preset, reference, trained_weights};
use seedpress_codec::Int;
use seedpress_lfsr_basis::Subspaces;
use seedpress_lfsr_basis::subspace::BATCH;
use seedpress_seedlm_paper::Config;
use seedpress_seedlm_paper::encode::windows;
use seedpress_seedlm_paper::grid::grid;
use seedpress_seedlm_paper::search::{Choice, Grid, error, search, search_window};
use seedpress_simd::Level;

/// A third Gaussian, a third Laplacian, a third trained weights.
fn blocks(rows: usize, count: usize) -> Vec<f64> {
    let mut random = Random(7);
    let trained = trained_weights();
    let stride = trained.len() / (count / 3 + 1);
    let block = |index: usize| -> Vec<f64> {
        match index % 3 {
            0 => (0..rows).map(|_| f64::from(random.gaussian() as f32)).collect(),
            1 => (0..rows).map(|_| f64::from(random.laplace() as f32)).collect(),
            // Brought near the others' scale by a power of two, so that one grid serves all.
            _ => trained[index / 3 * stride..][..rows].iter().map(|&w| f64::from(w) * 8.0).collect(),
        }
    };
    (0..count).flat_map(block).collect()
}

/// The choices of a batch, the same at every level of this machine.
fn at_every_level(table: &Subspaces, grid: &Grid, batch: &[f64]) -> Vec<Choice> {
    let found = search(Level::Portable, table, grid, batch);
    for level in Level::supported() {
        assert_eq!(search(level, table, grid, batch), found, "{level:?}");
    }
    found
}

/// The fast search's claim is a choice no window improves on, and which the reference finds again with the same key.
fn compare(config: &Config, count: usize, pruned: bool) {
    let table = windows(config).unwrap();
    let grid = grid(config, 2.5);
    let weights = blocks(table.rows(), count);
    let mut fast = Vec::new();
    for batch in weights.chunks(table.rows() * BATCH) {
        fast.extend(at_every_level(&table, &grid, batch));
    }
    let blocks: Vec<&[f64]> = weights.chunks_exact(table.rows()).collect();
    // A pruned reference starts from the claimed error, as a choice that loses every tie: it must be found again to win.
    let start = |(block, claim): (&&[f64], &Choice)| match pruned {
        true => Choice { window: u32::MAX, ..*claim },
        false => Choice::nothing(block.iter().map(|w| w * w).sum()),
    };
    let mut expected: Vec<Choice> = blocks.iter().zip(&fast).map(start).collect();
    reference(&table, &grid, &blocks, &mut expected);
    for (index, (claim, truth)) in fast.iter().zip(&expected).enumerate() {
        // Nothing but zeros beats any window on a zero block.
        if truth.window == u32::MAX {
            assert_eq!(*claim, Choice::nothing(claim.error), "block {index}");
        } else {
            assert_eq!(claim, truth, "block {index}");
        }
    }
}

#[test]
fn the_search_is_the_reference() {
    compare(&preset(8, 3), 24, true);
    compare(&preset(12, 4), 6, true);
}

#[test]
fn every_level_chooses_alike_on_thousands_of_blocks() {
    for config in [preset(8, 3), preset(12, 4)] {
        let table = windows(&config).unwrap();
        let grid = grid(&config, 2.5);
        for batch in blocks(table.rows(), 2100).chunks(table.rows() * BATCH) {
            at_every_level(&table, &grid, batch);
        }
    }
}

/// A small register: every window, exponent and coefficient, without any bound to start from.
#[test]
fn the_search_is_the_whole_enumeration_on_a_small_register() {
    let small = |k, config| Config { k: Int::of(k), ..config };
    compare(&small(9, preset(8, 3)), 12, false);
    compare(&small(6, preset(12, 4)), 6, false);
    compare(&small(8, Config { coefficient_bits: Int::of(5), ..preset(11, 2) }), 12, false);
    compare(&small(8, Config { coefficient_bits: Int::of(8), ..preset(8, 1) }), 12, false);
    compare(&small(7, Config { coefficient_bits: Int::of(2), ..preset(9, 6) }), 6, false);
    compare(&Config { candidates: Int::of(300), ..preset(8, 3) }, 6, false);
}

/// `cargo test --release -p seedpress-seedlm-paper --test search -- --ignored`
#[test]
#[ignore = "minutes"]
fn the_search_is_the_reference_on_thousands_of_blocks() {
    compare(&preset(8, 3), 2100, true);
    compare(&preset(12, 4), 2100, true);
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
        let mut expected = Choice::nothing(block.iter().map(|w| w * w).sum());
        let mut found = expected;
        for code in 0..16 {
            for point in 0..4096i16 {
                let q = [(point >> 8) - 8, ((point >> 4) & 15) - 8, (point & 15) - 8, 0, 0, 0];
                let error = error(&block, None, &centred, 3, grid.factors[code], &q);
                expected.improve(Choice { error, window, exponent: code as u8, coefficients: q });
            }
        }
        search_window(&table, window, &block, &grid, &mut found);
        assert_eq!(found, expected, "window {window}");
    }
}

#[test]
fn every_window_of_the_presets_has_full_rank() {
    for config in [preset(8, 3), preset(12, 4)] {
        let table = windows(&config).unwrap();
        assert!((0..table.windows()).all(|window| table.factors(window).is_some()));
        assert!(table.steep() < table.windows() / 50, "{} windows need a basis of their own", table.steep());
    }
}
