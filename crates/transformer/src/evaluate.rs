//! How well a model predicts text, and how far it is from another: perplexity, bits per byte, divergence, equal choices.
//!
//! Windows go through a model block by block, a few thousand tokens at a time, and a compressed model and its reference side by side:
//! of neither are more scores held than those of a few hundred tokens.

use rayon::prelude::*;
use seedpress_model::random::SplitMix;
use serde::Serialize;

use crate::description::Description;
use crate::error::TransformerError;
use crate::forward;
use crate::math::log_sum_exp;
use crate::text::{Tokens, Window};
use crate::weights::{Rounded, Weights};

/// Tokens whose hidden states are held together.
const TOKENS: usize = 16_384;
/// Tokens whose scores are held together, of two models: 200 MB for a vocabulary of 100,000.
const SCORED: usize = 256;
/// Resamplings behind an interval.
const RESAMPLINGS: usize = 1000;

/// A model with its weights.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// What it computes.
    pub description: &'a Description,
    /// With what.
    pub weights: &'a dyn Weights,
}

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
struct Prediction {
    unit: u32,
    nats: f32,
    reference: f32,
    divergence: f32,
    floor: f32,
    same: bool,
}

/// Evaluates a model on the windows of documents, beside a reference where there is one. `progress` learns how many windows are done;
/// it returns whether to go on.
///
/// # Errors
/// Models that do not share a vocabulary, tokens they do not know, weights that cannot be read, [`TransformerError::Stopped`].
pub fn evaluate(
    model: Subject<'_>,
    reference: Option<Subject<'_>>,
    noise_floor: bool,
    documents: &[Tokens],
    windows: &[Window],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Evaluation, TransformerError> {
    let vocabulary = model.description.vocabulary;
    if let Some(other) = reference.map(|reference| reference.description.vocabulary).filter(|&size| size != vocabulary)
    {
        let what = format!("the models have vocabularies of {vocabulary} and {other} tokens: nothing can be compared");
        return Err(TransformerError::Input(what));
    }
    if [Some(model), reference].iter().flatten().any(|subject| subject.description.head.product.is_none()) {
        return Err(TransformerError::Input("an encoder predicts no text".to_owned()));
    }
    let by_document = documents.len() >= ENOUGH;
    let mut predictions = Vec::new();
    let mut done = 0;
    while done < windows.len() {
        let mut tokens = 0;
        let count = windows[done..].iter().take_while(|window| {
            tokens += window.tokens.len();
            tokens <= TOKENS || tokens == window.tokens.len()
        });
        let batch = &windows[done..done + count.count()];
        let units: Vec<u32> = batch
            .iter()
            .enumerate()
            .map(|(at, window)| if by_document { window.document as u32 } else { (done + at) as u32 })
            .collect();
        predict(model, reference, noise_floor, batch, &units, &mut predictions)?;
        done += batch.len();
        if !progress(done) {
            return Err(TransformerError::Stopped);
        }
    }
    if predictions.is_empty() {
        return Err(TransformerError::Input("the text holds no two tokens in a row: nothing is predicted".to_owned()));
    }
    Ok(summarise(&predictions, documents, by_document, windows.len(), reference.is_some(), noise_floor))
}

impl Prediction {
    /// How well these scores predict a token, and how far they are from the reference's, and those from its own after rounding.
    fn of(target: usize, given: &[f32], [original, noisy]: [Option<&[f32]>; 2]) -> Self {
        let total = log_sum_exp(given);
        let mut prediction = Self { nats: (total - f64::from(given[target])) as f32, ..Self::default() };
        if let Some(original) = original {
            let theirs = log_sum_exp(original);
            prediction.reference = (theirs - f64::from(original[target])) as f32;
            prediction.divergence = divergence(original, theirs, given, total);
            prediction.same = top(original) == top(given);
            if let Some(noisy) = noisy {
                prediction.floor = divergence(original, theirs, noisy, log_sum_exp(noisy));
            }
        }
        prediction
    }
}

fn predict(
    model: Subject<'_>,
    reference: Option<Subject<'_>>,
    noise_floor: bool,
    windows: &[Window],
    units: &[u32],
    predictions: &mut Vec<Prediction>,
) -> Result<(), TransformerError> {
    let own = counted_states(model, windows, false)?;
    let theirs = reference.map(|reference| counted_states(reference, windows, false)).transpose()?;
    let rounded = reference.filter(|_| noise_floor);
    let rounded = rounded.map(|reference| counted_states(reference, windows, true)).transpose()?;
    let targets: Vec<(u32, u32)> = windows
        .iter()
        .zip(units)
        .flat_map(|(window, &unit)| window.tokens[window.first..].iter().map(move |&token| (unit, token)))
        .collect();
    let scores = |subject: Subject<'_>, states: &[f32], rows: std::ops::Range<usize>| {
        let width = subject.description.width;
        forward::head(subject.description, subject.weights, &states[rows.start * width..rows.end * width], &mut |_| {
            Ok(())
        })
    };
    let vocabulary = model.description.vocabulary;
    for (chunk, targets) in targets.chunks(SCORED).enumerate() {
        let rows = chunk * SCORED..chunk * SCORED + targets.len();
        let given = scores(model, &own, rows.clone())?;
        let original = match (reference, &theirs) {
            (Some(reference), Some(states)) => Some(scores(reference, states, rows.clone())?),
            _ => None,
        };
        let noisy = match (reference, &rounded) {
            (Some(reference), Some(states)) => {
                let weights = Rounded(reference.weights);
                Some(scores(Subject { weights: &weights, ..reference }, states, rows)?)
            }
            _ => None,
        };
        let one = |(at, &(unit, target)): (usize, &(u32, u32))| {
            let row = |scores: &'_ [f32]| at * vocabulary..(at + 1) * vocabulary.min(scores.len());
            let others = [&original, &noisy].map(|scores| scores.as_ref().map(|scores| &scores[row(scores)]));
            Prediction { unit, ..Prediction::of(target as usize, &given[row(&given)], others) }
        };
        predictions.par_extend(targets.par_iter().enumerate().map(one));
    }
    Ok(())
}

