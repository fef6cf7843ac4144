//! One window as an orthonormal basis and a triangle, in `f64`.

use crate::emphasis::Emphasis;

/// `U = Q R` of one window; reusable, so that factoring many windows allocates once.
#[derive(Debug, Clone, Default)]
pub struct Factors {
    /// Orthonormal columns, column-major.
    pub q: Vec<f64>,
    /// Upper triangle, row-major `columns x columns`.
    pub r: Vec<f64>,
    /// The window itself, row-major, without emphasis: exact integers `v - 2^(K-1)`.
    pub centred: Vec<f64>,
}

impl Factors {
    /// Factors `centred`, mapped by the emphasis where given; false where the columns are dependent.
    /// Gram-Schmidt, each column twice: orthonormal to working precision whatever the condition.
    pub(crate) fn factor(&mut self, rows: usize, columns: usize, emphasis: Option<&Emphasis>) -> bool {
        let Self { q, r, centred } = self;
        q.clear();
        q.resize(rows * columns, 0.0);
        r.clear();
        r.resize(columns * columns, 0.0);
        for column in 0..columns {
            let (done, rest) = q.split_at_mut(column * rows);
            let vector = &mut rest[..rows];
            for (row, value) in vector.iter_mut().enumerate() {
                *value = centred[row * columns + column];
            }
            if let Some(emphasis) = emphasis {
                emphasis.apply(vector);
            }
            let before = dot(vector, vector);
            for _ in 0..2 {
                for (earlier, basis) in done.chunks_exact(rows).enumerate() {
                    let product = dot(basis, vector);
                    r[earlier * columns + column] += product;
                    vector.iter_mut().zip(basis).for_each(|(v, b)| *v -= product * b);
                }
            }
            let after = dot(vector, vector);
            // Relative length 1e-10 after projection: the windows of every register in use lie far above.
            if after <= before * 1e-20 {
                return false;
            }
            let length = after.sqrt();
            r[column * columns + column] = length;
            vector.iter_mut().for_each(|v| *v /= length);
        }
        true
    }

    /// No combination of the columns with integers that are not all 0 is shorter: the last of them that is not 0 stands alone on its
    /// row of the triangle.
    pub fn shortest(&self, columns: usize) -> f64 {
        (0..columns).map(|column| self.r[column * columns + column]).fold(f64::INFINITY, f64::min)
    }

    /// `A = R^-T`, row-major lower triangle without the zeros: `A U^T v = Q^T v`.
    pub(crate) fn whitening(&self, columns: usize) -> Vec<f64> {
        // Row k of A by forward substitution: A R^T = 1, column by column from the diagonal down.
        let mut a = vec![0.0; columns * columns];
        for row in 0..columns {
            for column in 0..=row {
                let one = if row == column { 1.0 } else { 0.0 };
                let sum: f64 = (column..row).map(|k| self.r[k * columns + row] * a[k * columns + column]).sum();
                a[row * columns + column] = (one - sum) / self.r[row * columns + row];
            }
        }
        (0..columns).flat_map(|row| a[row * columns..][..=row].to_vec()).collect()
    }
}

/// One fixed order of evaluation: the sum of products from the first to the last.
#[inline]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y)
}
