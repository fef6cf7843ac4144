//! Silero VAD: the forward pass and the recordings that measure it.
//!
//! Per frame of 512 samples (32 ms) at 16 kHz: Fourier magnitudes of four windows, four convolutions over time, an LSTM cell, one
//! probability of speech. The layers' order and padding follow the Python package's reference implementation.

use std::collections::HashMap;

use rayon::prelude::*;
use seedpress_checkpoint::Checkpoint;
use seedpress_codec::{InputStatistics, Tensor};

use crate::architecture::{Architecture, Baseline, Probe, Slot};
use crate::assets;
use crate::behind::Inputs;
use crate::calibrate;
use crate::error::ZooError;
use crate::metric::Metric;
use crate::model::weight_file;
use crate::outputs::Outputs;
use crate::random::Random;

/// The tensors in the order of execution.
pub(crate) static SLOTS: [(&str, &str); 14] = [
    ("conv1.weight", "conv"),
    ("conv1.bias", "bias"),
    ("conv2.weight", "conv"),
    ("conv2.bias", "bias"),
    ("conv3.weight", "conv"),
    ("conv3.bias", "bias"),
    ("conv4.weight", "conv"),
    ("conv4.bias", "bias"),
    ("lstm_cell.weight_ih", "recurrent"),
    ("lstm_cell.weight_hh", "recurrent"),
    ("lstm_cell.bias_ih", "bias"),
    ("lstm_cell.bias_hh", "bias"),
    ("final_conv.weight", "conv1x1"),
    ("final_conv.bias", "bias"),
];

/// The Fourier basis `[258, 1, 256]`: fixed, hence no business of codecs.
pub(crate) const FOURIER: &str = "stft_conv.weight";

const FRAME: usize = 512;
const CONTEXT: usize = 64;
const WINDOW: usize = 256;
const HOP: usize = 128;
const BINS: usize = 129;
const WIDTH: usize = 128;

/// The recordings that measure: sentences of *Sense and Sensibility* read for LibriVox.
pub const HELD_OUT_CLIPS: [&str; 4] = ["0870", "0880", "0890", "0920"];

/// The recording that calibrates, another sentence.
pub const CALIBRATION_CLIPS: [&str; 1] = ["0930"];

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

/// A rectified convolution over time, kernel 3, zero padding 1. Signals are lists of moments, each with all its channels.
fn convolve(
    signal: &[Vec<f32>],
    weight: &[f32],
    bias: &[f32],
    stride: usize,
    tap: &mut dyn FnMut(&[f32]),
) -> Vec<Vec<f32>> {
    let channels = signal[0].len();
    let mut patch = vec![0f32; 3 * channels];
    (0..signal.len())
        .step_by(stride)
        .map(|moment| {
            for offset in 0..3 {
                let source = (moment + offset).checked_sub(1).and_then(|at| signal.get(at));
                for channel in 0..channels {
                    patch[3 * channel + offset] = source.map_or(0.0, |values| values[channel]);
                }
            }
            tap(&patch);
            weight.chunks_exact(3 * channels).zip(bias).map(|(row, bias)| (dot(row, &patch) + bias).max(0.0)).collect()
        })
        .collect()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The model's tensors by role.
pub(crate) struct Network<'a> {
    fourier: &'a [f32],
    tensors: HashMap<&'static str, &'a [f32]>,
}

