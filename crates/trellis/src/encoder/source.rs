//! Weights about to be searched: offset, classes, magnitudes.

use seedpress_codec::EncodeError;

use crate::classes::Classes;
use crate::effort::SearchParameters;
use crate::pass::Rows;
use crate::stream::Params;

/// Weights about to be searched, in row-major order.
pub(crate) struct Source<'a> {
    pub rows: Rows<'a>,
    pub params: Params,
    /// Mean and largest magnitude.
    pub magnitudes: [f64; 2],
}

impl<'a> Source<'a> {
    /// Values of a tensor, `weighted` or as they are, with an offset and classes of their own; `None` where all are the same.
    pub(crate) fn of_tensor(
        values: &'a [f32],
        rows: usize,
        columns: usize,
        weighted: bool,
        search: SearchParameters,
    ) -> Result<Option<Self>, EncodeError> {
        // An offset would have to be weighted too.
        let offset = if weighted { 0.0 } else { offset(values) };
        let params = Params { offset, weighted, memory: search.memory, rotation: search.rotation, ..Params::default() };
        let classes = || match search.contexts {
            true => Classes::choose(values, offset, rows, columns, search.spread),
            false => Classes::none(),
        };
        Self::new(values, columns, params, classes, search)
    }

    /// `None` where every weight equals the offset.
    pub(crate) fn new(
        values: &'a [f32],
        columns: usize,
        params: Params,
        classes: impl FnOnce() -> Classes,
        search: SearchParameters,
    ) -> Result<Option<Self>, EncodeError> {
        let code = search.code()?;
        let magnitude = |v: f32| (f64::from(v) - f64::from(params.offset)).abs();
        let largest = values.iter().map(|&v| magnitude(v)).fold(0.0, f64::max);
        if largest == 0.0 {
            return Ok(None);
        }
        let mean = values.iter().map(|&v| magnitude(v)).sum::<f64>() / values.len() as f64;
        let rows = Rows::new(values, params.offset, columns, classes(), code, search.sample);
        Ok(Some(Self { rows, params, magnitudes: [mean, largest] }))
    }
}

/// What a mean as offset costs, in the units of `mean^2 / variance * count`: removing it saves `log2(1 + mean^2 / variance) / 2` bits a
/// weight, and 32 bits are written for it.
const OFFSET_COST: f64 = 45.0;

/// The mean, where the weights lie to one side of zero (gains of norms); else 0, which costs nothing.
fn offset(values: &[f32]) -> f32 {
    if values.iter().all(|&v| v == values[0]) {
        return values[0];
    }
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let square = values.iter().map(|&v| (f64::from(v) - mean) * (f64::from(v) - mean)).sum::<f64>() / count;
    if mean * mean * count > OFFSET_COST * square { mean as f32 } else { 0.0 }
}
