//! The encoder: a search for the rate on a sample, and final passes over the whole tensor.
//!
//! A *pass* runs the trellis with given tables and counts what it chose; the counts and the centroids make the tables of the next pass.
//! The step is searched on a sample of the tensor, by the secant rule on rate against log step, and corrected on the whole
//! tensor from bytes really written.
//!
//! | module | idea |
//! | --- | --- |
//! | [`target`] | bits, or a slope of error against bits |
//! | [`budget`] | what a stream of a rate may spend |
//! | [`source`] | weights about to be searched |
//! | [`tables`] | from counts to costs |
//! | [`rate_search`] | step and tables, on the sample |
//! | [`finish`] | the final passes |
//! | [`form`] | all of it under the quadratic form of the output error |

mod budget;
mod finish;
mod form;
mod rate_search;
mod source;
mod tables;
mod target;

pub(crate) use budget::Budget;
pub(crate) use rate_search::{OperatingPoint, RARE_ZERO, RateSearch, SAMPLE_PASSES};
pub(crate) use source::Source;
pub(crate) use target::{FIRST_SLOPE_BITS, Target};

use seedpress_codec::{EncodeContext, EncodeError, Encoded, InputStatistics, TensorView};

use self::target::RateTrial;
use crate::classes::Classes;
use crate::effort::SearchParameters;
use crate::pass::Pass;
use crate::stream::Params;
use crate::weights::Weights;

/// What errors count.
pub(crate) enum Weighing<'a> {
    /// All the same.
    Plain,
    /// By column.
    Columns(&'a Weights),
    /// By the quadratic form of the output error: this one, row-major.
    Form(Vec<f64>),
}

impl Weighing<'_> {
    /// The quadratic form of calibrated inputs, its diagonal raised by `damping` of its mean; `None` where the statistics belong to
    /// another shape or say nothing, and for weights of absurd magnitude.
    pub(crate) fn form(calibration: &InputStatistics, values: &[f32], columns: usize, damping: f64) -> Option<Self> {
        form::quadratic(calibration, values, columns, damping).map(Self::Form)
    }
}

/// Compresses a tensor.
///
/// # Errors
/// Cancellation.
pub(crate) fn encode(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    weighing: Weighing<'_>,
    target: Target,
    search: SearchParameters,
) -> Result<Encoded, EncodeError> {
    let blank = Params { memory: search.memory, rotation: search.rotation, ..Params::default() };
    if tensor.values().iter().all(|&v| v == 0.0) {
        return Ok(Encoded::single(blank.to_bytes(&Classes::none(), []), Vec::new()));
    }
    let rate_search = RateSearch { context, search, code: search.code()?, count: tensor.len() };
    match weighing {
        Weighing::Form(hessian) => rate_search.encode_form(tensor, hessian, target, blank),
        Weighing::Columns(weights) => {
            let mut scaled = tensor.values().to_vec();
            weights.apply(&mut scaled);
            rate_search.encode_rows(tensor, &scaled, Some(weights), target)
        }
        Weighing::Plain => rate_search.encode_rows(tensor, tensor.values(), None, target),
    }
}

impl RateSearch<'_> {
    /// Compresses `values`, those of a tensor or, by column, scaled by weights.
    fn encode_rows(
        &self,
        tensor: &TensorView<'_>,
        values: &[f32],
        weights: Option<&Weights>,
        target: Target,
    ) -> Result<Encoded, EncodeError> {
        let (rows, columns) = (tensor.rows(), tensor.columns());
        let source = Source::of_tensor(values, rows, columns, weights.is_some(), self.search)?;
        let Some(Source { rows: source, params, magnitudes }) = source else {
            return Ok(constant(values, self.search));
        };
        let power = values.iter().map(|&v| (f64::from(v) - f64::from(params.offset)).powi(2)).sum::<f64>();
        let mut trial = RateTrial::new(target);
        let mut before = None;
        let (budget, point) = loop {
            let coded = weights.map(Weights::to_bytes);
            let budget = Budget::new(self.count, coded, source.classes(), trial.bits, magnitudes);
            let point = self.run(&source, &budget, &params, before)?;
            if trial.settles(budget.slope(point.params.step) / power) {
                break (budget, point);
            }
            before = Some(point);
        };
        let encoded = self.finish(&source, &budget, point, columns)?;
        self.context.advance(self.count);
        Ok(encoded)
    }
}

/// A stream of equal weights.
pub(crate) fn constant(values: &[f32], search: SearchParameters) -> Encoded {
    let offset = values.first().copied().unwrap_or(0.0);
    let params = Params { offset, memory: search.memory, ..Params::default() };
    Encoded::single(params.to_bytes(&Classes::none(), []), Vec::new())
}
