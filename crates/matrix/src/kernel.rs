//! The innermost product: a tile of the result that stays in registers.

use crate::element::{Element, Kernel, Kernels};

/// Elements of the largest tile.
pub(crate) const MOST: usize = 8 * 32;

/// Rows and columns of a portable tile: sixteen registers of 128 bits in `f32`.
const PORTABLE: (usize, usize) = (4, 16);

fn portable<T: Element>(c: &mut [T], stride: usize, left: &[T], right: &[T]) {
    const HEIGHT: usize = PORTABLE.0;
    const WIDTH: usize = PORTABLE.1;
    let mut sums = [[T::ZERO; WIDTH]; HEIGHT];
    for (sums, c) in sums.iter_mut().zip(c.chunks(stride)) {
        sums.copy_from_slice(&c[..WIDTH]);
    }
    let (left, right) = (left.as_chunks::<HEIGHT>().0, right.as_chunks::<WIDTH>().0);
    for (left, right) in left.iter().zip(right) {
        for (sums, &left) in sums.iter_mut().zip(left) {
            sums.iter_mut().zip(right).for_each(|(sum, &right)| *sum = left.times_plus(right, *sum));
        }
    }
    for (sums, c) in sums.iter().zip(c.chunks_mut(stride)) {
        c[..WIDTH].copy_from_slice(sums);
    }
}

const fn anywhere<T: Element>() -> Kernel<T> {
    Kernel { height: PORTABLE.0, width: PORTABLE.1, name: "portable", run: portable::<T> }
}

macro_rules! kernels {
    ($element:ty, $wide:ident, $wider:ident) => {
        impl Kernels for $element {
            fn kernels() -> Vec<Kernel<Self>> {
                #[allow(unused_mut)]
                let mut found = Vec::new();
                #[cfg(target_arch = "x86_64")]
                found.extend([x86::$wider(), x86::$wide()].into_iter().flatten());
                found.push(anywhere());
                found
            }

            fn kernel() -> Kernel<Self> {
                #[cfg(target_arch = "x86_64")]
                if let Some(found) = x86::$wider().or_else(x86::$wide) {
                    return found;
                }
                anywhere()
            }
        }
    };
}

kernels!(f32, f32_avx2, f32_avx512);
kernels!(f64, f64_avx2, f64_avx512);

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use std::arch::x86_64::*;

    use seedpress_simd::Level;

    use super::Kernel;

    /// A kernel of `$height` rows and two registers of `$lanes` values a row.
    macro_rules! kernel {
        ($name:ident, $element:ty, $lanes:literal, $height:literal, $features:literal, $level:expr,
         $zero:ident, $load:ident, $store:ident, $set:ident, $fma:ident) => {
            /// The kernel, where it may run.
            pub(super) fn $name() -> Option<Kernel<$element>> {
                #[target_feature(enable = $features)]
                fn run(c: &mut [$element], stride: usize, left: &[$element], right: &[$element]) {
                    const WIDTH: usize = 2 * $lanes;
                    assert!(($height - 1) * stride + WIDTH <= c.len(), "the tile lies within");
                    let (left, right) = (left.as_chunks::<$height>().0, right.as_chunks::<WIDTH>().0);
                    let mut sums = [[$zero(); 2]; $height];
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let c = c[row * stride..][..WIDTH].as_ptr();
                        // SAFETY: the slice holds `WIDTH` values from `c` on.
                        *sums = unsafe { [$load(c), $load(c.add($lanes))] };
                    }
                    for (left, right) in left.iter().zip(right) {
                        // SAFETY: the array holds `WIDTH` values.
                        let right = unsafe { [$load(right.as_ptr()), $load(right.as_ptr().add($lanes))] };
                        for (sums, &left) in sums.iter_mut().zip(left) {
                            let left = $set(left);
                            *sums = [$fma(left, right[0], sums[0]), $fma(left, right[1], sums[1])];
                        }
                    }
                    for (row, sums) in sums.iter().enumerate() {
                        let c = c[row * stride..][..WIDTH].as_mut_ptr();
                        // SAFETY: the slice holds `WIDTH` values from `c` on.
                        unsafe {
                            $store(c, sums[0]);
                            $store(c.add($lanes), sums[1]);
                        }
                    }
                }
                let found = Kernel {
                    height: $height,
                    width: 2 * $lanes,
                    name: $features,
                    // SAFETY: handed out behind the check below alone.
                    run: |c, stride, left, right| unsafe { run(c, stride, left, right) },
                };
                (Level::fastest() >= $level).then_some(found)
            }
        };
    }

    kernel!(
        f32_avx2,
        f32,
        8,
        6,
        "avx2,fma",
        Level::Avx2,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_fmadd_ps
    );
    kernel!(
        f64_avx2,
        f64,
        4,
        6,
        "avx2,fma",
        Level::Avx2,
        _mm256_setzero_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_set1_pd,
        _mm256_fmadd_pd
    );
    kernel!(
        f32_avx512,
        f32,
        16,
        8,
        "avx512f",
        Level::Avx512Base,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_fmadd_ps
    );
    kernel!(
        f64_avx512,
        f64,
        8,
        8,
        "avx512f",
        Level::Avx512Base,
        _mm512_setzero_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_set1_pd,
        _mm512_fmadd_pd
    );
}
