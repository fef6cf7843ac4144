//! What the format's choices cost on Gaussian weights: where the octaves fall, how fine the exponents are, how many seeds are tried.
//!
//! `cargo run --release -p seedpress-seedlm-paper --example grids [blocks]`

use std::error::Error;
use std::time::Instant;

use seedpress_codec::Int;
use seedpress_lfsr_basis::subspace::BATCH;
use seedpress_seedlm_paper::Config;
use seedpress_seedlm_paper::encode::windows;
use seedpress_seedlm_paper::grid::grid;
use seedpress_seedlm_paper::search::{Grid, search};
use seedpress_simd::Level;

#[path = "../tests/common/mod.rs"]
mod common;

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(4000), |text| text.parse::<usize>())?;
    for config in [common::preset(8, 3), common::preset(12, 4)] {
        let rows = config.block.size();
        let mut random = common::Random(11);
        let weights: Vec<f64> = (0..rows * count).map(|_| f64::from(random.gaussian() as f32)).collect();
        let energy: f64 = weights.iter().map(|w| w * w).sum();
        let run = |config: &Config, grid: &Grid| -> Result<(f64, f64), Box<dyn Error>> {
            let table = windows(config)?;
            let start = Instant::now();
            let batches = weights.chunks(rows * BATCH);
            let lost: f64 =
                batches.flat_map(|batch| search(Level::fastest(), &table, grid, batch)).map(|c| c.error).sum();
            Ok((lost / energy, start.elapsed().as_secs_f64() * 1e6 / count as f64))
        };
        println!("block {rows}, {} coefficients, {count} blocks", config.coefficients.size());
        for phase in 0..8 {
            let top = 2.5 * 2f32.powf(phase as f32 / 8.0);
            let (loss, time) = run(&config, &grid(&config, top))?;
            println!("  octaves shifted by {phase}/8: relMSE {loss:.5}, {time:.0} us a block");
        }
        for fraction in [1, 2, 3, 4, 8] {
            for top in [0.5, 1.0, 2.0] {
                let mut grid = grid(&config, top);
                let first = grid.factors[15];
                for (code, factor) in grid.factors.iter_mut().enumerate() {
                    *factor = first * 2f64.powf((code as f64 - 15.0) / f64::from(fraction));
                }
                let (loss, _) = run(&config, &grid)?;
                println!("  {fraction} exponents an octave, top {top}: relMSE {loss:.5}");
            }
        }
        for candidates in [64, 256, 1024, 4096, 16384, 32768, 0] {
            let config = Config { candidates: Int::of(candidates), ..config.clone() };
            let (loss, time) = run(&config, &grid(&config, 2.5))?;
            println!("  {candidates:>5} candidates: relMSE {loss:.5}, {time:.0} us a block");
        }
    }
    Ok(())
}
