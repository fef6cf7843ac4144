//! The four branch costs of every sample, one for each quantiser and parity.

#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

use super::tables::Tables;

/// Fills `branches` with the costs of magnitudes `u` of these classes, entries in the order of [`Tables::branches`].
pub(super) fn fill(tables: &Tables, u: &[f32], classes: &[u8], weight: f32, branches: &mut Vec<[f32; 4]>) {
    branches.clear();
    #[cfg(target_arch = "x86_64")]
    if Level::fastest() >= Level::Avx2 {
        avx2::fill(tables, u, classes, weight, branches);
        return;
    }
    branches.extend(u.iter().zip(classes).map(|(&u, &class)| tables.branches(u, weight, usize::from(class))));
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2 {
    use std::arch::x86_64::*;

    use super::Tables;

    pub(super) fn fill(tables: &Tables, u: &[f32], classes: &[u8], weight: f32, branches: &mut Vec<[f32; 4]>) {
        assert!(tables.points.iter().all(|points| points.len() > tables.reach) && tables.reach >= 3);
        // SAFETY: the caller has checked for AVX2; the points reach as far as was just checked.
        unsafe { both_quantizers(tables, u, classes, weight, branches) }
    }

    /// As `Tables::branches`, the first quantiser in the lower half of a register and the second in the upper.
    #[target_feature(enable = "avx2")]
    unsafe fn both_quantizers(tables: &Tables, u: &[f32], classes: &[u8], weight: f32, branches: &mut Vec<[f32; 4]>) {
        let stride = tables.stride();
        let (points, weights) = (tables.points.each_ref().map(|points| points.as_ptr()), _mm256_set1_ps(weight));
        let load = |low: *const f32, high: *const f32| {
            // SAFETY: four elements can be read at either, see the calls.
            unsafe { _mm256_set_m128(_mm_loadu_ps(high), _mm_loadu_ps(low)) }
        };
        // A table has more than three entries.
        let first_points = load(points[0], points[1]);
        // What lane of a half holds the costs of even and of odd indices, by the lowest bit of both floors.
        let orders = [[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]]
            .map(|[a, b, c, d]| _mm256_setr_epi32(a, b, a, b, c, d, c, d));
        branches.extend(u.iter().zip(classes).map(|(&u, &class)| {
            let floors = [(u * 0.5) as usize, ((u + 1.0) * 0.5) as usize];
            let rows = 2 * usize::from(class) * stride;
            let Some(rates) = tables.rates.get(rows..rows + 2 * stride) else { return [f32::INFINITY; 4] };
            // Of an infinite aim the floor is the largest number there is.
            if floors[1] >= tables.reach - 3 {
                return tables.branches(u, weight, usize::from(class));
            }
            let rates = [rates.as_ptr(), rates[stride..].as_ptr()];
            // SAFETY: `floor + 3` is below the reach, and points and rates have more entries than that.
            let (near_points, near_rates) = unsafe {
                (
                    load(points[0].add(floors[0]), points[1].add(floors[1])),
                    load(rates[0].add(floors[0]), rates[1].add(floors[1])),
                )
            };
            let first_rates = load(rates[0], rates[1]);
            let u = _mm256_set1_ps(u);
            let cost = |points, rates| {
                let error = _mm256_sub_ps(u, points);
                _mm256_add_ps(_mm256_mul_ps(weights, _mm256_mul_ps(error, error)), rates)
            };
            let near = cost(near_points, near_rates);
            let near = _mm256_min_ps(near, _mm256_permute_ps::<0b01_00_11_10>(near));
            let near = _mm256_permutevar_ps(near, orders[(floors[0] & 1) | (floors[1] & 1) << 1]);
            // Entries 1 and 2 belong to indices 0 and 1.
            let first = _mm256_permute_ps::<0b00_00_10_01>(cost(first_points, first_rates));
            let least = _mm256_min_ps(near, first);
            let halves = _mm_movelh_ps(_mm256_castps256_ps128(least), _mm256_extractf128_ps::<1>(least));
            let mut four = [0f32; 4];
            // SAFETY: four elements.
            unsafe { _mm_storeu_ps(four.as_mut_ptr(), halves) };
            four
        }));
    }
}
