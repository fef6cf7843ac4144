//! The normal equations of the stages' multipliers.

/// Inner products of the stages' contributions with one another and with the weights.
#[derive(Debug, Clone)]
pub struct Fit {
    size: usize,
    /// Lower triangle in a full square, row-major.
    products: Vec<f64>,
    targets: Vec<f64>,
}

impl Fit {
    /// Sums of nothing.
    pub fn new(size: usize) -> Self {
        Self { size, products: vec![0.0; size * size], targets: vec![0.0; size] }
    }

    /// Adds one weight: what the stages contribute to it and what it is.
    pub fn add(&mut self, terms: &[f64], value: f64) {
        for (row, &term) in terms.iter().enumerate() {
            self.targets[row] += term * value;
            for (sum, &other) in self.products[row * self.size..].iter_mut().zip(&terms[..=row]) {
                *sum += term * other;
            }
        }
    }

    /// The sums of both.
    pub fn plus(mut self, other: Self) -> Self {
        self.products.iter_mut().zip(&other.products).for_each(|(a, b)| *a += b);
        self.targets.iter_mut().zip(&other.targets).for_each(|(a, b)| *a += b);
        self
    }

    /// Multipliers of the first `count` stages with the least squared error, by Cholesky decomposition. A stage that adds (nearly)
    /// nothing to those before it gets 0.
    pub fn solve(&self, count: usize) -> Vec<f64> {
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
}
