//! Language models over bytes, trained on State of the Union addresses: a transformer and a recurrent network.

pub(crate) mod calibrate;
pub mod data;
mod evaluate;
pub(crate) mod kernel;
pub(crate) mod lstm;
pub(crate) mod transformer;

use seedpress_codec::{InputStatistics, Tensor};

use crate::architecture::{Architecture, Baseline, Probe, Slot};
use crate::behind::Inputs;
use crate::error::ZooError;
use crate::metric::Metric;
use crate::model::Model;

pub(crate) use kernel::{cross_entropy, sum};

/// Byte values.
pub const VOCABULARY: usize = 256;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Decoder-only, three blocks of width 256.
    Transformer,
    /// Long short-term memory, two layers of 512.
    Lstm,
}

impl Language {
    /// The network of this model name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sotu-transformer" => Some(Self::Transformer),
            "sotu-lstm" => Some(Self::Lstm),
            _ => None,
        }
    }

    /// Names, shapes and layer types of its tensors in the order of execution.
    pub(crate) fn slots(self) -> Vec<(String, Vec<usize>, &'static str)> {
        match self {
            Self::Transformer => transformer::slots(),
            Self::Lstm => lstm::slots(),
        }
    }

    /// Scores for the byte after each byte of `windows` windows of equal length, `[windows * length, VOCABULARY]`; every window
    /// begins without context. `tap(i, x)` sees the inputs that weight `i` multiplies, one a row.
    pub(crate) fn scores(
        self,
        weights: &[&[f32]],
        bytes: &[u8],
        windows: usize,
        tap: &mut dyn FnMut(usize, &[f32]),
    ) -> Vec<f32> {
        let length = bytes.len() / windows;
        match self {
            Self::Transformer => {
                let mut tape = transformer::Tape::new(windows, length, false);
                transformer::forward(weights, bytes, &mut tape, tap);
                tape.scores
            }
            Self::Lstm => {
                let mut tape = lstm::Tape::new(windows, length);
                let by_time: Vec<u8> = (0..bytes.len()).map(|at| bytes[at % windows * length + at / windows]).collect();
                lstm::forward(weights, &by_time, &mut tape, tap);
                let rows = (0..bytes.len()).flat_map(|at| {
                    let row = at % length * windows + at / length;
                    &tape.scores[row * VOCABULARY..(row + 1) * VOCABULARY]
                });
                rows.copied().collect()
            }
        }
    }
}

impl Architecture for Language {
    fn slots(&self) -> Vec<Slot> {
        Language::slots(*self).iter().map(|(name, shape, layer_type)| Slot::new(name, shape, layer_type)).collect()
    }

    fn baseline(&self, own: &[&Tensor]) -> Result<Box<dyn Baseline>, ZooError> {
        Ok(Box::new(evaluate::HeldOutText::new(*self, own)?))
    }

    fn calibrate(&self, own: &[&Tensor]) -> Result<Vec<Option<InputStatistics>>, ZooError> {
        let weights: Vec<&[f32]> = own.iter().map(|tensor| tensor.values()).collect();
        calibrate::collect(*self, &weights)
    }

    fn inputs(&self) -> Result<Option<Box<dyn Inputs>>, ZooError> {
        Ok(Some(Box::new(calibrate::Windows::new(*self)?)))
    }

    fn probe(&self) -> Result<Option<Box<dyn Probe>>, ZooError> {
        Ok(Some(Box::new(evaluate::CalibrationText::new(*self)?)))
    }
}

