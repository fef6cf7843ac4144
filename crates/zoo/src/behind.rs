//! Inputs of a layer behind layers already compressed.
//!
//! A layer `W` of a compressed model is fed `y`, where the model it stands for is fed `x`. What it should be is no longer `W` but what
//! brings `W x` back from `y`: the least squares solution `W' = W E[x y^T] E[y y^T]^-1`. Compressing `W'` under the statistics of `y`
//! makes each layer repair what those before it did wrong, as in S. Li et al., "GPTAQ: Efficient finetuning-free quantization for
//! asymmetric calibration", 2025 (section 3, with the correction as a solution instead of a step).

use std::fmt::Debug;

use nalgebra::DMatrix;
use seedpress_codec::tensor::matrix_shape;
use seedpress_codec::{Calibration, Tensor};

use crate::error::ZooError;
use crate::language::calibrate::Moments;
use crate::language::kernel::{View, multiply};

/// Calibration data that can be followed through a model with any weights.
pub(crate) trait Inputs: Debug + Send + Sync {
    /// Number of parts the data comes in.
    fn parts(&self) -> usize;

    /// What tensor `slot` multiplies on one part of the data in a model of the given tensors: one input a row, columns as the weight has
    /// them. Empty for tensors that multiply nothing.
    fn of(&self, given: &[&Tensor], slot: usize, part: usize) -> Result<Vec<f32>, ZooError>;
}

/// Statistics of what a tensor multiplies behind compressed ones.
#[derive(Debug, Clone)]
pub struct Behind {
    /// Of the inputs `y` it really gets.
    pub calibration: Calibration,
    /// Mean of `x y^T`, row-major, where `x` are the inputs in the uncompressed model.
    cross: Vec<f32>,
}

/// Added to the diagonal of `E[y y^T]`, in parts of its mean: directions the data does not show stay as they are.
const DAMPING: f64 = 0.01;

impl Behind {
    /// `None` for a tensor that multiplies nothing.
    pub(crate) fn collect(
        inputs: &dyn Inputs,
        own: &[&Tensor],
        given: &[&Tensor],
        slot: usize,
    ) -> Result<Option<Self>, ZooError> {
        let columns = matrix_shape(own[slot].shape()).1;
        let (mut moments, mut cross) = (Moments::new(columns), vec![0f32; columns * columns]);
        for part in 0..inputs.parts() {
            let (y, x) = rayon::join(|| inputs.of(given, slot, part), || inputs.of(own, slot, part));
            let (y, x) = (y?, x?);
            if y.is_empty() {
                continue;
            }
            moments.add(&y);
            multiply(&mut cross, columns, View::new(&x, columns).t(), View::new(&y, columns), true, 1.0);
        }
        let calibration = moments.finish();
        if calibration.samples == 0 {
            return Ok(None);
        }
        let mean = |sum: f32| (f64::from(sum) / calibration.samples as f64) as f32;
        let cross = cross.into_iter().map(mean).collect();
        Ok(Some(Self { calibration, cross }))
    }

    /// What the tensor should be behind the compressed ones; itself where the statistics say nothing.
    ///
    /// # Errors
    /// A tensor whose rows are no inputs of this kind.
    pub fn corrected(&self, tensor: &Tensor) -> Result<Tensor, ZooError> {
        let columns = self.calibration.columns;
        let same = |why: &str| ZooError::TensorMismatch { name: "calibration".to_owned(), what: why.to_owned() };
        if matrix_shape(tensor.shape()).1 != columns {
            return Err(same("the tensor has other columns than the statistics"));
        }
        let hessian = self.calibration.hessian.as_deref().unwrap_or_default();
        let ridge = DAMPING * hessian.iter().step_by(columns + 1).map(|&d| f64::from(d)).sum::<f64>() / columns as f64;
        let square = |values: &[f32]| {
            let mut matrix = DMatrix::from_row_iterator(columns, columns, values.iter().map(|&value| f64::from(value)));
            (0..columns).for_each(|at| matrix[(at, at)] += ridge);
            matrix
        };
        let finite = tensor.values().iter().all(|value| value.is_finite());
        let Some(solver) = square(hessian).cholesky().filter(|_| finite && ridge > 0.0) else {
            return Ok(tensor.clone());
        };
        // Transposed, so that each row of weights is a column to solve for: (H + r) W'^T = (C + r)^T W^T.
        let weights = tensor.values().iter().map(|&value| f64::from(value));
        let weights = DMatrix::from_iterator(columns, tensor.values().len() / columns, weights);
        let solution = solver.solve(&square(&self.cross).tr_mul(&weights));
        let values = solution.iter().map(|&value| value as f32).collect();
        Tensor::new(tensor.shape().to_vec(), values, tensor.dtype()).map_err(|error| same(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outputs behind compressed layers come nearer to the uncompressed ones by the correction, and stay where nothing is compressed.
    #[test]
    fn the_correction_brings_outputs_back() {
        for (name, slot) in [("fashion-mlp", 2), ("fashion-cnn", 2), ("silero-vad", 2), ("sotu-transformer", 5)] {
            let model = crate::load(name).unwrap();
            let own: Vec<&Tensor> = model.tensors.iter().map(|named| &named.tensor).collect();
            let slot = (slot..own.len()).find(|&at| own[at].shape().len() > 1).unwrap();
            // Coarse, as two bits would be.
            let coarse: Vec<Tensor> = own
                .iter()
                .map(|tensor| {
                    let scale =
                        tensor.values().iter().map(|value| value.abs()).sum::<f32>() / tensor.values().len() as f32;
                    let values =
                        tensor.values().iter().map(|value| (value / scale / 1.5).round() * scale * 1.5).collect();
                    Tensor::new(tensor.shape().to_vec(), values, tensor.dtype()).unwrap()
                })
                .collect();
            let inputs = crate::architecture::of(name).unwrap().inputs().unwrap().unwrap();
            let behind = |given: &[&Tensor]| Behind::collect(inputs.as_ref(), &own, given, slot).unwrap().unwrap();
            let unchanged = behind(&own).corrected(own[slot]).unwrap();
            let largest = own[slot].values().iter().fold(0f32, |most, value| most.max(value.abs()));
            let moved = unchanged.values().iter().zip(own[slot].values()).map(|(a, b)| (a - b).abs());
            assert!(moved.fold(0f32, f32::max) < 1e-3 * largest, "{name}");

            let given: Vec<&Tensor> = (0..own.len()).map(|at| if at < slot { &coarse[at] } else { own[at] }).collect();
            let corrected = behind(&given).corrected(own[slot]).unwrap();
            let columns = matrix_shape(corrected.shape()).1;
            let error = |weights: &Tensor| -> f64 {
                let (x, y) = (inputs.of(&own, slot, 0).unwrap(), inputs.of(&given, slot, 0).unwrap());
                let rows = x.chunks_exact(columns).zip(y.chunks_exact(columns)).take(300);
                let dot =
                    |w: &[f32], v: &[f32]| w.iter().zip(v).map(|(w, v)| f64::from(*w) * f64::from(*v)).sum::<f64>();
                rows.flat_map(|(x, y)| {
                    let outputs = own[slot].values().chunks_exact(columns).zip(weights.values().chunks_exact(columns));
                    outputs.map(move |(own, new)| (dot(own, x) - dot(new, y)).powi(2))
                })
                .sum()
            };
            let (before, after) = (error(own[slot]), error(&corrected));
            assert!(after < 0.9 * before, "{name}: {before} {after}");
        }
    }
}
