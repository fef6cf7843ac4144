//! Errors by who is to blame: the configuration, the tensor handed in, or the bytes handed in.

use std::ops::Range;

use crate::text::printable;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong, naming the key and the legal values.
    pub message: String,
    /// Where in the TOML text, as byte offsets, if the text is known.
    pub span: Option<Range<usize>>,
}

impl ConfigError {
    /// An error without a position.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None }
    }
}

impl From<toml::de::Error> for ConfigError {
    fn from(error: toml::de::Error) -> Self {
        Self { message: error.message().to_owned(), span: error.span() }
    }
}

/// Why a tensor could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The tensor is outside what this codec can represent.
    #[error("tensor `{}`: {why}", printable(tensor))]
    UnsupportedInput {
        /// The tensor's name.
        tensor: String,
        /// What stands in the way.
        why: String,
    },
    /// Values are NaN or infinite and the caller asked for that to be an error.
    #[error("tensor `{}` has {count} NaN or infinite values, the first at index {first}", printable(tensor))]
    NonFinite {
        /// The tensor's name.
        tensor: String,
        /// How many.
        count: usize,
        /// The row-major index of the first.
        first: usize,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A promise inside the encoder was broken: a bug of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What is wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Bytes are missing at the end: with more of the stream it may decode.
    #[error("truncated: {needed} bytes needed, {have} present")]
    Truncated {
        /// Bytes that must be there.
        needed: u64,
        /// Bytes that are.
        have: u64,
    },
    /// Bytes that no encoder writes.
    #[error("corrupt: {0}")]
    Corrupt(&'static str),
    /// Decoding would take more memory than allowed.
    #[error("limit exceeded: {asked} bytes asked, {allowed} allowed")]
    Limit {
        /// Bytes the stream asks for.
        asked: u64,
        /// Bytes still allowed.
        allowed: u64,
    },
    /// Written by a newer version.
    #[error("format version {found} is newer than the newest known, {newest}")]
    UnsupportedVersion {
        /// In the stream.
        found: u32,
        /// Known here.
        newest: u32,
    },
    /// No codec or stage of this name is registered.
    #[error("unknown codec or stage `{}`", printable(.0))]
    UnknownCodec(String),
}

/// A stream that cannot be decoded: what is wrong and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The tensor, where known.
    pub tensor: Option<String>,
    /// The layer, where the fault lies in one.
    pub layer: Option<usize>,
    /// The segment within the layer.
    pub segment: Option<usize>,
    /// The byte offset within the segment (or the header).
    pub offset: Option<u64>,
}

impl DecodeError {
    /// An error without a position.
    pub fn new(kind: DecodeErrorKind) -> Self {
        Self { kind, tensor: None, layer: None, segment: None, offset: None }
    }

    /// Bytes that no encoder writes.
    pub fn corrupt(what: &'static str) -> Self {
        Self::new(DecodeErrorKind::Corrupt(what))
    }

    /// Bytes that are missing.
    pub fn truncated(needed: usize, have: usize) -> Self {
        Self::new(DecodeErrorKind::Truncated { needed: needed as u64, have: have as u64 })
    }

    /// No codec or stage of this name is registered.
    pub(crate) fn unknown_codec(id: &str) -> Self {
        Self::new(DecodeErrorKind::UnknownCodec(id.to_owned()))
    }

    /// Fails where a version is newer than the newest known.
    pub(crate) fn check_version(found: u32, newest: u32) -> Result<(), Self> {
        if found <= newest { Ok(()) } else { Err(Self::new(DecodeErrorKind::UnsupportedVersion { found, newest })) }
    }

    /// Says in which layer and segment the fault lies.
    #[must_use]
    pub fn at(mut self, layer: usize, segment: usize) -> Self {
        self.layer.get_or_insert(layer);
        self.segment.get_or_insert(segment);
        self
    }

    /// Says at which byte the fault lies.
    #[must_use]
    pub fn at_offset(mut self, offset: usize) -> Self {
        self.offset.get_or_insert(offset as u64);
        self
    }

    /// Says which tensor the stream belongs to.
    #[must_use]
    pub fn in_tensor(mut self, name: &str) -> Self {
        self.tensor.get_or_insert_with(|| name.to_owned());
        self
    }
}

impl std::error::Error for DecodeError {}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(tensor) = &self.tensor {
            write!(f, "tensor `{}`: ", printable(tensor))?;
        }
        if let Some(layer) = self.layer {
            write!(f, "layer {layer}, ")?;
        }
        if let Some(segment) = self.segment {
            write!(f, "segment {segment}, ")?;
        }
        if let Some(offset) = self.offset {
            write!(f, "byte {offset}: ")?;
        }
        write!(f, "{}", self.kind)
    }
}
