//! Input statistics of every matrix over the addresses that calibrate.

use seedpress_codec::{Calibration, Tensor};

use super::kernel::{View, multiply};
use super::{Language, data};
use crate::behind::Inputs;
use crate::error::ZooError;

/// Windows spread over the calibration text, and the bytes of each.
const WINDOWS: usize = 128;
const LENGTH: usize = 256;
/// Windows read together.
const TOGETHER: usize = 16;

/// Sums over the inputs of a matrix.
pub(crate) struct Moments {
    count: u64,
    outer: Vec<f32>,
    magnitude: Vec<f32>,
}

impl Moments {
    /// Of no inputs yet.
    pub(crate) fn new(columns: usize) -> Self {
        Self { count: 0, outer: vec![0.0; columns * columns], magnitude: vec![0.0; columns] }
    }

    /// Adds inputs, one a row.
    pub(crate) fn add(&mut self, inputs: &[f32]) {
        let columns = self.magnitude.len();
        self.count += (inputs.len() / columns) as u64;
        let view = View::new(inputs, columns);
        multiply(&mut self.outer, columns, view.t(), view, true, 1.0);
        for row in inputs.chunks_exact(columns) {
            self.magnitude.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.abs());
        }
    }

    /// Means.
    pub(crate) fn finish(self) -> Calibration {
        let columns = self.magnitude.len();
        let mean = |sum: f32| (f64::from(sum) / self.count as f64) as f32;
        // The product need not round both halves alike.
        let entry = |row: usize, column: usize| mean(self.outer[row.max(column) * columns + row.min(column)]);
        Calibration {
            columns,
            samples: self.count,
            mean_square: (0..columns).map(|at| entry(at, at)).collect(),
            mean_abs: self.magnitude.iter().map(|&sum| mean(sum)).collect(),
            hessian: Some((0..columns * columns).map(|at| entry(at / columns, at % columns)).collect()),
        }
    }
}

/// Windows spread over the text, some at a time.
fn batches(text: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> = (0..WINDOWS).map(|index| index * (text.len() - LENGTH) / (WINDOWS - 1)).collect();
    let batch = |starts: &[usize]| starts.iter().flat_map(|&start| &text[start..start + LENGTH]).copied().collect();
    starts.chunks(TOGETHER).map(batch).collect()
}

/// Statistics of each tensor, `None` for tensors that multiply nothing.
pub(super) fn collect(language: Language, weights: &[&[f32]]) -> Result<Vec<Option<Calibration>>, ZooError> {
    let slots = language.slots();
    let mut moments: Vec<Option<Moments>> = slots.iter().map(|_| None).collect();
    for bytes in batches(&data::calibration()?.concat()) {
        language.scores(weights, &bytes, TOGETHER, &mut |slot, inputs| {
            moments[slot].get_or_insert_with(|| Moments::new(slots[slot].1[1])).add(inputs);
        });
    }
    Ok(moments.into_iter().map(|moments| moments.map(Moments::finish)).collect())
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
        let (columns, hessian) = (calibration.columns, calibration.hessian.as_ref().unwrap());
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
        measured /= calibration.samples as f64;
        assert!((predicted / measured - 1.0).abs() < 1e-3, "{predicted} {measured}");
    }
}
