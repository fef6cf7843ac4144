//! The best seed, exponent and coefficients of a block, together.
//!
//! Windows are screened by captured energy (a lower bound of every quantised error), visited from the best bound on, and for each
//! exponent the closest point of the coefficient lattice inside its box is found by Schnorr-Euchner enumeration. Lower bounds prune
//! with a margin; only [`error`], one fixed scalar order in `f64`, decides. Ties go to the lowest window, then exponent code, then the
//! lexicographically lowest coefficients.
//!
//! Where the table has an emphasis, errors are mapped by it throughout.

use seedpress_lfsr_basis::subspace::BATCH;
use seedpress_lfsr_basis::{Emphasis, Factors, Subspaces, Survivors, dot};
use seedpress_simd::Level;

/// Most coefficients a block may have.
pub const MAX_COLUMNS: usize = 6;

/// How far above the least residual the first screening keeps windows: quantised coefficients cost less than this nearly always, and
/// where they cost more a second screening follows.
const SLACK: f32 = 2.0;

/// By how much bounds of norms are widened: they are good to about 1e-14.
const NEARLY: f64 = 1e-9;

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
    /// Zeros, at the price of the block's whole energy.
    pub fn nothing(energy: f64) -> Self {
        Self { error: energy, window: 0, exponent: 0, coefficients: [0; MAX_COLUMNS] }
    }

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

/// Longest block.
const MAX_ROWS: usize = 64;

/// The squared error of a choice, mapped by the emphasis: *the* evaluation that decides.
pub fn error(
    weights: &[f64],
    emphasis: Option<&Emphasis>,
    centred: &[f64],
    columns: usize,
    factor: f64,
    coefficients: &[i16; MAX_COLUMNS],
) -> f64 {
    let mut residuals = [0.0; MAX_ROWS];
    let residuals = &mut residuals[..weights.len()];
    for (residual, (weight, row)) in residuals.iter_mut().zip(weights.iter().zip(centred.chunks_exact(columns))) {
        // Integers below 2^53: exact.
        let product = row.iter().zip(coefficients).fold(0.0, |sum, (u, &q)| sum + u * f64::from(q));
        *residual = weight - factor * product;
    }
    if let Some(emphasis) = emphasis {
        emphasis.apply(residuals);
    }
    dot(residuals, residuals)
}

struct Lattice<'a> {
    weights: &'a [f64],
    emphasis: Option<&'a Emphasis>,
    factors: &'a Factors,
    columns: usize,
    grid: &'a Grid,
    tolerance: f64,
    window: u32,
    code: usize,
    targets: [f64; MAX_COLUMNS],
}

impl Lattice<'_> {
    fn descend(&self, level: usize, spent: f64, q: &mut [i16; MAX_COLUMNS], best: &mut Choice) {
        let factor = self.grid.factors[self.code];
        if level == 0 {
            let error = error(self.weights, self.emphasis, &self.factors.centred, self.columns, factor, q);
            best.improve(Choice { error, window: self.window, exponent: self.code as u8, coefficients: *q });
            return;
        }
        let column = level - 1;
        let row = &self.factors.r[column * self.columns..][..self.columns];
        let mut target = self.targets[column];
        for later in level..self.columns {
            target -= factor * row[later] * f64::from(q[later]);
        }
        let step = factor * row[column];
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
            self.descend(column, total, q, best);
            if below <= above { down -= 1 } else { up += 1 }
        }
    }
}

/// One block: its weights, and those mapped by the emphasis.
struct Block<'a> {
    weights: &'a [f64],
    scaled: Vec<f64>,
    energy: f64,
}

impl<'a> Block<'a> {
    fn new(table: &Subspaces, weights: &'a [f64]) -> Self {
        let mut scaled = weights.to_vec();
        if let Some(emphasis) = table.emphasis() {
            emphasis.apply(&mut scaled);
        }
        let energy = dot(&scaled, &scaled);
        Self { weights, scaled, energy }
    }

    /// The factors at which a window can come closer than `error`: at larger ones its shortest combination is too long, at smaller ones
    /// its longest is too short.
    fn reach(&self, grid: &Grid, factors: &Factors, columns: usize, error: f64) -> std::ops::RangeInclusive<f64> {
        let squares = |column: usize| (0..=column).map(move |row| factors.r[row * columns + column]).map(|r| r * r);
        let norms: f64 = (0..columns).map(|column| squares(column).sum::<f64>().sqrt()).sum();
        let longest = -f64::from(grid.low) * norms;
        let (norm, distance) = (self.energy.sqrt(), error.sqrt());
        let least = ((norm - distance) * (1.0 - NEARLY) - NEARLY * norm) / longest;
        // Factors that underflow to zero have no place in the range either.
        least.max(f64::MIN_POSITIVE)..=(norm + distance) * (1.0 + NEARLY) / factors.shortest(columns)
    }

