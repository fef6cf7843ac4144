//! What a checkpoint says of a tensor.

use seedpress_codec::DType;

/// What a checkpoint says of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// The data type as the file spells it, e.g. `BF16` or `I64`.
    pub dtype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Bytes it takes.
    pub bytes: usize,
}

impl TensorInfo {
    /// The floating-point type codecs handle, or `None` for tensors that are kept as they are (integers, booleans, `f64`, `f8`).
    pub fn float(&self) -> Option<DType> {
        match self.dtype.as_str() {
            "F32" => Some(DType::F32),
            "F16" => Some(DType::F16),
            "BF16" => Some(DType::BF16),
            _ => None,
        }
    }
}
