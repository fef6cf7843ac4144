//! Transforms of rows by a matrix: the discrete cosine transform, and any other that is nearly orthonormal.

use rayon::prelude::*;
use seedpress_matrix::{View, add_product};

/// Weights of a row that a cosine transform takes together at most.
pub const PIECE: usize = 1024;

/// Rows of a task.
const ROWS: usize = 64;

/// The discrete cosine transform of rows of one length, orthonormal (DCT-II): the best basis of rows whose neighbours are alike, and it
/// takes no bytes. Rows are cut into `p = ceil(columns / 1024)` pieces of `ceil(columns / p)`, the last one of what remains.
///
/// Coefficient `k` of a piece of `n` is `c_k sum_j x_j cos(pi (2 j + 1) k / (2 n))` with `c_0 = sqrt(1 / n)` and `c_k = sqrt(2 / n)` for all
/// others. Sums are those of [`seedpress_matrix`] in binary32, over entries rounded to it.
#[derive(Debug, Clone)]
pub struct Cosine {
    columns: usize,
    /// Of whole pieces, and of the last.
    matrices: [Vec<f32>; 2],
}

impl Cosine {
    /// The transform of rows of `columns` weights.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let length = piece(columns);
        let last = columns - columns.saturating_sub(1) / length * length;
        Self { columns, matrices: [length, last].map(cosines) }
    }

    /// Transforms every row.
    pub fn apply(&self, rows: &mut [f32]) {
        self.each(rows, |matrix| matrix.t());
    }

    /// Transforms every row back.
    pub fn undo(&self, rows: &mut [f32]) {
        self.each(rows, |matrix| matrix);
    }

    fn each(&self, rows: &mut [f32], direction: for<'a> fn(View<'a, f32>) -> View<'a, f32>) {
        let length = piece(self.columns);
        for start in (0..self.columns).step_by(length) {
            let own = length.min(self.columns - start);
            let matrix = &self.matrices[usize::from(start + length >= self.columns)];
            times(rows, self.columns, start, direction(View::new(matrix, own)));
        }
    }
}

fn piece(columns: usize) -> usize {
    columns.div_ceil(columns.div_ceil(PIECE).max(1)).max(1)
}

/// A basis of rows: its rows are the directions, nearly orthonormal.
#[derive(Debug, Clone)]
pub struct Basis {
    columns: usize,
    matrix: Vec<f32>,
}

impl Basis {
    /// From its directions, row-major; `None` where they are not `columns x columns` numbers.
    #[must_use]
    pub fn new(columns: usize, matrix: Vec<f32>) -> Option<Self> {
        (columns.checked_mul(columns) == Some(matrix.len())).then_some(Self { columns, matrix })
    }

    /// The directions, row-major.
    #[must_use]
    pub fn matrix(&self) -> &[f32] {
        &self.matrix
    }

    /// Rows from their coefficients.
    pub fn undo(&self, rows: &mut [f32]) {
        times(rows, self.columns, 0, View::new(&self.matrix, self.columns));
    }

    /// Coefficients of rows, so that [`undo`](Self::undo) gives the rows back: by the inverse, for directions that were rounded. `None`
    /// where they span too little.
    #[must_use]
    pub fn coefficients(&self, rows: &[f32]) -> Option<Vec<f32>> {
        let inverse = inverse(&self.matrix, self.columns)?;
        let mut out = rows.to_vec();
        times(&mut out, self.columns, 0, View::new(&inverse, self.columns));
        Some(out)
    }
}

/// Every row's columns from `start` on times a matrix, in place; what is not finite becomes so.
fn times(rows: &mut [f32], columns: usize, start: usize, matrix: View<'_, f32>) {
    let own = matrix.height();
    if own == 0 {
        return;
    }
    rows.par_chunks_mut(ROWS * columns).for_each(|rows| {
        let height = rows.len() / columns;
        let mut products = vec![0f32; height * own];
        add_product(&mut products, own, View::strided(&rows[start..], height, own, columns), matrix);
        for (row, products) in rows.chunks_exact_mut(columns).zip(products.chunks_exact(own)) {
            for (to, &product) in row[start..].iter_mut().zip(products) {
                *to = if product.is_nan() { 0.0 } else { product.clamp(-f32::MAX, f32::MAX) };
            }
        }
    });
}

/// The matrix of a cosine transform, a coefficient a row.
fn cosines(length: usize) -> Vec<f32> {
    let first = (1.0 / length as f64).sqrt();
    let others = (2.0 / length as f64).sqrt();
    let row = |k: usize| {
        let scale = if k == 0 { first } else { others };
        (0..length).map(move |j| (scale * cosine((2 * j + 1) * k, length)) as f32)
    };
    (0..length).flat_map(row).collect()
}

