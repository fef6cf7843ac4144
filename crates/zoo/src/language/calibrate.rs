//! Input statistics of every matrix over the addresses that calibrate.

use seedpress_calibration::{Accumulator, InputStatistics};
use seedpress_codec::Tensor;

use super::{Language, data};
use crate::behind::Inputs;
use crate::error::ZooError;

/// Windows spread over the calibration text, and the bytes of each.
const WINDOWS: usize = 128;
const LENGTH: usize = 256;
/// Windows read together.
const TOGETHER: usize = 16;

/// Windows spread over the text, some at a time.
fn batches(text: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> = (0..WINDOWS).map(|index| index * (text.len() - LENGTH) / (WINDOWS - 1)).collect();
    let batch = |starts: &[usize]| starts.iter().flat_map(|&start| &text[start..start + LENGTH]).copied().collect();
    starts.chunks(TOGETHER).map(batch).collect()
}

/// Statistics of each tensor, `None` for tensors that multiply nothing.
pub(super) fn collect(language: Language, weights: &[&[f32]]) -> Result<Vec<Option<InputStatistics>>, ZooError> {
    let slots = language.slots();
    let mut moments: Vec<Option<Accumulator>> = slots.iter().map(|_| None).collect();
    for bytes in batches(&data::calibration()?.concat()) {
        language.scores(weights, &bytes, TOGETHER, &mut |slot, inputs| {
            moments[slot].get_or_insert_with(|| Accumulator::new(slots[slot].1[1])).add(inputs);
        });
    }
    moments.into_iter().map(|moments| Ok(moments.map(Accumulator::finish).transpose()?)).collect()
}

/// The calibration text as inputs of each matrix.
#[derive(Debug)]
pub(super) struct Windows {
    language: Language,
    batches: Vec<Vec<u8>>,
}

impl Windows {
    pub(super) fn new(language: Language) -> Result<Self, ZooError> {
        Ok(Self { language, batches: batches(&data::calibration()?.concat()) })
    }
}

impl Inputs for Windows {
    fn parts(&self) -> usize {
        self.batches.len()
    }

    fn of(&self, given: &[&Tensor], slot: usize, part: usize) -> Result<Vec<f32>, ZooError> {
        let weights: Vec<&[f32]> = given.iter().map(|tensor| tensor.values()).collect();
        let mut rows = Vec::new();
        self.language.scores(&weights, &self.batches[part], TOGETHER, &mut |at, inputs| {
            if at == slot {
                rows.extend_from_slice(inputs);
            }
        });
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean square of the outputs is a quadratic form in the Hessian: it is of the inputs that the matrix really multiplies.
    #[test]
    fn hessian_predicts_the_outputs() {
        let model = crate::load("sotu-transformer").unwrap();
        let weights: Vec<&[f32]> = model.tensors.iter().map(|named| named.tensor.values()).collect();
        let statistics = collect(Language::Transformer, &weights).unwrap();
        // The output layer has no bias, so the scores are its outputs.
        let (matrix, calibration) = (weights.last().unwrap(), statistics.last().unwrap().as_ref().unwrap());
        let (columns, hessian) = (calibration.columns(), calibration.second_moment().unwrap());
        let form = |row: &[f32]| -> f64 {
            let along =
                |i: usize| (0..columns).map(|j| f64::from(hessian[i * columns + j]) * f64::from(row[j])).sum::<f64>();
            (0..columns).map(|i| f64::from(row[i]) * along(i)).sum()
        };
        let predicted: f64 = matrix.chunks_exact(columns).map(form).sum();
        let mut measured = 0.0;
        for bytes in batches(&data::calibration().unwrap().concat()) {
            let scores = Language::Transformer.scores(&weights, &bytes, TOGETHER, &mut |_, _| ());
            measured += scores.iter().map(|&score| f64::from(score) * f64::from(score)).sum::<f64>();
        }
        measured /= calibration.samples() as f64;
        assert!((predicted / measured - 1.0).abs() < 1e-3, "{predicted} {measured}");
    }
}
