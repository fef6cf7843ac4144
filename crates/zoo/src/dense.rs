//! Matrix products over rows of plain numbers: what dense layers and convolutions over time come down to.

use candle_core::{Device, Result, Tensor};
use seedpress_model::ModelError;

/// What the tensor library said, as a model says it.
pub(crate) fn compute(error: candle_core::Error) -> ModelError {
    ModelError::Compute(error.to_string())
}

/// Rows of patches, whose columns are ordered tap, channel, in the order of a kernel's columns: channel, tap.
pub(crate) fn reorder_patches(rows: &[f32], channels: usize, taps: usize) -> Vec<f32> {
    let order: Vec<usize> = (0..channels * taps).map(|column| column % taps * channels + column / taps).collect();
    rows.chunks_exact(order.len()).flat_map(|row| order.iter().map(|&at| row[at])).collect()
}

/// A weight `[outputs, inputs]`, ready to be multiplied many times.
pub(crate) struct Dense {
    transposed: Tensor,
    outputs: usize,
    inputs: usize,
}

impl Dense {
    /// From a weight in row-major order, one output a row.
    pub(crate) fn new(weight: &[f32], outputs: usize) -> Result<Self> {
        let inputs = weight.len() / outputs;
        let transposed = Tensor::from_slice(weight, (outputs, inputs), &Device::Cpu)?.t()?;
        Ok(Self { transposed, outputs, inputs })
    }

    /// The kernel `[outputs, channels, taps]` of a convolution over time, for patches whose columns are ordered tap, channel: such a
    /// patch is a contiguous piece of a signal that is stored moment by moment.
    pub(crate) fn kernel(weight: &[f32], outputs: usize, taps: usize) -> Result<Self> {
        let columns = weight.len() / outputs;
        let channels = columns / taps;
        let mut ordered = vec![0f32; weight.len()];
        for (to, from) in ordered.chunks_exact_mut(columns).zip(weight.chunks_exact(columns)) {
            for (at, value) in to.iter_mut().enumerate() {
                *value = from[at % channels * taps + at / channels];
            }
        }
        Self::new(&ordered, outputs)
    }

    /// `x W^T` for the rows of `x`.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Vec<f32>> {
        x.matmul(&self.transposed)?.flatten_all()?.to_vec1()
    }

    /// `x W^T + bias` for the rows of `x`.
    pub(crate) fn apply_with_bias(&self, x: &Tensor, bias: &[f32]) -> Result<Vec<f32>> {
        let mut result = self.apply(x)?;
        for row in result.chunks_exact_mut(self.outputs) {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
        Ok(result)
    }

    /// Values as rows that this weight multiplies.
    pub(crate) fn rows(&self, values: Vec<f32>) -> Result<Tensor> {
        let count = values.len() / self.inputs;
        Tensor::from_vec(values, (count, self.inputs), &Device::Cpu)
    }
}
