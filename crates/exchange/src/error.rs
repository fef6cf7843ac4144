//! What is wrong with which file.

use std::path::{Path, PathBuf};

use seedpress_checkpoint::CheckpointError;

/// A file of weights that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is something else than weights in a format that is read.
    #[error("{path}: {what}")]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// A sentence: what it is, and what to do.
        what: String,
    },
    /// A file of a known format that breaks its rules.
    #[error("{path}: not a readable {format} file: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
        /// Why.
        why: String,
    },
    /// A tensor that cannot be read.
    #[error("{path}: tensor `{tensor}`: {why}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Why.
        why: String,
    },
    /// What a format cannot hold.
    #[error("{format} cannot hold `{tensor}`: {why}; {instead}")]
    CannotHold {
        /// The format's name.
        format: &'static str,
        /// The tensor.
        tensor: String,
        /// Why.
        why: String,
        /// The nearest thing that works.
        instead: String,
    },
    /// A model that cannot be described in the format: something its files lack or say.
    #[error("{0}")]
    Model(String),
    /// A safetensors checkpoint that cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl ExchangeError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn tensor(path: &Path, tensor: &str, why: impl Into<String>) -> Self {
        Self::Tensor { path: path.to_owned(), tensor: tensor.to_owned(), why: why.into() }
    }
}
