//! Codes chosen with error feedback: the same grids and streams, but each column makes up for the errors of those before.
//!
//! Grids are those of the weights themselves, so columns may come in any order: the loudest inputs first. See [`seedpress_calibration`].

use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_calibration::{DAMPING, Factor, Order, sweep};
use seedpress_codec::{EncodeContext, TensorView};
use serde::{Deserialize, Serialize};

/// What of the inputs' second moment an encoder minimises the output error by. Without calibration data there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hessian {
    /// Nothing: every weight takes the code nearest to it.
    #[default]
    None,
    /// All of it: columns make up for the errors of those before them (GPTQ's sweep on fixed grids).
    Full,
}

/// Rows swept together: their aims for a block of columns stay in the second-level cache.
const ROWS: usize = 64;
/// Weights beyond this would overflow when multiplied.
const LARGEST: f32 = 1e18;

impl Hessian {
    /// The factor that errors are fed by: where asked for, and where there are statistics of this tensor's inputs.
    pub(crate) fn factor(self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Option<Factor> {
        let statistics = context.calibration.filter(|statistics| statistics.columns() == tensor.columns())?;
        let sane = tensor.values().iter().all(|value| value.abs() < LARGEST);
        if self == Self::None || !sane { None } else { Factor::new(statistics, DAMPING, Order::Activation) }
    }
}

/// Writes the code of every weight. `each` says which code an aim takes at a place of the flattened tensor, and what it stands for.
pub(crate) fn choose(factor: &Factor, values: &[f32], codes: &mut [u8], each: impl Fn(usize, f32) -> (u8, f32) + Sync) {
    let columns = factor.columns();
    let strips = codes.par_chunks_mut(ROWS * columns).zip(values.par_chunks(ROWS * columns));
    strips.enumerate().for_each(|(strip, (codes, values))| {
        let first = strip * ROWS * columns;
        sweep(factor, values, 1, &mut |at: &[usize], aims: &[f32], out: &mut [f32]| {
            for (row, (out, &aim)) in out.iter_mut().zip(aims).enumerate() {
                let index = row * columns + at[0];
                (codes[index], *out) = each(first + index, aim);
            }
        });
    });
}
