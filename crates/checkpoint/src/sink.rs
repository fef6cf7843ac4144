//! Safetensors out.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, View};

use crate::atomic::write_atomic;
use crate::error::CheckpointError;

/// A tensor to be saved, in the bytes of its data type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTensor {
    /// The data type as safetensors spells it, e.g. `F32`.
    pub dtype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Little-endian values.
    pub bytes: Vec<u8>,
}

struct Borrowed<'a> {
    dtype: Dtype,
    tensor: &'a SavedTensor,
}

impl View for Borrowed<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.tensor.bytes)
    }

    fn data_len(&self) -> usize {
        self.tensor.bytes.len()
    }
}

/// Writes a safetensors file, atomically.
///
/// # Errors
/// The operating system's; an unknown data type or a size that does not fit its shape.
pub fn save_safetensors(
    path: &Path,
    tensors: &[(String, SavedTensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    let fault = |why: String| CheckpointError::Safetensors { path: path.to_owned(), why };
    let mut views = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = serde_json::from_value(serde_json::Value::String(tensor.dtype.clone()))
            .map_err(|_| fault(format!("`{name}` has the unknown data type `{}`", tensor.dtype)))?;
        views.push((name.as_str(), Borrowed { dtype, tensor }));
    }
    // A map of several keys would be written in random order; the format allows any, determinism allows one.
    let entries: HashMap<String, String> = metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let bytes = safetensors::serialize(views, (!entries.is_empty()).then_some(entries))
        .map_err(|error| fault(error.to_string()))?;
    write_atomic(path, |file| file.write_all(&bytes))
}
