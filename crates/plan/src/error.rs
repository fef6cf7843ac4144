//! Why there is no plan.

use seedpress_codec::{ConfigError, DecodeError, EncodeError};

/// A plan that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The ladder or an option is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The size asked for is below what the smallest choice for every tensor takes.
    #[error(
        "{target} bytes cannot be reached: the smallest rungs of this ladder and the tensors kept as they are take {least} bytes"
    )]
    OutOfReach {
        /// Bytes asked for.
        target: u64,
        /// Bytes of the smallest file found.
        least: u64,
    },
    /// Every tensor is kept as it is: nothing is left to plan.
    #[error("every tensor is small enough to be kept as it is: there is nothing to plan")]
    Nothing,
    /// The model could not be read or run.
    #[error("{0}")]
    Subject(String),
    /// A rung refuses a tensor.
    #[error("`{codec}`: {source}")]
    Encode {
        /// The rung.
        codec: String,
        /// Why.
        source: EncodeError,
    },
    /// A rung's bytes do not decode.
    #[error("`{codec}` on `{tensor}`: {source}")]
    Decode {
        /// The rung.
        codec: String,
        /// The tensor.
        tensor: String,
        /// Why.
        source: Box<DecodeError>,
    },
    /// The user stopped the work.
    #[error("stopped; what was measured is kept")]
    Stopped,
}
