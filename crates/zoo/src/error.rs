//! What can go wrong, and whose fault it is.

use std::path::{Path, PathBuf};

/// An error of the zoo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZooError {
    /// No model has this name.
    #[error("no model named `{name}`; the zoo has {}", known.join(", "))]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// Every name there is.
        known: Vec<&'static str>,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {what}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A fetched model is not in the cache.
    #[error("model `{name}` is not here yet: run `cargo xtask models fetch {name}`")]
    NotFetched {
        /// The model.
        name: String,
    },
    /// The model has no task metric, no training recipe or no calibration data.
    #[error("model `{name}` has no {what}")]
    Unsupported {
        /// The model.
        name: String,
        /// What it lacks.
        what: &'static str,
    },
    /// The tensors handed to `evaluate` do not fit the model.
    #[error("model `{name}`: {what}")]
    TensorMismatch {
        /// The model.
        name: String,
        /// What does not fit.
        what: String,
    },
    /// An outside command failed.
    #[error("`{command}` failed: {what}")]
    Command {
        /// The command line.
        command: String,
        /// Its error output or the system's error.
        what: String,
    },
    /// A checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] seedpress_checkpoint::CheckpointError),
    /// Inputs of a layer are not what statistics can be made of.
    #[error("input statistics: {0}")]
    Statistics(#[from] seedpress_calibration::StatisticsError),
    /// A computation failed in the tensor library.
    #[error("computation failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl ZooError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn bad_file(path: &Path, what: impl Into<String>) -> Self {
        Self::BadFile { path: path.to_path_buf(), what: what.into() }
    }
}
