//! The two loops of screening, written once over eight lanes and compiled for plain Rust and for AVX2 with fused multiply-add.
#![allow(unsafe_code)]

use seedpress_simd::Level;

/// Windows side by side.
pub(crate) const LANES: usize = 8;
/// Vectors whose sums are held in registers together.
pub(crate) const QUAD: usize = 4;
/// Windows screened before the next vectors take their turn: their tables stay in the first cache.
const TILE: usize = 256;

/// What a screening passes over.
pub(crate) struct Pass<'a> {
    /// Values of the sequence from column 0, row 0 of window 0 on.
    pub values: &'a [f32],
    /// `[group][row of the triangle, without zeros][lane]`: the whitening of every window.
    pub whitening: &'a [[f32; LANES]],
    /// `[group][column][row][lane]`: orthonormal bases.
    pub bases: &'a [[f32; LANES]],
    /// Rows of a window.
    pub rows: usize,
    /// `[quad][row][vector]`: what is multiplied with the sequence, and with the bases.
    pub sequence_weights: &'a [[f32; QUAD]],
    /// See `sequence_weights`.
    pub basis_weights: &'a [[f32; QUAD]],
}

/// Told of eight energies of which one at least reaches the vector's threshold; answers with the threshold from now on.
/// Arguments: whether it was the bases' table, the vector, the group, the energies.
pub(crate) type Sink<'a> = dyn FnMut(bool, usize, usize, &[f32; LANES]) -> f32 + 'a;

/// Screens all windows. `thresholds` has one entry a vector (`QUAD` a quad).
pub(crate) fn screen(
    level: Level,
    columns: usize,
    pass: &Pass<'_>,
    thresholds: &mut [[f32; QUAD]],
    sink: &mut Sink<'_>,
) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features the function is compiled for were detected on this machine.
        // Twice the registers and masks of AVX-512 were measured to gain nothing here; floats of 512 bits pass in two halves.
        Level::Avx2 | Level::Avx512Base | Level::Avx512 if level.is_supported() => unsafe {
            avx2::screen(columns, pass, thresholds, sink)
        },
        _ => by_columns::<Portable>(columns, pass, thresholds, sink),
    }
}

#[inline(always)]
fn by_columns<V: Vector>(columns: usize, pass: &Pass<'_>, thresholds: &mut [[f32; QUAD]], sink: &mut Sink<'_>) {
    match columns {
        1 => body::<V, 1>(pass, thresholds, sink),
        2 => body::<V, 2>(pass, thresholds, sink),
        3 => body::<V, 3>(pass, thresholds, sink),
        4 => body::<V, 4>(pass, thresholds, sink),
        5 => body::<V, 5>(pass, thresholds, sink),
        6 => body::<V, 6>(pass, thresholds, sink),
        _ => unreachable!("windows have one to six columns"),
    }
}

#[inline(always)]
fn body<V: Vector, const P: usize>(pass: &Pass<'_>, thresholds: &mut [[f32; QUAD]], sink: &mut Sink<'_>) {
    let triangle = P * (P + 1) / 2;
    for (tile, whitening) in pass.whitening.chunks(TILE / LANES * triangle).enumerate() {
        let values = &pass.values[tile * TILE..];
        for (quad, weights) in pass.sequence_weights.chunks_exact(pass.rows).enumerate() {
            let mut products = [[0f32; TILE + 2 * LANES]; QUAD];
            correlate::<V, P>(values, weights, whitening.len() / triangle * LANES + LANES, &mut products);
            whiten::<V, P>(whitening, &products, &mut thresholds[quad], &mut |vector, group, energies| {
                sink(false, quad * QUAD + vector, tile * (TILE / LANES) + group, energies)
            });
        }
    }
    for (group, bases) in pass.bases.chunks_exact(P * pass.rows).enumerate() {
        for (quad, weights) in pass.basis_weights.chunks_exact(pass.rows).enumerate() {
            project::<V>(bases, weights, &mut thresholds[quad], &mut |vector, energies| {
                sink(true, quad * QUAD + vector, group, energies)
            });
        }
    }
}

/// `products[v][j] = sum over rows c of weights[c][v] values[j + c P]`: every column of every window is one of these.
#[inline(always)]
fn correlate<V: Vector, const P: usize>(
    values: &[f32],
    weights: &[[f32; QUAD]],
    count: usize,
    products: &mut [[f32; TILE + 2 * LANES]; QUAD],
) {
    for at in (0..count).step_by(2 * LANES) {
        let mut sums = [[V::splat(0.0); 2]; QUAD];
        for (row, weights) in weights.iter().enumerate() {
            let values = &values[at + row * P..][..2 * LANES];
            let pair = [V::load(values, 0), V::load(values, LANES)];
            for vector in 0..QUAD {
                let weight = V::splat(weights[vector]);
                sums[vector][0] = pair[0].times_plus(weight, sums[vector][0]);
                sums[vector][1] = pair[1].times_plus(weight, sums[vector][1]);
            }
        }
        for vector in 0..QUAD {
            let out = &mut products[vector][at..][..2 * LANES];
            sums[vector][0].store(out, 0);
            sums[vector][1].store(out, LANES);
        }
    }
}

