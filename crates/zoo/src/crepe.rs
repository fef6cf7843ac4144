//! CREPE: finds the pitch of a tone (Kim, Salamon, Li, Bello 2018), and the tones that measure it.
//!
//! Six convolutions over 1,024 samples at 16 kHz, each followed by a rectifier, batch normalisation and a maximum of two, then one
//! linear layer: 360 classes of 20 cents. Truth is exact because the tones are made here.

use candle_core::Tensor as Matrix;
use rayon::prelude::*;
use seedpress_calibration::{Accumulator, InputStatistics};
use seedpress_checkpoint::Checkpoint;
use seedpress_codec::Tensor;

use crate::architecture::{Architecture, Baseline, Probe, Slot};
use crate::calibrate;
use crate::dense::Dense;
use crate::error::ZooError;
use crate::metric::Metric;
use crate::model::weight_file;
use crate::outputs::Outputs;
use crate::random::Random;

/// Samples a second.
pub const RATE: f64 = 16_000.0;

/// Samples of a frame.
pub const FRAME: usize = 1024;

const LAYERS: usize = 6;
const CLASSES: usize = 360;
const EPSILON: f32 = 0.001;

/// Floats in the patches of one batch of frames.
const BATCH: usize = 1 << 25;

/// Cents above 10 Hz of the first class, and from class to class.
const FIRST: f64 = 1_997.379_408_437_619;
const STEP: f64 = 20.0;

/// Further off than this, a pitch is wrong.
const TOLERANCE: f64 = 50.0;

/// Errors count up to an octave: beyond, wrong is wrong.
const OCTAVE: f64 = 1200.0;

/// The two sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crepe {
    Tiny,
    /// Its second convolution has 8,388,608 weights, as many as a linear layer of 2048 x 4096.
    Full,
}

impl Crepe {
    fn name(self) -> &'static str {
        match self {
            Self::Tiny => "crepe-tiny",
            Self::Full => "crepe-full",
        }
    }

    /// Output channels of the convolutions.
    fn channels(self) -> [usize; LAYERS] {
        match self {
            Self::Tiny => [128, 16, 16, 16, 32, 64],
            Self::Full => [1024, 128, 128, 128, 256, 512],
        }
    }

    /// Frames that measure, of each tone.
    fn frames(self) -> usize {
        match self {
            Self::Tiny => 10,
            Self::Full => 1,
        }
    }
}

/// Taps, stride and zeros on both sides of a layer.
const fn geometry(layer: usize) -> (usize, usize, [usize; 2]) {
    if layer == 0 { (512, 4, [254, 254]) } else { (64, 1, [31, 32]) }
}

impl Architecture for Crepe {
    fn slots(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut inputs = 1;
        for (layer, outputs) in self.channels().into_iter().enumerate() {
            let name = format!("conv{}", layer + 1);
            slots.push(Slot::new(format!("{name}.weight"), &[outputs, inputs, geometry(layer).0, 1], "conv"));
            slots.push(Slot::new(format!("{name}.bias"), &[outputs], "bias"));
            slots.push(Slot::new(format!("{name}_BN.weight"), &[outputs], "norm"));
            slots.push(Slot::new(format!("{name}_BN.bias"), &[outputs], "norm"));
            inputs = outputs;
        }
        slots.push(Slot::new("classifier.weight", &[CLASSES, 4 * inputs], "linear"));
        slots.push(Slot::new("classifier.bias", &[CLASSES], "bias"));
        slots
    }

    fn baseline(&self, own: &[&Tensor]) -> Result<Box<dyn Baseline>, ZooError> {
        let statistics = Statistics::of(*self)?;
        let tones = tones(&HELD_OUT_TONES, self.frames());
        let heard = hear(*self, &statistics, own, &tones)?;
        Ok(Box::new(HeldOutTones { crepe: *self, statistics, tones, heard }))
    }

    fn calibrate(&self, own: &[&Tensor]) -> Result<Vec<Option<InputStatistics>>, ZooError> {
        let frames: Vec<Frame> = tones(&CALIBRATION_TONES, self.frames()).into_iter().flatten().collect();
        let mut moments: Vec<Option<Accumulator>> = own.iter().map(|_| None).collect();
        let mut tap = |slot: usize, inputs: &Matrix| calibrate::add(&mut moments[slot], inputs);
        probabilities(*self, &Statistics::of(*self)?, own, &frames, &mut tap)?;
        calibrate::finish(moments, own.iter().map(|tensor| tensor.shape()))
    }

