//! Row-major to column-major.

use rayon::prelude::*;

use crate::element::Element;
use crate::pack::{SQUARE, square};

/// Columns that one task turns: they share cache lines of the source.
const TOGETHER: usize = 32;

/// Row-major to column-major.
///
/// # Panics
/// If there are not `rows * columns` values.
#[must_use]
pub fn transpose<T: Element>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; values.len()];
    transpose_into(values, rows, columns, &mut out);
    out
}

/// As [`transpose`], into a slice.
///
/// # Panics
/// If there are not `rows * columns` values on either side.
pub fn transpose_into<T: Element>(values: &[T], rows: usize, columns: usize, out: &mut [T]) {
    assert_eq!((values.len(), out.len()), (rows * columns, rows * columns), "the matrix has that shape");
    out.par_chunks_mut(TOGETHER * rows.max(1)).enumerate().for_each(|(task, out)| {
        let (first, width) = (task * TOGETHER, out.len() / rows.max(1));
        let (whole_rows, whole_width) = (rows - rows % SQUARE, width - width % SQUARE);
        for row in (0..whole_rows).step_by(SQUARE) {
            let from: [&[[T; SQUARE]]; SQUARE] =
                std::array::from_fn(|r| values[(row + r) * columns + first..][..width].as_chunks().0);
            for column in 0..width / SQUARE {
                square(&mut out[column * SQUARE * rows + row..], rows, from.map(|from| &from[column]));
            }
        }
        for row in 0..rows {
            let from = if row < whole_rows { whole_width } else { 0 };
            for column in from..width {
                out[column * rows + row] = values[row * columns + first + column];
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_rows_to_columns() {
        assert_eq!(transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        for (rows, columns) in [(37, 41), (8, 8), (16, 100), (1, 9), (100, 3)] {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let turned = transpose(&values, rows, columns);
            for (at, &value) in values.iter().enumerate() {
                assert_eq!(turned[at % columns * rows + at / columns], value, "{rows} {columns}");
            }
        }
        assert!(transpose::<f32>(&[], 0, 5).is_empty() && transpose::<f32>(&[], 5, 0).is_empty());
    }
}
