//! CREPE's forward pass (Kim, Salamon, Li, Bello 2018).
//!
//! Six convolutions over 1,024 samples at 16 kHz, each followed by a rectifier, batch normalisation and a maximum of two, then one
//! linear layer: 360 classes of 20 cents.

use candle_core::Result;
use rayon::prelude::*;
use seedpress_checkpoint::Checkpoint;
use seedpress_codec::Tensor;
use seedpress_model::{BlockWeights, Hidden, ModelError, Network, Outputs, Tap, TensorInfo};

use super::{CLASSES, Crepe};
use crate::dense::{Dense, compute, reorder_patches};
use crate::error::ZooError;
use crate::weight_file::weight_file;

const LAYERS: usize = 6;
const EPSILON: f32 = 0.001;

/// Taps, stride and zeros on both sides of a layer.
const fn geometry(layer: usize) -> (usize, usize, [usize; 2]) {
    if layer == 0 { (512, 4, [254, 254]) } else { (64, 1, [31, 32]) }
}

/// What batch normalisation knows of the training data: means and variances, which nobody learnt and no codec touches.
#[derive(Debug)]
pub(super) struct Statistics {
    mean: Vec<Tensor>,
    variance: Vec<Tensor>,
}

impl Statistics {
    pub(super) fn of(crepe: Crepe) -> std::result::Result<Self, ZooError> {
        let checkpoint = Checkpoint::open(&weight_file(crepe.name()))?;
        let read = |what: &str| -> std::result::Result<Vec<Tensor>, ZooError> {
            (1..=LAYERS).map(|layer| Ok(checkpoint.load_float(&format!("conv{layer}_BN.{what}"))?)).collect()
        };
        Ok(Self { mean: read("running_mean")?, variance: read("running_var")? })
    }
}

/// The network: six convolutions and the classifying layer. Inputs are samples of mean 0 and deviation 1, a sequence a frame.
#[derive(Debug)]
pub(crate) struct CrepeNetwork {
    tensors: Vec<TensorInfo>,
    statistics: Statistics,
}

/// The tensors of a size.
pub(super) fn tensors(crepe: Crepe) -> Vec<TensorInfo> {
    let mut tensors = Vec::new();
    let mut inputs = 1;
    for (layer, outputs) in crepe.channels().into_iter().enumerate() {
        let name = format!("conv{}", layer + 1);
        tensors.push(TensorInfo::new(format!("{name}.weight"), &[outputs, inputs, geometry(layer).0, 1], "conv"));
        tensors.push(TensorInfo::new(format!("{name}.bias"), &[outputs], "bias"));
        tensors.push(TensorInfo::new(format!("{name}_BN.weight"), &[outputs], "norm"));
        tensors.push(TensorInfo::new(format!("{name}_BN.bias"), &[outputs], "norm"));
        inputs = outputs;
    }
    tensors.push(TensorInfo::new("classifier.weight", &[CLASSES, 4 * inputs], "linear"));
    tensors.push(TensorInfo::new("classifier.bias", &[CLASSES], "bias"));
    tensors
}

impl CrepeNetwork {
    pub(crate) fn new(crepe: Crepe) -> std::result::Result<Self, ZooError> {
        Ok(Self { tensors: tensors(crepe), statistics: Statistics::of(crepe)? })
    }

    /// A convolution of patches with what follows it: moments of all frames in a row.
    fn convolve(&self, layer: usize, patches: Vec<f32>, weights: &BlockWeights<'_>) -> Result<Vec<f32>> {
        let place = 4 * layer;
        let outputs = self.tensors[place].shape[0];
        let kernel = Dense::kernel(weights.values(place), outputs, geometry(layer).0)?;
        let sums = kernel.apply(&kernel.rows(patches)?)?;
        let [bias, scale, shift] = [1, 2, 3].map(|part| weights.values(place + part));
        let [mean, variance] = [&self.statistics.mean, &self.statistics.variance].map(|values| values[layer].values());
        let finish = |channel: usize, sum: f32| {
            let deviation = (variance[channel] + EPSILON).sqrt();
            ((sum + bias[channel]).max(0.0) - mean[channel]) / deviation * scale[channel] + shift[channel]
        };
        // The maximum of two moments, as normalised: a negative scale turns the order round.
        let shrink = |pair: &[f32]| -> Vec<f32> {
            let larger = |channel: usize| finish(channel, pair[channel]).max(finish(channel, pair[outputs + channel]));
            (0..outputs).map(larger).collect()
        };
        Ok(sums.par_chunks_exact(2 * outputs).flat_map_iter(shrink).collect())
    }
}

impl Network for CrepeNetwork {
    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn blocks(&self) -> usize {
        LAYERS + 1
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        (4 * block..self.tensors.len().min(4 * block + 4)).collect()
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> std::result::Result<Hidden, ModelError> {
        let (place, frames) = (4 * block, hidden.lengths.len());
        if block == LAYERS {
            tap.inputs(place, &hidden.values)?;
            let apply = || {
                let classifier = Dense::new(weights.values(place), CLASSES)?;
                classifier.apply_with_bias(&classifier.rows(hidden.values.clone())?, weights.values(place + 1))
            };
            let scores = apply().map_err(compute)?;
            let likely = scores.into_iter().map(|score| 1.0 / (1.0 + (-score).exp())).collect();
            return Hidden::new(likely, CLASSES, vec![1; frames]);
        }
        let moments = hidden.lengths.first().copied().unwrap_or(0);
        let patches = patches(&hidden.values, moments, hidden.width, block);
        if tap.wants(place) {
            tap.inputs(place, &reorder_patches(&patches, hidden.width, geometry(block).0))?;
        }
        let values = self.convolve(block, patches, weights).map_err(compute)?;
        let width = self.tensors[place].shape[0];
        let moments = values.len() / width / frames.max(1);
        Hidden::new(values, width, vec![moments; frames])
    }

    fn finish(&self, hidden: Hidden) -> std::result::Result<Outputs, ModelError> {
        Ok(Outputs::Probabilities(hidden.values))
    }
}

/// The patches of all frames, one a row, columns ordered tap, channel; a frame holds all channels of a moment, moment by moment.
fn patches(frames: &[f32], moments: usize, channels: usize, layer: usize) -> Vec<f32> {
    let (taps, stride, [before, after]) = geometry(layer);
    let of_frame = |frame: &[f32]| {
        let mut padded = vec![0f32; before * channels];
        padded.extend(frame);
        padded.resize(padded.len() + after * channels, 0.0);
        let moments = (padded.len() / channels - taps) / stride + 1;
        let mut rows = Vec::with_capacity(moments * taps * channels);
        for moment in 0..moments {
            rows.extend(&padded[moment * stride * channels..][..taps * channels]);
        }
        rows
    };
    frames.par_chunks_exact(moments * channels).flat_map_iter(of_frame).collect()
}
