//! Why a checkpoint could not be compressed or restored.

use seedpress_checkpoint::CheckpointError;
use seedpress_codec::text::printable;
use seedpress_codec::{DecodeError, EncodeError};

/// What went wrong, and with which tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PressError {
    /// A file that cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tensor that cannot be loaded.
    #[error("tensor `{}`: {why}", printable(tensor))]
    Source {
        /// The tensor.
        tensor: String,
        /// Why.
        why: String,
    },
    /// No codec for a tensor: a plan or pattern that does not fit the checkpoint.
    #[error("{0}")]
    Assignment(String),
    /// Statistics that cannot be had.
    #[error("{0}")]
    Guide(String),
    /// A codec refused.
    #[error(transparent)]
    Encode(EncodeError),
    /// What a codec wrote does not decode: a bug of ours, found before the file is in its place.
    #[error("what was written does not decode, which is a bug of seedpress: {0}")]
    Unreadable(DecodeError),
    /// A codec panicked: a bug of ours.
    #[error("tensor `{}`: the codec failed, which is a bug of seedpress: {why}", printable(tensor))]
    Panicked {
        /// The tensor.
        tensor: String,
        /// What the panic said.
        why: String,
    },
    /// The beginning of a file that ends before every base layer is there.
    #[error("{path}: {have} bytes are too few: the first {needed} of {whole} hold a base layer of every tensor")]
    TooShort {
        /// The file.
        path: std::path::PathBuf,
        /// Bytes at hand.
        have: u64,
        /// Bytes that would do.
        needed: u64,
        /// Bytes of the whole file.
        whole: u64,
    },
    /// A stream that ended before the whole file was there, after an output was written.
    #[error("{path}: it ended after {have} of {whole} bytes: the output holds what these decode to")]
    Ended {
        /// The stream.
        path: std::path::PathBuf,
        /// Bytes that came.
        have: u64,
        /// Bytes of the whole file.
        whole: u64,
    },
    /// A stream that ended within the index.
    #[error("{path}: it ended after {have} bytes, within its index")]
    NoIndex {
        /// The stream.
        path: std::path::PathBuf,
        /// Bytes that came.
        have: u64,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Cancelled,
}

impl From<EncodeError> for PressError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Cancelled => Self::Cancelled,
            error => Self::Encode(error),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
