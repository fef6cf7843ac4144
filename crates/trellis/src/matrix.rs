//! A matrix as it goes into the search: which errors count, and how much.

use seedpress_codec::{EncodeContext, EncodeError, Encoded, TensorView};

use crate::config::{Config, Hessian};
use crate::effort::SearchParameters;
use crate::encoder::{self, FIRST_SLOPE_BITS, Target, Weighing};
use crate::stream;
use crate::weights::Weights;

/// What has become of the rows before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// Nothing.
    None,
    /// A rotation by a seed.
    Rotated(u32),
    /// A transform, the scales of whose coefficients differ by far.
    Transformed,
}

/// The least sample under a quadratic form: a sample of columns stands for errors that reach all others, so that a small one is no gain
/// (a tenth more KL divergence on a transformer at 0.93 bits).
const LEAST_FORM_SAMPLE: usize = 1 << 14;

/// What is tried, in this order, as additions to the diagonal of the Hessian, in parts of its mean: calibration data is finite.
const DAMPING: [f64; 3] = [0.01, 0.1, 1.0];

/// Compresses a tensor that is `original` after a preparation.
///
/// # Errors
/// Cancellation.
pub(crate) fn encode(
    config: &Config,
    tensor: &TensorView<'_>,
    original: &TensorView<'_>,
    context: &EncodeContext<'_>,
    preparation: Preparation,
) -> Result<Encoded, EncodeError> {
    let search = parameters(config, tensor.len(), preparation);
    let (columns, values) = (tensor.columns(), tensor.values());
    let target = match config.slope.get() {
        // Rows are noted where that is worth more than it takes: there is always something left.
        0.0 => Target::Bits(
            config.bits.get() - (8.0 * context.noted as f64 / tensor.len() as f64).min(0.5 * config.bits.get()),
        ),
        slope => Target::Slope(slope),
    };
    let calibration = context.calibration;
    let full = calibration.filter(|_| config.hessian == Hessian::Full);
    // Where inputs say little of a direction, errors there count little and may outgrow the weights; damping holds them back.
    for damping in DAMPING {
        let Some(form) = full.and_then(|calibration| Weighing::form(calibration, values, columns, damping)) else {
            break;
        };
        let encoded = encoder::encode(tensor, context, form, target, search)?;
        if damping == DAMPING[DAMPING.len() - 1] || keeps_something(original, &encoded)? {
            return Ok(encoded);
        }
    }
    let weights = calibration
        .filter(|_| config.hessian != Hessian::None)
        .and_then(|calibration| Weights::from_calibration(calibration, columns));
    let weighing = weights.as_ref().map_or(Weighing::Plain, Weighing::Columns);
    encoder::encode(tensor, context, weighing, target, search)
}

/// The parameters of the search for `count` weights.
fn parameters(config: &Config, count: usize, preparation: Preparation) -> SearchParameters {
    let rate = if config.slope.get() > 0.0 { FIRST_SLOPE_BITS } else { config.bits.get() };
    let search = config.effort.search(rate, count);
    let sample = if config.hessian == Hessian::None { search.sample } else { search.sample.max(LEAST_FORM_SAMPLE) };
    let rotation = match preparation {
        Preparation::Rotated(seed) => Some(seed),
        Preparation::None | Preparation::Transformed => None,
    };
    let spread = preparation == Preparation::Transformed;
    SearchParameters { sample, contexts: config.contexts, rotation, spread, ..search }
}

/// Whether the weights themselves, not only the outputs, come back nearer than zeros would.
fn keeps_something(tensor: &TensorView<'_>, encoded: &Encoded) -> Result<bool, EncodeError> {
    let mut decoded = vec![0f32; tensor.len()];
    stream::decode_fresh(encoded, tensor.shape(), &mut decoded)?;
    let squared = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let error = squared(&mut tensor.values().iter().zip(&decoded).map(|(w, v)| f64::from(*w) - f64::from(*v)));
    Ok(error < squared(&mut tensor.values().iter().map(|w| f64::from(*w))))
}
