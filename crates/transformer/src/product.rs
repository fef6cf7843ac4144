//! Matrix products in f32 over row-major slices, on all cores.
//!
//! Each element takes its terms in one order however the result is cut into pieces, so results do not depend on the number of threads.

use rayon::prelude::*;

/// Rows of the left matrix in one piece: each piece packs its part of both matrices anew, which costs about 1 / rows + 1 / columns.
const PIECE_ROWS: usize = 512;
/// Columns of the result in one piece, at the least where there are many threads, and at the most.
const PIECE_COLUMNS: std::ops::RangeInclusive<usize> = 256..=4096;

/// A matrix inside a slice: element `(row, column)` at `row * row_stride + column * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// Rows of `columns` values that start `stride` values apart.
    pub(crate) fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows > 0 && columns > 0 && (rows - 1) * stride + columns <= values.len(), "the matrix lies within");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Rows that follow each other.
    pub(crate) fn new(values: &'a [f32], columns: usize) -> Self {
        Self::strided(values, values.len() / columns, columns, columns)
    }

    /// Its rows.
    pub(crate) fn height(&self) -> usize {
        self.rows
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn rows(self, from: usize, count: usize) -> Self {
        Self { values: &self.values[from * self.row_stride..], rows: count, ..self }
    }

    fn columns(self, from: usize, count: usize) -> Self {
        Self { values: &self.values[from * self.column_stride..], columns: count, ..self }
    }
}

/// The result of a product, written piece by piece from several threads.
#[derive(Clone, Copy)]
struct Target {
    start: *mut f32,
    stride: usize,
}

// SAFETY: the pieces of `multiply` are disjoint, and the slice behind them is borrowed exclusively until all of them are written.
#[allow(unsafe_code)]
unsafe impl Sync for Target {}

impl Target {
    /// `result[row.., column..] = factor * a b` for a piece of the result.
    ///
    /// # Safety
    /// The piece of `a.rows` rows and `b.columns` columns lies within the slice and nobody else touches it.
    #[allow(unsafe_code)]
    unsafe fn write(&self, row: usize, column: usize, a: View<'_>, b: View<'_>, factor: f32) {
        // SAFETY: `View` keeps every element of its matrix inside its slice (the constructor asserts it; transposing and cutting
        // keep it); the caller vouches for the result.
        unsafe {
            matrixmultiply::sgemm(
                a.rows,
                a.columns,
                b.columns,
                factor,
                a.values.as_ptr(),
                a.row_stride as isize,
                a.column_stride as isize,
                b.values.as_ptr(),
                b.row_stride as isize,
                b.column_stride as isize,
                0.0,
                self.start.add(row * self.stride + column),
                self.stride as isize,
                1,
            );
        }
    }
}

/// `result = factor * a b` on this thread, rows of the result `stride` values apart.
#[allow(unsafe_code)]
pub(crate) fn multiply_here(result: &mut [f32], stride: usize, a: View<'_>, b: View<'_>, factor: f32) {
    check(result, stride, a, b);
    let target = Target { start: result.as_mut_ptr(), stride };
    // SAFETY: `check` asserted that the result lies within the slice, which is borrowed exclusively.
    unsafe { target.write(0, 0, a, b, factor) }
}

/// `result = a b` on all threads, rows of the result `stride` values apart.
#[allow(unsafe_code)]
pub(crate) fn multiply(result: &mut [f32], stride: usize, a: View<'_>, b: View<'_>) {
    check(result, stride, a, b);
    let target = Target { start: result.as_mut_ptr(), stride };
    let wanted = (2 * rayon::current_num_threads()).div_ceil(a.rows.div_ceil(PIECE_ROWS));
    let width = b.columns.div_ceil(wanted).clamp(*PIECE_COLUMNS.start(), *PIECE_COLUMNS.end());
    let pieces: Vec<(usize, usize)> = (0..a.rows)
        .step_by(PIECE_ROWS)
        .flat_map(|row| (0..b.columns).step_by(width).map(move |column| (row, column)))
        .collect();
    pieces.into_par_iter().for_each(|(row, column)| {
        let a = a.rows(row, PIECE_ROWS.min(a.rows - row));
        let b = b.columns(column, width.min(b.columns - column));
        // SAFETY: `check` asserted that the whole result lies within the slice; pieces do not overlap.
        unsafe { { target }.write(row, column, a, b, 1.0) }
    });
}

fn check(result: &[f32], stride: usize, a: View<'_>, b: View<'_>) {
    assert_eq!(a.columns, b.rows, "inner dimensions agree");
    assert!((a.rows - 1) * stride + b.columns <= result.len() && stride >= b.columns, "the result lies within");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole() {
        let (rows, inner, columns, stride) = (1030, 3, 515, 520);
        let a: Vec<f32> = (0..rows * inner).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..columns * inner).map(|i| ((i * 5) % 13) as f32 - 6.0).collect();
        let mut result = vec![f32::NAN; rows * stride];
        multiply(&mut result, stride, View::new(&a, inner), View::new(&b, inner).t());
        for row in 0..rows {
            for column in 0..stride {
                let value = result[row * stride + column];
                if column < columns {
                    let wanted: f32 = (0..inner).map(|k| a[row * inner + k] * b[column * inner + k]).sum();
                    assert_eq!(value, wanted, "{row} {column}");
                } else {
                    assert!(value.is_nan(), "written past the row");
                }
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let (rows, inner, columns) = (700, 300, 1500);
        let noise = |i: usize| ((i as u32).wrapping_mul(0x9e37_79b9) >> 8) as f32 / 8_388_608.0 - 1.0;
        let a: Vec<f32> = (0..rows * inner).map(noise).collect();
        let b: Vec<f32> = (0..columns * inner).map(|i| noise(i + 7)).collect();
        let on = |threads: usize| {
            let mut result = vec![0f32; rows * columns];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| multiply(&mut result, columns, View::new(&a, inner), View::new(&b, inner).t()));
            result
        };
        let one = on(1);
        assert!([2, 3, 16].into_iter().all(|threads| on(threads) == one));
    }
}
