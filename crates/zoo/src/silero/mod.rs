//! Silero VAD, and the recordings that measure it.

mod network;

use std::path::Path;

use seedpress_checkpoint::Checkpoint;
use seedpress_codec::Tensor;
use seedpress_model::random::Random;
use seedpress_model::{DataSets, Evaluation, Hidden, Metric, ModelError, Outputs, Samples, Scorer};

use crate::assets;
use crate::error::ZooError;
use crate::weight_file::weight_file;
pub(crate) use network::SileroVad;

/// The recordings that measure: sentences of *Sense and Sensibility* read for LibriVox.
pub const HELD_OUT_CLIPS: [&str; 4] = ["0870", "0880", "0890", "0920"];

/// The recording that calibrates, another sentence.
pub const CALIBRATION_CLIPS: [&str; 1] = ["0930"];

/// The part of the network that is no weight.
pub(crate) fn fourier() -> Result<Tensor, ZooError> {
    Ok(Checkpoint::open(&weight_file("silero-vad"))?.load_float("stft_conv.weight")?)
}

/// The recordings as data.
#[derive(Debug)]
pub(crate) struct Speech;

impl DataSets for Speech {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(Some(Box::new(batches(&CALIBRATION_CLIPS)?)))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        Ok(Some(Box::new(HeldOutSpeech(batches(&HELD_OUT_CLIPS)?))))
    }
}

/// A batch a recording.
fn batches(clips: &[&str]) -> Result<Vec<Hidden>, ZooError> {
    let batch = |samples: Vec<f32>| Hidden { lengths: vec![samples.len()], values: samples, width: 1 };
    Ok(recordings(clips)?.into_iter().map(batch).collect())
}

#[derive(Debug)]
struct HeldOutSpeech(Vec<Hidden>);

impl Evaluation for HeldOutSpeech {
    fn samples(&self) -> &dyn Samples {
        &self.0
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(SpeechScorer::default())
    }
}

/// Sums by recording.
#[derive(Default)]
struct SpeechScorer {
    alike: Vec<f64>,
    differences: Vec<f64>,
    divergences: Vec<f64>,
    frames: Vec<f64>,
}

impl Scorer for SpeechScorer {
    fn add(&mut self, _: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        let (Outputs::Probabilities(own), Outputs::Probabilities(heard)) = (original, given) else {
            return Err(ModelError::Shape("probabilities of speech are needed".to_owned()));
        };
        let pairs = || own.iter().zip(heard);
        // Both decide at a threshold of one half.
        self.alike.push(pairs().filter(|(a, b)| (**a >= 0.5) == (**b >= 0.5)).count() as f64);
        self.differences.push(pairs().map(|(a, b)| f64::from((a - b).abs())).sum());
        self.divergences.push(original.divergences(given).iter().sum());
        self.frames.push(own.len() as f64);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        let count = self.frames.iter().sum::<f64>() as u64;
        Ok(vec![
            Metric::ratio("frame agreement", true, &self.alike, &self.frames, count),
            Metric::ratio("probability error", false, &self.differences, &self.frames, count),
            Metric::ratio("KL divergence", false, &self.divergences, &self.frames, count),
        ])
    }
}

/// Samples of a mono 16-bit 16 kHz WAV file.
fn read_wav(path: &Path) -> Result<Vec<f32>, ZooError> {
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
    use seedpress_model::run;

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
        let samples =
            vec![Hidden { lengths: vec![clip("0880").unwrap().len()], values: clip("0880").unwrap(), width: 1 }];
        let mut ours = Vec::new();
        run(model.network(), model.weights(), &samples, &mut |_, outputs| {
            let Outputs::Probabilities(values) = outputs else { unreachable!("probabilities of speech") };
            ours = values;
            Ok(())
        })
        .unwrap();
        for (frame, (ours, theirs)) in ours.iter().zip(REFERENCE).enumerate() {
            assert!((ours - theirs).abs() < 2e-4, "frame {frame}: {ours}, not {theirs}");
        }
    }
}
