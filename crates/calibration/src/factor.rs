//! The factor of a second moment, by which errors are fed forward.
//!
//! With `H = A^T D A`, `A` unit lower triangular, the output error of a row is
//! `e^T H e = sum_i d_i (e_i + sum_{j<i} a_ij e_j)^2`: quantise the columns in order, each aiming at its weight plus what earlier errors
//! call for, and column `i` counts `d_i`. This is LDLQ (J. Chee et al., "QuIP", NeurIPS 2023, arXiv 2307.13304), which the same paper
//! proves to be the sweep of GPTQ (E. Frantar et al., ICLR 2023, arXiv 2210.17323): its upper Cholesky factor `U` of `H^-1` is
//! `D^-1/2 A^-T`, so `d_i = 1 / U_ii^2`. Nothing is inverted here, which is cheaper by a factor of three and safe for matrices that
//! are nearly singular.

use rayon::prelude::*;
use seedpress_matrix::{View, add_product};

use crate::ldl::{Ldl, solve};
use crate::statistics::{InputStatistics, is_permutation};

/// Products below this many terms are not shared among threads.
const PARALLEL: usize = 1 << 20;
/// Columns that one task is fed.
const TASK: usize = 64;

/// GPTQ's damping, in parts of the mean square: directions that calibration never saw may still come.
pub const DAMPING: f64 = 0.01;

/// What to add to the diagonal of a second moment of this diagonal: `fraction` of its mean, and 1 where that is zero, so that inputs
/// that were always silent count alike.
#[must_use]
pub fn damping(mean_square: &[f32], fraction: f64) -> f64 {
    let mean = mean_square.iter().map(|&square| f64::from(square)).sum::<f64>() / mean_square.len().max(1) as f64;
    let ridge = fraction * mean;
    if ridge > 0.0 && ridge.is_finite() { ridge } else { 1.0 }
}

/// In which order a sweep visits columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As they are stored.
    #[default]
    Natural,
    /// Those of the largest mean square first, while there are most columns left to make up for their errors ("act-order" of GPTQ).
    Activation,
}

impl Order {
    /// The columns as visited; equal ones as stored.
    #[must_use]
    pub fn of(self, mean_square: &[f32]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..mean_square.len()).collect();
        if self == Self::Activation {
            order.sort_by(|&a, &b| mean_square[b].total_cmp(&mean_square[a]));
        }
        order
    }
}

/// `H + ridge I = A^T D A`.
///
/// Defined for every `H`: a column whose inputs were always zero is an island (nothing is fed to or from it), a matrix of zeros makes a
/// sweep plain rounding, and where a matrix has too little rank the ridge stands in. Takes `12 columns^2` bytes while it is made and
/// `4 columns^2` afterwards.
#[derive(Debug, Clone)]
pub struct Factor {
    order: Vec<usize>,
    diagonal: Vec<f64>,
    lower: Vec<f32>,
}

impl Factor {
    /// The factor of the second moment, its diagonal raised by [`damping`]; `None` where only mean squares were collected.
    #[must_use]
    pub fn new(statistics: &InputStatistics, fraction: f64, order: Order) -> Option<Self> {
        let (second_moment, mean_square) = (statistics.second_moment()?, statistics.mean_square());
        let order = order.of(mean_square);
        let columns = order.len();
        let row = |&row: &usize| order.iter().map(move |&column| f64::from(second_moment[row * columns + column]));
        let matrix = order.iter().flat_map(row).collect();
        Some(Self::from_ldl(Ldl::new(matrix, columns, damping(mean_square, fraction)), order))
    }

    /// The factor of a matrix, row-major, symmetric and positive semidefinite, for who shapes it himself. Needs `ridge > 0`.
    ///
    /// # Panics
    /// If the matrix is not square of `order.len()` columns or `order`, the columns as visited, is no permutation of them.
    #[must_use]
    pub fn from_matrix(matrix: &[f64], order: Vec<usize>, ridge: f64) -> Self {
        let columns = order.len();
        assert_eq!(matrix.len(), columns * columns, "the matrix is square");
        assert!(is_permutation(&order, columns), "the order holds every column once");
        let row = |&row: &usize| order.iter().map(move |&column| matrix[row * columns + column]);
        let matrix = order.iter().flat_map(row).collect();
        Self::from_ldl(Ldl::new(matrix, columns, ridge), order)
    }

    fn from_ldl(ldl: Ldl, order: Vec<usize>) -> Self {
        Self { order, diagonal: ldl.diagonal, lower: ldl.lower.into_iter().map(|entry| entry as f32).collect() }
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.order.len()
    }

    /// The columns in the order of the sweep.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// `D` in the order of the sweep: what a squared error of a column costs when all later ones make up for it, above zero.
    #[must_use]
    pub fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    /// `A`'s entry in row `i` left of the diagonal, `j < i`, both in the order of the sweep.
    #[inline]
    #[must_use]
    pub fn entry(&self, i: usize, j: usize) -> f32 {
        debug_assert!(j < i, "entries lie left of the diagonal");
        self.lower[i * self.columns() + j]
    }