    fn probe(&self) -> Result<Option<Box<dyn Probe>>, ZooError> {
        let statistics = Statistics::of(*self)?;
        let frames = tones(&CALIBRATION_TONES, 1).into_iter().flatten().collect();
        Ok(Some(Box::new(CalibrationTones { crepe: *self, statistics, frames })))
    }
}

/// What batch normalisation knows of the training data: means and variances, which nobody learnt and no codec touches.
#[derive(Debug)]
struct Statistics {
    mean: Vec<Tensor>,
    variance: Vec<Tensor>,
}

impl Statistics {
    fn of(crepe: Crepe) -> Result<Self, ZooError> {
        let checkpoint = Checkpoint::open(&weight_file(crepe.name()))?;
        let read = |what: &str| -> Result<Vec<Tensor>, ZooError> {
            (1..=LAYERS).map(|layer| Ok(checkpoint.load_float(&format!("conv{layer}_BN.{what}"))?)).collect()
        };
        Ok(Self { mean: read("running_mean")?, variance: read("running_var")? })
    }
}

/// Tones to listen to.
#[derive(Debug)]
struct CalibrationTones {
    crepe: Crepe,
    statistics: Statistics,
    frames: Vec<Frame>,
}

impl Probe for CalibrationTones {
    fn outputs(&self, given: &[&Tensor]) -> Result<Outputs, ZooError> {
        let likely = probabilities(self.crepe, &self.statistics, given, &self.frames, &mut |_, _| Ok(()))?;
        Ok(Outputs::Probabilities(likely))
    }
}

/// Recordings with what the uncompressed model hears in them.
#[derive(Debug)]
struct HeldOutTones {
    crepe: Crepe,
    statistics: Statistics,
    tones: Vec<Vec<Frame>>,
    heard: Vec<Vec<f64>>,
}

impl Baseline for HeldOutTones {
    fn evaluate(&self, given: &[&Tensor]) -> Result<Vec<Metric>, ZooError> {
        let heard = hear(self.crepe, &self.statistics, given, &self.tones)?;
        let sum = |score: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..heard.len()).map(|tone| (0..heard[tone].len()).map(|frame| score(tone, frame)).sum()).collect()
        };
        let error = |tone: usize, frame: usize| {
            let error = (heard[tone][frame] - self.tones[tone][frame].cents).abs();
            if error.is_nan() { OCTAVE } else { error.min(OCTAVE) }
        };
        let right = sum(&|tone, frame| f64::from(u8::from(error(tone, frame) <= TOLERANCE)));
        let alike =
            sum(&|tone, frame| f64::from(u8::from((heard[tone][frame] - self.heard[tone][frame]).abs() <= TOLERANCE)));
        let frames = sum(&|_, _| 1.0);
        let count = frames.iter().sum::<f64>() as u64;
        Ok(vec![
            Metric::ratio("pitch accuracy", true, &right, &frames, count),
            Metric::ratio("cents error", false, &sum(&error), &frames, count),
            Metric::ratio("agreement", true, &alike, &frames, count),
        ])
    }
}

/// A frame of a tone.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Samples with mean 0 and deviation 1.
    pub samples: Vec<f32>,
    /// The pitch in its middle, in cents above 10 Hz.
    pub cents: f64,
}

/// Seeds of the tones that measure.
pub const HELD_OUT_TONES: std::ops::Range<u64> = 0..48;

/// Seeds of the tones that calibrate.
pub const CALIBRATION_TONES: std::ops::Range<u64> = 1000..1048;

/// Tones of seeded pitch (65 to 1,050 Hz), timbre, vibrato and noise, `frames` frames of each.
pub fn tones(seeds: &std::ops::Range<u64>, frames: usize) -> Vec<Vec<Frame>> {
    seeds.clone().map(|seed| tone(seed, frames)).collect()
}

