//! What keeps a language model from being read or run.

use std::path::{Path, PathBuf};

use seedpress_checkpoint::CheckpointError;

/// A folder that is no model this crate can run, or text it cannot read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransformerError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The weights cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file that is not what its name says.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// `model_type` names an architecture that nobody described.
    #[error(
        "architecture `{model_type}` is not known: known are {known}; its weights can still be compressed without data"
    )]
    Architecture {
        /// What the configuration says.
        model_type: String,
        /// Every architecture that is known.
        known: String,
    },
    /// A configuration that is incomplete, contradicts itself, or asks for what nobody described.
    #[error("config.json: `{key}`: {why}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Weights that do not fit the configuration.
    #[error("tensor `{tensor}`: {why}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        why: String,
    },
    /// Tokens or text the model cannot take.
    #[error("{0}")]
    Input(String),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

impl TransformerError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn file(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), why: why.to_string() }
    }

    pub(crate) fn config(key: &str, why: impl std::fmt::Display) -> Self {
        Self::Config { key: key.to_owned(), why: why.to_string() }
    }

    pub(crate) fn tensor(tensor: &str, why: impl std::fmt::Display) -> Self {
        Self::Tensor { tensor: tensor.to_owned(), why: why.to_string() }
    }
}