    /// Adds what errors call for to what later columns aim at, on all threads. `errors` are those of the columns from `start` on and
    /// `targets` belong to the columns from `first` on, both column-major, `height` rows, in the order of the sweep.
    ///
    /// # Panics
    /// If the columns overlap or are not as many.
    pub fn feed(&self, start: usize, errors: &[f32], first: usize, targets: &mut [f32], height: usize) {
        let columns = self.columns();
        let (count, errors) = (errors.len().checked_div(height).unwrap_or(0), View::new(errors, height));
        assert!(start + count <= first, "errors are fed to later columns");
        let update = |first: usize, targets: &mut [f32]| {
            let rows = View::strided(&self.lower[first * columns + start..], targets.len() / height, count, columns);
            add_product(targets, height, rows, errors);
        };
        if targets.is_empty() {
            return;
        }
        if targets.len() * count < PARALLEL {
            return update(first, targets);
        }
        targets.par_chunks_mut(TASK * height).enumerate().for_each(|(task, own)| update(first + task * TASK, own));
    }

    /// Solves `x H = w` for every row of a matrix of `height` rows in column-major order (stored order of columns), in place.
    ///
    /// # Panics
    /// If the matrix has other columns.
    pub fn solve(&self, values: &mut [f32], height: usize) {
        assert_eq!(values.len(), self.columns() * height, "the matrix has the columns of the factor");
        if self.order.is_sorted() {
            return solve(&self.lower, &self.diagonal, values, height);
        }
        let mut sorted: Vec<f32> =
            self.order.iter().flat_map(|&at| &values[at * height..][..height]).copied().collect();
        solve(&self.lower, &self.diagonal, &mut sorted, height);
        for (at, column) in self.order.iter().zip(sorted.chunks_exact(height.max(1))) {
            values[at * height..][..height].copy_from_slice(column);
        }
    }
}

#[cfg(test)]
mod tests {
    use seedpress_matrix::add_scaled;

    use super::*;

    /// A second moment of twice as many samples as columns.
    pub(super) fn example(columns: usize) -> Vec<f64> {
        let x: Vec<f64> =
            (0..columns * 2 * columns).map(|i| ((i * i * 31 + i * 7) % 113) as f64 / 113.0 - 0.4).collect();
        let mut h = vec![0.0; columns * columns];
        for sample in x.chunks(columns) {
            for i in 0..columns {
                for j in 0..columns {
                    h[i * columns + j] += sample[i] * sample[j];
                }
            }
        }
        h
    }

    /// Column by column, without blocks.
    fn plain(h: &[f64], columns: usize, ridge: f64) -> (Vec<f64>, Vec<f32>) {
        let mut rows = h.to_vec();
        let mut diagonal = vec![0.0; columns];
        rows.iter_mut().step_by(columns + 1).for_each(|entry| *entry += ridge);
        for i in (0..columns).rev() {
            let (above, row) = rows.split_at_mut(i * columns);
            diagonal[i] = row[i].max(0.5 * ridge);
            let inverse = 1.0 / diagonal[i];
            row[..i].iter_mut().for_each(|entry| *entry *= inverse);
            for (j, target) in above.chunks_exact_mut(columns).enumerate() {
                add_scaled(&mut target[..=j], -(row[j] * diagonal[i]), &row[..=j]);
            }
        }
        (diagonal, rows.iter().map(|&entry| entry as f32).collect())
    }