fn tone(seed: u64, frames: usize) -> Vec<Frame> {
    let mut random = Random::new(0xC0FFEE ^ seed);
    let base = 65.0 * 2f64.powf(4.0 * random.uniform());
    // Strings and voices: partials that fall by 3 to 12 dB an octave, at phases of their own.
    let fall = 0.5 + 1.5 * random.uniform();
    let partials: Vec<(f64, f64)> = (1..=40)
        .map(|order| (f64::from(order), std::f64::consts::TAU * random.uniform()))
        .take_while(|(order, _)| order * base * 1.05 < RATE / 2.0)
        .collect();
    let depth = [0.0, 15.0, 40.0][random.below(3)];
    let speed = 4.0 + 3.0 * random.uniform();
    let noise = [0.01, 0.1, 0.5][random.below(3)];
    let bend = |time: f64| depth * (std::f64::consts::TAU * speed * time).sin();
    let hop = FRAME / 2;
    let length = FRAME + (frames - 1) * hop;
    let mut cycles = 0.0;
    let mut samples: Vec<f64> = (0..length)
        .map(|at| {
            cycles += base * 2f64.powf(bend(at as f64 / RATE) / 1200.0) / RATE;
            let partial = |(order, phase): &(f64, f64)| {
                (std::f64::consts::TAU * order * cycles + phase).sin() * order.powf(-fall)
            };
            partials.iter().map(partial).sum()
        })
        .collect();
    let power = samples.iter().map(|sample| sample * sample).sum::<f64>() / length as f64;
    samples.iter_mut().for_each(|sample| *sample += noise * power.sqrt() * random.normal());
    (0..frames)
        .map(|frame| {
            let middle = (frame * hop + FRAME / 2) as f64 / RATE;
            let cents = 1200.0 * (base / 10.0).log2() + bend(middle);
            Frame { samples: standardise(&samples[frame * hop..][..FRAME]), cents }
        })
        .collect()
}

/// Mean 0 and deviation 1 (that of a sample), as the model wants its frames.
fn standardise(samples: &[f64]) -> Vec<f32> {
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let square = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>();
    let deviation = (square / (samples.len() - 1) as f64).sqrt().max(1e-10);
    samples.iter().map(|sample| ((sample - mean) / deviation) as f32).collect()
}

/// The pitch the model hears in each frame, in cents above 10 Hz.
fn hear(
    crepe: Crepe,
    statistics: &Statistics,
    tensors: &[&Tensor],
    tones: &[Vec<Frame>],
) -> Result<Vec<Vec<f64>>, ZooError> {
    let frames: Vec<Frame> = tones.iter().flatten().cloned().collect();
    let likely = probabilities(crepe, statistics, tensors, &frames, &mut |_, _| Ok(()))?;
    let mut pitches = likely.chunks_exact(CLASSES).map(pitch);
    Ok(tones.iter().map(|tone| pitches.by_ref().take(tone.len()).collect()).collect())
}

/// The mean of the classes around the likeliest, weighted by their probabilities.
fn pitch(likely: &[f32]) -> f64 {
    let best = (0..likely.len()).fold(0, |best, class| if likely[class] > likely[best] { class } else { best });
    let around = best.saturating_sub(4)..(best + 5).min(likely.len());
    let total: f64 = around.clone().map(|class| f64::from(likely[class])).sum();
    around.map(|class| f64::from(likely[class]) * (FIRST + STEP * class as f64)).sum::<f64>() / total
}

/// The probability of each class for each frame. `tap(i, x)` sees the inputs that tensor `i` multiplies, one vector a row (columns of
/// convolutions ordered tap, channel).
fn probabilities(
    crepe: Crepe,
    statistics: &Statistics,
    tensors: &[&Tensor],
    frames: &[Frame],
    tap: &mut dyn FnMut(usize, &Matrix) -> candle_core::Result<()>,
) -> Result<Vec<f32>, ZooError> {
    let channels = crepe.channels();
    let kernel = |layer: usize| Dense::kernel(tensors[4 * layer].values(), channels[layer], geometry(layer).0);
    let kernels = (0..LAYERS).map(kernel).collect::<candle_core::Result<Vec<_>>>()?;
    let classifier = Dense::new(tensors[4 * LAYERS].values(), CLASSES)?;
    // The second layer's patches are the largest: 128 moments of 64 taps.
    let batch = (BATCH / (128 * 64 * channels[0])).max(1);
    let mut likely = Vec::with_capacity(frames.len() * CLASSES);
    for frames in frames.chunks(batch) {
        let mut signals: Vec<Vec<f32>> = frames.iter().map(|frame| frame.samples.clone()).collect();
        let mut inputs = 1;
        for (layer, kernel) in kernels.iter().enumerate() {
            let outputs = channels[layer];
            let [bias, scale, shift] = [1, 2, 3].map(|part| tensors[4 * layer + part].values());
            let columns = kernel.rows(patches(&signals, inputs, layer))?;
            tap(4 * layer, &columns)?;
            let sums = kernel.apply(&columns)?;
            let [mean, variance] = [&statistics.mean, &statistics.variance].map(|values| values[layer].values());
            let finish = |channel: usize, sum: f32| {
                let deviation = (variance[channel] + EPSILON).sqrt();
                ((sum + bias[channel]).max(0.0) - mean[channel]) / deviation * scale[channel] + shift[channel]
            };
            // The maximum of two moments, as normalised: a negative scale turns the order round.
            let shrink = |signal: &[f32]| -> Vec<f32> {
                let pairs = signal.chunks_exact(2 * outputs);
                pairs
                    .flat_map(|pair| {
                        (0..outputs)
                            .map(|channel| finish(channel, pair[channel]).max(finish(channel, pair[outputs + channel])))
                    })
                    .collect()
            };
            signals = sums.par_chunks_exact(sums.len() / frames.len()).map(shrink).collect();
            inputs = outputs;
        }
        let last = classifier.rows(signals.concat())?;
        tap(4 * LAYERS, &last)?;
        let scores = classifier.apply_with_bias(&last, tensors[4 * LAYERS + 1].values())?;
        likely.extend(scores.into_iter().map(|score| 1.0 / (1.0 + (-score).exp())));
    }
    Ok(likely)
}

