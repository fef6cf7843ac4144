//! What the errors of a block's rows count.

/// A linear map of a block's errors, whose squared length counts. Made so that `|map(x)|^2 <= rows` for every `x` with `|x_i| <= 1`, which
/// bounds of screening rest on (see [`subspace`](crate::subspace)).
#[derive(Debug, Clone, PartialEq)]
pub enum Emphasis {
    /// A factor a row.
    Rows(Vec<f64>),
    /// A lower triangle, row-major, for errors that make up for each other: the error is a quadratic form.
    Form(Vec<f64>),
}

impl Emphasis {
    /// One factor a row, normalised to mean square 1.
    pub fn of_rows(mut factors: Vec<f64>) -> Self {
        let norm = (factors.iter().map(|e| e * e).sum::<f64>() / factors.len() as f64).sqrt();
        factors.iter_mut().for_each(|e| *e /= norm);
        Self::Rows(factors)
    }

    /// The triangle `L` of a form `|L e|^2`, row-major `rows x rows`, zero above its diagonal.
    ///
    /// # Panics
    /// If there are not that many entries.
    pub fn of_form(rows: usize, mut triangle: Vec<f64>) -> Self {
        assert_eq!(triangle.len(), rows * rows, "the triangle is square");
        let sum = |row: &[f64]| row.iter().map(|l| l.abs()).sum::<f64>();
        let norm = (triangle.chunks_exact(rows).map(|row| sum(row) * sum(row)).sum::<f64>() / rows as f64).sqrt();
        triangle.iter_mut().for_each(|l| *l /= norm);
        Self::Form(triangle)
    }

    /// Maps a block in place.
    pub fn apply(&self, block: &mut [f64]) {
        match self {
            Self::Rows(factors) => block.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor),
            // From the last row up: each needs those before it as they were.
            Self::Form(triangle) => {
                for row in (0..block.len()).rev() {
                    let entries = &triangle[row * block.len()..][..=row];
                    block[row] = entries.iter().zip(&*block).fold(0.0, |sum, (l, value)| sum + l * value);
                }
            }
        }
    }

    /// Maps a vector by the transpose, in place.
    pub fn apply_transposed(&self, vector: &mut [f32]) {
        match self {
            Self::Rows(factors) => vector.iter_mut().zip(factors).for_each(|(value, &factor)| *value *= factor as f32),
            Self::Form(triangle) => {
                let rows = vector.len();
                for row in 0..rows {
                    let below = triangle.iter().skip(row * rows + row).step_by(rows);
                    let sum = below.zip(&vector[row..]).fold(0.0, |sum, (l, &value)| sum + l * f64::from(value));
                    vector[row] = sum as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_transposes_are_those_of_the_matrix() {
        let lower = vec![2.0, 0.0, 0.0, -1.0, 3.0, 0.0, 0.5, 0.25, 1.0];
        let form = Emphasis::of_form(3, lower);
        let Emphasis::Form(l) = &form else { panic!("a form") };
        // No signs of a corner of the cube make it longer than the root of the rows.
        let longest = (0..3).map(|row| l[3 * row..][..3].iter().map(|l| l.abs()).sum::<f64>().powi(2)).sum::<f64>();
        assert!((longest - 3.0).abs() < 1e-12);
        let x = [0.3, -1.1, 0.7];
        let (mut mapped, mut back) = (x, x.map(|x| x as f32));
        form.apply(&mut mapped);
        form.apply_transposed(&mut back);
        for row in 0..3 {
            let along: f64 = (0..3).map(|k| l[3 * row + k] * x[k]).sum();
            let across: f64 = (0..3).map(|k| l[3 * k + row] * f64::from(x[k] as f32)).sum();
            assert!((mapped[row] - along).abs() < 1e-12 && (f64::from(back[row]) - across).abs() < 1e-6);
        }
        let mut rows = [1.0, 1.0];
        Emphasis::of_rows(vec![1.0, 7.0]).apply(&mut rows);
        assert_eq!(rows, [0.2, 1.4]);
    }
}
