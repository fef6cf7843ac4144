//! Files of other people's formats as sources of the press.

use std::collections::BTreeMap;
use std::path::Path;

use seedpress_checkpoint::{Content, TensorInfo};
use seedpress_exchange::{ExchangeError, Loaded, PackedCheckpoint, TensorSource, open};
use seedpress_press::{PressError, Source};

use crate::failure::Failure;
use crate::print::note;

/// An open file that is no plain safetensors.
pub(crate) struct Foreign {
    source: Box<dyn TensorSource>,
    infos: Vec<TensorInfo>,
}

impl Foreign {
    /// Opens a file or folder; `None` for plain safetensors and for streams, which the press reads itself, and for what is not there.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Failure> {
        if path == Path::new("-") || !(path.is_file() || path.is_dir()) {
            return Ok(None);
        }
        let source = match open(path) {
            Ok(source) => source,
            // What is wrong with safetensors its own reader says.
            Err(ExchangeError::Checkpoint(_)) => return Ok(None),
            Err(error) => return Err(Failure::data(error)),
        };
        if source.format() == PackedCheckpoint::PLAIN {
            return Ok(None);
        }
        for text in source.notes() {
            note!("note: {}", seedpress::codec::text::printable(text));
        }
        let info = |entry: &seedpress_exchange::TensorEntry| {
            let elements: usize = entry.shape.iter().product();
            let (dtype, bytes) = match entry.float {
                Some(dtype) => (dtype.name().to_uppercase(), elements * dtype.size()),
                None => (entry.stored.clone(), usize::try_from(entry.bytes).unwrap_or(usize::MAX)),
            };
            TensorInfo { name: entry.name.clone(), dtype, shape: entry.shape.clone(), bytes }
        };
        let infos = source.tensors().iter().map(info).collect();
        Ok(Some(Self { source, infos }))
    }
}

impl Source for Foreign {
    fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.source.metadata().clone()
    }

    fn load(&self, tensor: usize) -> Result<Content, PressError> {
        let loaded = self
            .source
            .load(tensor)
            .map_err(|error| PressError::Source { tensor: self.infos[tensor].name.clone(), why: error.to_string() })?;
        Ok(match loaded {
            Loaded::Float(tensor) => Content::Float(tensor),
            Loaded::Opaque { bytes, .. } => Content::Opaque(bytes),
        })
    }
}
