//! Where an export takes tensors from.

use seedpress_checkpoint::ContainerFile;
use seedpress_checkpoint::container::Stored;
use seedpress_codec::{DecodeError, Limits, RecordHeader, RecordView, Registry, Tensor};

use crate::error::ExchangeError;
use crate::packed::{Grid, PackedCheckpoint, rtn};
use crate::source::{Loaded, TensorSource};

/// A tensor in whatever form its file has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// Floats.
    Float(Tensor),
    /// A quantised matrix.
    Grid(Grid),
    /// Values that are no weights.
    Opaque {
        /// The data type as safetensors spells it.
        dtype: String,
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// Little-endian values.
        bytes: Vec<u8>,
    },
}

/// Named tensors, loaded one at a time.
pub trait Supply {
    /// Name and shape of every tensor.
    fn list(&self) -> Vec<(String, Vec<usize>)>;

    /// Loads a tensor by its place in the list. `packed` says that a quantised matrix is wanted as it is, where there is one.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    fn load(&self, index: usize, packed: bool) -> Result<Weights, ExchangeError>;
}

/// Any file of weights.
pub enum FileSupply {
    /// Safetensors, packed or not.
    Safetensors(Box<PackedCheckpoint>),
    /// Anything else.
    Other(Box<dyn TensorSource>),
}

impl FileSupply {
    /// Opens a file or folder.
    ///
    /// # Errors
    /// See [`crate::open()`].
    pub fn open(path: &std::path::Path) -> Result<Self, ExchangeError> {
        match PackedCheckpoint::open(path) {
            Ok(checkpoint) => Ok(Self::Safetensors(Box::new(checkpoint))),
            Err(error) => match crate::open(path) {
                Ok(source) => Ok(Self::Other(source)),
                // What is wrong with a folder of safetensors says more than that it is no other file.
                Err(_) if path.is_dir() => Err(error),
                Err(other) => Err(other),
            },
        }
    }

    fn source(&self) -> &dyn TensorSource {
        match self {
            Self::Safetensors(checkpoint) => checkpoint.as_ref(),
            Self::Other(source) => source.as_ref(),
        }
    }
}

impl Supply for FileSupply {
    fn list(&self) -> Vec<(String, Vec<usize>)> {
        self.source().tensors().iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect()
    }

    fn load(&self, index: usize, packed: bool) -> Result<Weights, ExchangeError> {
        if packed
            && let Self::Safetensors(checkpoint) = self
            && let Some(grid) = checkpoint.grid(index)?
        {
            return Ok(Weights::Grid(grid));
        }
        Ok(match self.source().load(index)? {
            Loaded::Float(tensor) => Weights::Float(tensor),
            Loaded::Opaque { dtype, bytes } => {
                Weights::Opaque { dtype, shape: self.source().tensors()[index].shape.clone(), bytes }
            }
        })
    }
}

/// An `.sdp` file.
pub struct SdpSupply<'a> {
    file: ContainerFile,
    registry: &'a Registry,
}

impl<'a> SdpSupply<'a> {
    /// Tensors of an open container.
    pub fn new(file: ContainerFile, registry: &'a Registry) -> Self {
        Self { file, registry }
    }

    /// The grid of an `rtn` stream: encoding what it decodes to would give the same codes only by luck.
    fn grid(&self, index: usize, header: &RecordHeader) -> Result<Weights, ExchangeError> {
        let name = &self.file.index().entries[index].name;
        let fault = |error: DecodeError| ExchangeError::Model(error.in_tensor(name).to_string());
        if !header.stage.is_empty() {
            return Err(ExchangeError::CannotHold {
                format: "the layout",
                tensor: name.clone(),
                why: format!("the stage `{}` lies over its codes", header.stage),
                instead: "compress without --then".to_owned(),
            });
        }
        let parts = self.file.layer_bytes(index)?;
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let record = RecordView::assemble(header.clone(), &parts).map_err(fault)?;
        let (encoded, exceptions) = record.parts();
        if exceptions.is_some() {
            return Err(ExchangeError::CannotHold {
                format: "the layout",
                tensor: name.clone(),
                why: "some of its values are kept beside the codes (NaN, infinity, outliers)".to_owned(),
                instead: "leave it as it is (--exclude)".to_owned(),
            });
        }
        rtn::grid(&encoded).map(Weights::Grid).map_err(fault)
    }
}

impl Supply for SdpSupply<'_> {
    fn list(&self) -> Vec<(String, Vec<usize>)> {
        let entries = self.file.index().entries.iter().enumerate();
        let shape = |index: usize| match self.file.stored(index) {
            Stored::Record(header) => header.shape.clone(),
            Stored::Opaque { shape, .. } => shape.clone(),
            _ => Vec::new(),
        };
        entries.map(|(index, entry)| (entry.name.clone(), shape(index))).collect()
    }

    fn load(&self, index: usize, packed: bool) -> Result<Weights, ExchangeError> {
        match self.file.stored(index) {
            Stored::Record(header) => {
                let name = &self.file.index().entries[index].name;
                if packed && header.codec == "rtn" {
                    return self.grid(index, header);
                }
                if packed && !matches!(header.codec.as_str(), "raw" | "f16" | "bf16") && header.shape.len() == 2 {
                    return Err(ExchangeError::CannotHold {
                        format: "the layout",
                        tensor: name.clone(),
                        why: format!("codec `{}` has no codes on a uniform grid", header.codec),
                        instead: "compress with --codec rtn, or export the checkpoint itself".to_owned(),
                    });
                }
                let mut limits = Limits::for_input(usize::try_from(self.file.at_hand()).unwrap_or(usize::MAX));
                let decoded = self.file.decode(index, self.registry, None, &mut limits)?;
                Ok(Weights::Float(decoded.tensor))
            }
            Stored::Opaque { dtype, shape, .. } => Ok(Weights::Opaque {
                dtype: dtype.clone(),
                shape: shape.clone(),
                bytes: self.file.opaque_bytes(index)?,
            }),
            _ => Err(ExchangeError::Model("an entry of the .sdp file is of a kind that is not exported".to_owned())),
        }
    }
}
