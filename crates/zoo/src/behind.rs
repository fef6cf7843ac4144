//! Inputs of a layer behind layers already compressed.
//!
//! Calibration data goes through the compressed and the uncompressed model side by side; see [`AsymmetricStatistics`].

use std::fmt::Debug;

use seedpress_calibration::{AsymmetricAccumulator, AsymmetricStatistics, DAMPING, InputStatistics, StatisticsError};
use seedpress_codec::Tensor;
use seedpress_codec::tensor::matrix_shape;

use crate::error::ZooError;

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
pub struct Behind(AsymmetricStatistics);

impl Behind {
    /// `None` for a tensor that multiplies nothing.
    pub(crate) fn collect(
        inputs: &dyn Inputs,
        own: &[&Tensor],
        given: &[&Tensor],
        slot: usize,
    ) -> Result<Option<Self>, ZooError> {
        let mut moments = AsymmetricAccumulator::new(matrix_shape(own[slot].shape()).1);
        for part in 0..inputs.parts() {
            let (y, x) = rayon::join(|| inputs.of(given, slot, part), || inputs.of(own, slot, part));
            moments.add(&x?, &y?);
        }
        match moments.finish() {
            Ok(statistics) => Ok(Some(Self(statistics))),
            Err(StatisticsError::NoSamples) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Of the inputs `y` it really gets.
    #[must_use]
    pub fn calibration(&self) -> &InputStatistics {
        self.0.inputs()
    }

    /// What the tensor should be behind the compressed ones; itself where the statistics say nothing.
    ///
    /// # Errors
    /// A tensor whose rows are no inputs of this kind.
    pub fn corrected(&self, tensor: &Tensor) -> Result<Tensor, ZooError> {
        let same = |what: String| ZooError::TensorMismatch { name: "calibration".to_owned(), what };
        if matrix_shape(tensor.shape()).1 != self.calibration().columns() {
            return Err(same("the tensor has other columns than the statistics".to_owned()));
        }
        let values = self.0.corrected(tensor.values(), DAMPING)?;
        Tensor::new(tensor.shape().to_vec(), values, tensor.dtype()).map_err(|error| same(error.to_string()))
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
