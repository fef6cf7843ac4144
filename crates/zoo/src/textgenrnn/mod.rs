//! textgenrnn: a character model, and the text that measures it.
//!
//! Each next character is predicted from the 40 before it alone, from a state of zeros: the model was trained on such windows.

pub(crate) mod keras;
mod layout;
mod network;

use std::collections::HashMap;
use std::ops::Range;

use seedpress_model::{DataSets, Evaluation, Hidden, Metric, ModelError, Outputs, Samples, Scorer};

use crate::assets;
use crate::error::ZooError;
use crate::fetch;
use layout::{CLASSES, CONTEXT};
pub(crate) use network::TextGenRnn;

/// Stands for characters that the vocabulary lacks, and for what lies before the text.
const UNKNOWN: u32 = 0;

/// Characters that share a resample, and how many such blocks measure.
const BLOCK: usize = 64;
const BLOCKS: usize = 48;

/// Windows that run side by side.
const BATCH: usize = 512;

/// The text as data.
#[derive(Debug)]
pub(crate) struct MobyDick;

impl DataSets for MobyDick {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(Some(Box::new(windows(&encode(&calibration()?)?, CONTEXT..CONTEXT + BATCH))))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        let text = encode(&held_out()?)?;
        let batches = windows(&text, CONTEXT..CONTEXT + BLOCK * BLOCKS);
        Ok(Some(Box::new(HeldOutText { batches, text })))
    }
}

/// The windows before some positions of a text, in batches.
fn windows(text: &[u32], positions: Range<usize>) -> Vec<Hidden> {
    let positions: Vec<usize> = positions.collect();
    let window = |&position: &usize| -> Vec<u32> {
        let token = |moment: usize| (position + moment).checked_sub(CONTEXT).map_or(UNKNOWN, |at| text[at]);
        (0..CONTEXT).map(token).collect()
    };
    let batch = |positions: &[usize]| {
        let windows: Vec<Vec<u32>> = positions.iter().map(window).collect();
        Hidden::tokens(&windows.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    positions.chunks(BATCH).map(batch).collect()
}

#[derive(Debug)]
struct HeldOutText {
    batches: Vec<Hidden>,
    text: Vec<u32>,
}

impl Evaluation for HeldOutText {
    fn samples(&self) -> &dyn Samples {
        &self.batches
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(TextScorer { text: &self.text, own: Vec::new(), given: Vec::new() })
    }
}

/// Logarithms of probabilities, character by character.
struct TextScorer<'a> {
    text: &'a [u32],
    own: Vec<f32>,
    given: Vec<f32>,
}

impl Scorer for TextScorer<'_> {
    fn add(&mut self, _: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        for (all, outputs) in [(&mut self.own, original), (&mut self.given, given)] {
            let Outputs::Logits { values, .. } = outputs else {
                return Err(ModelError::Shape("scores of characters are needed".to_owned()));
            };
            all.extend(values);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        // Blocks, not characters, are resampled: neighbours are not independent.
        let mut sums = [const { Vec::new() }; 4];
        let rows = self.given.chunks_exact(BLOCK * CLASSES).zip(self.own.chunks_exact(BLOCK * CLASSES));
        for (block, (given, own)) in rows.enumerate() {
            let mut block_sums = [0.0; 4];
            for (at, (given, own)) in given.chunks_exact(CLASSES).zip(own.chunks_exact(CLASSES)).enumerate() {
                let next = self.text[CONTEXT + block * BLOCK + at];
                // A character outside the vocabulary has no probability.
                if next == UNKNOWN {
                    continue;
                }
                let bits = -f64::from(given[next as usize]) / std::f64::consts::LN_2;
                let divergence: f64 = own.iter().zip(given).map(|(p, q)| f64::from(p.exp()) * f64::from(p - q)).sum();
                let alike = f64::from(u8::from(likeliest(own) == likeliest(given)));
                for (sum, term) in block_sums.iter_mut().zip([bits, divergence, alike, 1.0]) {
                    *sum += term;
                }
            }
            sums.iter_mut().zip(block_sums).for_each(|(sums, sum)| sums.push(sum));
        }
        let [bits, divergence, alike, counts] = sums;
        let count = counts.iter().sum::<f64>() as u64;
        Ok(vec![
            Metric::ratio("bits per character", false, &bits, &counts, count),
            Metric::ratio("KL divergence", false, &divergence, &counts, count),
            Metric::ratio("agreement", true, &alike, &counts, count),
        ])
    }
}

fn likeliest(scores: &[f32]) -> usize {
    (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
}

/// The text that measures: chapter 132 of *Moby-Dick*.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn held_out() -> Result<String, ZooError> {
    read("chapter-132.txt")
}

/// The text that calibrates: chapter 51 of *Moby-Dick*.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn calibration() -> Result<String, ZooError> {
    read("chapter-51.txt")
}

fn read(name: &str) -> Result<String, ZooError> {
    let path = assets::asset(&format!("moby-dick/{name}"));
    std::fs::read_to_string(&path).map_err(ZooError::io(&path))
}

/// Class of each character.
fn encode(text: &str) -> Result<Vec<u32>, ZooError> {
    let path = fetch::folder("textgenrnn").join("vocabulary.json");
    let bad = |what: String| ZooError::bad_file(&path, what);
    let vocabulary: HashMap<String, u32> =
        serde_json::from_slice(&assets::read(&path)?).map_err(|error| bad(error.to_string()))?;
    if vocabulary.values().any(|&class| class as usize >= CLASSES) {
        return Err(bad("has classes that the model does not know".to_owned()));
    }
    let mut buffer = [0; 4];
    let class = |character: char| vocabulary.get(&*character.encode_utf8(&mut buffer)).copied();
    Ok(text.chars().map(class).map(|class| class.unwrap_or(UNKNOWN)).collect())
}

#[cfg(test)]
mod tests {
    use seedpress_model::run;

    use super::*;

    /// Logarithms of the probabilities of ` etao.` after the first 5, 41 and 82 characters, by the package's own model
    /// (textgenrnn 2.0.0 on TensorFlow 2.15.1).
    #[test]
    fn probabilities_are_those_of_the_package() {
        let Ok(model) = crate::load("textgenrnn") else {
            eprintln!("skipped: textgenrnn is not fetched");
            return;
        };
        let text = "It was a clear steel-blue day. The firmaments of air and sea were hardly separable";
        let expected = [
            (5, [-6.75454, -14.96119, -4.86301, -13.72708, -11.62343, -10.91134]),
            (41, [-5.94187, -0.40796, -13.19437, -2.85197, -7.38526, -11.16414]),
            (82, [-0.36835, -6.70185, -8.23537, -10.02076, -13.14725, -2.52212]),
        ];
        let classes = encode(" etao.").unwrap();
        for (length, expected) in expected {
            let samples = windows(&encode(text).unwrap(), length..length + 1);
            let mut scores = Vec::new();
            run(model.network(), model.weights(), &samples, &mut |_, outputs| {
                let Outputs::Logits { values, .. } = outputs else { unreachable!("scores of characters") };
                scores = values;
                Ok(())
            })
            .unwrap();
            for (class, theirs) in classes.iter().zip(expected) {
                let ours = scores[*class as usize];
                assert!((ours - theirs).abs() < 1e-3, "after {length}: {ours}, not {theirs}");
            }
        }
    }
}
