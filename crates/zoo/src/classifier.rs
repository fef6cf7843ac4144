//! The two image classifiers: their layers and their forward pass, the same for training, evaluation and calibration.

use candle_core::{Device, Result, Tensor};
use seedpress_calibration::InputStatistics;

use crate::architecture::{self, Architecture, Baseline, Probe};
use crate::behind::Inputs;
use crate::calibrate;
use crate::convolution::{convolve, max_pool, patches};
use crate::error::ZooError;
use crate::fashion::Images;
use crate::metric::Metric;
use crate::outputs::Outputs;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifier {
    /// Linear layers 784-512-256-128-10 with rectifiers between.
    Mlp,
    /// Convolutions 3x3 to 64, 128 and 256 channels (the second and third of stride 2), maxima of 2x2 after the first and third,
    /// and one linear layer.
    Cnn,
}

/// A tensor of a classifier.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Name in the checkpoint.
    pub name: &'static str,
    /// Shape, outputs first.
    pub shape: &'static [usize],
    /// See [`crate::NamedTensor::layer_type`].
    pub layer_type: &'static str,
}

const fn slot(name: &'static str, shape: &'static [usize], layer_type: &'static str) -> Slot {
    Slot { name, shape, layer_type }
}

/// Weight, bias, weight, bias, ... in the order of execution.
static MLP: [Slot; 8] = [
    slot("fc1.weight", &[512, 784], "linear"),
    slot("fc1.bias", &[512], "bias"),
    slot("fc2.weight", &[256, 512], "linear"),
    slot("fc2.bias", &[256], "bias"),
    slot("fc3.weight", &[128, 256], "linear"),
    slot("fc3.bias", &[128], "bias"),
    slot("fc4.weight", &[10, 128], "linear"),
    slot("fc4.bias", &[10], "bias"),
];

static CNN: [Slot; 8] = [
    slot("conv1.weight", &[64, 1, 3, 3], "conv3x3"),
    slot("conv1.bias", &[64], "bias"),
    slot("conv2.weight", &[128, 64, 3, 3], "conv3x3"),
    slot("conv2.bias", &[128], "bias"),
    slot("conv3.weight", &[256, 128, 3, 3], "conv3x3"),
    slot("conv3.bias", &[256], "bias"),
    slot("fc.weight", &[10, 1024], "linear"),
    slot("fc.bias", &[10], "bias"),
];

/// Mean and standard deviation of the training pixels in [0, 1].
const MEAN: f32 = 0.2860;
const DEVIATION: f32 = 0.3530;

impl Classifier {
    /// The classifier of this model name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "fashion-mlp" => Some(Self::Mlp),
            "fashion-cnn" => Some(Self::Cnn),
            _ => None,
        }
    }

    /// Its tensors.
    pub fn slots(self) -> &'static [Slot] {
        match self {
            Self::Mlp => &MLP,
            Self::Cnn => &CNN,
        }
    }

    /// Class scores `[batch, 10]` of normalised images `[batch, 28, 28, 1]`. `tap(i, x)` sees the inputs that weight `i` multiplies,
    /// one vector a row (columns of convolutions ordered row, column, channel).
    ///
    /// # Errors
    /// Where the shapes do not fit.
    pub fn forward(
        self,
        weights: &[Tensor],
        images: &Tensor,
        tap: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        match self {
            Self::Mlp => {
                let mut x = images.flatten_from(1)?;
                for layer in 0..4 {
                    tap(2 * layer, &x)?;
                    x = linear(&x, &weights[2 * layer], &weights[2 * layer + 1])?;
                    if layer < 3 {
                        x = x.relu()?;
                    }
                }
                Ok(x)
            }
            Self::Cnn => {
                let mut x = images.clone();
                for (layer, stride) in [1, 2, 2].into_iter().enumerate() {
                    let columns = patches(&x, stride)?;
                    tap(2 * layer, &columns)?;
                    let mut y = convolve(&x, &columns, &weights[2 * layer], stride)?;
                    if layer != 1 {
                        // Adding a constant and rectifying keep order, so the maxima may come first: four times less to do.
                        y = max_pool(&y)?;
                    }
                    x = y.broadcast_add(&weights[2 * layer + 1])?.relu()?;
                }
                let x = x.flatten_from(1)?;
                tap(6, &x)?;
                linear(&x, &weights[6], &weights[7])
            }
        }
    }
}

fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
}

/// Normalised images `[count, 28, 28, 1]`.
///
/// # Errors
/// None in practice.
pub fn batch(images: &Images, indices: &[usize]) -> Result<Tensor> {
    let normal = |&pixel: &u8| (f32::from(pixel) / 255.0 - MEAN) / DEVIATION;
    let values = indices.iter().flat_map(|&index| images.image(index).iter().map(normal)).collect::<Vec<f32>>();
    Tensor::from_vec(values, (indices.len(), 28, 28, 1), &Device::Cpu)
}

/// Tensors as the tensor library holds them.
///
/// # Errors
/// None in practice.
pub fn to_candle(tensors: &[&seedpress_codec::Tensor]) -> Result<Vec<Tensor>> {
    tensors.iter().map(|tensor| Tensor::from_slice(tensor.values(), tensor.shape(), &Device::Cpu)).collect()
}

