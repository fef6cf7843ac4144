//! Bytes of arrays in, arrays out, without copies.

use std::borrow::Cow;

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use seedpress::codec::DType;
use seedpress_press::decompress::Tensor;

/// Values that are narrowed together.
const BLOCK: usize = 1 << 16;

/// An array as the package hands it over: contiguous bytes, the data type as safetensors spells it, a shape.
#[derive(FromPyObject)]
pub(crate) struct Array<'py> {
    bytes: PyReadonlyArray1<'py, u8>,
    dtype: String,
    shape: Vec<usize>,
}

impl Array<'_> {
    /// The bytes: nobody writes to them as long as this lives, which is the caller's promise.
    pub(crate) fn bytes(&self) -> PyResult<&[u8]> {
        self.bytes.as_slice().map_err(|_| PyValueError::new_err("the bytes of an array are not contiguous"))
    }

    /// The data type as safetensors spells it.
    pub(crate) fn dtype(&self) -> &str {
        &self.dtype
    }

    /// Dimensions, outermost first.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values as codecs see them: of 32-bit floats the array's own memory.
    pub(crate) fn values(&self) -> PyResult<(Cow<'_, [f32]>, DType)> {
        let dtype = match self.dtype.as_str() {
            "F32" => DType::F32,
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            other => return Err(PyValueError::new_err(format!("codecs take 16-bit and 32-bit floats, not {other}"))),
        };
        let bytes = self.bytes()?;
        let as_they_are =
            (dtype == DType::F32 && cfg!(target_endian = "little")).then(|| bytemuck::try_cast_slice(bytes));
        let values = match as_they_are {
            Some(Ok(values)) => Cow::Borrowed(values),
            _ => {
                let mut values = Vec::with_capacity(bytes.len() / dtype.size());
                dtype.widen(bytes, &mut values);
                Cow::Owned(values)
            }
        };
        Ok((values, dtype))
    }
}

/// A flat array of the element's size, with the data type that the package gives it.
pub(crate) type Flat<'py> = (Bound<'py, PyAny>, String);

/// An array that takes over the memory of a restored tensor. Without a data type the values are as the tensor has it.
pub(crate) fn flat(py: Python<'_>, tensor: Memory) -> Flat<'_> {
    match tensor {
        Memory::Floats(values) => (PyArray1::from_vec(py, values).into_any(), "F32".to_owned()),
        Memory::Halves(halves, dtype) => (PyArray1::from_vec(py, halves).into_any(), dtype.name().to_uppercase()),
        Memory::Bytes(bytes, dtype) => (PyArray1::from_vec(py, bytes).into_any(), dtype),
    }
}

/// What an array is made of.
pub(crate) enum Memory {
    /// 32-bit floats.
    Floats(Vec<f32>),
    /// The bits of 16-bit floats.
    Halves(Vec<u16>, DType),
    /// Bytes of any other type.
    Bytes(Vec<u8>, String),
}

impl Memory {
    /// Weights in their data type.
    pub(crate) fn weights(values: Vec<f32>, dtype: DType) -> Self {
        if dtype == DType::F32 {
            return Self::Floats(values);
        }
        let mut halves = Vec::with_capacity(values.len());
        let mut bytes = Vec::with_capacity(BLOCK.min(values.len()) * dtype.size());
        for block in values.chunks(BLOCK) {
            bytes.clear();
            dtype.narrow(block, &mut bytes);
            halves.extend(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])));
        }
        Self::Halves(halves, dtype)
    }

    /// A tensor of a file; `dtype` is that of what holds no weights.
    pub(crate) fn of(tensor: Tensor, dtype: &str) -> Self {
        match tensor {
            Tensor::Weights { values, dtype, .. } => Self::weights(values, dtype),
            Tensor::Narrow { bytes, .. } | Tensor::Bytes(bytes) => Self::Bytes(bytes, dtype.to_owned()),
        }
    }
}
