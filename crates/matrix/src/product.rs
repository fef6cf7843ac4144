//! Products of matrices of any size from products of panels.

use rayon::prelude::*;

use crate::element::{Element, Kernel};
use crate::kernel::MOST;
use crate::pack::panels;
use crate::view::View;

/// Inner indices for which panels are copied together: a panel of the right matrix, the wider one, takes 32 KiB at the most.
const DEPTH: usize = 256;
/// Rows of the left matrix that are copied together: 64 KiB of `f32`, an eighth of a small second-level cache.
const ROWS: usize = 64;
/// Columns of the right matrix that are copied together: 1 MiB of `f32`.
const COLUMNS: usize = 1024;
/// Rows of the left matrix in one task, at the most: each task copies the right matrix anew.
const TASK_ROWS: usize = 512;
/// Fewer rows a thread than this are not worth it: columns are shared among threads instead.
const FEW_ROWS: usize = 16;

/// `c += a b` on the calling thread, rows of `c` `stride` values apart.
///
/// # Panics
/// If shapes do not fit, or the result does not lie within `c`.
pub fn add_product<T: Element>(c: &mut [T], stride: usize, a: View<'_, T>, b: View<'_, T>) {
    with(&T::kernel(), c, stride, a, b);
}

pub(crate) fn with<T: Element>(kernel: &Kernel<T>, c: &mut [T], stride: usize, a: View<'_, T>, b: View<'_, T>) {
    let (height, depth, width) = (a.height(), a.width(), b.width());
    check(c, stride, &a, &b);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for k in (0..depth).step_by(DEPTH) {
        let inner = DEPTH.min(depth - k);
        let (a, b) = (a.columns(k, inner), b.rows(k, inner));
        for column in (0..width).step_by(COLUMNS) {
            let columns = COLUMNS.min(width - column);
            panels(&mut right, b.columns(column, columns).t(), kernel.width);
            for row in (0..height).step_by(ROWS) {
                let rows = ROWS.min(height - row);
                panels(&mut left, a.rows(row, rows), kernel.height);
                block(kernel, &mut c[row * stride + column..], (stride, rows, columns), (&left, &right, inner));
            }
        }
    }
}

/// The product of panels that lie in the cache.
fn block<T: Element>(
    kernel: &Kernel<T>,
    c: &mut [T],
    (stride, rows, columns): (usize, usize, usize),
    (left, right, depth): (&[T], &[T], usize),
) {
    let mut edge = [T::ZERO; MOST];
    for (at, right) in right.chunks_exact(depth * kernel.width).enumerate() {
        let column = at * kernel.width;
        let width = kernel.width.min(columns - column);
        for (at, left) in left.chunks_exact(depth * kernel.height).enumerate() {
            let row = at * kernel.height;
            let height = kernel.height.min(rows - row);
            let c = &mut c[row * stride + column..];
            if (height, width) == (kernel.height, kernel.width) {
                (kernel.run)(c, stride, left, right);
                continue;
            }
            let edge = &mut edge[..kernel.height * kernel.width];
            for (edge, c) in edge.chunks_exact_mut(kernel.width).zip(c.chunks(stride)).take(height) {
                edge[..width].copy_from_slice(&c[..width]);
            }
            (kernel.run)(edge, kernel.width, left, right);
            for (edge, c) in edge.chunks_exact(kernel.width).zip(c.chunks_mut(stride)).take(height) {
                c[..width].copy_from_slice(&edge[..width]);
            }
        }
    }
}

fn check<T>(c: &[T], stride: usize, a: &View<'_, T>, b: &View<'_, T>) {
    assert_eq!(a.width(), b.height(), "inner dimensions agree");
    let end = if a.height() == 0 { 0 } else { (a.height() - 1) * stride + b.width() };
    assert!(end <= c.len() && (b.width() <= stride || a.height() <= 1), "the result lies within");
}

