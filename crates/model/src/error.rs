//! Why a model cannot be run.

/// What is wrong with a network, its weights or its data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Weights that are absent or do not fit the network.
    #[error("`{tensor}`: {what}")]
    Weights {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        what: String,
    },
    /// Inputs or hidden states that do not fit.
    #[error("{0}")]
    Shape(String),
    /// Data that cannot be read.
    #[error("{0}")]
    Data(String),
    /// A computation failed.
    #[error("{0}")]
    Compute(String),
    /// The model has no data of this kind.
    #[error("model `{model}` has no {what}")]
    Unsupported {
        /// The model.
        model: String,
        /// What it lacks.
        what: &'static str,
    },
    /// A walk was asked for a tensor that it has left behind.
    #[error("`{0}` was passed: a walk goes through a network once, in the order of its blocks")]
    Passed(String),
    /// What a tap returns that has seen enough: the rest of the step is not computed.
    #[error("the tap has seen enough")]
    Enough,
    /// Inputs that make no statistics.
    #[error("inputs of `{tensor}`: {source}")]
    Statistics {
        /// The tensor.
        tensor: String,
        /// Why.
        source: seedpress_calibration::StatisticsError,
    },
    /// A checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] seedpress_checkpoint::CheckpointError),
}
