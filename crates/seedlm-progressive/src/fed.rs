//! Codes under the quadratic form of the output error.
//!
//! Columns are coded in blocks from the first to the last, all rows of a block together. With the factor `H = A^T D A` of the inputs' second
//! moment ([`seedpress_calibration`]) a block aims at what makes up best for the errors of all blocks before it, and its own error `e`
//! counts `|D^(1/2) A e|^2` with the part of `A` within the block. The errors handed on are those of all layers.
//!
//! Blocks go on across the ends of rows. Rows that begin at the same place within a block are coded together, those that begin with
//! one first: a block at a seam ends a row and begins the next, its form is that of both parts side by side, and what it decodes to is
//! settled when the next row's turn comes.

use seedpress_calibration::{DAMPING, Factor, InputStatistics, Order, damping};
use seedpress_codec::{EncodeContext, EncodeError};

use rayon::prelude::*;

use crate::beam::{Coder, Codes, PILOT, TASK};
use crate::block::{Block, Counts};
use crate::config::Config;
use crate::form::Form;

/// Blocks of columns that the pilot looks at: each has penalties of its own.
const PILOT_FORMS: usize = 8;

/// Mean squares of the loudest input for which the arithmetic here has room.
const LOUDNESS: std::ops::RangeInclusive<f32> = 1e-24..=1e24;

/// The damped second moment of a layer's inputs and its factor.
pub(crate) struct OutputForm<'a> {
    /// Row-major.
    pub moment: &'a [f32],
    /// What the diagonal is raised by.
    pub ridge: f32,
    factor: Factor,
}

impl<'a> OutputForm<'a> {
    /// `None` where there is no second moment of so many columns, or none of a sound size.
    pub(crate) fn new(statistics: &'a InputStatistics, columns: usize) -> Option<Self> {
        let moment = statistics.second_moment().filter(|_| statistics.columns() == columns)?;
        // Sums of products of the largest still fit `f32`; of nothing there is nothing to learn.
        let largest = statistics.mean_square().iter().fold(0f32, |largest, &square| largest.max(square));
        if !LOUDNESS.contains(&largest) {
            return None;
        }
        let factor = Factor::new(statistics, DAMPING, Order::Natural)?;
        Some(Self { moment, ridge: damping(statistics.mean_square(), DAMPING) as f32, factor })
    }

    pub(crate) fn columns(&self) -> usize {
        self.factor.columns()
    }

    /// The triangle of `length` weights from column `from` on, of which those from `present` on count nothing. Rows end within it.
    fn triangle(&self, from: usize, length: usize, present: usize) -> Vec<f64> {
        let columns = self.columns();
        let mut triangle = vec![0f64; length * length];
        for i in 0..present {
            let at = (from + i) % columns;
            let root = self.factor.diagonal()[at].sqrt();
            let first = i.saturating_sub(at);
            for j in first..i {
                triangle[i * length + j] = root * f64::from(self.factor.entry(at, at - (i - j)));
            }
            triangle[i * length + i] = root;
        }
        triangle
    }

    /// What columns aim at that make up together for what errors before them call for. Column-major, `targets` of these columns.
    fn aim(&self, from: usize, weights: &[f32], feedback: &[f32], height: usize) -> Vec<f32> {
        let mut aims: Vec<f32> = weights.iter().zip(feedback).map(|(&w, &f)| w + f).collect();
        let count = aims.len() / height;
        let mut moved = vec![0f32; height];
        for j in 0..count {
            let (done, later) = aims.split_at_mut((j + 1) * height);
            let pairs = weights[j * height..].iter().zip(&done[j * height..]);
            // Each moves those after it as if it were an error.
            moved.iter_mut().zip(pairs).for_each(|(moved, (&w, &c))| *moved = w - c);
            for (k, target) in (j + 1..count).zip(later.chunks_exact_mut(height)) {
                seedpress_matrix::add_scaled(target, self.factor.entry(from + k, from + j), &moved);
            }
        }
        aims
    }
}

/// A tensor to be coded: its values in units, and the gain of every block.
pub(crate) struct Weights<'a> {
    pub values: &'a [f32],
    pub gains: &'a [f32],
    pub block: usize,
}

/// Sets the coder's gains and weights by blocks of several columns.
///
/// # Errors
/// Cancellation.
pub(crate) fn steer(
    coder: &mut Coder,
    config: &Config,
    form: &OutputForm<'_>,
    weights: &Weights<'_>,
    context: &EncodeContext<'_>,
) -> Result<(), EncodeError> {
    let (columns, block) = (form.columns(), weights.block);
    // Blocks of the first rows that begin with one, and of later ones below them.
    let together = block / common(block, columns);
    let (across, down) = ((columns / block).max(1), weights.values.len() / columns / together);
    let places = across.min(PILOT_FORMS);
    let depth = down.min(PILOT / places);
    let from = |place: usize| place * across / places * block;
    let forms: Vec<Form> = (0..places)
        .into_par_iter()
        .map(|place| Form::new(&coder.indices, &form.triangle(from(place), block, block), block))
        .collect();
    let sample: Vec<Block<'_>> = (0..places * depth)
        .map(|number| {
            let (place, row) = (number / depth, number % depth * down / depth * together);
            let start = row * columns + from(place);
            let values = &weights.values[start..start + block];
            Block { values, gain: weights.gains[start / block], counts: Counts::Form(&forms[place]) }
        })
        .collect();
    if sample.is_empty() { Ok(()) } else { coder.steer(config, &sample, context) }
}

