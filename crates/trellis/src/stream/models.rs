//! The probabilities that every chunk starts from.

use seedpress_codec::DecodeError;
use seedpress_entropy::binary::{Bit, Decoder, Encoder};

use crate::math::exp2;
use crate::symbols::{self, Context, Counts, MODELS};

/// How many observations an initial probability weighs.
const TRUST: u32 = 48;

/// A model is described where it was used more often than this: its six bits must pay.
const LEAST_OBSERVATIONS: u32 = 24;

/// The models every chunk starts from.
pub(super) type Models = Vec<Context>;

/// Probability of code `c` (1..=62): log-odds in quarter octaves.
fn probability(code: u32) -> u32 {
    (65536.0 / (1.0 + exp2((31.5 - f64::from(code)) / 4.0))).round() as u32
}

/// The code whose probability costs least where this one is true.
fn nearest(observed: u32) -> u32 {
    let target = f64::from(observed);
    let loss = |code: u32| {
        let p = f64::from(probability(code));
        (p - target) * (p - target) / (p * (65536.0 - p))
    };
    (1..64).fold(0, |best, code| if loss(code) < loss(best) { code } else { best })
}

/// Codes the probabilities that were observed; returns the models a decoder will have.
pub(crate) fn write_models(counts: &[Counts], shift: u32) -> (Models, Vec<u8>) {
    let mut encoder = Encoder::new();
    let models = counts
        .iter()
        .map(|counts| {
            let mut context = fresh();
            let steps = (0..symbols::UNARY).take_while(|&step| counts.total(step) > LEAST_OBSERVATIONS).count();
            encoder.raw(steps as u32, 4);
            for model in described(steps, shift) {
                let code = nearest(counts.probability(model));
                encoder.raw(code, 6);
                context[model] = Bit::new(probability(code), TRUST);
            }
            context
        })
        .collect();
    (models, encoder.finish())
}

/// Reads what [`write_models`] wrote for so many contexts.
pub(super) fn read_models(bytes: &[u8], contexts: usize, shift: u32) -> Result<Models, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let models = (0..contexts)
        .map(|_| {
            let mut context = fresh();
            let steps = decoder.raw(4) as usize;
            for model in described(steps, shift) {
                context[model] = Bit::new(probability(decoder.raw(6)), TRUST);
            }
            context
        })
        .collect();
    decoder.finish()?;
    Ok(models)
}

/// The models whose probability is sent where `steps` unary steps are in use.
fn described(steps: usize, shift: u32) -> impl Iterator<Item = usize> {
    let per_step = match shift {
        0 => 0,
        1 => 1,
        _ => 3,
    };
    let low = (0..steps).flat_map(move |step| (0..per_step).map(move |model| symbols::UNARY + step * 3 + model));
    (0..steps).chain(low)
}

fn fresh() -> Context {
    [Bit::default(); MODELS]
}

/// Untrained models.
pub(crate) fn fresh_models(contexts: usize) -> Models {
    vec![fresh(); contexts]
}