/// The patches of all signals, one a row; a signal holds all channels of a moment, moment by moment.
fn patches(signals: &[Vec<f32>], channels: usize, layer: usize) -> Vec<f32> {
    let (taps, stride, [before, after]) = geometry(layer);
    let parts = signals.par_iter().flat_map_iter(|signal| {
        let mut padded = vec![0f32; before * channels];
        padded.extend(signal);
        padded.resize(padded.len() + after * channels, 0.0);
        let moments = (padded.len() / channels - taps) / stride + 1;
        let mut rows = Vec::with_capacity(moments * taps * channels);
        for moment in 0..moments {
            rows.extend(&padded[moment * stride * channels..][..taps * channels]);
        }
        rows
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five partials of amplitude 1/k at 220 and 523.25 Hz: the likeliest class, its and its neighbours' probabilities by another
    /// implementation on the same weights (TensorFlow 2.15.1, weights unpickled with numpy).
    #[test]
    fn probabilities_are_those_of_another_implementation() {
        let frames = [220.0, 523.25].map(|pitch: f64| {
            let partial =
                |order: f64, at: usize| (std::f64::consts::TAU * order * pitch * at as f64 / RATE).sin() / order;
            let sample = |at: usize| (1..=5).map(|order| partial(f64::from(order), at)).sum();
            let samples: Vec<f64> = (0..FRAME).map(sample).collect();
            Frame { samples: standardise(&samples), cents: 1200.0 * (pitch / 10.0).log2() }
        });
        let expected = [
            (
                Crepe::Tiny,
                [
                    (168, [0.446132, 0.815564, 0.902235, 0.709898, 0.246068], 5353.048753),
                    (243, [0.401405, 0.838712, 0.924353, 0.733391, 0.269555], 6854.506822),
                ],
            ),
            (
                Crepe::Full,
                [
                    (168, [0.426345, 0.862492, 0.941339, 0.588513, 0.190566], 5350.822750),
                    (243, [0.41093, 0.896181, 0.963421, 0.611558, 0.249238], 6852.762582),
                ],
            ),
        ];
        for (crepe, expected) in expected {
            let Ok(model) = crate::load(crepe.name()) else {
                eprintln!("skipped: {} is not fetched", crepe.name());
                continue;
            };
            let own: Vec<&Tensor> = model.tensors.iter().map(|named| &named.tensor).collect();
            let statistics = Statistics::of(crepe).unwrap();
            let likely = probabilities(crepe, &statistics, &own, &frames, &mut |_, _| Ok(())).unwrap();
            for (row, (best, around, cents)) in likely.chunks_exact(CLASSES).zip(expected) {
                for (ours, theirs) in row[best - 2..].iter().zip(around) {
                    assert!((ours - theirs).abs() < 2e-5, "{crepe:?}: {ours}, not {theirs}");
                }
                assert!((pitch(row) - cents).abs() < 0.01, "{crepe:?}: {}, not {cents}", pitch(row));
            }
        }
    }

    #[test]
    fn the_large_layer_is_as_large_as_the_one_of_the_report() {
        let slots = Crepe::Full.slots();
        let second = slots.iter().find(|slot| slot.name == "conv2.weight").unwrap();
        assert_eq!(second.shape.as_ref().unwrap().iter().product::<usize>(), 2048 * 4096);
    }

    #[test]
    fn calibration_tones_are_not_held_out_tones() {
        let (held_out, calibration) = (tones(&HELD_OUT_TONES, 2), tones(&CALIBRATION_TONES, 2));
        for tone in &calibration {
            assert!(
                held_out.iter().all(|other| other[0].samples != tone[0].samples && other[0].cents != tone[0].cents)
            );
        }
    }
}
