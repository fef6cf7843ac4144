//! The best seed, exponent and coefficients of a block, together.
//!
//! Windows are screened by captured energy (a lower bound of every quantised error), visited from the best bound on, and for each
//! exponent the closest point of the coefficient lattice inside its box is found by Schnorr-Euchner enumeration. Lower bounds prune
//! with a margin; only [`error`], one fixed scalar order in `f64`, decides. Ties go to the lowest window, then exponent code, then the
//! lexicographically lowest coefficients.

use seedpress_lfsr_basis::subspace::{BATCH, Factors, Path, dot};
use seedpress_lfsr_basis::{Subspaces, Survivors};

/// Most coefficients a block may have.
pub const MAX_COLUMNS: usize = 6;

/// What a block is stored as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Squared error.
    pub error: f64,
    /// Number of the window in the table.
    pub window: u32,
    /// Exponent code, 0 to 15.
    pub exponent: u8,
    /// Coefficients; those past the last column are 0.
    pub coefficients: [i16; MAX_COLUMNS],
}

impl Choice {
    fn key(&self) -> (u32, u8, [i16; MAX_COLUMNS]) {
        (self.window, self.exponent, self.coefficients)
    }

    /// Replaces itself by a better choice.
    pub fn improve(&mut self, other: Choice) {
        if other.error < self.error || (other.error == self.error && other.key() < self.key()) {
            *self = other;
        }
    }
}

/// The format's grid: a factor for every exponent (per unit of the centred integers) and the range of coefficients.
#[derive(Debug, Clone)]
pub struct Grid {
    /// Factor of each exponent code; zero where it underflows.
    pub factors: [f64; 16],
    /// Lowest coefficient.
    pub low: i16,
    /// Highest coefficient.
    pub high: i16,
}

/// The squared error of a choice: *the* evaluation that decides.
pub fn error(weights: &[f64], centred: &[f64], columns: usize, factor: f64, coefficients: &[i16; MAX_COLUMNS]) -> f64 {
    let mut sum = 0.0;
    for (weight, row) in weights.iter().zip(centred.chunks_exact(columns)) {
        // Integers below 2^53: exact.
        let product = row.iter().zip(coefficients).fold(0.0, |sum, (u, &q)| sum + u * f64::from(q));
        let residual = weight - factor * product;
        sum += residual * residual;
    }
    sum
}

struct Lattice<'a> {
    weights: &'a [f64],
    factors: &'a Factors,
    columns: usize,
    grid: &'a Grid,
    tolerance: f64,
    window: u32,
}

impl Lattice<'_> {
    fn descend(
        &self,
        code: usize,
        targets: &[f64; MAX_COLUMNS],
        level: usize,
        spent: f64,
        q: &mut [i16; MAX_COLUMNS],
        best: &mut Choice,
    ) {
        if level == 0 {
            let error = error(self.weights, &self.factors.centred, self.columns, self.grid.factors[code], q);
            best.improve(Choice { error, window: self.window, exponent: code as u8, coefficients: *q });
            return;
        }
        let column = level - 1;
        let row = &self.factors.r[column * self.columns..][..self.columns];
        let mut target = targets[column];
        for later in level..self.columns {
            target -= self.grid.factors[code] * row[later] * f64::from(q[later]);
        }
        let step = self.grid.factors[code] * row[column];
        let centre = target / step;
        let (low, high) = (self.grid.low, self.grid.high);
        let start = centre.clamp(f64::from(low), f64::from(high)).round() as i16;
        let (mut down, mut up) = (start, start + 1);
        // Nearest first, so the first value too far ends the level.
        loop {
            let below = if down >= low { (centre - f64::from(down)).abs() } else { f64::INFINITY };
            let above = if up <= high { (f64::from(up) - centre).abs() } else { f64::INFINITY };
            let value = if below <= above { down } else { up };
            if below.min(above) == f64::INFINITY {
                return;
            }
            let distance = target - step * f64::from(value);
            let total = spent + distance * distance;
            if total > best.error + self.tolerance {
                return;
            }
            q[column] = value;
            self.descend(code, targets, column, total, q, best);
            if below <= above { down -= 1 } else { up += 1 }
        }
    }
}

/// Improves `best` by the optimum of one window.
pub fn search_window(table: &Subspaces, window: u32, weights: &[f64], grid: &Grid, best: &mut Choice) {
    let Some(factors) = table.factors(window as usize) else { return };
    let energy = dot(weights, weights);
    let mut targets = [0.0; MAX_COLUMNS];
    for (target, basis) in targets.iter_mut().zip(factors.q.chunks_exact(table.rows())) {
        *target = dot(basis, weights);
    }
    let residual = energy - dot(&targets, &targets);
    // Factors and projections are good to about 1e-14 of the energy.
    let tolerance = 1e-11 * energy;
    if residual > best.error + tolerance {
        return;
    }
    let lattice = Lattice { weights, factors: &factors, columns: table.columns(), grid, tolerance, window };
    for code in (0..16).rev().filter(|&code| grid.factors[code] > 0.0) {
        lattice.descend(code, &targets, table.columns(), residual, &mut [0; MAX_COLUMNS], best);
    }
}

/// The best choice of every block (up to [`BATCH`] of them, `rows` weights each).
pub fn search(path: Path, table: &Subspaces, grid: &Grid, blocks: &[f64]) -> Vec<Choice> {
    debug_assert!(blocks.len() <= BATCH * table.rows());
    let unit = |block: &[f64]| {
        let norm = dot(block, block).sqrt();
        block.iter().map(|w| if norm > 0.0 { (w / norm) as f32 } else { 0.0 }).collect::<Vec<_>>()
    };
    let vectors: Vec<Vec<f32>> = blocks.chunks_exact(table.rows()).map(unit).collect();
    let mut survivors = vec![Survivors::within_factor(2.5, table.margin()); vectors.len()];
    table.screen_with(path, &vectors.concat(), &mut survivors);
    let mut choices = Vec::with_capacity(vectors.len());
    for ((block, vector), survivors) in blocks.chunks_exact(table.rows()).zip(&vectors).zip(&mut survivors) {
        let energy = dot(block, block);
        let mut best = Choice { error: energy, window: 0, exponent: 0, coefficients: [0; MAX_COLUMNS] };
        if energy > 0.0 {
            let limit = survivors.limit();
            for &(captured, window) in survivors.ranked() {
                if (1.0 - f64::from(captured) - 2.0 * f64::from(table.margin())) * energy > best.error {
                    break;
                }
                search_window(table, window, block, grid, &mut best);
            }
            if best.error > limit * energy {
                // Quantisation cost more than the windows kept allowed for: keep all that could still win.
                let mut again = [Survivors::within(best.error / energy, table.margin())];
                table.screen_with(path, vector, &mut again);
                for &(_, window) in again[0].ranked() {
                    search_window(table, window, block, grid, &mut best);
                }
            }
        }
        choices.push(best);
    }
    choices
}
