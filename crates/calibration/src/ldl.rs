//! `H = A^T D A` with `A` unit lower triangular, and solving against it.
//!
//! The last column is eliminated first, so that the leading part of `A` belongs to the columns a sweep quantises first: `d_i` is what an
//! error of column `i` costs when all later columns make up for it as well as they can. Blocked; every element takes its terms in one
//! order, so that neither blocks nor threads show in the result.

use rayon::prelude::*;

use seedpress_matrix::{Element, View, add_product, add_scaled};

/// Columns eliminated together: their rows of the factor stay in the second-level cache.
const BLOCK: usize = 128;
/// Rows, columns or right-hand sides that one task takes.
const TASK: usize = 64;

/// The factors of a symmetric matrix.
pub(crate) struct Ldl {
    /// `D`, every entry above zero.
    pub diagonal: Vec<f64>,
    /// `A`, row-major; what lies left of the diagonal counts.
    pub lower: Vec<f64>,
}

impl Ldl {
    /// Factors `matrix + ridge I`, row-major, of which the lower half is read. Where rounding, or a matrix that is not positive
    /// semidefinite, leaves less than half of the ridge, that half takes its place.
    pub(crate) fn new(mut matrix: Vec<f64>, columns: usize, ridge: f64) -> Self {
        matrix.iter_mut().step_by(columns + 1).for_each(|diagonal| *diagonal += ridge);
        let mut diagonal = vec![0f64; columns];
        let mut end = columns;
        while end > 0 {
            let start = end.saturating_sub(BLOCK);
            let (before, block) = matrix.split_at_mut(start * columns);
            let block = &mut block[..(end - start) * columns];
            let corner = eliminate_corner(block, columns, start, &mut diagonal[start..end], ridge);
            eliminate_left(block, columns, start, &corner, &diagonal[start..end]);
            update(before, block, columns, start, &diagonal[start..end]);
            end = start;
        }
        Self { diagonal, lower: matrix }
    }
}

/// The block's own columns. Returns `a_ij d_i` of the block, row-major.
fn eliminate_corner(block: &mut [f64], columns: usize, start: usize, diagonal: &mut [f64], ridge: f64) -> Vec<f64> {
    let height = diagonal.len();
    let mut corner = vec![0f64; height * height];
    for i in (0..height).rev() {
        let (above, row) = block.split_at_mut(i * columns);
        let row = &mut row[start..start + i + 1];
        diagonal[i] = row[i].max(0.5 * ridge);
        let inverse = 1.0 / diagonal[i];
        row[..i].iter_mut().for_each(|entry| *entry *= inverse);
        for (j, target) in above.chunks_exact_mut(columns).enumerate() {
            let factor = row[j] * diagonal[i];
            corner[i * height + j] = factor;
            add_scaled(&mut target[start..=start + j], -factor, &row[..=j]);
        }
    }
    corner
}

/// The block's rows left of it; its columns do not depend on each other.
fn eliminate_left(block: &mut [f64], columns: usize, start: usize, corner: &[f64], diagonal: &[f64]) {
    let height = diagonal.len();
    let done: Vec<(usize, Vec<f64>)> = (0..start)
        .into_par_iter()
        .step_by(TASK)
        .map(|first| {
            let width = TASK.min(start - first);
            let mut strip: Vec<f64> =
                block.chunks_exact(columns).flat_map(|row| &row[first..first + width]).copied().collect();
            for i in (0..height).rev() {
                let (above, row) = strip.split_at_mut(i * width);
                let row = &mut row[..width];
                let inverse = 1.0 / diagonal[i];
                row.iter_mut().for_each(|entry| *entry *= inverse);
                for (j, target) in above.chunks_exact_mut(width).enumerate() {
                    add_scaled(target, -corner[i * height + j], row);
                }
            }
            (first, strip)
        })
        .collect();
    for (first, strip) in done {
        let width = strip.len() / height;
        for (row, from) in block.chunks_exact_mut(columns).zip(strip.chunks_exact(width)) {
            row[first..first + width].copy_from_slice(from);
        }
    }
}

