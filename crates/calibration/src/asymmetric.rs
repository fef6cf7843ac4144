//! Inputs of a layer behind layers already compressed.
//!
//! A layer `W` of a compressed model is fed `y`, where the model it stands for is fed `x`. What it should be is no longer `W` but what
//! brings `W x` back from `y`: the least squares solution `W' = W E[x y^T] E[y y^T]^-1`. Compressing `W'` under the statistics of `y`
//! makes each layer repair what those before it did wrong, as in Y. Li et al., "GPTAQ: Efficient finetuning-free quantization for
//! asymmetric calibration", ICML 2025, arXiv 2504.02692 (section 3, with the correction as a solution instead of a step).

use std::sync::Arc;

use rayon::prelude::*;

use crate::accumulator::Accumulator;
use crate::batch::{BATCH, scaled};
use crate::factor::damping;
use crate::ldl::{Ldl, solve};
use crate::outputs::OutputWeights;
use crate::statistics::{InputStatistics, StatisticsError};
use crate::tiles::Tiles;
use seedpress_matrix::{View, add_product, transpose};

/// Rows of weights solved for together: the moments are read once for each such strip.
const ROWS: usize = 256;
/// Columns of the moments that are widened together, by each thread.
const WIDENED: usize = 128;

/// Sums over pairs of inputs, from which come [`AsymmetricStatistics`].
#[derive(Debug, Clone)]
pub struct AsymmetricAccumulator {
    /// Of `y`.
    moments: Accumulator,
    /// Of `x y^T`.
    cross: Tiles,
    /// Pairs that wait until their batch is full.
    x: Vec<f32>,
    y: Vec<f32>,
    weights: Vec<f32>,
}

impl AsymmetricAccumulator {
    /// Of a layer of so many inputs, none seen yet. Takes `12 columns^2` bytes.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let (x, y, weights) = (Vec::new(), Vec::new(), Vec::new());
        Self { moments: Accumulator::new(columns), cross: Tiles::square(columns), x, y, weights }
    }

    /// Adds inputs, one a row: `x` in the uncompressed model, `y` at the same place of the compressed one.
    ///
    /// # Panics
    /// If both are not whole rows of the columns, as many of each.
    pub fn add(&mut self, x: &[f32], y: &[f32]) {
        self.add_weighted(x, y, None);
    }

    /// As [`add`](Self::add), where pairs count these weights, one a row, not negative.
    ///
    /// # Panics
    /// As [`add`](Self::add), or if there are not as many weights as rows.
    pub fn add_weighted(&mut self, x: &[f32], y: &[f32], weights: Option<&[f32]>) {
        let columns = self.moments.columns();
        assert!(x.len() == y.len() && (x.is_empty() || x.len().is_multiple_of(columns)), "whole rows, in pairs");
        assert!(weights.is_none_or(|weights| weights.len() * columns == x.len()), "one weight a row");
        let rows = x.len() / columns;
        let mut at = 0;
        while at < rows {
            let take = (BATCH - self.weights.len()).min(rows - at);
            let part = at * columns..(at + take) * columns;
            self.x.extend_from_slice(&x[part.clone()]);
            self.y.extend_from_slice(&y[part]);
            match weights {
                Some(weights) => self.weights.extend_from_slice(&weights[at..at + take]),
                None => self.weights.extend(std::iter::repeat_n(1.0, take)),
            }
            at += take;
            if self.weights.len() == BATCH {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if !self.weights.is_empty() {
            let columns = self.moments.columns();
            self.moments.absorb(&self.y, &mut self.weights.clone());
            match scaled(&self.y, columns, &self.weights) {
                // A weight belongs to the product once: its root on either side.
                Some(y) => {
                    let x = scaled(&self.x, columns, &self.weights);
                    self.cross.add(x.as_deref().unwrap_or(&self.x), &y);
                }
                None => self.cross.add(&self.x, &self.y),
            }
            self.x.clear();
            self.y.clear();
            self.weights.clear();
        }
    }

    /// The means.
    ///
    /// # Errors
    /// As [`Accumulator::finish`].
    pub fn finish(mut self) -> Result<AsymmetricStatistics, StatisticsError> {
        self.flush();
        let Self { moments, cross: sums, .. } = self;
        let (weight, columns) = (moments.weight(), moments.columns());
        let cross = sums.full(|sum| (sum / weight) as f32);
        // They take twice what is made of them: gone before the other moment is made.
        drop(sums);
        let inputs = Arc::new(moments.finish()?);
        match cross.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(StatisticsError::NotFinite { what: "the cross moment", column: at % columns }),
            None => Ok(AsymmetricStatistics { inputs, cross }),
        }
    }
}

