//! Input statistics of every matrix over the addresses that calibrate.

use seedpress_codec::Calibration;

use super::kernel::{View, multiply};
use super::{Language, data};
use crate::error::ZooError;

/// Windows spread over the calibration text, and the bytes of each.
const WINDOWS: usize = 128;
const LENGTH: usize = 256;
/// Windows read together.
const TOGETHER: usize = 16;

/// Sums over the inputs of a matrix.
struct Moments {
    count: u64,
    outer: Vec<f32>,
    magnitude: Vec<f32>,
}

impl Moments {
    fn add(&mut self, inputs: &[f32]) {
        let columns = self.magnitude.len();
        self.count += (inputs.len() / columns) as u64;
        let view = View::new(inputs, columns);
        multiply(&mut self.outer, columns, view.t(), view, true, 1.0);
        for row in inputs.chunks_exact(columns) {
            self.magnitude.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.abs());
        }
    }

    fn finish(self) -> Calibration {
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

/// Statistics of each tensor, `None` for tensors that multiply nothing.
pub(super) fn collect(language: Language, weights: &[&[f32]]) -> Result<Vec<Option<Calibration>>, ZooError> {
    let text = data::calibration()?.concat();
    let slots = language.slots();
    let mut moments: Vec<Option<Moments>> = slots.iter().map(|_| None).collect();
    let starts: Vec<usize> = (0..WINDOWS).map(|index| index * (text.len() - LENGTH) / (WINDOWS - 1)).collect();
    for starts in starts.chunks(TOGETHER) {
        let bytes: Vec<u8> = starts.iter().flat_map(|&start| &text[start..start + LENGTH]).copied().collect();
        language.scores(weights, &bytes, starts.len(), &mut |slot, inputs| {
            let columns = slots[slot].1[1];
            let new = || Moments { count: 0, outer: vec![0.0; columns * columns], magnitude: vec![0.0; columns] };
            moments[slot].get_or_insert_with(new).add(inputs);
        });
    }
    Ok(moments.into_iter().map(|moments| moments.map(Moments::finish)).collect())
}