/// The greatest common divisor.
fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

/// The codes of all blocks; `None` where the form misleads.
///
/// # Errors
/// Cancellation.
pub(crate) fn codes(
    coder: &Coder,
    form: &OutputForm<'_>,
    weights: &Weights<'_>,
    context: &EncodeContext<'_>,
) -> Result<Option<Vec<Codes>>, EncodeError> {
    let (values, block, columns) = (weights.values, weights.block, form.columns());
    let rows = values.len() / columns;
    let mut sweep = Sweep {
        coder,
        form,
        weights,
        context,
        errors: vec![0.0; values.len()],
        codes: vec![Codes::default(); weights.gains.len()],
    };
    let together = block / common(block, columns);
    for phase in 0..together.min(rows) {
        sweep.rows(phase, together)?;
    }
    let squared = |values: &[f32]| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    // A form that calls for weights further away than zeros are misleads.
    Ok((squared(&sweep.errors) < squared(values)).then_some(sweep.codes))
}

struct Sweep<'a> {
    coder: &'a Coder,
    form: &'a OutputForm<'a>,
    weights: &'a Weights<'a>,
    context: &'a EncodeContext<'a>,
    /// Of blocks that are settled.
    errors: Vec<f32>,
    codes: Vec<Codes>,
}

impl Sweep<'_> {
    /// Codes the blocks that begin in every `together`-th row from `first` on.
    fn rows(&mut self, first: usize, together: usize) -> Result<(), EncodeError> {
        let (columns, block) = (self.form.columns(), self.weights.block);
        let starts: Vec<usize> =
            (0..self.weights.values.len()).step_by(columns).skip(first).step_by(together).collect();
        let height = starts.len();
        let mut feedback = vec![0f32; columns * height];
        // What the last rows' last blocks have settled.
        let mut at = (starts[0].next_multiple_of(block) - starts[0]).min(columns);
        self.hand_on(&starts, 0, at, &mut feedback);
        while at < columns {
            let stop = (at + block).min(columns);
            let aims = self.aims(&starts, at, stop, &feedback);
            self.code(&starts, at, aims)?;
            self.hand_on(&starts, at, stop, &mut feedback);
            at = stop;
        }
        Ok(())
    }

    /// What blocks from column `at` on aim at, one after another: where the row ends at `stop`, the next one's weights follow, and zeros
    /// where there is none.
    fn aims(&self, starts: &[usize], at: usize, stop: usize, feedback: &[f32]) -> Vec<f32> {
        let (values, block, height) = (self.weights.values, self.weights.block, starts.len());
        let own: Vec<f32> =
            (at..stop).flat_map(|column| starts.iter().map(move |start| values[start + column])).collect();
        let own = self.form.aim(at, &own, &feedback[at * height..stop * height], height);
        let mut aims = vec![0f32; height * block];
        for (row, (start, aims)) in starts.iter().zip(aims.chunks_exact_mut(block)).enumerate() {
            let (inside, beyond) = aims.split_at_mut(stop - at);
            inside.iter_mut().enumerate().for_each(|(column, aim)| *aim = own[column * height + row]);
            beyond.iter_mut().zip(&values[start + stop..]).for_each(|(aim, &value)| *aim = value);
        }
        aims
    }

    /// Codes blocks from column `at` on and notes their errors.
    fn code(&mut self, starts: &[usize], at: usize, aims: Vec<f32>) -> Result<(), EncodeError> {
        let Weights { values, gains, block } = *self.weights;
        // Only the last block of all may be cut; it counts what there is of it.
        let whole = starts.iter().filter(|&start| start + at + block <= values.len()).count();
        for (range, present) in [
            (0..whole, block),
            (whole..starts.len(), (values.len() - at).saturating_sub(starts[starts.len() - 1]).min(block)),
        ] {
            if range.is_empty() {
                continue;
            }
            let form = Form::new(&self.coder.indices, &self.form.triangle(at, block, present), block);
            let blocks: Vec<Block<'_>> = starts[range.clone()]
                .iter()
                .zip(aims[range.start * block..].chunks_exact(block))
                .map(|(start, values)| Block { values, gain: gains[(start + at) / block], counts: Counts::Form(&form) })
                .collect();
            let paths = blocks
                .par_chunks(TASK)
                .map(|blocks| {
                    self.context.check_cancelled()?;
                    let paths = self.coder.code(blocks);
                    self.context.advance((blocks.len() * block).min(values.len()));
                    Ok(paths)
                })
                .collect::<Result<Vec<_>, EncodeError>>()?;
            for (start, (path, block)) in starts[range].iter().zip(paths.iter().flatten().zip(&blocks)) {
                let from = start + at;
                self.codes[from / self.weights.block] = path.codes;
                let decoded = block.values.iter().zip(&path.residual).map(|(aim, residual)| aim - residual);
                let weights = self.errors[from..].iter_mut().zip(&values[from..]);
                weights.zip(decoded).for_each(|((error, &weight), decoded)| *error = weight - decoded);
            }
        }
        Ok(())
    }

    /// Adds what the errors of columns call for to all later columns.
    fn hand_on(&self, starts: &[usize], from: usize, to: usize, feedback: &mut [f32]) {
        let height = starts.len();
        let errors = &self.errors;
        let errors: Vec<f32> =
            (from..to).flat_map(|column| starts.iter().map(move |start| errors[start + column])).collect();
        self.form.factor.feed(from, &errors, to, &mut feedback[to * height..], height);
    }
}
