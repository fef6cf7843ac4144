//! The options.

use schemars::JsonSchema;
use seedpress_codec::{Int, Number};
use serde::{Deserialize, Serialize};

use crate::effort::Effort;

/// Options of [`Trellis`](crate::Trellis).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Target in bits per weight, everything the codec writes included; the header of the record (name, shape, options, checksum: about
    /// 40 bytes) comes on top.
    pub bits: Number<100, 12000>,
    /// How hard to search: `fast`, `default`, `high` or `best`.
    pub effort: Effort,
    /// What errors count, where calibration data is given: `none` takes them all alike (least plain error), `diagonal` weighs those of
    /// a column by the mean square of its input, `full` minimises the error of the layer's output, errors of some columns making up for
    /// those of others. Without calibration data all three are `none`.
    pub hessian: Hessian,
    /// Where not 0, each tensor gets the rate at which one more bit for all of it would lower its relative error (that of the output with
    /// `hessian`) by `2^-slope`, instead of `bits`. One slope for a whole model shares its bits among the tensors.
    pub slope: Number<0, 64_000>,
    /// Row and column scales as contexts of the entropy code, where they pay. Off only to measure what they save.
    pub contexts: bool,
    /// What becomes of rows before the search: `none`, or `hadamard` for random signs and a Hadamard transform of up to 256 neighbours
    /// at a time. The entropy code gains more from heavy tails than a rotation that hides them: it rarely pays (`docs/findings.md`).
    pub rotation: Rotation,
    /// Seed of the rotation's signs.
    pub seed: Int<0, 4_294_967_295>,
    /// What takes out what the columns of a row have in common: `dct` a cosine transform, which takes no bytes, `klt` the principal
    /// directions of the tensor, whose bytes count (of at most 1,024 columns), `auto` whichever of these and `none` comes out best in bytes
    /// written and decoded.
    pub transform: Transform,
}

/// What takes out what the columns of a row have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transform {
    /// Nothing.
    #[default]
    None,
    /// A cosine transform along the inputs.
    Dct,
    /// The principal directions of the tensor's rows.
    Klt,
    /// The best of these.
    Auto,
}

/// What becomes of rows before the search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// Nothing.
    #[default]
    None,
    /// Random signs and Hadamard transforms along the inputs.
    Hadamard,
}

/// How much of the second moment of a layer's inputs the encoder uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hessian {
    /// Nothing.
    #[default]
    None,
    /// Its diagonal.
    Diagonal,
    /// All of it.
    Full,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bits: Number::of(3.0),
            effort: Effort::Default,
            hessian: Hessian::None,
            slope: Number::of(0.0),
            contexts: true,
            rotation: Rotation::None,
            seed: Int::of(0),
            transform: Transform::None,
        }
    }
}
