//! What is wrong with which file.

use std::path::{Path, PathBuf};

use seedpress_codec::DecodeError;

/// A checkpoint or container that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("{path}: not a readable safetensors file: {why}")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An index file that is not one.
    #[error("{path}: not a safetensors index: {why}")]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A tensor that was asked for and is not there.
    #[error("{path}: no tensor named `{tensor}`")]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A `.sdp` file that cannot be decoded.
    #[error("{path}: {source}")]
    Container {
        /// The file.
        path: PathBuf,
        /// Why, and where in it.
        source: DecodeError,
    },
}

impl CheckpointError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
