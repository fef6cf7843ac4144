//! The nearest of some centroids, for many points.
//!
//! Sixteen centroids side by side, component by component, are compared with four points at a time: plain loops that every compiler turns
//! into vector instructions. A distance is `sum_j (x_j - c_j)^2`, added in the order of `j`, in binary32 without fused operations: the
//! same on every vector unit. Its relative error is at most `(dimension + 2) 2^-24`, however far from the origin points are.

use rayon::prelude::*;
#[cfg(target_arch = "x86_64")]
use seedpress_simd::Level;

/// Centroids side by side.
const LANES: usize = 16;

/// Points against the same centroids at a time.
const GROUP: usize = 4;

/// Points a task treats.
const PART: usize = 2048;

/// Centroids, laid out for the search.
#[derive(Debug, Clone)]
pub struct Nearest {
    dimension: usize,
    count: usize,
    /// `dimension` vectors of `LANES` for every block of centroids; where there is none, infinity, which is never the nearest.
    blocks: Vec<[f32; LANES]>,
}

/// What a search finds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct NearestCentroid {
    /// The nearest centroid, of equally near ones the first.
    pub label: u32,
    /// Its squared distance.
    pub distance: f32,
    /// That of the nearest other one; infinite where there is none.
    pub other: f32,
}

impl Nearest {
    /// Prepares row-major centroids of `dimension` finite numbers.
    ///
    /// # Panics
    /// Where `dimension` is 0 or does not divide their number.
    pub fn new(centroids: &[f32], dimension: usize) -> Self {
        assert!(dimension > 0 && centroids.len().is_multiple_of(dimension), "values do not fill points of {dimension}");
        let count = centroids.len() / dimension;
        let mut blocks = vec![[f32::INFINITY; LANES]; count.div_ceil(LANES) * dimension];
        for (index, centroid) in centroids.chunks_exact(dimension).enumerate() {
            for (j, &value) in centroid.iter().enumerate() {
                blocks[index / LANES * dimension + j][index % LANES] = value;
            }
        }
        Self { dimension, count, blocks }
    }

    /// How many centroids there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The nearest centroid of every point (row-major), over all threads.
    ///
    /// # Panics
    /// Where there are not as many labels as points.
    pub fn labels(&self, points: &[f32], labels: &mut [u32]) {
        assert_eq!(points.len(), labels.len() * self.dimension, "one label a point");
        let parts = labels.par_chunks_mut(PART).zip(points.par_chunks(PART * self.dimension));
        parts.for_each(|(labels, points)| {
            let mut found = [NearestCentroid::default(); PART];
            let all = |index: usize| &points[index * self.dimension..][..self.dimension];
            self.search(labels.len(), all, &mut found[..labels.len()]);
            labels.iter_mut().zip(&found).for_each(|(label, found)| *label = found.label);
        });
    }

    /// Searches for `count` points, the `index`-th of which is `point(index)`.
    pub(crate) fn search<'a>(&self, count: usize, point: impl Fn(usize) -> &'a [f32], found: &mut [NearestCentroid]) {
        debug_assert_eq!(count, found.len());
        #[cfg(target_arch = "x86_64")]
        {
            let level = Level::fastest();
            if level >= Level::Avx512Base {
                return wide::avx512(self, point, found);
            }
            if level >= Level::Avx2 {
                return wide::avx2(self, point, found);
            }
        }
        self.plain(point, found);
    }

    #[inline(always)]
    fn plain<'a>(&self, point: impl Fn(usize) -> &'a [f32], found: &mut [NearestCentroid]) {
        let whole = found.len() / GROUP * GROUP;
        for first in (0..whole).step_by(GROUP) {
            self.group::<GROUP>(std::array::from_fn(|i| point(first + i)), &mut found[first..][..GROUP]);
        }
        for index in whole..found.len() {
            self.group::<1>([point(index)], &mut found[index..=index]);
        }
    }

    /// The search for `P` points.
    #[inline(always)]
    fn group<const P: usize>(&self, points: [&[f32]; P], found: &mut [NearestCentroid]) {
        let points = points.map(|point| &point[..self.dimension]);
        let mut nearest = [[f32::INFINITY; LANES]; P];
        let mut second = [[f32::INFINITY; LANES]; P];
        let mut index = [[0u32; LANES]; P];
        for (number, block) in self.blocks.chunks_exact(self.dimension).enumerate() {
            let mut sums = [[0f32; LANES]; P];
            for (j, centers) in block.iter().enumerate() {
                for (sums, point) in sums.iter_mut().zip(&points) {
                    let x = point[j];
                    for (sum, &c) in sums.iter_mut().zip(centers) {
                        *sum += (x - c) * (x - c);
                    }
                }
            }
            for p in 0..P {
                for lane in 0..LANES {
                    let (sum, best) = (sums[p][lane], nearest[p][lane]);
                    let closer = sum < best;
                    let larger = if closer { best } else { sum };
                    second[p][lane] = if larger < second[p][lane] { larger } else { second[p][lane] };
                    nearest[p][lane] = if closer { sum } else { best };
                    index[p][lane] = if closer { number as u32 } else { index[p][lane] };
                }
            }
        }
        for (p, found) in found.iter_mut().enumerate() {
            *found = across(&nearest[p], &second[p], &index[p]);
        }
    }
}

