//! Other checkpoint formats, once, to what this workspace reads.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::gguf::{self, Part};
use super::tensors::Tensors;
use crate::error::ZooError;

/// From what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// A pickled state dictionary; integer counters are left out.
    Torch,
    /// A Keras weight file (HDF5) of textgenrnn: see [`textgenrnn`](crate::textgenrnn) for what the layout becomes.
    Keras,
    /// A file of the folder that a GGUF file holds.
    Gguf(Part),
}

/// The file that results. Safetensors: names in order, no metadata, hence the same bytes everywhere.
pub(super) fn convert(conversion: Conversion, source: &Path) -> Result<Vec<u8>, ZooError> {
    let tensors = match conversion {
        Conversion::Torch => torch(source)?,
        Conversion::Keras => keras(source)?,
        Conversion::Gguf(Part::Weights) => gguf::weights(source)?,
        Conversion::Gguf(part) => return gguf::text(part, source),
    };
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let bad = |error: safetensors::SafeTensorError| ZooError::bad_file(source, error.to_string());
    let views = tensors
        .iter()
        .map(|(name, (shape, _))| Ok((name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name])?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(bad)?;
    safetensors::serialize(views, None).map_err(bad)
}

fn torch(source: &Path) -> Result<Tensors, ZooError> {
    let bad = |error: candle_core::Error| ZooError::bad_file(source, error.to_string());
    let mut tensors = Tensors::new();
    for (name, tensor) in candle_core::pickle::read_all(source).map_err(bad)? {
        if tensor.dtype() == candle_core::DType::F32 {
            let values = tensor.flatten_all().and_then(|flat| flat.to_vec1()).map_err(bad)?;
            tensors.insert(name, (tensor.dims().to_vec(), values));
        }
    }
    Ok(tensors)
}

fn keras(source: &Path) -> Result<Tensors, ZooError> {
    let bad = |error: hdf5_reader::error::Error| ZooError::bad_file(source, error.to_string());
    let file = hdf5_reader::Hdf5File::open(source).map_err(bad)?;
    let read = |path: &str| -> Result<(Vec<usize>, Vec<f32>), ZooError> {
        let array = file.dataset(path).and_then(|dataset| dataset.read_array::<f32>()).map_err(bad)?;
        Ok((array.shape().to_vec(), array.iter().copied().collect()))
    };
    crate::textgenrnn::keras::from_keras(&read)
}