impl<'a> Network<'a> {
    pub(crate) fn new(fourier: &'a Tensor, tensors: &[&'a Tensor]) -> Self {
        let tensors = SLOTS.iter().zip(tensors).map(|((name, _), tensor)| (*name, tensor.values())).collect();
        Self { fourier: fourier.values(), tensors }
    }

    /// The probability of speech in each whole frame of samples in [-1, 1].
    pub(crate) fn probabilities(&self, samples: &[f32]) -> Vec<f32> {
        self.observe(samples, &mut |_, _| ())
    }

    /// The same, with `tap(i, x)` seeing each input vector that tensor `i` of [`SLOTS`] multiplies.
    pub(crate) fn observe(&self, samples: &[f32], tap: &mut dyn FnMut(usize, &[f32])) -> Vec<f32> {
        let mut padded = vec![0f32; CONTEXT];
        padded.extend(samples);
        let (mut hidden, mut cell) = (vec![0f32; WIDTH], vec![0f32; WIDTH]);
        (0..samples.len() / FRAME)
            .map(|frame| self.step(&padded[frame * FRAME..][..CONTEXT + FRAME], &mut hidden, &mut cell, tap))
            .collect()
    }

    fn step(&self, samples: &[f32], hidden: &mut [f32], cell: &mut [f32], tap: &mut dyn FnMut(usize, &[f32])) -> f32 {
        let weight = |name: &'static str| self.tensors[name];
        // Mirrored at the end, without repeating the last sample.
        let mut mirrored = samples.to_vec();
        mirrored.extend(samples.iter().rev().skip(1).take(CONTEXT));
        let magnitudes = |window: &[f32]| -> Vec<f32> {
            let part = |row: usize| dot(&self.fourier[row * WINDOW..(row + 1) * WINDOW], window);
            (0..BINS).map(|bin| part(bin).hypot(part(bin + BINS))).collect()
        };
        let mut signal: Vec<Vec<f32>> = mirrored.windows(WINDOW).step_by(HOP).map(magnitudes).collect();
        for (layer, stride) in [1, 2, 2, 1].into_iter().enumerate() {
            let (weights, biases) = (weight(SLOTS[2 * layer].0), weight(SLOTS[2 * layer + 1].0));
            signal = convolve(&signal, weights, biases, stride, &mut |patch| tap(2 * layer, patch));
        }
        let input = &signal[0];
        tap(8, input);
        tap(9, hidden);
        let row = |matrix: &'static str, index: usize| &weight(matrix)[index * WIDTH..(index + 1) * WIDTH];
        let gates: Vec<f32> = (0..4 * WIDTH)
            .map(|gate| {
                dot(row("lstm_cell.weight_ih", gate), input)
                    + weight("lstm_cell.bias_ih")[gate]
                    + dot(row("lstm_cell.weight_hh", gate), hidden)
                    + weight("lstm_cell.bias_hh")[gate]
            })
            .collect();
        for unit in 0..WIDTH {
            // Gates in the order input, forget, candidate, output.
            let [i, f, g, o] = std::array::from_fn(|gate| gates[gate * WIDTH + unit]);
            cell[unit] = sigmoid(f) * cell[unit] + sigmoid(i) * g.tanh();
            hidden[unit] = sigmoid(o) * cell[unit].tanh();
        }
        let rectified: Vec<f32> = hidden.iter().map(|value| value.max(0.0)).collect();
        tap(12, &rectified);
        sigmoid(dot(weight("final_conv.weight"), &rectified) + weight("final_conv.bias")[0])
    }

    /// The probabilities for every recording.
    pub(crate) fn trace(&self, recordings: &[Vec<f32>]) -> Vec<Vec<f32>> {
        recordings.par_iter().map(|samples| self.probabilities(samples)).collect()
    }
}

/// The architecture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SileroVad;

impl Architecture for SileroVad {
    fn slots(&self) -> Vec<Slot> {
        SLOTS.iter().map(|&(name, layer_type)| Slot::of_any_shape(name, layer_type)).collect()
    }

    fn baseline(&self, own: &[&Tensor]) -> Result<Box<dyn Baseline>, ZooError> {
        let fourier = fourier()?;
        let recordings = recordings(&HELD_OUT_CLIPS)?;
        let trace = Network::new(&fourier, own).trace(&recordings);
        Ok(Box::new(HeldOutSpeech { fourier, recordings, trace }))
    }

    fn calibrate(&self, own: &[&Tensor]) -> Result<Vec<Option<InputStatistics>>, ZooError> {
        let recordings = recordings(&CALIBRATION_CLIPS)?;
        calibrate::collect_silero(&Network::new(&fourier()?, own), &recordings)
    }

    fn inputs(&self) -> Result<Option<Box<dyn Inputs>>, ZooError> {
        Ok(Some(Box::new(CalibrationSpeech::read()?)))
    }

    fn probe(&self) -> Result<Option<Box<dyn Probe>>, ZooError> {
        Ok(Some(Box::new(CalibrationSpeech::read()?)))
    }
}

/// Recordings to ask the model about.
#[derive(Debug)]
struct CalibrationSpeech {
    fourier: Tensor,
    recordings: Vec<Vec<f32>>,
}

impl CalibrationSpeech {
    fn read() -> Result<Self, ZooError> {
        Ok(Self { fourier: fourier()?, recordings: recordings(&CALIBRATION_CLIPS)? })
    }
}

impl Probe for CalibrationSpeech {
    fn outputs(&self, given: &[&Tensor]) -> Result<Outputs, ZooError> {
        Ok(Outputs::Probabilities(Network::new(&self.fourier, given).trace(&self.recordings).concat()))
    }
}

impl Inputs for CalibrationSpeech {
    fn parts(&self) -> usize {
        self.recordings.len()
    }

    fn of(&self, given: &[&Tensor], slot: usize, part: usize) -> Result<Vec<f32>, ZooError> {
        let mut rows = Vec::new();
        Network::new(&self.fourier, given).observe(&self.recordings[part], &mut |at, inputs| {
            if at == slot {
                rows.extend_from_slice(inputs);
            }
        });
        Ok(rows)
    }
}

/// The part of the network that is no weight.
fn fourier() -> Result<Tensor, ZooError> {
    Ok(Checkpoint::open(&weight_file("silero-vad"))?.load_float(FOURIER)?)
}

/// Recordings with what the uncompressed model hears in them.
#[derive(Debug)]
struct HeldOutSpeech {
    fourier: Tensor,
    recordings: Vec<Vec<f32>>,
    trace: Vec<Vec<f32>>,
}