#[inline(always)]
fn whiten<V: Vector, const P: usize>(
    whitening: &[[f32; LANES]],
    products: &[[f32; TILE + 2 * LANES]; QUAD],
    thresholds: &mut [f32; QUAD],
    sink: &mut dyn FnMut(usize, usize, &[f32; LANES]) -> f32,
) {
    for (group, triangle) in whitening.chunks_exact(P * (P + 1) / 2).enumerate() {
        for vector in 0..QUAD {
            let products = &products[vector][group * LANES..][..2 * LANES];
            let mut energy = V::splat(0.0);
            let mut entry = 0;
            for row in 0..P {
                let mut sum = V::load(products, 0).times(V::load(&triangle[entry], 0));
                entry += 1;
                for column in 1..=row {
                    sum = V::load(products, column).times_plus(V::load(&triangle[entry], 0), sum);
                    entry += 1;
                }
                energy = if row == 0 { sum.times(sum) } else { sum.times_plus(sum, energy) };
            }
            if energy.reaches(thresholds[vector]) {
                thresholds[vector] = sink(vector, group, &energy.lanes());
            }
        }
    }
}

#[inline(always)]
fn project<V: Vector>(
    bases: &[[f32; LANES]],
    weights: &[[f32; QUAD]],
    thresholds: &mut [f32; QUAD],
    sink: &mut dyn FnMut(usize, &[f32; LANES]) -> f32,
) {
    let mut energies = [V::splat(0.0); QUAD];
    for basis in bases.chunks_exact(weights.len()) {
        let mut sums = [V::splat(0.0); QUAD];
        for (lanes, weights) in basis.iter().zip(weights) {
            let lanes = V::load(lanes, 0);
            for vector in 0..QUAD {
                sums[vector] = lanes.times_plus(V::splat(weights[vector]), sums[vector]);
            }
        }
        for vector in 0..QUAD {
            energies[vector] = sums[vector].times_plus(sums[vector], energies[vector]);
        }
    }
    for vector in 0..QUAD {
        if energies[vector].reaches(thresholds[vector]) {
            thresholds[vector] = sink(vector, &energies[vector].lanes());
        }
    }
}

/// Eight floats.
trait Vector: Copy {
    fn splat(value: f32) -> Self;
    fn load(from: &[f32], at: usize) -> Self;
    fn store(self, to: &mut [f32], at: usize);
    fn times(self, other: Self) -> Self;
    fn times_plus(self, other: Self, sum: Self) -> Self;
    /// Whether any lane is at least `threshold`.
    fn reaches(self, threshold: f32) -> bool;
    fn lanes(self) -> [f32; LANES];
}

#[derive(Clone, Copy)]
struct Portable([f32; LANES]);

impl Vector for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(from: &[f32], at: usize) -> Self {
        let from = &from[at..][..LANES];
        Self(std::array::from_fn(|lane| from[lane]))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32], at: usize) {
        to[at..][..LANES].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
    }

    #[inline(always)]
    fn times_plus(self, other: Self, sum: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] * other.0[lane] + sum.0[lane]))
    }

    #[inline(always)]
    fn reaches(self, threshold: f32) -> bool {
        // Without short circuits the eight comparisons are one vector operation.
        self.0.iter().fold(false, |any, &lane| any | (lane >= threshold))
    }

    #[inline(always)]
    fn lanes(self) -> [f32; LANES] {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{LANES, Pass, QUAD, Sink, Vector, by_columns};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn screen(columns: usize, pass: &Pass<'_>, thresholds: &mut [[f32; QUAD]], sink: &mut Sink<'_>) {
        by_columns::<Avx2>(columns, pass, thresholds, sink);
    }

    /// Only ever made inside [`screen`], so its methods run where AVX2 and FMA were detected: the reason every `unsafe` below holds.
    #[derive(Clone, Copy)]
    struct Avx2(__m256);

    impl Vector for Avx2 {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see the type.
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        fn load(from: &[f32], at: usize) -> Self {
            let from = &from[at..][..LANES];
            // SAFETY: see the type; the slice has eight values.
            Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32], at: usize) {
            let to = &mut to[at..][..LANES];
            // SAFETY: see the type; the slice has eight values.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn times(self, other: Self) -> Self {
            // SAFETY: see the type.
            Self(unsafe { _mm256_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn times_plus(self, other: Self, sum: Self) -> Self {
            // SAFETY: see the type.
            Self(unsafe { _mm256_fmadd_ps(self.0, other.0, sum.0) })
        }

        #[inline(always)]
        fn reaches(self, threshold: f32) -> bool {
            // SAFETY: see the type.
            unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(self.0, _mm256_set1_ps(threshold))) != 0 }
        }

        #[inline(always)]
        fn lanes(self) -> [f32; LANES] {
            let mut lanes = [0.0; LANES];
            self.store(&mut lanes, 0);
            lanes
        }
    }
}