/// Takes the block's share off the rows above it: `h_jk -= sum_i a_ij d_i a_ik`, `i` descending.
fn update(before: &mut [f64], block: &[f64], columns: usize, start: usize, diagonal: &[f64]) {
    let height = diagonal.len();
    let descending: Vec<f64> = block.chunks_exact(columns).rev().flat_map(|row| &row[..start]).copied().collect();
    before.par_chunks_mut(TASK * columns).enumerate().for_each(|(task, rows)| {
        let (first, count) = (task * TASK, rows.len() / columns);
        let share = |j: usize| {
            let column = descending.iter().skip(j).step_by(start);
            column.zip(diagonal.iter().rev()).map(|(&a, &d)| -(a * d))
        };
        let left: Vec<f64> = (first..first + count).flat_map(share).collect();
        let right = View::strided(&descending, height, first + count, start);
        add_product(rows, columns, View::strided(&left, count, height, height), right);
    });
}

/// Numbers that a division in `f64` can be carried back to.
pub(crate) trait Real: Element {
    /// `self / divisor`, rounded once to `f64` and once to this.
    fn over(self, divisor: f64) -> Self;
    /// `-self`.
    fn negated(self) -> Self;
}

impl Real for f32 {
    fn over(self, divisor: f64) -> Self {
        (f64::from(self) / divisor) as f32
    }

    fn negated(self) -> Self {
        -self
    }
}

impl Real for f64 {
    fn over(self, divisor: f64) -> Self {
        self / divisor
    }

    fn negated(self) -> Self {
        -self
    }
}

/// Solves `x A^T D A = w` for `height` rows in column-major order, in place.
pub(crate) fn solve<T: Real>(lower: &[T], diagonal: &[f64], values: &mut [T], height: usize) {
    if height == 0 {
        return;
    }
    backward(lower, diagonal.len(), values, height);
    for (column, &d) in values.chunks_exact_mut(height).zip(diagonal) {
        column.iter_mut().for_each(|value| *value = value.over(d));
    }
    forward(lower, diagonal.len(), values, height);
}

/// `x A = w`: later columns first.
fn backward<T: Real>(lower: &[T], columns: usize, values: &mut [T], height: usize) {
    let mut end = columns;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let (before, block) = values.split_at_mut(start * height);
        let block = &mut block[..(end - start) * height];
        for i in (start..end).rev() {
            let (above, column) = block.split_at_mut((i - start) * height);
            for (j, target) in (start..i).zip(above.chunks_exact_mut(height)) {
                add_scaled(target, lower[i * columns + j].negated(), &column[..height]);
            }
        }
        let descending: Vec<T> = block.chunks_exact(height).rev().flatten().copied().collect();
        before.par_chunks_mut(TASK * height).enumerate().for_each(|(task, targets)| {
            let (first, count) = (task * TASK, targets.len() / height);
            let share = |j: usize| (start..end).rev().map(move |i| lower[i * columns + j].negated());
            let left: Vec<T> = (first..first + count).flat_map(share).collect();
            let left = View::strided(&left, count, end - start, end - start);
            add_product(targets, height, left, View::new(&descending, height));
        });
        end = start;
    }
}

/// `x A^T = w`: earlier columns first.
fn forward<T: Real>(lower: &[T], columns: usize, values: &mut [T], height: usize) {
    for start in (0..columns).step_by(BLOCK) {
        let end = (start + BLOCK).min(columns);
        let (head, after) = values.split_at_mut(end * height);
        let block = &mut head[start * height..];
        for j in start..end {
            let (head, below) = block.split_at_mut((j + 1 - start) * height);
            let column = &head[(j - start) * height..];
            for (i, target) in (j + 1..end).zip(below.chunks_exact_mut(height)) {
                add_scaled(target, lower[i * columns + j].negated(), column);
            }
        }
        let negated: Vec<T> = block.iter().map(|value| value.negated()).collect();
        after.par_chunks_mut(TASK * height).enumerate().for_each(|(task, targets)| {
            let (first, count) = (end + task * TASK, targets.len() / height);
            let left = View::strided(&lower[first * columns + start..], count, end - start, columns);
            add_product(targets, height, left, View::new(&negated, height));
        });
    }
}