/// Statistics of what a layer multiplies behind compressed ones.
#[derive(Debug, Clone, PartialEq)]
pub struct AsymmetricStatistics {
    inputs: Arc<InputStatistics>,
    cross: Vec<f32>,
}

impl AsymmetricStatistics {
    /// Of the inputs `y` that the layer really gets: what its compression is to be calibrated with.
    #[must_use]
    pub fn inputs(&self) -> &Arc<InputStatistics> {
        &self.inputs
    }

    /// Adds how much each output counts, as [`InputStatistics::with_outputs`].
    #[must_use]
    pub fn with_outputs(self, outputs: Option<Arc<OutputWeights>>) -> Self {
        Self { inputs: Arc::new(Arc::unwrap_or_clone(self.inputs).with_outputs(outputs)), ..self }
    }

    /// Mean of `x y^T`, row-major.
    #[must_use]
    pub fn cross_moment(&self) -> &[f32] {
        &self.cross
    }

    /// The same inputs in another order, as [`InputStatistics::reordered`].
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        let inputs = Arc::new(self.inputs.reordered(order));
        let row = |&row: &usize| order.iter().map(move |&column| self.cross[row * order.len() + column]);
        Self { inputs, cross: order.iter().flat_map(row).collect() }
    }

    /// What row-major weights should be behind the compressed layers: `W' = W (E[x y^T] + r) (E[y y^T] + r)^-1`, where `r` is
    /// [`damping`] by `fraction`, so that directions the data does not show stay as they are, and the [ridge](OutputWeights::ridge) of weights
    /// that are to stay near what they are for another use. Weights that are not finite, or inputs that
    /// were always zero, leave all as it was.
    ///
    /// # Errors
    /// Weights that are no rows of the statistics' columns.
    pub fn corrected(&self, weights: &[f32], fraction: f64) -> Result<Vec<f32>, StatisticsError> {
        let columns = self.inputs.columns();
        if !weights.len().is_multiple_of(columns) {
            let (what, wanted) = ("the matrix", weights.len().next_multiple_of(columns));
            return Err(StatisticsError::Length { what, found: weights.len(), wanted });
        }
        let moment = self.inputs.second_moment().unwrap_or_default();
        let silent = self.inputs.mean_square().iter().all(|&square| square == 0.0);
        if silent || weights.iter().any(|weight| !weight.is_finite()) {
            return Ok(weights.to_vec());
        }
        let matrix = moment.iter().map(|&entry| f64::from(entry)).collect();
        let ridge = f64::from(self.inputs.ridge());
        let factor = Ldl::new(matrix, columns, damping(self.inputs.mean_square(), fraction) + ridge);
        let strips = weights.par_chunks(ROWS * columns).flat_map_iter(|strip| {
            let height = strip.len() / columns;
            let wide: Vec<f64> = strip.iter().map(|&weight| f64::from(weight)).collect();
            let across = transpose(&wide, height, columns);
            let mut moved = vec![0f64; across.len()];
            self.add_change(&mut moved, moment, View::new(&across, height));
            solve(&factor.lower, &factor.diagonal, &mut moved, height);
            let moved = transpose(&moved, columns, height);
            wide.into_iter().zip(moved).map(|(weight, moved)| (weight + moved) as f32)
        });
        Ok(strips.collect())
    }

    /// Adds `W (E[x y^T] - E[y y^T])`, both matrices of weights column-major: in terms of what changes,
    /// `W' - W = W (E[x y^T] - E[y y^T]) (E[y y^T] + r)^-1`, nothing is lost where little does. The difference is never held as a whole.
    fn add_change(&self, moved: &mut [f64], moment: &[f32], weights: View<'_, f64>) {
        let (columns, height) = (weights.height(), weights.width());
        for (block, moved) in moved.chunks_mut(WIDENED * height).enumerate() {
            let (first, width) = (block * WIDENED, moved.len() / height);
            let mut change = Vec::with_capacity(columns * width);
            for (cross, moment) in self.cross.chunks_exact(columns).zip(moment.chunks_exact(columns)) {
                let pairs = cross[first..first + width].iter().zip(&moment[first..first + width]);
                change.extend(pairs.map(|(&c, &h)| f64::from(c) - f64::from(h)));
            }
            add_product(moved, height, View::new(&change, width).t(), weights);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32).map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    fn statistics(columns: usize, x: &[f32], y: &[f32]) -> AsymmetricStatistics {
        let mut accumulator = AsymmetricAccumulator::new(columns);
        x.chunks(7 * columns).zip(y.chunks(7 * columns)).for_each(|(x, y)| accumulator.add(x, y));
        accumulator.finish().unwrap()
    }

    /// Where inputs went through a matrix, the correction undoes it.
    #[test]
    fn a_known_distortion_is_undone() {
        let (columns, count, rows) = (150, 2000, 70);
        let x = noise(columns * count, 1);
        // Every input takes a third of its neighbour's.
        let y: Vec<f32> =
            x.chunks_exact(columns).flat_map(|x| (0..columns).map(|i| x[i] + x[(i + 1) % columns] / 3.0)).collect();
        let statistics = statistics(columns, &x, &y);
        let weights = noise(columns * rows, 2);
        let corrected = statistics.corrected(&weights, 1e-9).unwrap();
        let output = |weights: &[f32], inputs: &[f32], row: usize, sample: usize| -> f32 {
            (0..columns).map(|i| weights[row * columns + i] * inputs[sample * columns + i]).sum()
        };
        for (row, sample) in [(0, 0), (5, 100), (69, 1999)] {
            let (wanted, found) = (output(&weights, &x, row, sample), output(&corrected, &y, row, sample));
            assert!((wanted - found).abs() < 1e-2, "{wanted} {found}");
            assert!((output(&weights, &y, row, sample) - wanted).abs() > 0.1);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert!(pool.install(|| statistics.corrected(&weights, 1e-9).unwrap()) == corrected);
    }

    #[test]
    fn nothing_changes_where_nothing_was_compressed() {
        let (columns, weights) = (20, noise(20 * 4, 3));
        let x = noise(columns * 10, 4);
        let corrected = statistics(columns, &x, &x).corrected(&weights, 0.01).unwrap();
        assert_eq!(corrected, weights);
        let silent = vec![0.0; columns * 10];
        assert_eq!(statistics(columns, &x, &silent).corrected(&weights, 0.01).unwrap(), weights);
        let mut broken = weights.clone();
        broken[3] = f32::INFINITY;
        assert_eq!(statistics(columns, &x, &silent).corrected(&broken, 0.01).unwrap(), broken);
        assert!(statistics(columns, &x, &x).corrected(&weights[1..], 0.01).is_err());
        assert!(statistics(columns, &x, &x).corrected(&[], 0.01).unwrap().is_empty());
    }

    /// What is needed as it is for another use is moved less.
    #[test]
    fn a_ridge_holds_weights_where_they_are() {
        let (columns, weights) = (20, noise(20 * 4, 3));
        let x = noise(columns * 200, 4);
        let y: Vec<f32> = x.iter().map(|x| 0.5 * x).collect();
        let moved = |ridge: f32| {
            let outputs = OutputWeights::new(&[1.0; 4]).unwrap().with_ridge(ridge);
            let both = statistics(columns, &x, &y).with_outputs(Some(Arc::new(outputs)));
            let corrected = both.corrected(&weights, 1e-9).unwrap();
            corrected.iter().zip(&weights).map(|(a, b)| (a - b).abs()).sum::<f32>()
        };
        let all: f32 = weights.iter().map(|weight| weight.abs()).sum();
        assert!((moved(0.0) / all - 1.0).abs() < 1e-3, "twice the weights make up for half the inputs");
        assert!(moved(1.0) < 0.8 * all && moved(1e6) < 1e-4 * all, "{} {}", moved(1.0), moved(1e6));
    }

    #[test]
    fn moments_are_those_of_the_pairs() {
        let (x, y) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let both = statistics(2, &x, &y);
        assert_eq!(
            both.cross_moment(),
            [(5.0 + 21.0) / 2.0, (6.0 + 24.0) / 2.0, (10.0 + 28.0) / 2.0, (12.0 + 32.0) / 2.0]
        );
        assert_eq!(both.inputs().second_moment(), Some([37.0, 43.0, 43.0, 50.0].as_slice()));
        let turned = both.reordered(&[1, 0]);
        assert_eq!(turned.cross_moment(), [22.0, 19.0, 15.0, 13.0]);
        assert!(AsymmetricAccumulator::new(2).finish().is_err());
    }
}
