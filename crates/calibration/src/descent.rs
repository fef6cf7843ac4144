//! Changing blocks of columns one after another, each to what is best while all others stay.
//!
//! A sweep settles a column once, before it knows what later ones become. Going over the columns again lowers the output error
//! `e H e^T` of every row further, never raises it: with the gradient `g = e H` at hand, block `b` with its own part `H_bb` of the second
//! moment would best become `v_b + g_b H_bb^-1`, and whatever comes nearer to that in the metric `H_bb` is an improvement. This is
//! coordinate descent as in K. Behdin et al., "QuantEase" (arXiv 2309.01885), by blocks.

use crate::factor::{Factor, damping};
use crate::statistics::InputStatistics;
use seedpress_matrix::{View, add_product};

/// The second moment with its diagonal raised, and the factors of its blocks.
#[derive(Debug, Clone)]
pub struct Blocks {
    columns: usize,
    width: usize,
    matrix: Vec<f32>,
    factors: Vec<Factor>,
}

impl Blocks {
    /// Blocks of `width` neighbouring columns, the last one smaller; `None` where only mean squares were collected.
    ///
    /// # Panics
    /// If `width` is 0.
    #[must_use]
    pub fn new(statistics: &InputStatistics, fraction: f64, width: usize) -> Option<Self> {
        let (columns, second_moment) = (statistics.columns(), statistics.second_moment()?);
        assert!(width > 0, "blocks hold columns");
        let ridge = damping(statistics.mean_square(), fraction);
        let factor = |start: usize| {
            let count = width.min(columns - start);
            let row = |row: usize| second_moment[row * columns + start..][..count].iter().map(|&h| f64::from(h));
            let matrix: Vec<f64> = (start..start + count).flat_map(row).collect();
            Factor::from_matrix(&matrix, (0..count).collect(), ridge)
        };
        let factors = (0..columns).step_by(width).map(factor).collect();
        let mut matrix = second_moment.to_vec();
        matrix.iter_mut().step_by(columns + 1).for_each(|entry| *entry = (f64::from(*entry) + ridge) as f32);
        Some(Self { columns, width, matrix, factors })
    }

    /// Factors of the blocks' own parts of the matrix.
    #[must_use]
    pub fn factors(&self) -> &[Factor] {
        &self.factors
    }

    /// The gradient for rows whose errors `w - v` are these, row-major.
    ///
    /// # Panics
    /// If the errors are no rows of as many columns.
    #[must_use]
    pub fn gradient(&self, errors: &[f32]) -> Gradient<'_> {
        assert!(errors.len().is_multiple_of(self.columns), "the errors are whole rows");
        let mut values = vec![0f32; errors.len()];
        let columns = self.columns;
        add_product(&mut values, columns, View::new(errors, columns), View::new(&self.matrix, columns));
        Gradient { blocks: self, values }
    }
}

/// `e H` of some rows, kept up to date.
#[derive(Debug, Clone)]
pub struct Gradient<'a> {
    blocks: &'a Blocks,
    values: Vec<f32>,
}

impl Gradient<'_> {
    /// By how much the block's columns would best change in every row, all others staying: column-major, all rows of its first column first.
    #[must_use]
    pub fn pull(&self, block: usize) -> Vec<f32> {
        let (columns, start) = (self.blocks.columns, block * self.blocks.width);
        let factor = &self.blocks.factors[block];
        let column = |at: usize| self.values.iter().skip(start + at).step_by(columns).copied();
        let mut pull: Vec<f32> = (0..factor.columns()).flat_map(column).collect();
        factor.solve(&mut pull, self.values.len() / columns);
        pull
    }

    /// The block's columns were changed by this much, column-major as in [`pull`](Self::pull).
    ///
    /// # Panics
    /// If it has another shape.
    pub fn change(&mut self, block: usize, by: &[f32]) {
        let (columns, start) = (self.blocks.columns, block * self.blocks.width);
        let (width, height) = (self.blocks.factors[block].columns(), self.values.len() / columns);
        assert_eq!(by.len(), width * height, "the change has the shape of the block");
        // Errors fall by what values rise.
        let lowered: Vec<f32> = (0..height).flat_map(|row| (0..width).map(move |at| -by[at * height + row])).collect();
        let right = View::strided(&self.blocks.matrix[start * columns..], width, columns, columns);
        add_product(&mut self.values, columns, View::strided(&lowered, height, width, width), right);
    }

    /// `e H e^T` summed over the rows, whose errors `e` are these.
    #[must_use]
    pub fn error(&self, errors: &[f32]) -> f64 {
        self.values.iter().zip(errors).map(|(&g, &e)| f64::from(g) * f64::from(e)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::DAMPING;

    fn statistics(columns: usize) -> InputStatistics {
        let entry = |i: usize, j: usize| 0.9f32.powi(i.abs_diff(j) as i32) * (1 + i % 3) as f32 * (1 + j % 3) as f32;
        let moment = (0..columns).flat_map(|i| (0..columns).map(move |j| entry(i, j))).collect();
        InputStatistics::from_second_moment(5, columns, moment).unwrap()
    }

    fn noise(count: usize) -> Vec<f32> {
        (0..count as u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    #[test]
    fn following_the_pull_lowers_the_error_to_nothing() {
        for (columns, width) in [(20, 8), (16, 16), (5, 1)] {
            let statistics = statistics(columns);
            let blocks = Blocks::new(&statistics, DAMPING, width).unwrap();
            let mut errors = noise(3 * columns);
            let mut gradient = blocks.gradient(&errors);
            let (first, mut last) = (gradient.error(&errors), f64::INFINITY);
            for _ in 0..300 {
                for block in 0..columns.div_ceil(width) {
                    let pull = gradient.pull(block);
                    for (index, by) in pull.iter().enumerate() {
                        errors[index % 3 * columns + block * width + index / 3] -= by;
                    }
                    gradient.change(block, &pull);
                    let error = gradient.error(&errors);
                    assert!(error <= last * 1.0001 + 1e-6 * first, "{columns} {width}: {error} after {last}");
                    last = error;
                }
            }
            assert!(last < 1e-4 * first, "{columns} {width}: {last} of {first}");
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_quadratic_form() {
        let (columns, statistics) = (7, statistics(7));
        let blocks = Blocks::new(&statistics, DAMPING, 3).unwrap();
        let errors = noise(2 * columns);
        let gradient = blocks.gradient(&errors);
        let ridge = damping(statistics.mean_square(), DAMPING);
        for (index, &found) in gradient.values.iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let entry = |i: usize| {
                f64::from(statistics.second_moment().unwrap()[i * columns + column])
                    + if i == column { ridge } else { 0.0 }
            };
            let wanted: f64 = (0..columns).map(|i| f64::from(errors[row * columns + i]) * entry(i)).sum();
            assert!((f64::from(found) - wanted).abs() < 1e-4, "{index}");
        }
        assert!(Blocks::new(&InputStatistics::from_mean_square(1, vec![1.0]).unwrap(), DAMPING, 3).is_none());
    }
}
