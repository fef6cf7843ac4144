//! Matrix products of one fixed order.
//!
//! `c[i][j]` takes its terms one by one in ascending order of the inner index, every product and every sum rounded by itself. Registers
//! of any width do the same to each element, so wide and portable paths agree bit for bit, and so do products cut into pieces anywhere.

use rayon::prelude::*;

/// `f32` or `f64`.
pub trait Scalar: Copy + Send + Sync + 'static + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self> {
    /// Zero.
    const ZERO: Self;
}

impl Scalar for f32 {
    const ZERO: Self = 0.0;
}

impl Scalar for f64 {
    const ZERO: Self = 0.0;
}

/// Inner indices for which a panel of `b` is copied together: 16 KiB of `f32`, half a first-level cache.
const DEPTH: usize = 256;
/// Columns of a panel; two registers of 256 bits in `f32`, four in `f64`.
const WIDTH: usize = 16;
/// Rows that share what is loaded of `b`.
const HEIGHT: usize = 4;
/// Rows with 32 registers of 512 bits: sixteen of them hold sums, in panels of two registers.
#[cfg(target_arch = "x86_64")]
const TALL: usize = 8;

/// A matrix inside a slice: rows start `stride` values apart.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    /// All values from the first of the first row on.
    pub values: &'a [T],
    /// From one row to the next.
    pub stride: usize,
}

/// `c += a b` on the calling thread: `a` is `m x depth`, `b` is `depth x n`, `c` is `m x n` with rows `stride` values apart.
pub fn add_product<T: Scalar>(
    (c, stride): (&mut [T], usize),
    a: Rows<'_, T>,
    b: Rows<'_, T>,
    (m, depth, n): (usize, usize, usize),
) {
    if m == 0 || n == 0 || depth == 0 {
        return;
    }
    assert!(n <= stride && (m - 1) * stride + n <= c.len(), "the result lies within");
    assert!((m - 1) * a.stride + depth <= a.values.len(), "the left matrix lies within");
    assert!((depth - 1) * b.stride + n <= b.values.len(), "the right matrix lies within");
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = wide::on_this_machine::<T>() {
        return wide((c, stride), a, b, (m, depth, n));
    }
    panels::<T, HEIGHT, WIDTH>((c, stride), a, b, (m, depth, n));
}

/// [`add_product`] on any machine.
#[inline(always)]
fn panels<T: Scalar, const HEIGHT: usize, const WIDTH: usize>(
    (c, stride): (&mut [T], usize),
    a: Rows<'_, T>,
    b: Rows<'_, T>,
    (m, depth, n): (usize, usize, usize),
) {
    let mut packed = vec![[T::ZERO; WIDTH]; depth.min(DEPTH)];
    for first in (0..depth).step_by(DEPTH) {
        let inner = DEPTH.min(depth - first);
        for column in (0..n).step_by(WIDTH) {
            let width = WIDTH.min(n - column);
            for (at, to) in packed[..inner].iter_mut().enumerate() {
                to[..width].copy_from_slice(&b.values[(first + at) * b.stride + column..][..width]);
            }
            let panel = &packed[..inner];
            let mut row = 0;
            while row + HEIGHT <= m {
                let a: [&[T]; HEIGHT] = std::array::from_fn(|r| &a.values[(row + r) * a.stride + first..][..inner]);
                tile((&mut c[row * stride + column..], stride, width), a, panel);
                row += HEIGHT;
            }
            while row < m {
                let a = [&a.values[row * a.stride + first..][..inner]];
                tile((&mut c[row * stride + column..], stride, width), a, panel);
                row += 1;
            }
        }
    }
}

#[inline(always)]
fn tile<T: Scalar, const M: usize, const WIDTH: usize>(
    (c, stride, width): (&mut [T], usize, usize),
    a: [&[T]; M],
    b: &[[T; WIDTH]],
) {
    let mut sums = [[T::ZERO; WIDTH]; M];
    for (r, sums) in sums.iter_mut().enumerate() {
        sums[..width].copy_from_slice(&c[r * stride..][..width]);
    }
    let a = a.map(|row| &row[..b.len()]);
    for (k, b) in b.iter().enumerate() {
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = a[k];
            sums.iter_mut().zip(b).for_each(|(sum, &b)| *sum = *sum + a * b);
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        c[r * stride..][..width].copy_from_slice(&sums[..width]);
    }
}

