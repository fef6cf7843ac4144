//! Codewords by least squares, indices fixed.
//!
//! A decoded matrix is linear in its codewords `c`, so the output error `tr((W - Q(c)) H (W - Q(c))^T)` is a quadratic form in them. Its
//! minimum is found by conjugate gradients, preconditioned by the diagonal: a step costs one product with `H`, and every step lowers the
//! error, so that few suffice. All sums have one order.

use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::plan::Plan;
use crate::stream::Coded;

/// Steps. Measured on the layers of a transformer, later ones gain below a hundredth of what all before have.
const STEPS: usize = 10;

/// Rows that one task multiplies.
const STRIP: usize = 8;

/// Numbers of all classes' codebooks, one after another.
pub(crate) type Codewords = Vec<f64>;

/// The quadratic form at hand.
pub(crate) struct Problem<'a> {
    /// The weights.
    pub matrix: &'a Matrix,
    /// The second moment of the inputs, damped, row-major.
    pub moment: &'a [f32],
    /// Which columns share codebooks.
    pub plan: &'a Plan,
    /// Whose indices count.
    pub coded: &'a [Coded],
}

impl Problem<'_> {
    /// Calls `each` with every weight's place in column-major order, and the places of the numbers it is the sum of.
    fn visit(&self, mut each: impl FnMut(usize, usize, Option<usize>)) {
        let mut start = 0;
        for (class, (book, coded)) in self.plan.books.iter().zip(self.coded).enumerate() {
            let (length, vectors) = (usize::from(book.vector), book.vectors(self.matrix.rows));
            let seconds = start + (length << book.first);
            let columns = (0..self.matrix.columns).filter(|&column| usize::from(self.plan.class_of[column]) == class);
            for (column, indices) in columns.zip(coded.indices.chunks_exact(vectors.max(1))) {
                for (row, at) in (0..self.matrix.rows).zip(column * self.matrix.rows..) {
                    let [first, second] = indices[row / length].map(|index| index as usize * length + row % length);
                    each(at, start + first, (book.second > 0).then_some(seconds + second));
                }
            }
            start += book.numbers();
        }
    }

    /// The matrix of these codewords, column-major.
    fn spread(&self, codewords: &[f64]) -> Vec<f32> {
        let mut out = vec![0f32; self.matrix.values.len()];
        self.visit(|at, first, second| out[at] = (codewords[first] + second.map_or(0.0, |at| codewords[at])) as f32);
        out
    }

    /// The sum of a column-major matrix over the weights of every codeword.
    fn gather(&self, values: &[f32]) -> Codewords {
        let mut sums = vec![0f64; self.plan.books.iter().map(|book| book.numbers()).sum()];
        self.visit(|at, first, second| {
            sums[first] += f64::from(values[at]);
            if let Some(second) = second {
                sums[second] += f64::from(values[at]);
            }
        });
        sums
    }

    /// A column-major matrix times the second moment.
    fn product(&self, values: &[f32]) -> Vec<f32> {
        let (rows, columns) = (self.matrix.rows, self.matrix.columns);
        let across = seedpress_matrix::transpose(values, columns, rows);
        let mut out = vec![0f32; values.len()];
        out.par_chunks_mut(STRIP * columns).zip(across.par_chunks(STRIP * columns)).for_each(|(out, across)| {
            for (column, moments) in self.moment.chunks_exact(columns).enumerate() {
                for (out, across) in out.chunks_exact_mut(columns).zip(across.chunks_exact(columns)) {
                    seedpress_matrix::add_scaled(out, across[column], moments);
                }
            }
        });
        seedpress_matrix::transpose(&out, rows, columns)
    }

    /// Codewords of less error, from those at hand.
    pub(crate) fn solve(&self) -> Codewords {
        let numbers = self.coded.iter().flat_map(|coded| coded.codewords.iter());
        let mut codewords: Codewords = numbers.map(|number| f64::from(number.to_f32())).collect();
        let decoded = self.spread(&codewords);
        let errors: Vec<f32> = self.matrix.values.iter().zip(&decoded).map(|(w, q)| w - q).collect();
        let mut rest = self.gather(&self.product(&errors));
        let rows = self.matrix.rows;
        let diagonal: Vec<f32> =
            (0..errors.len()).map(|at| self.moment[at / rows * (self.matrix.columns + 1)]).collect();
        let scale = self.gather(&diagonal);
        let conditioned = |rest: &[f64]| -> Codewords {
            rest.iter().zip(&scale).map(|(rest, &scale)| if scale > 0.0 { rest / scale } else { 0.0 }).collect()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut step = conditioned(&rest);
        let mut power = dot(&rest, &step);
        for _ in 0..STEPS {
            let curved = self.gather(&self.product(&self.spread(&step)));
            let curvature = dot(&step, &curved);
            if curvature <= 0.0 || power <= 0.0 {
                break;
            }
            let length = power / curvature;
            codewords.iter_mut().zip(&step).for_each(|(number, step)| *number += length * step);
            rest.iter_mut().zip(&curved).for_each(|(rest, curved)| *rest -= length * curved);
            let next = conditioned(&rest);
            let more = dot(&rest, &next);
            step.iter_mut().zip(&next).for_each(|(step, next)| *step = next + more / power * *step);
            power = more;
        }
        codewords
    }
}