/// `cos(pi m / (2 n))`, by its series within an eighth of a turn: the same bits on every machine.
fn cosine(m: usize, n: usize) -> f64 {
    let m = m % (4 * n);
    let m = if m > 2 * n { 4 * n - m } else { m };
    let (sign, m) = if m > n { (-1.0, 2 * n - m) } else { (1.0, m) };
    let angle = |m: usize| std::f64::consts::PI * m as f64 / (2 * n) as f64;
    // Terms below a quarter turn to the 20th are lost in rounding.
    let series = |x: f64, first: u32| {
        let mut sum = 1.0;
        for i in (1..=10).rev() {
            let at = f64::from(2 * i + first);
            sum = 1.0 - x * x / (at * (at - 1.0)) * sum;
        }
        sum
    };
    sign * if 2 * m <= n {
        series(angle(m), 0)
    } else {
        let x = angle(n - m);
        x * series(x, 1)
    }
}

/// Gauss-Jordan with pivots of largest magnitude, in binary64.
fn inverse(matrix: &[f32], n: usize) -> Option<Vec<f32>> {
    let mut left: Vec<f64> = matrix.iter().map(|&entry| f64::from(entry)).collect();
    let mut right = vec![0f64; n * n];
    right.iter_mut().step_by(n + 1).for_each(|entry| *entry = 1.0);
    for pivot in 0..n {
        let magnitude = |row: &usize| left[row * n + pivot].abs();
        let best = (pivot..n).reduce(|best, row| if magnitude(&row) > magnitude(&best) { row } else { best })?;
        if magnitude(&best) < 1e-3 / n as f64 {
            return None;
        }
        for side in [&mut left, &mut right] {
            if best != pivot {
                let (above, below) = side.split_at_mut(best * n);
                above[pivot * n..][..n].swap_with_slice(&mut below[..n]);
            }
        }
        let scale = 1.0 / left[pivot * n + pivot];
        let factors: Vec<f64> = (0..n).map(|row| left[row * n + pivot]).collect();
        for side in [&mut left, &mut right] {
            side[pivot * n..][..n].iter_mut().for_each(|entry| *entry *= scale);
            let own = side[pivot * n..][..n].to_vec();
            side.par_chunks_exact_mut(n).zip(&factors).enumerate().with_min_len(64).for_each(
                |(row, (line, factor))| {
                    if row != pivot && *factor != 0.0 {
                        line.iter_mut().zip(&own).for_each(|(to, from)| *to -= factor * from);
                    }
                },
            );
        }
    }
    Some(right.into_iter().map(|entry| entry as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * i * 31 % 113) as f32 / 16.0 - 3.0).collect()
    }

    #[test]
    fn cosines_are_those_of_the_library() {
        for n in [1usize, 2, 3, 40, 784] {
            for m in (0..9 * n).step_by(1 + n / 7) {
                let wanted = (std::f64::consts::PI * m as f64 / (2 * n) as f64).cos();
                assert!((cosine(m, n) - wanted).abs() < 1e-14, "{m} {n}: {} {wanted}", cosine(m, n));
            }
        }
    }

    #[test]
    fn cosine_transforms_of_any_length_keep_norms_and_come_back() {
        for columns in [1, 2, 3, 40, 255, 784, 1024, 1025, 2051] {
            let transform = Cosine::new(columns);
            let before = rows(70 * columns);
            let mut turned = before.clone();
            transform.apply(&mut turned);
            let power = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            assert!((power(&turned) / power(&before) - 1.0).abs() < 1e-5, "{columns}");
            transform.undo(&mut turned);
            assert!(turned.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-4), "{columns}");
        }
        // Of a row that is constant one coefficient remains.
        let mut flat = [1f32; 16];
        Cosine::new(16).apply(&mut flat);
        assert!((flat[0] - 4.0).abs() < 1e-5 && flat[1..].iter().all(|v| v.abs() < 1e-5));
    }

    #[test]
    fn a_basis_that_was_rounded_gives_rows_back() {
        let n = 24;
        let matrix: Vec<f32> = cosines(n).iter().map(|entry| (entry * 16.0).round() / 16.0).collect();
        let basis = Basis::new(n, matrix).unwrap();
        let before = rows(5 * n);
        let mut back = basis.coefficients(&before).unwrap();
        basis.undo(&mut back);
        assert!(back.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!(Basis::new(2, vec![1.0, 2.0, 2.0, 4.0]).unwrap().coefficients(&[1.0, 0.0]).is_none());
        assert!(Basis::new(2, vec![1.0; 3]).is_none());
    }
}
