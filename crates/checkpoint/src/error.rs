//! What is wrong with which file.

use std::path::{Path, PathBuf};

use seedpress_codec::DecodeError;
use seedpress_codec::text::printable;

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
    /// An index of shards that is none, or whose shards are not what it says.
    #[error("{path}: not an index of .sdp shards that can be read: {why}")]
    ShardIndex {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A tensor that was asked for and is not there.
    #[error("{path}: no tensor named `{}`", printable(tensor))]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A path that cannot be used so.
    #[error("{path}: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A tensor that this format cannot hold.
    #[error("{path}: tensor `{}`: {why}", printable(tensor))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Why.
        why: String,
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
    /// The operating system's refusal, with the file.
    pub fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// A container that cannot be read, with the file.
    pub fn container(path: &Path) -> impl Fn(DecodeError) -> Self + '_ {
        move |source| Self::Container { path: path.to_owned(), source }
    }
}
