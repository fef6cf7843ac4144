//! How well a model predicts text, and how far it is from another: perplexity, bits per byte, divergence, equal choices.
//!
//! Windows go through a model block by block, a few thousand tokens at a time, and a compressed model and its reference side by side:
//! of neither are more scores held than those of a few hundred tokens.

mod summary;

pub use summary::{Comparison, ENOUGH, Estimate, Evaluation};

use rayon::prelude::*;

use self::summary::{Prediction, summarise};
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

/// A model with its weights.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// What it computes.
    pub description: &'a Description,
    /// With what.
    pub weights: &'a dyn Weights,
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
}
