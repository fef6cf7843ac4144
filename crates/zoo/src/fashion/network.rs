//! The two image classifiers: their layers and their forward pass, the same for training, evaluation and calibration.

use candle_core::{Device, Result, Tensor};
use seedpress_model::{BlockWeights, Hidden, ModelError, Network, Outputs, Tap, TensorInfo};

use super::convolution::{convolve, max_pool, patches};
use super::data::{DEVIATION, Images, MEAN, PIXELS};
use crate::dense::{compute, reorder_patches};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifier {
    /// Linear layers 784-512-256-128-10 with rectifiers between.
    Mlp,
    /// Convolutions 3x3 to 64, 128 and 256 channels (the second and third of stride 2), maxima of 2x2 after the first and third,
    /// and one linear layer.
    Cnn,
}

/// Layers of both.
pub(super) const LAYERS: usize = 4;

/// Strides of the convolutions.
const STRIDES: [usize; 3] = [1, 2, 2];

impl Classifier {
    /// The classifier of this model name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "fashion-mlp" => Some(Self::Mlp),
            "fashion-cnn" => Some(Self::Cnn),
            _ => None,
        }
    }

    /// Its tensors: weight, bias, weight, bias, ... in the order of execution.
    pub fn tensors(self) -> Vec<TensorInfo> {
        let layers: [(&str, &[usize], &str); LAYERS] = match self {
            Self::Mlp => [
                ("fc1", &[512, 784], "linear"),
                ("fc2", &[256, 512], "linear"),
                ("fc3", &[128, 256], "linear"),
                ("fc4", &[10, 128], "linear"),
            ],
            Self::Cnn => [
                ("conv1", &[64, 1, 3, 3], "conv3x3"),
                ("conv2", &[128, 64, 3, 3], "conv3x3"),
                ("conv3", &[256, 128, 3, 3], "conv3x3"),
                ("fc", &[10, 1024], "linear"),
            ],
        };
        let layer = |(name, shape, layer_type): (&str, &[usize], &str)| {
            let weight = TensorInfo::new(format!("{name}.weight"), shape, layer_type);
            [weight, TensorInfo::new(format!("{name}.bias"), &shape[..1], "bias")]
        };
        layers.into_iter().flat_map(layer).collect()
    }

    /// What the weight of a layer multiplies, one vector a row (columns of convolutions ordered row, column, channel).
    fn inputs(self, layer: usize, x: &Tensor) -> Result<Tensor> {
        match (self, STRIDES.get(layer)) {
            (Self::Cnn, Some(&stride)) => patches(x, stride),
            _ => x.flatten_from(1),
        }
    }

    /// A layer.
    fn apply(self, layer: usize, x: &Tensor, inputs: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        match (self, STRIDES.get(layer)) {
            (Self::Cnn, Some(&stride)) => {
                let mut y = convolve(x, inputs, weight, stride)?;
                if layer != 1 {
                    // Adding a constant and rectifying keep order, so the maxima may come first: four times less to do.
                    y = max_pool(&y)?;
                }
                y.broadcast_add(bias)?.relu()
            }
            _ => {
                let y = inputs.matmul(&weight.t()?)?.broadcast_add(bias)?;
                if layer + 1 < LAYERS { y.relu() } else { Ok(y) }
            }
        }
    }

    /// Class scores `[batch, 10]` of normalised images `[batch, 28, 28, 1]`.
    ///
    /// # Errors
    /// Where the shapes do not fit.
    pub fn forward(self, weights: &[Tensor], images: &Tensor) -> Result<Tensor> {
        (0..LAYERS).try_fold(images.clone(), |x, layer| {
            self.apply(layer, &x, &self.inputs(layer, &x)?, &weights[2 * layer], &weights[2 * layer + 1])
        })
    }
}

/// A classifier, layer by layer. Inputs are images of one channel, a sequence an image.
#[derive(Debug)]
pub struct ClassifierNetwork {
    classifier: Classifier,
    tensors: Vec<TensorInfo>,
}

impl ClassifierNetwork {
    /// The network of a classifier.
    pub fn new(classifier: Classifier) -> Self {
        Self { classifier, tensors: classifier.tensors() }
    }
}

fn to_candle(tensor: &seedpress_codec::Tensor) -> Result<Tensor> {
    Tensor::from_slice(tensor.values(), tensor.shape(), &Device::Cpu)
}

