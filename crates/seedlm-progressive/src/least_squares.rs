//! The normal equations of the stages' multipliers.

/// Inner products of the stages' contributions with one another and with the weights.
#[derive(Debug, Clone)]
pub(crate) struct Fit {
    size: usize,
    /// Lower triangle in a full square, row-major.
    products: Vec<f64>,
    targets: Vec<f64>,
}

impl Fit {
    /// Sums of nothing.
    pub(crate) fn new(size: usize) -> Self {
        Self { size, products: vec![0.0; size * size], targets: vec![0.0; size] }
    }

    /// Adds one weight: what the stages contribute to it and what it is.
    pub(crate) fn add(&mut self, terms: &[f64], value: f64) {
        for (row, &term) in terms.iter().enumerate() {
            self.targets[row] += term * value;
            for (sum, &other) in self.products[row * self.size..].iter_mut().zip(&terms[..=row]) {
                *sum += term * other;
            }
        }
    }

    /// Adds what the stages contribute and what they are to become, mapped by a form: `rows` are the weights followed by the
    /// contributions of every stage, as many of each, `pulls` the same times the form.
    pub(crate) fn add_products(&mut self, rows: &[f32], pulls: &[f32]) {
        let length = rows.len() / (self.size + 1);
        let part = |of: usize| of * length..(of + 1) * length;
        let along = |row: usize, pull: usize| -> f64 {
            rows[part(row)].iter().zip(&pulls[part(pull)]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        for row in 0..self.size {
            self.targets[row] += along(row + 1, 0);
            for other in 0..=row {
                self.products[row * self.size + other] += along(row + 1, other + 1);
            }
        }
    }

    /// The sums of both.
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.products.iter_mut().zip(&other.products).for_each(|(a, b)| *a += b);
        self.targets.iter_mut().zip(&other.targets).for_each(|(a, b)| *a += b);
        self
    }

    /// Multipliers of the first `count` stages with the least squared error, by Cholesky decomposition. A stage that adds (nearly)
    /// nothing to those before it gets 0.
    pub(crate) fn solve(&self, count: usize) -> Vec<f64> {
        let mut factor = vec![vec![0f64; count]; count];
        let mut solution = vec![0f64; count];
        for row in 0..count {
            for column in 0..=row {
                let mut sum = self.products[row * self.size + column];
                for (a, b) in factor[row][..column].iter().zip(&factor[column]) {
                    sum -= a * b;
                }
                factor[row][column] = if column < row {
                    if factor[column][column] > 0.0 { sum / factor[column][column] } else { 0.0 }
                } else if sum > 1e-9 * self.products[row * self.size + row] {
                    sum.sqrt()
                } else {
                    0.0
                };
            }
            let mut sum = self.targets[row];
            for (a, b) in factor[row][..row].iter().zip(&solution) {
                sum -= a * b;
            }
            solution[row] = if factor[row][row] > 0.0 { sum / factor[row][row] } else { 0.0 };
        }
        for row in (0..count).rev() {
            let mut sum = solution[row];
            for k in row + 1..count {
                sum -= factor[k][row] * solution[k];
            }
            solution[row] = if factor[row][row] > 0.0 { sum / factor[row][row] } else { 0.0 };
        }
        // Far beyond what any codebook of sound gain needs; a decoder refuses more.
        solution.iter().map(|a| if a.abs() < 1e6 { *a } else { 0.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipliers_are_recovered_and_useless_stages_get_nothing() {
        let mut fit = Fit::new(3);
        for i in 0..40 {
            let (a, b) = (f64::from(i % 7) - 3.0, f64::from(i % 5) - 2.0);
            fit.add(&[a, b, a], 2.0 * a - 0.5 * b);
        }
        let solution = fit.solve(3);
        assert!(
            (solution[0] - 2.0).abs() < 1e-9 && (solution[1] + 0.5).abs() < 1e-9 && solution[2] == 0.0,
            "{solution:?}"
        );
        assert_eq!(fit.solve(0), [] as [f64; 0]);
    }

    #[test]
    fn products_of_rows_are_those_of_their_weights() {
        let stages = [[1.0f32, -2.0, 0.5], [0.25, 1.0, -1.0]];
        let values = [2.0f32, 0.5, -1.5];
        let scaled = |row: &[f32; 3]| [row[0] * 2.0, row[1] * 3.0, row[2] * 0.5];
        let (mut plain, mut mapped) = (Fit::new(2), Fit::new(2));
        for at in 0..3 {
            let root = [2f64, 3.0, 0.5][at].sqrt();
            let terms = stages.map(|stage| f64::from(stage[at]) * root);
            plain.add(&terms, f64::from(values[at]) * root);
        }
        let rows: Vec<f32> = [values, stages[0], stages[1]].concat();
        let pulls: Vec<f32> = [values, stages[0], stages[1]].iter().flat_map(scaled).collect();
        mapped.add_products(&rows, &pulls);
        let pairs = plain.solve(2).into_iter().zip(mapped.solve(2));
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
