//! CREPE: finds the pitch of a tone, and the tones that measure it. Truth is exact because the tones are made here.

mod network;

use seedpress_model::random::Random;
use seedpress_model::{DataSets, Evaluation, Hidden, Metric, ModelError, Outputs, Samples, Scorer};

pub(crate) use network::CrepeNetwork;

/// Samples a second.
pub(crate) const RATE: f64 = 16_000.0;

/// Samples of a frame.
pub(crate) const FRAME: usize = 1024;

const CLASSES: usize = 360;

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
    fn channels(self) -> [usize; 6] {
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

    /// Frames of a batch: the second layer's patches are the largest, 128 moments of 64 taps.
    fn together(self) -> usize {
        (BATCH / (128 * 64 * self.channels()[0])).max(1)
    }

    fn batches(self, tones: &[Vec<Frame>]) -> Vec<Hidden> {
        let frames: Vec<&Frame> = tones.iter().flatten().collect();
        let batch = |frames: &[&Frame]| Hidden {
            values: frames.iter().flat_map(|frame| &frame.samples).copied().collect(),
            width: 1,
            lengths: vec![FRAME; frames.len()],
        };
        frames.chunks(self.together()).map(batch).collect()
    }
}

/// The tones as data.
#[derive(Debug)]
pub(crate) struct Tones(pub(crate) Crepe);

impl DataSets for Tones {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(Some(Box::new(self.0.batches(&tones(&CALIBRATION_TONES, self.0.frames())))))
    }

    fn probe(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(Some(Box::new(self.0.batches(&tones(&CALIBRATION_TONES, 1)))))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        let tones = tones(&HELD_OUT_TONES, self.0.frames());
        Ok(Some(Box::new(HeldOutTones { batches: self.0.batches(&tones), tones })))
    }
}

#[derive(Debug)]
struct HeldOutTones {
    batches: Vec<Hidden>,
    tones: Vec<Vec<Frame>>,
}

impl Evaluation for HeldOutTones {
    fn samples(&self) -> &dyn Samples {
        &self.batches
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(ToneScorer { tones: &self.tones, own: Vec::new(), given: Vec::new() })
    }
}

/// The pitches heard, in cents above 10 Hz, frame by frame.
struct ToneScorer<'a> {
    tones: &'a [Vec<Frame>],
    own: Vec<f64>,
    given: Vec<f64>,
}

impl Scorer for ToneScorer<'_> {
    fn add(&mut self, _: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        for (pitches, outputs) in [(&mut self.own, original), (&mut self.given, given)] {
            let Outputs::Probabilities(likely) = outputs else {
                return Err(ModelError::Shape("probabilities of classes are needed".to_owned()));
            };
            pitches.extend(likely.chunks_exact(CLASSES).map(pitch));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        let mut frames = self.tones.iter().flatten().zip(self.own.iter().zip(&self.given));
        let [mut right, mut errors, mut alike, mut counts] = [const { Vec::new() }; 4];
        for tone in self.tones {
            let [mut sums_right, mut sums_error, mut sums_alike] = [0.0; 3];
            for (frame, (own, given)) in frames.by_ref().take(tone.len()) {
                let error = (given - frame.cents).abs();
                let error = if error.is_nan() { OCTAVE } else { error.min(OCTAVE) };
                sums_right += f64::from(u8::from(error <= TOLERANCE));
                sums_error += error;
                sums_alike += f64::from(u8::from((given - own).abs() <= TOLERANCE));
            }
            right.push(sums_right);
            errors.push(sums_error);
            alike.push(sums_alike);
            counts.push(tone.len() as f64);
        }
        let count = counts.iter().sum::<f64>() as u64;
        Ok(vec![
            Metric::ratio("pitch accuracy", true, &right, &counts, count),
            Metric::ratio("cents error", false, &errors, &counts, count),
            Metric::ratio("agreement", true, &alike, &counts, count),
        ])
    }
}

/// A frame of a tone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    /// Samples with mean 0 and deviation 1.
    pub samples: Vec<f32>,
    /// The pitch in its middle, in cents above 10 Hz.
    pub cents: f64,
}

/// Seeds of the tones that measure.
pub(crate) const HELD_OUT_TONES: std::ops::Range<u64> = 0..48;

/// Seeds of the tones that calibrate.
pub(crate) const CALIBRATION_TONES: std::ops::Range<u64> = 1000..1048;

/// Tones of seeded pitch (65 to 1,050 Hz), timbre, vibrato and noise, `frames` frames of each.
pub(crate) fn tones(seeds: &std::ops::Range<u64>, frames: usize) -> Vec<Vec<Frame>> {
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

/// The mean of the classes around the likeliest, weighted by their probabilities.
fn pitch(likely: &[f32]) -> f64 {
    let best = (0..likely.len()).fold(0, |best, class| if likely[class] > likely[best] { class } else { best });
    let around = best.saturating_sub(4)..(best + 5).min(likely.len());
    let total: f64 = around.clone().map(|class| f64::from(likely[class])).sum();
    around.map(|class| f64::from(likely[class]) * (FIRST + STEP * class as f64)).sum::<f64>() / total
}

#[cfg(test)]
mod tests {
    use seedpress_model::run;

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
            let mut likely = Vec::new();
            let samples = crepe.batches(&[frames.to_vec()]);
            run(model.network(), model.weights(), &samples, &mut |_, outputs| {
                let Outputs::Probabilities(values) = outputs else { unreachable!("probabilities of classes") };
                likely.extend(values);
                Ok(())
            })
            .unwrap();
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
        let tensors = network::tensors(Crepe::Full);
        let second = tensors.iter().find(|info| info.name == "conv2.weight").unwrap();
        assert_eq!(second.weights(), 2048 * 4096);
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