/// `target += factor source`.
#[inline]
pub fn add_scaled<T: Scalar>(target: &mut [T], factor: T, source: &[T]) {
    target.iter_mut().zip(source).for_each(|(t, &s)| *t = *t + factor * s);
}

/// Row-major to column-major.
#[must_use]
pub fn transpose<T: Scalar>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    assert_eq!(values.len(), rows * columns, "the matrix has that shape");
    let mut out = vec![T::ZERO; values.len()];
    // A few columns of the source share its cache lines.
    const TOGETHER: usize = 16;
    out.par_chunks_mut(TOGETHER * rows.max(1)).enumerate().for_each(|(group, out)| {
        for (row, from) in values.chunks_exact(columns.max(1)).enumerate() {
            let from = &from[group * TOGETHER..];
            out.chunks_exact_mut(rows.max(1)).zip(from).for_each(|(column, &value)| column[row] = value);
        }
    });
    out
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod wide {
    use super::{HEIGHT, Rows, Scalar, TALL, WIDTH, panels};

    type Product<T> = fn((&mut [T], usize), Rows<'_, T>, Rows<'_, T>, (usize, usize, usize));

    /// The product on this machine's widest registers.
    pub fn on_this_machine<T: Scalar>() -> Option<Product<T>> {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: just checked.
            return Some(match size_of::<T>() {
                4 => |c, a, b, shape| unsafe { avx512::<T, 32>(c, a, b, shape) },
                _ => |c, a, b, shape| unsafe { avx512::<T, 16>(c, a, b, shape) },
            });
        }
        // SAFETY: just checked.
        std::arch::is_x86_feature_detected!("avx2")
            .then_some((|c, a, b, shape| unsafe { avx2(c, a, b, shape) }) as Product<T>)
    }

    /// Needs AVX2. Not FMA: products and sums are rounded one by one.
    #[target_feature(enable = "avx2")]
    unsafe fn avx2<T: Scalar>(c: (&mut [T], usize), a: Rows<'_, T>, b: Rows<'_, T>, shape: (usize, usize, usize)) {
        panels::<T, HEIGHT, WIDTH>(c, a, b, shape);
    }

    /// Needs AVX-512F. Products and sums are rounded one by one, as above.
    #[target_feature(enable = "avx512f")]
    unsafe fn avx512<T: Scalar, const COLUMNS: usize>(
        c: (&mut [T], usize),
        a: Rows<'_, T>,
        b: Rows<'_, T>,
        shape: (usize, usize, usize),
    ) {
        panels::<T, TALL, COLUMNS>(c, a, b, shape);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32).map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    /// By the definition: term by term.
    #[test]
    fn products_have_one_order() {
        for (m, depth, n) in
            [(1, 1, 1), (4, 3, 16), (5, 300, 17), (9, 513, 33), (17, 40, 67), (3, 2, 50), (0, 3, 2), (2, 0, 2)]
        {
            let (a, b, start) = (noise(m * (depth + 1), 1), noise(depth * (n + 2), 2), noise(m * (n + 3), 3));
            let mut wanted = start.clone();
            for i in 0..m {
                for j in 0..n {
                    for k in 0..depth {
                        wanted[i * (n + 3) + j] += a[i * (depth + 1) + k] * b[k * (n + 2) + j];
                    }
                }
            }
            let (a, b) = (Rows { values: &a, stride: depth + 1 }, Rows { values: &b, stride: n + 2 });
            let mut portable = start.clone();
            panels::<f32, HEIGHT, WIDTH>((&mut portable, n + 3), a, b, (m, depth, n));
            assert!(portable == wanted, "{m} {depth} {n}");
            let mut fast = start;
            add_product((&mut fast, n + 3), a, b, (m, depth, n));
            assert!(fast == wanted, "{m} {depth} {n}");
        }
    }

    #[test]
    fn transposing_moves_rows_to_columns() {
        assert_eq!(transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let values = noise(37 * 41, 5);
        let back = transpose(&transpose(&values, 37, 41), 41, 37);
        assert_eq!(back, values);
        assert!(transpose::<f32>(&[], 0, 5).is_empty() && transpose::<f32>(&[], 5, 0).is_empty());
    }
}