    fn improve(&self, table: &Subspaces, window: u32, grid: &Grid, factors: &mut Factors, best: &mut Choice) {
        if !table.factors_into(window as usize, factors) {
            return;
        }
        let columns = table.columns();
        let mut targets = [0.0; MAX_COLUMNS];
        for (target, basis) in targets.iter_mut().zip(factors.q.chunks_exact(table.rows())) {
            *target = dot(basis, &self.scaled);
        }
        let reach = self.reach(grid, factors, columns, best.error);
        let residual = self.energy - dot(&targets, &targets);
        // Factors and projections are good to about 1e-14 of the energy.
        let tolerance = 1e-11 * self.energy;
        if residual > best.error + tolerance {
            return;
        }
        // The exponent at which the largest unquantised coefficient nearly fills its range comes first, for a good bound; any order
        // gives the same choice.
        let mut largest = 0f64;
        let mut solution = [0.0; MAX_COLUMNS];
        for row in (0..columns).rev() {
            let later = (row + 1..columns).fold(targets[row], |t, k| t - factors.r[row * columns + k] * solution[k]);
            solution[row] = later / factors.r[row * columns + row];
            largest = largest.max(solution[row].abs());
        }
        let filled = |code: &usize| grid.factors[*code] * f64::from(grid.high) >= largest;
        let first = (0..16).find(filled).unwrap_or(15);
        let outward = (0..16).flat_map(|d: usize| [first.checked_sub(d), Some(first + d).filter(|_| d > 0)]);
        let mut lattice = Lattice {
            weights: self.weights,
            emphasis: table.emphasis(),
            factors,
            columns,
            grid,
            tolerance,
            window,
            code: 0,
            targets,
        };
        for code in outward.flatten().filter(|&code| code < 16 && reach.contains(&grid.factors[code])) {
            lattice.code = code;
            lattice.descend(columns, residual, &mut [0; MAX_COLUMNS], best);
        }
    }
}

/// Improves `best` by the optimum of one window.
pub fn search_window(table: &Subspaces, window: u32, weights: &[f64], grid: &Grid, best: &mut Choice) {
    Block::new(table, weights).improve(table, window, grid, &mut Factors::default(), best);
}

/// The best choice of every block (up to [`BATCH`] of them, `rows` weights each).
pub fn search(level: Level, table: &Subspaces, grid: &Grid, blocks: &[f64]) -> Vec<Choice> {
    debug_assert!(blocks.len() <= BATCH * table.rows());
    let blocks: Vec<Block<'_>> = blocks.chunks_exact(table.rows()).map(|block| Block::new(table, block)).collect();
    let mut choices: Vec<Choice> = blocks.iter().map(|block| Choice::nothing(block.energy)).collect();
    // Zeros are nothing already, and every window is as good for them.
    let all: Vec<usize> = (0..blocks.len()).filter(|&index| blocks[index].energy > 0.0).collect();
    let first = |_: usize| Survivors::within_factor(SLACK, table.margin());
    let limits = visit(level, table, grid, &blocks, &all, first, &mut choices);
    // Where quantisation cost more than the windows kept allowed for: keep all that could still win.
    let again: Vec<usize> = all
        .iter()
        .zip(limits)
        .filter(|&(&index, limit)| choices[index].error > limit * blocks[index].energy)
        .map(|(&index, _)| index)
        .collect();
    let bounds: Vec<f64> = choices.iter().zip(&blocks).map(|(choice, block)| choice.error / block.energy).collect();
    visit(level, table, grid, &blocks, &again, |index| Survivors::within(bounds[index], table.margin()), &mut choices);
    choices
}

/// Screens the chosen blocks together and improves the choices of each by the windows that survive, the most promising first; returns
/// the limits of what was kept.
fn visit(
    level: Level,
    table: &Subspaces,
    grid: &Grid,
    blocks: &[Block<'_>],
    chosen: &[usize],
    kept: impl Fn(usize) -> Survivors,
    choices: &mut [Choice],
) -> Vec<f64> {
    let mut vectors = Vec::with_capacity(chosen.len() * table.rows());
    for &index in chosen {
        let norm = blocks[index].energy.sqrt();
        vectors.extend(blocks[index].scaled.iter().map(|w| (w / norm) as f32));
    }
    let mut survivors: Vec<Survivors> = chosen.iter().map(|&index| kept(index)).collect();
    table.screen_with(level, &vectors, &mut survivors);
    let mut factors = Factors::default();
    let least = grid.factors.iter().copied().filter(|&factor| factor > 0.0).fold(f64::INFINITY, f64::min);
    for (&index, survivors) in chosen.iter().zip(&mut survivors) {
        let (block, best) = (&blocks[index], &mut choices[index]);
        // Of a block far below the grid most windows have nothing that is as short.
        let longest = (block.energy.sqrt() + best.error.sqrt()) * (1.0 + NEARLY);
        for &(captured, window) in survivors.ranked(|window| least * table.shortest(window) <= longest) {
            if (1.0 - f64::from(captured) - 2.0 * f64::from(table.margin())) * block.energy > best.error {
                break;
            }
            block.improve(table, window, grid, &mut factors, best);
        }
    }
    survivors.iter().map(Survivors::limit).collect()
}