/// Hidden states from which the counted tokens of each window are predicted.
fn counted_states(subject: Subject<'_>, windows: &[Window], round: bool) -> Result<Vec<f32>, TransformerError> {
    let rounded = Rounded(subject.weights);
    let weights: &dyn Weights = if round { &rounded } else { subject.weights };
    let sequences: Vec<&[u32]> = windows.iter().map(|window| &window.tokens[..window.tokens.len() - 1]).collect();
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
    let mut hidden = forward::embed(subject.description, weights, &sequences)?;
    for block in &subject.description.blocks {
        forward::block(block, weights, &mut hidden, &lengths, &mut |_| Ok(()))?;
        if round {
            hidden.par_iter_mut().for_each(|value| *value = half::bf16::from_f32(*value).to_f32());
        }
    }
    let width = subject.description.width;
    let mut counted = Vec::new();
    let mut start = 0;
    for (window, length) in windows.iter().zip(lengths) {
        counted.extend_from_slice(&hidden[(start + window.first - 1) * width..(start + length) * width]);
        start += length;
    }
    Ok(counted)
}

/// `KL(original || given)` in nats, of scores with the logarithms of their sums.
pub(crate) fn divergence(original: &[f32], total: f64, given: &[f32], given_total: f64) -> f32 {
    let shift = given_total - total;
    let mut sum = 0f64;
    for (&p, &q) in original.iter().zip(given) {
        let difference = f64::from(p) - f64::from(q);
        sum += (f64::from(p) - total).exp() * (difference + shift);
    }
    // Rounding may leave a little less than nothing; what is not a number stays so.
    if sum < 0.0 { 0.0 } else { sum as f32 }
}

/// The first of the highest scores.
pub(crate) fn top(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best })
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

fn summarise(
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
    fn divergence_is_what_its_definition_says() {
        let (p, q) = ([0.5f64, 0.25, 0.25], [0.25f64, 0.25, 0.5]);
        let scores = |of: [f64; 3]| of.map(|value| (value.ln() + 3.0) as f32);
        let (a, b) = (scores(p), scores(q));
        let wanted: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
        let found = divergence(&a, log_sum_exp(&a), &b, log_sum_exp(&b));
        assert!((f64::from(found) - wanted).abs() < 1e-6, "{found} {wanted}");
        assert_eq!(divergence(&a, log_sum_exp(&a), &a, log_sum_exp(&a)), 0.0);
        assert!(divergence(&a, log_sum_exp(&a), &[f32::NAN; 3], f64::NAN).is_nan());
    }

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
