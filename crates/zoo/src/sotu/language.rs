//! Bytes as a network reads them, and which network.

use seedpress_model::{Hidden, ModelError};

/// Byte values.
pub const VOCABULARY: usize = 256;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Decoder-only, three blocks of width 256.
    Transformer,
    /// Long short-term memory, two layers of 512.
    Lstm,
}

impl Language {
    /// The network of this model name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sotu-transformer" => Some(Self::Transformer),
            "sotu-lstm" => Some(Self::Lstm),
            _ => None,
        }
    }
}

/// Rows of a table by byte values.
pub(super) fn embed(bytes: &Hidden, table: &[f32], width: usize) -> Result<Hidden, ModelError> {
    let mut values = Vec::with_capacity(bytes.rows() * width);
    for &byte in &bytes.values {
        let row = table.get(byte as usize * width..).and_then(|rest| rest.get(..width));
        values.extend_from_slice(row.ok_or_else(|| ModelError::Shape(format!("{byte} is no byte")))?);
    }
    Ok(bytes.with(values, width))
}

/// Windows of bytes as a network reads them.
pub fn bytes<'a>(windows: impl IntoIterator<Item = &'a [u8]>) -> Hidden {
    let (mut values, mut lengths) = (Vec::new(), Vec::new());
    for window in windows {
        values.extend(window.iter().map(|&byte| f32::from(byte)));
        lengths.push(window.len());
    }
    Hidden { values, width: 1, lengths }
}
