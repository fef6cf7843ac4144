//! From predictions to figures: sums, estimates, and intervals by resampling documents.

use seedpress_model::random::SplitMix;
use serde::Serialize;

use crate::text::Tokens;

/// Resamplings behind an interval.
const RESAMPLINGS: usize = 1000;

/// An estimate with its 95 % interval, by resampling documents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Over all predictions.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    /// An estimate of a rising function of what is estimated.
    #[must_use]
    pub fn map(self, of: impl Fn(f64) -> f64) -> Self {
        Self { value: of(self.value), low: of(self.low), high: of(self.high) }
    }
}

/// What a model makes of text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Tokens that were predicted.
    pub predictions: u64,
    /// Bytes of text they stand for.
    pub bytes: u64,
    /// Documents.
    pub documents: usize,
    /// What was resampled for the intervals: documents, or windows where there are fewer than [`ENOUGH`] documents.
    pub resampled: &'static str,
    /// Mean nats a token.
    pub nats: Estimate,
    /// `exp` of that.
    pub perplexity: Estimate,
    /// Bits for each byte of text.
    pub bits_per_byte: Estimate,
    /// Against the reference.
    pub against: Option<Comparison>,
}

/// Documents that make intervals worth something.
pub const ENOUGH: usize = 5;

/// A model against its reference, on the same predictions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The reference's own nats a token.
    pub reference_nats: Estimate,
    /// What the model adds to them, paired.
    pub added_nats: Estimate,
    /// Mean of `KL(reference || model)` in nats a token.
    pub divergence: Estimate,
    /// Its median.
    pub divergence_median: f64,
    /// Its 99th percentile.
    pub divergence_99: f64,
    /// Its 99.9th percentile.
    pub divergence_999: f64,
    /// Share of predictions whose likeliest token is the same.
    pub same_top: Estimate,
    /// Mean divergence of the reference from itself when its weights and the states between blocks are rounded to bf16, where asked for.
    pub noise_floor: Option<f64>,
}

/// One prediction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prediction {
    /// The document, or the window.
    pub unit: u32,
    pub nats: f32,
    pub reference: f32,
    pub divergence: f32,
    pub floor: f32,
    pub same: bool,
}

/// Sums over the predictions of a document.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    bytes: f64,
    nats: f64,
    reference: f64,
    divergence: f64,
    same: f64,
}

impl Sums {
    fn count_in(&mut self, prediction: &Prediction) {
        self.count += 1.0;
        self.nats += f64::from(prediction.nats);
        self.reference += f64::from(prediction.reference);
        self.divergence += f64::from(prediction.divergence);
        self.same += f64::from(u8::from(prediction.same));
    }

    fn of(units: &[Self]) -> Self {
        let mut sum = Self::default();
        units.iter().for_each(|unit| sum.add(unit));
        sum
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.nats += other.nats;
        self.reference += other.reference;
        self.divergence += other.divergence;
        self.same += other.same;
    }
}

/// The figures of all predictions.
pub(super) fn summarise(
    predictions: &[Prediction],
    documents: &[Tokens],
    by_document: bool,
    windows: usize,
    compared: bool,
    noise_floor: bool,
) -> Evaluation {
    let mut units = vec![Sums::default(); if by_document { documents.len() } else { windows }];
    predictions.iter().for_each(|prediction| units[prediction.unit as usize].count_in(prediction));
    let bytes: u64 = documents
        .iter()
        .filter(|document| document.ids.len() > 1)
        .map(|document| document.predicted_bytes as u64)
        .sum();
    if by_document {
        units.iter_mut().zip(documents).for_each(|(unit, document)| unit.bytes = document.predicted_bytes as f64);
    } else {
        // Bytes of a window are not told apart: each token stands for the mean.
        let share = bytes as f64 / predictions.len() as f64;
        units.iter_mut().for_each(|unit| unit.bytes = unit.count * share);
    }
    units.retain(|unit| unit.count > 0.0);
    let draws = resample(&units);
    let total = Sums::of(&units);
    let estimate = |of: &dyn Fn(&Sums) -> f64| {
        let mut values: Vec<f64> = draws.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Estimate { value: of(&total), low: at(0.025), high: at(0.975) }
    };
    let against = compared.then(|| {
        let mut all: Vec<f32> = predictions.iter().map(|prediction| prediction.divergence).collect();
        all.sort_by(f32::total_cmp);
        let quantile = |share: f64| f64::from(all[((all.len() - 1) as f64 * share).round() as usize]);
        let floor = predictions.iter().map(|prediction| f64::from(prediction.floor)).sum::<f64>();
        Comparison {
            reference_nats: estimate(&|sums| sums.reference / sums.count),
            added_nats: estimate(&|sums| (sums.nats - sums.reference) / sums.count),
            divergence: estimate(&|sums| sums.divergence / sums.count),
            divergence_median: quantile(0.5),
            divergence_99: quantile(0.99),
            divergence_999: quantile(0.999),
            same_top: estimate(&|sums| sums.same / sums.count),
            noise_floor: noise_floor.then(|| floor / predictions.len() as f64),
        }
    });
    Evaluation {
        predictions: predictions.len() as u64,
        bytes,
        documents: documents.len(),
        resampled: if by_document { "documents" } else { "windows" },
        nats: estimate(&|sums| sums.nats / sums.count),
        perplexity: estimate(&|sums| (sums.nats / sums.count).exp()),
        bits_per_byte: estimate(&|sums| sums.nats / sums.bytes / std::f64::consts::LN_2),
        against,
    }
}

/// Sums over as many units as there are, drawn with replacement; the same draws for every figure, so that comparisons are paired.
fn resample(units: &[Sums]) -> Vec<Sums> {
    let mut random = SplitMix::new(0x5eed);
    let mut draw = || {
        let mut sum = Sums::default();
        units.iter().for_each(|_| sum.add(&units[(random.bits() % units.len() as u64) as usize]));
        sum
    };
    (0..RESAMPLINGS).map(|_| draw()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_value_and_narrow_with_documents() {
        let make = |documents: usize| {
            let tokens: Vec<Tokens> =
                (0..documents).map(|_| Tokens { ids: vec![0; 11], predicted_bytes: 40 }).collect();
            let one =
                |at: usize| Prediction { unit: (at / 10) as u32, nats: (at * 7 % 13) as f32, ..Prediction::default() };
            let predictions: Vec<Prediction> = (0..documents * 10).map(one).collect();
            summarise(&predictions, &tokens, true, documents, false, false).nats
        };
        let (few, many) = (make(10), make(1000));
        assert!(few.low < few.value && few.value < few.high);
        assert!(
            (many.value - 6.0).abs() < 0.1 && many.high - many.low < 0.3 * (few.high - few.low),
            "{few:?} {many:?}"
        );
    }
}