    #[test]
    fn blocks_agree_with_the_recursion() {
        for columns in [1, 2, 77, 128, 129, 300] {
            let h = example(columns);
            let factor = Factor::from_matrix(&h, (0..columns).collect(), 0.1);
            let (diagonal, lower) = plain(&h, columns, 0.1);
            assert!(factor.diagonal().iter().zip(&diagonal).all(|(a, b)| (a / b - 1.0).abs() < 1e-9));
            for i in 0..columns {
                let pairs = factor.lower[i * columns..][..i].iter().zip(&lower[i * columns..][..i]);
                assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5), "{columns} {i}");
            }
        }
    }

    #[test]
    fn the_factors_multiply_to_the_matrix() {
        let columns = 77;
        let h = example(columns);
        let factor = Factor::from_matrix(&h, (0..columns).rev().collect(), 0.1);
        let a = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => f64::from(factor.entry(i, j)),
        };
        for i in 0..columns {
            for j in 0..columns {
                let product: f64 = (0..columns).map(|k| a(k, i) * factor.diagonal()[k] * a(k, j)).sum();
                let wanted = h[factor.order()[i] * columns + factor.order()[j]] + if i == j { 0.1 } else { 0.0 };
                assert!((product - wanted).abs() < 1e-4, "{i} {j}: {product} {wanted}");
            }
        }
    }

    #[test]
    fn solving_inverts_the_product() {
        for (columns, order) in [(70, Order::Natural), (300, Order::Natural), (300, Order::Activation)] {
            let h = example(columns);
            let diagonal: Vec<f32> = h.iter().step_by(columns + 1).map(|&d| d as f32).collect();
            let factor = Factor::from_matrix(&h, order.of(&diagonal), 1.0);
            for height in [0, 1, 3, 40] {
                let x: Vec<f32> = (0..columns * height).map(|i| (i * 37 % 41) as f32 / 41.0 - 0.5).collect();
                let mut w = vec![0f32; x.len()];
                for j in 0..columns {
                    for row in 0..height {
                        let entry = |i: usize| h[i * columns + j] + if i == j { 1.0 } else { 0.0 };
                        let sum: f64 = (0..columns).map(|i| entry(i) * f64::from(x[i * height + row])).sum();
                        w[j * height + row] = sum as f32;
                    }
                }
                factor.solve(&mut w, height);
                assert!(w.iter().zip(&x).all(|(a, b)| (a - b).abs() < 2e-3), "{columns} {height}");
            }
        }
    }

    /// The upper Cholesky factor of the inverse, as GPTQ has it, by dense elimination.
    #[test]
    fn the_diagonal_is_that_of_gptq() {
        let columns = 12;
        let h = example(columns);
        let factor = Factor::from_matrix(&h, (0..columns).collect(), 0.5);
        // What is left of the first columns' curvature once all later ones are eliminated: 1 / (H_ii-th leading inverse's corner).
        for i in 0..columns {
            // The inverse of the trailing block from i on; its first entry is U_ii^2.
            let n = columns - i;
            let mut m: Vec<Vec<f64>> = (i..columns)
                .map(|r| {
                    let unit = (0..n).map(|c| if c == r - i { 1.0 } else { 0.0 });
                    (i..columns).map(|c| h[r * columns + c] + if r == c { 0.5 } else { 0.0 }).chain(unit).collect()
                })
                .collect();
            for pivot in 0..n {
                let scale = m[pivot][pivot];
                m[pivot].iter_mut().for_each(|value| *value /= scale);
                for row in (0..n).filter(|&row| row != pivot) {
                    let factor = m[row][pivot];
                    let source = m[pivot].clone();
                    m[row].iter_mut().zip(source).for_each(|(to, from)| *to -= factor * from);
                }
            }
            assert!((factor.diagonal()[i] * m[0][n] - 1.0).abs() < 1e-9, "{i}");
        }
    }

    #[test]
    fn degenerate_matrices_have_a_factor() {
        let statistics = |moment: Vec<f32>, columns| InputStatistics::from_second_moment(1, columns, moment).unwrap();
        // Zeros: plain rounding.
        let zero = Factor::new(&statistics(vec![0.0; 9], 3), DAMPING, Order::Natural).unwrap();
        assert_eq!((zero.diagonal(), zero.entry(2, 0)), ([1.0; 3].as_slice(), 0.0));
        // One sample, 200 columns: rank 1.
        let x: Vec<f32> = (0..200).map(|i| (i % 7) as f32 - 3.0).collect();
        let one = statistics(x.iter().flat_map(|a| x.iter().map(move |b| a * b)).collect(), 200);
        let ridge = damping(one.mean_square(), DAMPING);
        let factor = Factor::new(&one, DAMPING, Order::Natural).unwrap();
        assert!(factor.diagonal().iter().all(|&d| d >= 0.5 * ridge && d.is_finite()));
        assert!(factor.lower.iter().all(|entry| entry.is_finite()));
        // A silent column is an island.
        let mut moment: Vec<f32> = example(5).iter().map(|&h| h as f32).collect();
        (0..5).for_each(|at| (moment[2 * 5 + at], moment[at * 5 + 2]) = (0.0, 0.0));
        let silent = Factor::new(&statistics(moment, 5), DAMPING, Order::Natural).unwrap();
        assert!((0..2).all(|j| silent.entry(2, j) == 0.0) && (3..5).all(|i| silent.entry(i, 2) == 0.0));
        // Not positive semidefinite: defined all the same.
        let broken = Factor::new(
            &statistics(vec![1.0, -1.0, -1.0, -1.0, 1.0, -1.0, -1.0, -1.0, 1.0], 3),
            DAMPING,
            Order::Natural,
        )
        .unwrap();
        assert!(broken.diagonal().iter().all(|&d| d > 0.0));
        // One column, and statistics without a second moment.
        assert_eq!(Factor::new(&statistics(vec![4.0], 1), DAMPING, Order::Activation).unwrap().diagonal(), [4.04]);
        let squares = InputStatistics::from_mean_square(1, vec![1.0]).unwrap();
        assert!(Factor::new(&squares, DAMPING, Order::Natural).is_none());
    }

    #[test]
    fn activation_order_is_stable() {
        assert_eq!(Order::Activation.of(&[1.0, 3.0, 2.0, 3.0]), [1, 3, 2, 0]);
        assert_eq!(Order::Natural.of(&[1.0, 3.0]), [0, 1]);
    }
}
