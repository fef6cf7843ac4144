//! Choices under the quadratic form of the output error.
//!
//! Blocks are columns quantised together: each aims at what makes up best for the errors of all blocks before it, and its own error counts
//! `|D^(1/2) A e|^2` with the factor's `D` and the part of `A` within the block ([`seedpress_calibration`]), which is the emphasis of its
//! windows. Blocks above one another share a table of windows.
//!
//! Where rows are no whole number of blocks, as many rows as are one are taken as a long row whose form is block diagonal: a block at a
//! seam holds the last columns of one row and the first of the next, and both are right.

use seedpress_calibration::{DAMPING, Factor, InputStatistics, Quantizer, damping, sweep};
use seedpress_codec::{EncodeContext, EncodeError, TensorView};
use seedpress_lfsr_basis::{Emphasis, Subspaces};
use seedpress_simd::Level;

use rayon::prelude::*;

use crate::config::Config;
use crate::grid::{factors, grid, unit};
use crate::search::{Choice, Grid, search};

/// Columns of a long row at most: its form takes 12 bytes for each pair of them.
const LONGEST: usize = 4096;

/// Blocks searched together: few, since rows are all there is to share among threads.
const TASK: usize = 16;

/// Weights beyond this would overflow when multiplied.
const LARGEST: f32 = 1e18;

/// The choices of all blocks in the order of the stream; `None` where the statistics do not fit or mislead, or rows and blocks meet too
/// rarely.
///
/// # Errors
/// Cancellation.
pub(crate) fn choices(
    config: &Config,
    table: &Subspaces,
    top: f32,
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
) -> Result<Option<Vec<Choice>>, EncodeError> {
    let (rows, columns) = (table.rows(), tensor.columns());
    let together = rows / common(rows, columns);
    let long = together * columns;
    let sane = tensor.values().iter().all(|value| value.abs() < LARGEST);
    let Some(statistics) = context.calibration.filter(|statistics| statistics.columns() == columns && sane) else {
        return Ok(None);
    };
    if together > 1 && long > LONGEST {
        return Ok(None);
    }
    let Some(factor) = form(statistics, rows, together) else { return Ok(None) };
    let mut values = tensor.values().to_vec();
    values.resize(values.len().next_multiple_of(long), 0.0);
    let height = values.len() / long;
    let blocks = long / rows;
    let mut coder = Coder {
        table,
        factor: &factor,
        grid: grid(config, top),
        factors: factors(top, config.exponents_per_octave.get() as u8),
        unit: unit(config.k.get() as u32),
        blocks,
        choices: vec![Choice::nothing(0.0); height * blocks],
        done: 0,
        context,
        cancelled: None,
    };
    let decoded = sweep(&factor, &values, rows, &mut coder);
    if let Some(error) = coder.cancelled {
        return Err(error);
    }
    let squared = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let error = squared(&mut values.iter().zip(&decoded).map(|(&w, &v)| f64::from(w) - f64::from(v)));
    // A form that calls for weights further away than zeros are misleads.
    let near = error < squared(&mut values.iter().map(|&w| f64::from(w)));
    coder.choices.truncate(tensor.len().div_ceil(rows));
    Ok(near.then_some(coder.choices))
}

/// The greatest common divisor.
fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

/// The factor of the form of long rows, blocks of the loudest inputs first.
fn form(statistics: &InputStatistics, block: usize, together: usize) -> Option<Factor> {
    let (columns, moment, squares) = (statistics.columns(), statistics.second_moment()?, statistics.mean_square());
    let long = together * columns;
    let mut matrix = vec![0f64; long * long];
    for row in 0..long {
        let (part, own) = (row / columns * columns, &moment[row % columns * columns..][..columns]);
        let out = &mut matrix[row * long + part..][..columns];
        out.iter_mut().zip(own).for_each(|(out, &entry)| *out = f64::from(entry));
    }
    let loudness = |start: usize| (start..start + block).map(|at| f64::from(squares[at % columns])).sum::<f64>();
    let mut starts: Vec<(usize, f64)> = (0..long).step_by(block).map(|start| (start, loudness(start))).collect();
    // Stable: blocks that are alike stay as they are stored.
    starts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let order = starts.iter().flat_map(|&(start, _)| start..start + block).collect();
    Some(Factor::from_matrix(&matrix, order, damping(squares, DAMPING)))
}

struct Coder<'a> {
    table: &'a Subspaces,
    factor: &'a Factor,
    grid: Grid,
    /// As the decoder multiplies.
    factors: [f32; 16],
    unit: f32,
    /// Blocks of a long row.
    blocks: usize,
    /// Long row by long row.
    choices: Vec<Choice>,
    /// Columns swept.
    done: usize,
    context: &'a EncodeContext<'a>,
    cancelled: Option<EncodeError>,
}

impl Coder<'_> {
    /// What the errors of the next block count.
    fn emphasis(&self) -> Emphasis {
        let rows = self.table.rows();
        let mut triangle = vec![0f64; rows * rows];
        for row in 0..rows {
            let root = self.factor.diagonal()[self.done + row].sqrt();
            for column in 0..row {
                triangle[row * rows + column] =
                    root * f64::from(self.factor.entry(self.done + row, self.done + column));
            }
            triangle[row * rows + row] = root;
        }
        Emphasis::of_form(rows, triangle)
    }

    /// The weights of a choice, as the decoder computes them.
    fn decode(&self, choice: &Choice, out: &mut [f32]) {
        let columns = self.table.columns();
        let centred = self.table.centred(choice.window as usize);
        for (out, row) in out.iter_mut().zip(centred.chunks_exact(columns)) {
            let sum: i32 = row.iter().zip(&choice.coefficients).map(|(&u, &q)| u * i32::from(q)).sum();
            *out = sum as f32 * self.unit * self.factors[usize::from(choice.exponent)];
        }
    }
}

impl Quantizer for Coder<'_> {
    fn quantize(&mut self, columns: &[usize], aims: &[f32], out: &mut [f32]) {
        self.cancelled = self.cancelled.take().or(self.context.check_cancelled().err());
        if self.cancelled.is_some() {
            return;
        }
        let rows = self.table.rows();
        let height = aims.len() / rows;
        let table = self.table.emphasised(self.emphasis());
        let blocks: Vec<f64> =
            (0..height).flat_map(|row| (0..rows).map(move |at| f64::from(aims[at * height + row]))).collect();
        let chosen: Vec<Choice> = blocks
            .par_chunks(TASK * rows)
            .flat_map_iter(|blocks| search(Level::fastest(), &table, &self.grid, blocks))
            .collect();
        let mut decoded = vec![0f32; rows];
        for (row, choice) in chosen.into_iter().enumerate() {
            self.decode(&choice, &mut decoded);
            decoded.iter().enumerate().for_each(|(at, &value)| out[at * height + row] = value);
            self.choices[row * self.blocks + columns[0] / rows] = choice;
        }
        self.done += columns.len();
        self.context.advance(aims.len());
    }
}
