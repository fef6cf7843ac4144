//! Silero VAD's forward pass.
//!
//! Per frame of 512 samples (32 ms) at 16 kHz: Fourier magnitudes of four windows, four convolutions over time, an LSTM cell, one
//! probability of speech. The layers' order and padding follow the Python package's reference implementation.

use seedpress_codec::Tensor;
use seedpress_model::{BlockWeights, Hidden, ModelError, Network, Outputs, Tap, TensorInfo};

const FRAME: usize = 512;
const CONTEXT: usize = 64;
const WINDOW: usize = 256;
const HOP: usize = 128;
const BINS: usize = 129;
const WIDTH: usize = 128;

/// Outputs, inputs and stride of each convolution, and the moments of a frame before it.
const CONVOLUTIONS: [(usize, usize, usize, usize); 4] =
    [(128, BINS, 1, 4), (64, 128, 2, 4), (64, 64, 2, 2), (WIDTH, 64, 1, 1)];

/// Places of the LSTM cell's first tensor and of the last layer's.
const CELL: usize = 8;
const FINAL: usize = 12;

/// The network: four convolutions, the LSTM cell, the last layer. Its inputs are samples in [-1, 1], a sequence a recording.
#[derive(Debug)]
pub(crate) struct SileroVad {
    tensors: Vec<TensorInfo>,
    /// The Fourier basis `[258, 1, 256]`: fixed, hence no business of codecs.
    fourier: Tensor,
}

impl SileroVad {
    pub(crate) fn new(fourier: Tensor) -> Self {
        let mut tensors = Vec::new();
        for (layer, (outputs, inputs, ..)) in (1..).zip(CONVOLUTIONS) {
            tensors.push(TensorInfo::new(format!("conv{layer}.weight"), &[outputs, inputs, 3], "conv"));
            tensors.push(TensorInfo::new(format!("conv{layer}.bias"), &[outputs], "bias"));
        }
        tensors.push(TensorInfo::new("lstm_cell.weight_ih", &[4 * WIDTH, WIDTH], "recurrent"));
        tensors.push(TensorInfo::new("lstm_cell.weight_hh", &[4 * WIDTH, WIDTH], "recurrent"));
        tensors.push(TensorInfo::new("lstm_cell.bias_ih", &[4 * WIDTH], "bias"));
        tensors.push(TensorInfo::new("lstm_cell.bias_hh", &[4 * WIDTH], "bias"));
        tensors.push(TensorInfo::new("final_conv.weight", &[1, WIDTH, 1], "conv1x1"));
        tensors.push(TensorInfo::new("final_conv.bias", &[1], "bias"));
        Self { tensors, fourier }
    }

    /// Fourier magnitudes of the windows of one frame with its context.
    fn magnitudes(&self, samples: &[f32]) -> Vec<f32> {
        // Mirrored at the end, without repeating the last sample.
        let mut mirrored = samples.to_vec();
        mirrored.extend(samples.iter().rev().skip(1).take(CONTEXT));
        let row = |row: usize, window: &[f32]| dot(&self.fourier.values()[row * WINDOW..(row + 1) * WINDOW], window);
        let of_window = |window: &[f32]| (0..BINS).map(|bin| row(bin, window).hypot(row(bin + BINS, window))).collect();
        mirrored.windows(WINDOW).step_by(HOP).flat_map(|window| -> Vec<f32> { of_window(window) }).collect()
    }
}

impl Network for SileroVad {
    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn blocks(&self) -> usize {
        6
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        match block {
            0..4 => vec![2 * block, 2 * block + 1],
            4 => (CELL..FINAL).collect(),
            _ => vec![FINAL, FINAL + 1],
        }
    }