/// The nearest of all lanes.
#[inline(always)]
fn across(nearest: &[f32; LANES], second: &[f32; LANES], index: &[u32; LANES]) -> NearestCentroid {
    let mut found = NearestCentroid { label: index[0] * LANES as u32, distance: nearest[0], other: f32::INFINITY };
    for lane in 1..LANES {
        let candidate = (nearest[lane], index[lane] * LANES as u32 + lane as u32);
        if candidate < (found.distance, found.label) {
            found =
                NearestCentroid { label: candidate.1, distance: candidate.0, other: found.distance.min(found.other) };
        } else {
            found.other = found.other.min(candidate.0);
        }
    }
    found.other = second.iter().fold(found.other, |other, &second| other.min(second));
    found
}

/// The squared distance of two points, as the search computes it.
#[inline(always)]
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0f32, |sum, (&a, &b)| sum + (a - b) * (a - b))
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod wide {
    //! The same loops, compiled for wider registers.

    use super::{Nearest, NearestCentroid};

    pub(super) fn avx512<'a>(nearest: &Nearest, point: impl Fn(usize) -> &'a [f32], found: &mut [NearestCentroid]) {
        #[target_feature(enable = "avx512f")]
        unsafe fn compiled<'a>(nearest: &Nearest, point: impl Fn(usize) -> &'a [f32], found: &mut [NearestCentroid]) {
            nearest.plain(point, found);
        }
        // SAFETY: the caller has checked for AVX-512.
        unsafe { compiled(nearest, point, found) }
    }

    pub(super) fn avx2<'a>(nearest: &Nearest, point: impl Fn(usize) -> &'a [f32], found: &mut [NearestCentroid]) {
        #[target_feature(enable = "avx2")]
        unsafe fn compiled<'a>(nearest: &Nearest, point: impl Fn(usize) -> &'a [f32], found: &mut [NearestCentroid]) {
            nearest.plain(point, found);
        }
        // SAFETY: the caller has checked for AVX2.
        unsafe { compiled(nearest, point, found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let scrambled = |i: u32| (i ^ seed).wrapping_mul(2_654_435_761).rotate_left(11).wrapping_mul(0x9E37_79B9);
        (0..count as u32).map(|i| (scrambled(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    #[test]
    fn every_path_finds_what_trying_all_centroids_finds() {
        for (dimension, centroids, count) in
            [(1, 1, 5), (1, 40, 33), (3, 16, 7), (5, 17, 64), (8, 100, 101), (16, 300, 9)]
        {
            let mut centers = numbers(dimension * centroids, 3);
            if centroids > 20 {
                // Equal centroids: the first counts.
                let twin = centers[..dimension].to_vec();
                centers[20 * dimension..][..dimension].copy_from_slice(&twin);
            }
            let points = numbers(dimension * count, 7);
            let nearest = Nearest::new(&centers, dimension);
            let point = |index: usize| &points[index * dimension..][..dimension];
            let brute: Vec<NearestCentroid> = (0..count)
                .map(|index| {
                    let mut all: Vec<(f32, u32)> = centers
                        .chunks(dimension)
                        .zip(0..)
                        .map(|(c, label)| (distance(point(index), c), label))
                        .collect();
                    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
                    NearestCentroid {
                        label: all[0].1,
                        distance: all[0].0,
                        other: all.get(1).map_or(f32::INFINITY, |other| other.0),
                    }
                })
                .collect();
            let mut found = vec![NearestCentroid::default(); count];
            nearest.plain(point, &mut found);
            assert_eq!(found, brute, "{dimension} {centroids} {count}");
            #[cfg(target_arch = "x86_64")]
            if Level::Avx2.is_supported() {
                wide::avx2(&nearest, point, &mut found);
                assert_eq!(found, brute, "{dimension} {centroids} {count}, AVX2");
            }
            #[cfg(target_arch = "x86_64")]
            if Level::Avx512Base.is_supported() {
                wide::avx512(&nearest, point, &mut found);
                assert_eq!(found, brute, "{dimension} {centroids} {count}, AVX-512");
            }
            let mut labels = vec![0; count];
            nearest.labels(&points, &mut labels);
            assert!(labels.iter().zip(&brute).all(|(label, found)| *label == found.label));
        }
    }
}