/// Bits per byte of a language model on every byte of the held-out addresses; [`Model::evaluate`] reads a fixed sample of them.
/// Takes minutes.
///
/// # Errors
/// [`ZooError::Unsupported`] for other models, and where the committed text cannot be read.
pub fn whole(model: &Model) -> Result<Metric, ZooError> {
    let language = Language::from_name(&model.name)
        .ok_or_else(|| ZooError::Unsupported { name: model.name.clone(), what: "text to read" })?;
    let tensors: Vec<&Tensor> = model.tensors.iter().map(|named| &named.tensor).collect();
    Ok(evaluate::whole(language, &tensors, &data::held_out()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Mean loss of a stretch and, where asked for, its gradients.
    fn loss(language: Language, weights: &[Vec<f32>], text: &[u8], gradients: Option<&mut [Vec<f32>]>) -> f64 {
        let (windows, length) = (2, text.len() / 2 - 1);
        let weights: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
        let at = |offset: usize| (0..windows * length).map(move |row| (row / length, row % length + offset));
        let pick = |offset: usize| -> Vec<u8> {
            at(offset).map(|(window, place)| text[window * (length + 1) + place]).collect()
        };
        match language {
            Language::Transformer => {
                let mut tape = transformer::Tape::new(windows, length, true);
                transformer::forward(&weights, &pick(0), &mut tape, &mut |_, _| ());
                let loss = cross_entropy(&mut tape.scores, &pick(1), VOCABULARY);
                if let Some(gradients) = gradients {
                    transformer::backward(&weights, &pick(0), &mut tape, gradients);
                }
                loss
            }
            Language::Lstm => {
                let mut tape = lstm::Tape::new(windows, length);
                lstm::forward(&weights, &pick(0), &mut tape, &mut |_, _| ());
                let loss = cross_entropy(&mut tape.scores, &pick(1), VOCABULARY);
                if let Some(gradients) = gradients {
                    lstm::backward(&weights, &pick(0), &mut tape, gradients);
                }
                loss
            }
        }
    }

    fn random_weights(language: Language, random: &mut Random) -> Vec<Vec<f32>> {
        let weight = |(_, shape, layer_type): (String, Vec<usize>, &str)| -> Vec<f32> {
            let centre = if layer_type == "norm" { 1.0 } else { 0.0 };
            let spread = if layer_type == "embedding" { 1.0 } else { 0.05 };
            (0..shape.iter().product()).map(|_| (centre + spread * random.normal()) as f32).collect()
        };
        language.slots().into_iter().map(weight).collect()
    }

    /// A prediction that saw its answer, or another window, would make every figure worthless.
    #[test]
    fn scores_depend_on_the_past_of_their_window_alone() {
        let mut random = Random::new(8);
        let length = 150;
        let text: Vec<u8> = (0..2 * length).map(|_| random.below(VOCABULARY) as u8).collect();
        for language in [Language::Transformer, Language::Lstm] {
            let weights = random_weights(language, &mut random);
            let weights: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
            let scores = |bytes: &[u8], windows: usize| language.scores(&weights, bytes, windows, &mut |_, _| ());
            let both = scores(&text, 2);
            let alone = scores(&text[length..], 1);
            let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
            assert!(close(&both[length * VOCABULARY..], &alone), "{language:?}");
            for changed in [0, 63, 64, 100, length - 1] {
                let mut other = text[length..].to_vec();
                other[changed] ^= 1;
                let other = scores(&other, 1);
                let (before, after) = (&other[..changed * VOCABULARY], &other[changed * VOCABULARY..]);
                assert!(close(before, &alone), "{language:?}: {changed}");
                assert!(!close(after, &alone[changed * VOCABULARY..]), "{language:?}: {changed}");
            }
        }
    }

    /// Gradients against differences of the loss along a random direction, one tensor at a time.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let mut random = Random::new(7);
        let text: Vec<u8> = (0..2 * 81).map(|_| b'a' + random.below(20) as u8).collect();
        for language in [Language::Transformer, Language::Lstm] {
            let mut weights = random_weights(language, &mut random);
            let mut gradients: Vec<Vec<f32>> = weights.iter().map(|weight| vec![0.0; weight.len()]).collect();
            loss(language, &weights, &text, Some(&mut gradients));
            for (index, (name, _, _)) in language.slots().iter().enumerate() {
                // Along the gradient itself the change is largest against rounding.
                let square: f64 = gradients[index].iter().map(|&g| f64::from(g) * f64::from(g)).sum();
                let step = 2e-2 / square.sqrt();
                let own = weights[index].clone();
                let mut moved = |sign: f64| {
                    let shift = |(w, g): (&f32, &f32)| (f64::from(*w) + sign * step * f64::from(*g)) as f32;
                    weights[index] = own.iter().zip(&gradients[index]).map(shift).collect();
                    loss(language, &weights, &text, None)
                };
                let measured = (moved(1.0) - moved(-1.0)) / (2.0 * step);
                weights[index] = own;
                assert!((measured / square - 1.0).abs() < 2e-2, "{name}: {measured} {square}");
            }
        }
    }
}