/// The scores of each image, ten an image.
///
/// # Errors
/// Where the weights do not fit.
pub fn scores(classifier: Classifier, weights: &[Tensor], images: &Images) -> Result<Vec<f32>> {
    let indices: Vec<usize> = (0..images.len()).collect();
    let mut scores = Vec::with_capacity(10 * images.len());
    // Small enough to stay in the cache, large enough for the products.
    for chunk in indices.chunks(250) {
        let batch = classifier.forward(weights, &batch(images, chunk)?, &mut |_, _| Ok(()))?;
        scores.extend(batch.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(scores)
}

/// The class of each image: the first of the highest scores.
pub fn classes(scores: &[f32]) -> Vec<u8> {
    let best = |scores: &[f32]| {
        let most = scores.iter().fold(f32::NEG_INFINITY, |most, &score| most.max(score));
        scores.iter().position(|&score| score == most).unwrap_or(0) as u8
    };
    scores.chunks_exact(10).map(best).collect()
}

impl Architecture for Classifier {
    fn slots(&self) -> Vec<architecture::Slot> {
        let slots = Classifier::slots(*self).iter();
        slots.map(|slot| architecture::Slot::new(slot.name, slot.shape, slot.layer_type)).collect()
    }

    fn baseline(&self, own: &[&seedpress_codec::Tensor]) -> std::result::Result<Box<dyn Baseline>, ZooError> {
        let held_out = Images::held_out()?;
        let scores = scores(*self, &to_candle(own)?, &held_out)?;
        Ok(Box::new(HeldOutImages { classifier: *self, held_out, scores }))
    }

    fn calibrate(
        &self,
        own: &[&seedpress_codec::Tensor],
    ) -> std::result::Result<Vec<Option<InputStatistics>>, ZooError> {
        calibrate::collect(*self, &to_candle(own)?, &Images::calibration()?)
    }

    fn inputs(&self) -> std::result::Result<Option<Box<dyn Inputs>>, ZooError> {
        Ok(Some(Box::new(CalibrationImages { classifier: *self, images: Images::calibration()? })))
    }

    fn probe(&self) -> std::result::Result<Option<Box<dyn Probe>>, ZooError> {
        Ok(Some(Box::new(CalibrationImages { classifier: *self, images: Images::calibration()? })))
    }
}

/// Images to ask a classifier about.
#[derive(Debug)]
struct CalibrationImages {
    classifier: Classifier,
    images: Images,
}

impl Probe for CalibrationImages {
    fn outputs(&self, given: &[&seedpress_codec::Tensor]) -> std::result::Result<Outputs, ZooError> {
        Ok(Outputs::Logits { width: 10, values: scores(self.classifier, &to_candle(given)?, &self.images)? })
    }
}

/// Images followed together: the patches of a convolution take much memory.
const TOGETHER: usize = 64;

impl Inputs for CalibrationImages {
    fn parts(&self) -> usize {
        self.images.len().div_ceil(TOGETHER)
    }

    fn of(
        &self,
        given: &[&seedpress_codec::Tensor],
        slot: usize,
        part: usize,
    ) -> std::result::Result<Vec<f32>, ZooError> {
        let indices: Vec<usize> = (part * TOGETHER..self.images.len().min((part + 1) * TOGETHER)).collect();
        let mut rows = Vec::new();
        let input = batch(&self.images, &indices)?;
        self.classifier.forward(&to_candle(given)?, &input, &mut |at, inputs| {
            if at == slot {
                rows = inputs.flatten_all()?.to_vec1()?;
            }
            Ok(())
        })?;
        if let [_, channels, height, width] = *given[slot].shape() {
            let source = calibrate::patch_column(channels, height * width);
            let order: Vec<usize> = (0..channels * height * width).map(source).collect();
            let ordered = rows.chunks_exact(order.len()).flat_map(|row| order.iter().map(|&at| row[at]));
            rows = ordered.collect();
        }
        Ok(rows)
    }
}

/// Images with the scores the uncompressed model gives them.
#[derive(Debug)]
struct HeldOutImages {
    classifier: Classifier,
    held_out: Images,
    scores: Vec<f32>,
}

impl Baseline for HeldOutImages {
    fn evaluate(&self, given: &[&seedpress_codec::Tensor]) -> std::result::Result<Vec<Metric>, ZooError> {
        let found = scores(self.classifier, &to_candle(given)?, &self.held_out)?;
        let given = classes(&found);
        let hits = |truth: &[u8]| -> Vec<f64> {
            given.iter().zip(truth).map(|(class, label)| f64::from(u8::from(class == label))).collect()
        };
        let logits = |values: &[f32]| Outputs::Logits { width: 10, values: values.to_vec() };
        Ok(vec![
            Metric::mean("accuracy", true, &hits(&self.held_out.labels)),
            Metric::mean("agreement", true, &hits(&classes(&self.scores))),
            Metric::mean("KL divergence", false, &logits(&self.scores).divergences(&logits(&found))),
        ])
    }
}
