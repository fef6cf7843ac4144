//! Copying parts of a matrix into the order in which kernels read them.

use crate::element::Element;
use crate::view::View;

/// Rows and columns of the squares that are turned together: a line of the cache of `f32`, half of one of `f64`.
pub(crate) const SQUARE: usize = 8;

/// Rows of a view in panels of `height`: for each panel, for each column, the values of its rows; rows that are missing in the last
/// panel are zeros.
pub(crate) fn panels<T: Element>(out: &mut Vec<T>, view: View<'_, T>, height: usize) {
    let depth = view.width();
    out.resize(view.height().next_multiple_of(height) * depth, T::ZERO);
    for (panel, out) in out.chunks_exact_mut((height * depth).max(1)).enumerate() {
        let from = panel * height;
        let rows = height.min(view.height() - from);
        if rows < height {
            out.fill(T::ZERO);
        }
        one(out, view.rows(from, rows), height);
    }
}

fn one<T: Element>(out: &mut [T], view: View<'_, T>, height: usize) {
    let (values, rows, depth) = (view.values(), view.height(), view.width());
    let (row_stride, column_stride) = view.strides();
    if row_stride == 1 {
        for (k, out) in out.chunks_exact_mut(height).enumerate() {
            out[..rows].copy_from_slice(&values[k * column_stride..][..rows]);
        }
        return;
    }
    let (mut square_rows, mut square_depth) = (0, 0);
    if column_stride == 1 {
        (square_rows, square_depth) = (rows - rows % SQUARE, depth - depth % SQUARE);
        for row in (0..square_rows).step_by(SQUARE) {
            let from: [&[[T; SQUARE]]; SQUARE] =
                std::array::from_fn(|r| values[(row + r) * row_stride..][..depth].as_chunks().0);
            for k in 0..depth / SQUARE {
                square(&mut out[k * SQUARE * height + row..], height, from.map(|from| &from[k]));
            }
        }
    }
    for row in 0..rows {
        let first = if row < square_rows { square_depth } else { 0 };
        for k in first..depth {
            out[k * height + row] = values[row * row_stride + k * column_stride];
        }
    }
}

/// Writes a square turned, its rows `stride` values apart.
#[inline(always)]
pub(crate) fn square<T: Element>(out: &mut [T], stride: usize, from: [&[T; SQUARE]; SQUARE]) {
    let mut turned = [[T::ZERO; SQUARE]; SQUARE];
    for (row, from) in from.into_iter().enumerate() {
        for (turned, &value) in turned.iter_mut().zip(from) {
            turned[row] = value;
        }
    }
    for (at, turned) in turned.iter().enumerate() {
        out[at * stride..][..SQUARE].copy_from_slice(turned);
    }
}
