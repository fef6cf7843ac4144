//! The quadratic form of a layer's output error, and what column-by-column quantisation needs of it.
//!
//! With inputs of second moment `H` the mean squared error of a layer's output is the sum over rows `e` of `W - W'` of `e^T H e`. Written
//! as `H = A^T D A` with `A` unit lower triangular it becomes `sum_i d_i (e_i + sum_{j < i} a_ij e_j)^2`: quantise the columns in order,
//! each aiming at its weight plus what earlier errors call for, and column `i` counts `d_i`. This is GPTQ's sweep (E. Frantar et al.,
//! "GPTQ", ICLR 2023) in the form of QuIP's LDLQ (J. Chee et al., NeurIPS 2023); a step proportional to `1 / sqrt(d_i)` makes it
//! water-filling ("WaterSIC", arXiv 2603.04956).

use rayon::prelude::*;

/// Columns treated together: their rows of the factor stay in the cache.
pub const BLOCK: usize = 32;

/// `H = A^T D A`.
#[derive(Debug, Clone)]
pub struct Factor {
    /// Number of columns.
    pub columns: usize,
    /// The diagonal `D`.
    pub diagonal: Vec<f64>,
    /// `A`, row-major; only what lies left of the diagonal counts.
    pub lower: Vec<f32>,
}

impl Factor {
    /// Factors `hessian + ridge I` (row-major, symmetric, positive semidefinite, `ridge > 0`). Every sum has one fixed order.
    pub fn new(hessian: &[f64], columns: usize, ridge: f64) -> Self {
        let mut rows = hessian.to_vec();
        rows.iter_mut().step_by(columns + 1).for_each(|diagonal| *diagonal += ridge);
        let mut diagonal = vec![0f64; columns];
        let mut end = columns;
        while end > 0 {
            let start = end.saturating_sub(BLOCK);
            let (before, rest) = rows.split_at_mut(start * columns);
            let block = &mut rest[..(end - start) * columns];
            for i in (start..end).rev() {
                let (above, row) = block.split_at_mut((i - start) * columns);
                // Rounding may leave less than the ridge that is there in truth.
                diagonal[i] = row[i].max(0.5 * ridge);
                let inverse = 1.0 / diagonal[i];
                row[..i].iter_mut().for_each(|entry| *entry *= inverse);
                for (j, target) in (start..i).zip(above.chunks_exact_mut(columns)) {
                    let factor = row[j] * diagonal[i];
                    target[..=j].iter_mut().zip(&row[..=j]).for_each(|(t, &a)| *t -= factor * a);
                }
            }
            let (block, diagonal) = (&*block, &diagonal);
            before.par_chunks_exact_mut(columns).enumerate().for_each(|(j, target)| {
                for i in (start..end).rev() {
                    let row = &block[(i - start) * columns..][..columns];
                    let factor = row[j] * diagonal[i];
                    target[..=j].iter_mut().zip(&row[..=j]).for_each(|(t, &a)| *t -= factor * a);
                }
            });
            end = start;
        }
        Self { columns, diagonal, lower: rows.into_iter().map(|entry| entry as f32).collect() }
    }

    /// `a_ij`, `j < i`.
    #[inline]
    pub fn entry(&self, i: usize, j: usize) -> f32 {
        self.lower[i * self.columns + j]
    }

    /// Solves `x H = w` for every row of a matrix of `height` rows in column-major order, in place.
    pub fn solve(&self, values: &mut [f32], height: usize) {
        let columns = self.columns;
        let mut end = columns;
        while end > 0 {
            let start = end.saturating_sub(BLOCK);
            let (before, rest) = values.split_at_mut(start * height);
            let block = &mut rest[..(end - start) * height];
            for i in (start..end).rev() {
                let (above, column) = block.split_at_mut((i - start) * height);
                for (j, target) in (start..i).zip(above.chunks_exact_mut(height)) {
                    add_scaled(target, -self.entry(i, j), &column[..height]);
                }
            }
            let block = &*block;
            before.par_chunks_exact_mut(height).enumerate().for_each(|(j, target)| {
                for i in (start..end).rev() {
                    add_scaled(target, -self.entry(i, j), &block[(i - start) * height..][..height]);
                }
            });
            end = start;
        }
        for (column, &d) in values.chunks_exact_mut(height).zip(&self.diagonal) {
            column.iter_mut().for_each(|value| *value = (f64::from(*value) / d) as f32);
        }
        for start in (0..columns).step_by(BLOCK) {
            let end = (start + BLOCK).min(columns);
            let (head, after) = values.split_at_mut(end * height);
            let block = &mut head[start * height..];
            for j in start..end {
                let (head, below) = block.split_at_mut((j + 1 - start) * height);
                let column = &head[(j - start) * height..];
                for (i, target) in (j + 1..end).zip(below.chunks_exact_mut(height)) {
                    add_scaled(target, -self.entry(i, j), column);
                }
            }
            let block = &*block;
            after.par_chunks_exact_mut(height).enumerate().for_each(|(offset, target)| {
                for j in start..end {
                    add_scaled(target, -self.entry(end + offset, j), &block[(j - start) * height..][..height]);
                }
            });
        }
    }
}

/// `target += factor source`.
#[inline]
pub fn add_scaled(target: &mut [f32], factor: f32, source: &[f32]) {
    target.iter_mut().zip(source).for_each(|(t, &s)| *t += factor * s);
}

/// Row-major to column-major.
pub fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0f32; values.len()];
    out.par_chunks_mut(rows.max(1)).enumerate().for_each(|(column, out)| {
        out.iter_mut().zip(values[column..].iter().step_by(columns)).for_each(|(to, &from)| *to = from);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(columns: usize) -> Vec<f64> {
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

    #[test]
    fn the_factors_multiply_to_the_matrix() {
        let columns = 77;
        let h = example(columns);
        let factor = Factor::new(&h, columns, 0.1);
        let a = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => f64::from(factor.entry(i, j)),
        };
        for i in 0..columns {
            for j in 0..columns {
                let product: f64 = (0..columns).map(|k| a(k, i) * factor.diagonal[k] * a(k, j)).sum();
                let wanted = h[i * columns + j] + if i == j { 0.1 } else { 0.0 };
                assert!((product - wanted).abs() < 1e-4, "{i} {j}: {product} {wanted}");
            }
        }
    }

    #[test]
    fn solving_inverts_the_product() {
        let (columns, height) = (70, 3);
        let h = example(columns);
        let factor = Factor::new(&h, columns, 1.0);
        let x: Vec<f32> = (0..columns * height).map(|i| (i * 37 % 41) as f32 / 41.0 - 0.5).collect();
        let mut w = vec![0f32; x.len()];
        for i in 0..columns {
            for j in 0..columns {
                let entry = h[i * columns + j] + if i == j { 1.0 } else { 0.0 };
                add_scaled(&mut w[j * height..][..height], entry as f32, &x[i * height..][..height]);
            }
        }
        factor.solve(&mut w, height);
        assert!(w.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-3));
    }

    #[test]
    fn transposing_moves_rows_to_columns() {
        assert_eq!(transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