impl Network for ClassifierNetwork {
    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn blocks(&self) -> usize {
        LAYERS
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        vec![2 * block, 2 * block + 1]
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> std::result::Result<Hidden, ModelError> {
        let count = hidden.lengths.len();
        let side = hidden.lengths.first().map_or(0, |&pixels| pixels.isqrt());
        let shape = (count, side, side, hidden.width);
        let x = Tensor::from_slice(&hidden.values, shape, &Device::Cpu).map_err(compute)?;
        let inputs = self.classifier.inputs(block, &x).map_err(compute)?;
        let place = 2 * block;
        if tap.wants(place) {
            let rows = inputs.flatten_all().and_then(|rows| rows.to_vec1::<f32>()).map_err(compute)?;
            match *self.tensors[place].shape {
                [_, channels, height, width] => tap.inputs(place, &reorder_patches(&rows, channels, height * width))?,
                _ => tap.inputs(place, &rows)?,
            }
        }
        let apply = || {
            let (weight, bias) = (to_candle(weights.tensor(place))?, to_candle(weights.tensor(place + 1))?);
            let y = self.classifier.apply(block, &x, &inputs, &weight, &bias)?;
            Ok((y.dims().to_vec(), y.flatten_all()?.to_vec1::<f32>()?))
        };
        let (shape, values) = apply().map_err(compute)?;
        let pixels = if shape.len() == 4 { shape[1] * shape[2] } else { 1 };
        Hidden::new(values, shape[shape.len() - 1], vec![pixels; count])
    }

    fn finish(&self, hidden: Hidden) -> std::result::Result<Outputs, ModelError> {
        Ok(Outputs::Logits { width: 10, values: hidden.values })
    }
}

/// Normalised images as a network reads them.
pub fn images(images: &Images, indices: impl ExactSizeIterator<Item = usize>) -> Hidden {
    let normal = |&pixel: &u8| (f32::from(pixel) / 255.0 - MEAN) / DEVIATION;
    let lengths = vec![PIXELS; indices.len()];
    let values = indices.flat_map(|index| images.image(index).iter().map(normal)).collect();
    Hidden { values, width: 1, lengths }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seedpress_model::{Mode, Walk};

    use super::*;
    use crate::synthetic::{Distribution, synthetic};

    /// The identity behind every calibrated codec: the mean squared output change that a weight change causes is a quadratic form
    /// in the second moment. It holds only if the columns are in the weight's order.
    #[test]
    fn second_moments_predict_the_change_of_outputs() {
        let made = Images { pixels: (0..784 * 4).map(|i| (i * 37 % 251) as u8).collect(), labels: vec![0; 4] };
        let network = ClassifierNetwork::new(Classifier::Cnn);
        let weights: Vec<_> = (0u64..)
            .zip(network.tensors())
            .map(|(seed, info)| {
                let fan: usize = info.shape[1..].iter().product();
                let values = synthetic(Distribution::Gaussian, &info.shape, seed).into_values();
                let values = values.into_iter().map(|v| v / (fan as f32).sqrt()).collect();
                seedpress_codec::Tensor::new(info.shape.clone(), values, seedpress_codec::DType::F32).unwrap()
            })
            .collect();
        let samples = vec![images(&made, 0..4)];
        let mut walk = Walk::new(Arc::new(network), Arc::new(weights.clone()), &samples, Mode::Plain).unwrap();
        let statistics = walk.statistics(2).unwrap().unwrap();
        let statistics = statistics.inputs();
        assert_eq!((statistics.columns(), statistics.samples()), (576, 4 * 49));
        assert!(walk.statistics(3).unwrap().is_none());

        // One output row of the second convolution serves as the change.
        let weights: Vec<Tensor> = weights.iter().map(|tensor| to_candle(tensor).unwrap()).collect();
        let change = weights[2].get(5).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let moment = statistics.second_moment().unwrap();
        let predicted: f64 = (0..576)
            .flat_map(|i| (0..576).map(move |j| (i, j)))
            .map(|(i, j)| f64::from(change[i]) * f64::from(moment[i * 576 + j]) * f64::from(change[j]))
            .sum();
        let x = Tensor::from_slice(&samples[0].values, (4, 28, 28, 1), &Device::Cpu).unwrap();
        let cnn = Classifier::Cnn;
        let x = cnn.apply(0, &x, &cnn.inputs(0, &x).unwrap(), &weights[0], &weights[1]).unwrap();
        let inputs = cnn.inputs(1, &x).unwrap();
        let row = weights[2].narrow(0, 5, 1).unwrap().permute((2, 3, 1, 0)).unwrap().reshape((576, 1)).unwrap();
        let outputs = inputs.matmul(&row).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let measured = outputs.iter().map(|&y| f64::from(y * y)).sum::<f64>() / outputs.len() as f64;
        assert!((predicted / measured - 1.0).abs() < 1e-3, "{predicted} {measured}");
    }
}