impl Baseline for HeldOutSpeech {
    fn evaluate(&self, given: &[&Tensor]) -> Result<Vec<Metric>, ZooError> {
        let given = Network::new(&self.fourier, given).trace(&self.recordings);
        let [alike, differences, frames] = compare(&self.trace, &given);
        let count = frames.iter().sum::<f64>() as u64;
        let told_apart = |(own, given): (&Vec<f32>, &Vec<f32>)| -> f64 {
            Outputs::Probabilities(own.clone()).divergences(&Outputs::Probabilities(given.clone())).iter().sum()
        };
        let divergences: Vec<f64> = self.trace.iter().zip(&given).map(told_apart).collect();
        Ok(vec![
            Metric::ratio("frame agreement", true, &alike, &frames, count),
            Metric::ratio("probability error", false, &differences, &frames, count),
            Metric::ratio("KL divergence", false, &divergences, &frames, count),
        ])
    }
}

/// What the original and a compressed model say of the recordings, compared: per recording the frames on which both decide alike at
/// a threshold of one half, the sum of absolute differences, and the number of frames.
pub(crate) fn compare(original: &[Vec<f32>], given: &[Vec<f32>]) -> [Vec<f64>; 3] {
    let pairs = || original.iter().zip(given).map(|(a, b)| a.iter().zip(b));
    [
        pairs().map(|frames| frames.filter(|(a, b)| (**a >= 0.5) == (**b >= 0.5)).count() as f64).collect(),
        pairs().map(|frames| frames.map(|(a, b)| f64::from((a - b).abs())).sum()).collect(),
        original.iter().map(|frames| frames.len() as f64).collect(),
    ]
}

/// Samples of a mono 16-bit 16 kHz WAV file.
fn read_wav(path: &std::path::Path) -> Result<Vec<f32>, ZooError> {
    let bytes = assets::read(path)?;
    let at = bytes.windows(4).position(|tag| tag == b"data");
    let payload = at.and_then(|at| bytes.get(at + 8..));
    let (Some(payload), Some(b"RIFF")) = (payload, bytes.get(..4)) else {
        return Err(ZooError::bad_file(path, "not a WAV file"));
    };
    Ok(payload.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0).collect())
}

/// One recording as published.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn clip(name: &str) -> Result<Vec<f32>, ZooError> {
    read_wav(&assets::asset(&format!("silero-vad/audio/sense_and_sensibility_01_austen_64kb-{name}.wav")))
}

/// Test signals: each clip twice, in faint and in strong noise, led in by a second of the noise alone and followed by a second of
/// noise with a rising tone, so that the model has something to reject. The noise follows from the clip's name.
///
/// # Errors
/// Where a committed file cannot be read.
pub fn recordings(clips: &[&str]) -> Result<Vec<Vec<f32>>, ZooError> {
    const SECOND: usize = 16_000;
    let mut result = Vec::new();
    for name in clips {
        let speech = clip(name)?;
        let seed = name.bytes().fold(0, |seed, byte| 256 * seed + u64::from(byte));
        for (level, noise) in [(0, 0.001), (1, 0.03)] {
            let mut random = Random::new(2 * seed + level);
            let mut samples = vec![0f32; SECOND];
            samples.extend(&speech);
            // A triangle wave, from 200 Hz upwards.
            let mut phase = 0f32;
            samples.extend((0..SECOND).map(|time| {
                phase = (phase + (200.0 + 0.05 * time as f32) / SECOND as f32).fract();
                0.2 * (4.0 * (phase - 0.5).abs() - 1.0)
            }));
            samples.iter_mut().for_each(|sample| *sample += noise * random.normal() as f32);
            result.push(samples);
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities of the package's own reference implementation (`tinygrad_model.py`, tinygrad 0.14) for the first 40 frames of
    /// clip 0880.
    const REFERENCE: [f32; 40] = [
        0.029385, 0.026055, 0.023295, 0.022771, 0.019776, 0.019775, 0.013629, 0.048832, 0.874075, 0.988734, 0.996493,
        0.991178, 0.994154, 0.999467, 0.999241, 0.999391, 0.999154, 0.999489, 0.999835, 0.999956, 0.999849, 0.99982,
        0.999805, 0.999288, 0.998379, 0.996835, 0.991313, 0.993683, 0.995528, 0.999371, 0.99356, 0.987349, 0.818599,
        0.29373, 0.115797, 0.256352, 0.858848, 0.857604, 0.742427, 0.771689,
    ];

    #[test]
    fn probabilities_are_those_of_the_reference_implementation() {
        let model = crate::load("silero-vad").unwrap();
        let fourier = fourier().unwrap();
        let tensors: Vec<&Tensor> = model.tensors.iter().map(|named| &named.tensor).collect();
        let ours = Network::new(&fourier, &tensors).probabilities(&clip("0880").unwrap());
        for (frame, (ours, theirs)) in ours.iter().zip(REFERENCE).enumerate() {
            assert!((ours - theirs).abs() < 2e-4, "frame {frame}: {ours}, not {theirs}");
        }
    }
}