/// `result = a b` on all threads, rows of the result `stride` values apart; what lies between rows is left alone.
///
/// # Panics
/// As [`add_product`].
pub fn multiply<T: Element>(result: &mut [T], stride: usize, a: View<'_, T>, b: View<'_, T>) {
    check(result, stride, &a, &b);
    let (height, width, threads) = (a.height(), b.width(), rayon::current_num_threads());
    if height == 0 || width == 0 {
        return;
    }
    if height >= FEW_ROWS * threads {
        let rows = height.div_ceil(2 * threads).next_multiple_of(FEW_ROWS).min(TASK_ROWS);
        let end = (height - 1) * stride + width;
        result[..end].par_chunks_mut(rows * stride).enumerate().for_each(|(task, c)| {
            let from = task * rows;
            c.chunks_mut(stride).for_each(|row| row[..width].fill(T::ZERO));
            add_product(c, stride, a.rows(from, rows.min(height - from)), b);
        });
        return;
    }
    let columns = width.div_ceil(threads).next_multiple_of(64);
    let part = |from: usize| {
        let own = columns.min(width - from);
        let mut c = vec![T::ZERO; height * own];
        add_product(&mut c, own, a, b.columns(from, own));
        (from, own, c)
    };
    let parts: Vec<_> = (0..width).into_par_iter().step_by(columns).map(part).collect();
    for (from, own, c) in parts {
        for (row, c) in c.chunks_exact(own).enumerate() {
            result[row * stride + from..][..own].copy_from_slice(c);
        }
    }
}

/// `a b` on the calling thread, row-major.
///
/// # Panics
/// If the inner dimensions differ.
#[must_use]
pub fn product<T: Element>(a: View<'_, T>, b: View<'_, T>) -> Vec<T> {
    let mut result = vec![T::ZERO; a.height() * b.width()];
    add_product(&mut result, b.width(), a, b);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32).map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    const SHAPES: [(usize, usize, usize); 10] = [
        (1, 1, 1),
        (4, 3, 16),
        (8, 300, 32),
        (9, 513, 33),
        (17, 40, 67),
        (65, 20, 1030),
        (12, 5, 16),
        (0, 3, 2),
        (2, 0, 2),
        (2, 3, 0),
    ];

    /// By the definition: term by term.
    fn wanted<T: Element>(
        c: &mut [T],
        stride: usize,
        (m, depth, n): (usize, usize, usize),
        of: impl Fn(usize, usize, usize) -> (T, T),
    ) {
        for i in 0..m {
            for j in 0..n {
                for k in 0..depth {
                    let (a, b) = of(i, j, k);
                    c[i * stride + j] = a.times_plus(b, c[i * stride + j]);
                }
            }
        }
    }

    fn agree<T: Element + std::fmt::Debug>(of: impl Fn(f32) -> T) {
        for shape in SHAPES {
            let (m, depth, n) = shape;
            let own = |count, seed| noise(count, seed).into_iter().map(&of).collect::<Vec<T>>();
            let (a, b, start) = (own(m * (depth + 1), 1), own(depth * (n + 2), 2), own(m * (n + 3), 3));
            let mut right = start.clone();
            wanted(&mut right, n + 3, shape, |i, j, k| (a[i * (depth + 1) + k], b[k * (n + 2) + j]));
            let left = View::strided(&a, m, depth, depth + 1);
            let (turned, whole): (Vec<T>, Vec<T>) = (
                (0..depth * m).map(|at| a[at % m.max(1) * (depth + 1) + at / m.max(1)]).collect(),
                (0..depth * n).map(|at| b[at % depth.max(1) * (n + 2) + at / depth.max(1)]).collect(),
            );
            let views = [
                (left, View::strided(&b, depth, n, n + 2)),
                (View::strided(&turned, depth, m, m).t(), View::strided(&whole, n, depth, depth).t()),
            ];
            for (a, b) in views {
                for kernel in T::kernels() {
                    let mut found = start.clone();
                    with(&kernel, &mut found, n + 3, a, b);
                    assert!(found == right, "{shape:?} {}", kernel.name);
                }
            }
        }
    }

    #[test]
    fn all_kernels_have_the_order_of_the_definition() {
        agree(|value| value);
        agree(|value| f64::from(value) / 3.0);
    }

    #[test]
    fn threads_change_no_bit_and_nothing_between_rows() {
        for (m, depth, n) in [(700, 300, 150), (3, 300, 1500), (40, 7, 65)] {
            let (a, b) = (noise(m * depth, 1), noise(n * depth, 2));
            let on = |threads: usize| {
                let mut result = vec![f32::NAN; m * (n + 5)];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| multiply(&mut result, n + 5, View::new(&a, depth), View::new(&b, depth).t()));
                result
            };
            let mut right = vec![0f32; m * (n + 5)];
            wanted(&mut right, n + 5, (m, depth, n), |i, j, k| (a[i * depth + k], b[j * depth + k]));
            for threads in [1, 2, 16] {
                for (at, (found, right)) in on(threads).iter().zip(&right).enumerate() {
                    assert!(if at % (n + 5) < n { found == right } else { found.is_nan() }, "{threads} {at}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "lies within")]
    fn results_out_of_bounds_are_refused() {
        add_product(&mut [0f32; 5], 3, View::new(&[1.0; 4], 2), View::new(&[1.0; 6], 3));
    }
}
