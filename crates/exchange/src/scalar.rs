//! Number types of other formats, spelled as safetensors spells them.

use seedpress_codec::{DType, Tensor};

use crate::cursor::Why;
use crate::source::Loaded;

/// A type of plain little-endian numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
    C64,
    F8E4M3,
    F8E5M2,
}

impl Scalar {
    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 | Self::F8E4M3 | Self::F8E5M2 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::C64 => 8,
        }
    }

    /// The name in a safetensors header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::U8 => "U8",
            Self::I8 => "I8",
            Self::U16 => "U16",
            Self::I16 => "I16",
            Self::U32 => "U32",
            Self::I32 => "I32",
            Self::U64 => "U64",
            Self::I64 => "I64",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
            Self::C64 => "C64",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
        }
    }

    /// The type codecs handle, or `None` for numbers that are kept as they are.
    pub(crate) fn float(self) -> Option<DType> {
        match self {
            Self::F16 => Some(DType::F16),
            Self::BF16 => Some(DType::BF16),
            Self::F32 => Some(DType::F32),
            _ => None,
        }
    }

    /// A tensor from its little-endian values.
    pub(crate) fn load(self, shape: &[usize], bytes: Vec<u8>) -> Result<Loaded, Why> {
        match self.float() {
            Some(dtype) => Tensor::from_le_bytes(dtype, shape.to_vec(), &bytes)
                .map(Loaded::Float)
                .map_err(|error| error.to_string()),
            None => Ok(Loaded::Opaque { dtype: self.name().to_owned(), bytes }),
        }
    }
}