    /// Magnitudes of every whole frame.
    fn start(&self, inputs: Hidden) -> Result<Hidden, ModelError> {
        let (mut values, mut lengths, mut rest) = (Vec::new(), Vec::new(), inputs.values.as_slice());
        for length in inputs.lengths {
            let (samples, others) = rest.split_at(length);
            rest = others;
            let mut padded = vec![0f32; CONTEXT];
            padded.extend(samples);
            let frames = length / FRAME;
            let before = values.len();
            for frame in 0..frames {
                values.extend(self.magnitudes(&padded[frame * FRAME..][..CONTEXT + FRAME]));
            }
            lengths.push((values.len() - before) / BINS);
        }
        Hidden::new(values, BINS, lengths)
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> Result<Hidden, ModelError> {
        match block {
            0..4 => convolve(block, weights, hidden, tap),
            4 => recur(weights, hidden, tap),
            _ => {
                let rectified: Vec<f32> = hidden.values.iter().map(|value| value.max(0.0)).collect();
                tap.inputs(FINAL, &rectified)?;
                let (weight, bias) = (weights.values(FINAL), weights.values(FINAL + 1)[0]);
                let likely = rectified.chunks_exact(WIDTH).map(|row| sigmoid(dot(weight, row) + bias)).collect();
                Ok(hidden.with(likely, 1))
            }
        }
    }

    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
        Ok(Outputs::Probabilities(hidden.values))
    }
}

/// A rectified convolution over the moments of each frame, kernel 3, zero padding 1.
fn convolve(
    layer: usize,
    weights: &BlockWeights<'_>,
    hidden: &Hidden,
    tap: &mut dyn Tap,
) -> Result<Hidden, ModelError> {
    let (outputs, channels, stride, moments) = CONVOLUTIONS[layer];
    let mut patches = Vec::with_capacity(3 * hidden.values.len());
    for frame in hidden.values.chunks_exact(moments * channels) {
        for moment in (0..moments).step_by(stride) {
            for channel in 0..channels {
                for offset in 0..3 {
                    let source = (moment + offset).checked_sub(1).filter(|&at| at < moments);
                    patches.push(source.map_or(0.0, |at| frame[at * channels + channel]));
                }
            }
        }
    }
    tap.inputs(2 * layer, &patches)?;
    let (weight, bias) = (weights.values(2 * layer), weights.values(2 * layer + 1));
    let row = |patch: &[f32]| -> Vec<f32> {
        let outputs = weight.chunks_exact(3 * channels).zip(bias);
        outputs.map(|(row, bias)| (dot(row, patch) + bias).max(0.0)).collect()
    };
    let values = patches.chunks_exact(3 * channels).flat_map(row).collect();
    let lengths = hidden.lengths.iter().map(|length| length.div_ceil(stride)).collect();
    Hidden::new(values, outputs, lengths)
}

/// The LSTM cell along each recording, gates in the order input, forget, candidate, output.
fn recur(weights: &BlockWeights<'_>, hidden: &Hidden, tap: &mut dyn Tap) -> Result<Hidden, ModelError> {
    tap.inputs(CELL, &hidden.values)?;
    let [ih, hh, bias_ih, bias_hh] = std::array::from_fn(|part| weights.values(CELL + part));
    let row = |matrix: &'_ [f32], index: usize, x: &[f32]| dot(&matrix[index * WIDTH..(index + 1) * WIDTH], x);
    let (mut before, mut after) = (Vec::new(), Vec::with_capacity(hidden.values.len()));
    let mut inputs = hidden.values.chunks_exact(WIDTH);
    for &length in &hidden.lengths {
        let (mut state, mut cell) = (vec![0f32; WIDTH], vec![0f32; WIDTH]);
        for input in inputs.by_ref().take(length) {
            before.extend_from_slice(&state);
            let gate = |gate: usize| row(ih, gate, input) + bias_ih[gate] + row(hh, gate, &state) + bias_hh[gate];
            let gates: Vec<f32> = (0..4 * WIDTH).map(gate).collect();
            for unit in 0..WIDTH {
                let [i, f, g, o] = std::array::from_fn(|gate| gates[gate * WIDTH + unit]);
                cell[unit] = sigmoid(f) * cell[unit] + sigmoid(i) * g.tanh();
                state[unit] = sigmoid(o) * cell[unit].tanh();
            }
            after.extend_from_slice(&state);
        }
    }
    tap.inputs(CELL + 1, &before)?;
    Ok(hidden.with(after, WIDTH))
}

/// The dot product in eight interleaved sums.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    let (heads, tail) = (a.chunks_exact(8).zip(b.chunks_exact(8)), a.len() / 8 * 8);
    for (x, y) in heads {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + a[tail..].iter().zip(&b[tail..]).map(|(x, y)| x * y).sum::<f32>()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
