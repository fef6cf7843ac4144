//! Options.

use schemars::JsonSchema;
use seedpress_codec::{Int, Number};
use serde::{Deserialize, Serialize};

/// How much of the second moment of a layer's inputs the encoder uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hessian {
    /// Nothing.
    None,
    /// Its diagonal: weights of k-means.
    Diagonal,
    /// All of it: the sweep and the refits.
    #[default]
    Full,
}

/// Options of [`Vptq`](crate::Vptq).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Target in bits per weight, codebooks included, not to be exceeded.
    pub bits: Number<500, 6000>,
    /// Outputs in a vector; 0 chooses what promises the least error.
    pub vector: Int<0, 16>,
    /// Allow a second codebook for what the first leaves.
    pub residual: bool,
    /// The largest share of the columns that may have a codebook of their own, those that matter most.
    pub outliers: Number<0, 500>,
    /// Groups of the other columns, each with its own codebooks.
    pub groups: Int<1, 16>,
    /// What errors count, where calibration data is given: `none` takes them all alike, `diagonal` weighs those of a column by the mean square
    /// of its input, `full` lets errors of some columns make up for those of others.
    pub hessian: Hessian,
    /// Columns of the largest inputs first.
    pub activation_order: bool,
    /// How often codewords are fitted again after a sweep, and swept with.
    pub refits: Int<0, 8>,
    /// Of the random choices of k-means.
    pub seed: Int<0, 4_294_967_295>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bits: Number::of(2.0),
            vector: Int::of(0),
            residual: true,
            outliers: Number::of(0.5),
            groups: Int::of(1),
            hessian: Hessian::Full,
            activation_order: true,
            refits: Int::of(2),
            seed: Int::of(0),
        }
    }
}
