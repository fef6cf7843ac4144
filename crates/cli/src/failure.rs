//! How a command ends badly.

use std::fmt::Display;

/// A failure with its exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The process's exit status.
    pub status: u8,
    /// What the user reads, without "error:".
    pub message: String,
}

impl Failure {
    /// The status of a command that was stopped.
    pub(crate) const INTERRUPTED: u8 = 130;

    /// The command line or the config is wrong: status 2.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { status: 2, message: message.to_string() }
    }

    /// Data, files or a cell of a run: status 1.
    pub(crate) fn data(message: impl Display) -> Self {
        Self { status: 1, message: message.to_string() }
    }

    /// The user stopped it: status 130.
    pub(crate) fn interrupted(message: impl Display) -> Self {
        Self { status: Self::INTERRUPTED, message: message.to_string() }
    }
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;

impl From<seedpress_transformer::TransformerError> for Failure {
    fn from(error: seedpress_transformer::TransformerError) -> Self {
        match error {
            seedpress_transformer::TransformerError::Stopped => Self::interrupted("stopped"),
            error => Self::data(error),
        }
    }
}

impl From<seedpress_press::PressError> for Failure {
    fn from(error: seedpress_press::PressError) -> Self {
        use seedpress_press::PressError;
        match error {
            PressError::Assignment(_) => Self::usage(error),
            PressError::Checkpoint(seedpress_checkpoint::CheckpointError::Unusable { .. }) => Self::usage(error),
            PressError::Cancelled => Self::interrupted("stopped: nothing was written"),
            error => Self::data(error),
        }
    }
}
