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
    /// The model has no training recipe, package or text.
    #[error("model `{name}` has no {what}")]
    Unsupported {
        /// The model.
        name: String,
        /// What it lacks.
        what: &'static str,
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
    Checkpoint(Box<seedpress_checkpoint::CheckpointError>),
    /// The model could not be run.
    #[error(transparent)]
    Model(Box<seedpress_model::ModelError>),
    /// A computation failed in the tensor library.
    #[error("computation failed: {0}")]
    Compute(Box<candle_core::Error>),
}

impl From<seedpress_checkpoint::CheckpointError> for ZooError {
    fn from(error: seedpress_checkpoint::CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

impl From<candle_core::Error> for ZooError {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(Box::new(error))
    }
}

impl From<seedpress_model::ModelError> for ZooError {
    fn from(error: seedpress_model::ModelError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<ZooError> for seedpress_model::ModelError {
    fn from(error: ZooError) -> Self {
        match error {
            ZooError::Model(error) => *error,
            error => Self::Data(error.to_string()),
        }
    }
}

impl ZooError {
    /// What the system said of a file.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn bad_file(path: &Path, what: impl Into<String>) -> Self {
        Self::BadFile { path: path.to_path_buf(), what: what.into() }
    }
}
