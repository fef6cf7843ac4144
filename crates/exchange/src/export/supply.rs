//! Where an export takes tensors from.

use seedpress_checkpoint::ContainerFile;
use seedpress_checkpoint::container::Stored;
use seedpress_codec::{DecodeError, Limits, RecordHeader, RecordView, Registry, Role, Tensor};

use crate::error::ExchangeError;
use crate::gguf::types::{TypeInfo, by_name};
use crate::packed::streams::{CODECS, Held, held};
use crate::packed::{Grid, PackedCheckpoint};
use crate::source::{Loaded, TensorSource};

/// Codecs that lose nothing or next to nothing: what they hold may be quantised for any layout.
const FLOATS: &[&str] = &["raw", "f16", "bf16"];

/// In which form a tensor is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// As floats.
    Float,
    /// As codes on a grid, where its file has some.
    Grid,
    /// As blocks of a type of GGUF's, where its file has these.
    Blocks(&'static TypeInfo),
}

/// A tensor in whatever form its file has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// Floats.
    Float(Tensor),
    /// A quantised matrix.
    Grid(Grid),
    /// Blocks of a type of GGUF's, whole blocks a row, rows in Hugging Face's order.
    Blocks {
        /// The type.
        info: &'static TypeInfo,
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// The blocks.
        bytes: Vec<u8>,
    },
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

    /// Loads a tensor by its place in the list, in the wanted form or as floats.
    ///
    /// # Errors
    /// A tensor that cannot be read; codes that are wanted as a grid and are none.
    fn load(&self, index: usize, form: Form) -> Result<Weights, ExchangeError>;

    /// The type of GGUF's whose blocks a tensor is made of, if it is.
    fn block_type(&self, index: usize) -> Option<&'static TypeInfo> {
        let _ = index;
        None
    }
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

    /// The file as a list of tensors.
    pub fn source(&self) -> &dyn TensorSource {
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

    fn block_type(&self, index: usize) -> Option<&'static TypeInfo> {
        match self {
            Self::Safetensors(_) => None,
            Self::Other(source) => by_name(&source.tensors()[index].stored).filter(|info| info.weights > 1),
        }
    }

    fn load(&self, index: usize, form: Form) -> Result<Weights, ExchangeError> {
        match (self, form) {
            (Self::Safetensors(checkpoint), Form::Grid) => {
                if let Some(grid) = checkpoint.grid(index)? {
                    return Ok(Weights::Grid(grid));
                }
            }
            (Self::Other(source), Form::Blocks(info)) if self.block_type(index).is_some_and(|own| own == info) => {
                if let Some(bytes) = source.blocks(index)? {
                    let shape = source.tensors()[index].shape.clone();
                    return Ok(Weights::Blocks { info, shape, bytes });
                }
            }
            _ => {}
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

    /// The layers of a tensor whose codes are wanted.
    fn record(&self, index: usize, header: &RecordHeader) -> Result<Vec<Vec<u8>>, ExchangeError> {
        if !header.stage.is_empty() {
            let why = format!("the stage `{}` lies over its codes", header.stage);
            return Err(self.refuse(index, why, "compress without --then"));
        }
        Ok(self.file.layer_bytes(index)?)
    }

    fn grid(&self, index: usize, header: &RecordHeader) -> Result<Weights, ExchangeError> {
        let parts = self.record(index, header)?;
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let fault = |error: DecodeError| self.fault(index, error);
        let record = RecordView::assemble(header.clone(), &parts).map_err(fault)?;
        let (encoded, exceptions) = record.parts();
        if exceptions.is_some() {
            let why = "some of its values are kept beside the codes (NaN, infinity, outliers)".to_owned();
            return Err(self.refuse(index, why, "leave it as it is (--exclude)"));
        }
        match held(&header.codec, &encoded).map_err(fault)? {
            Some(Held::Grid(grid)) => Ok(Weights::Grid(grid)),
            Some(Held::Other(why, instead)) => Err(self.refuse(index, why.to_owned(), instead)),
            None => {
                let why = format!("codec `{}` has no codes on a uniform grid", header.codec);
                let instead = format!("compress with --codec {}, or export the checkpoint itself", CODECS.join(", "));
                Err(self.refuse(index, why, &instead))
            }
        }
    }

    /// The blocks of a stream as GGUF has them; `None` where scales need help that GGUF does not know.
    fn blocks(&self, index: usize, info: &'static TypeInfo) -> Result<Option<Weights>, ExchangeError> {
        let Stored::Record(header) = self.file.stored(index) else { return Ok(None) };
        let header = header.as_ref();
        let parts = self.record(index, header)?;
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let fault = |error: DecodeError| self.fault(index, error);
        let record = RecordView::assemble(header.clone(), &parts).map_err(fault)?;
        let (encoded, exceptions) = record.parts();
        let shape = header.shape.clone();
        if exceptions.is_some() || encoded.params != [0, 0] {
            return Ok(None);
        }
        let [blocks] = encoded.single([Role::Blocks]).map_err(fault)?;
        let whole = info.size(&shape) == Some(blocks.len());
        Ok(whole.then(|| Weights::Blocks { info, shape, bytes: blocks.to_vec() }))
    }

    fn refuse(&self, index: usize, why: String, instead: &str) -> ExchangeError {
        let tensor = self.file.index().entries[index].name.clone();
        ExchangeError::CannotHold { format: "the layout", tensor, why, instead: instead.to_owned() }
    }

    fn fault(&self, index: usize, error: DecodeError) -> ExchangeError {
        ExchangeError::Model(error.in_tensor(&self.file.index().entries[index].name).to_string())
    }
}

impl Supply for SdpSupply<'_> {
    fn list(&self) -> Vec<(String, Vec<usize>)> {
        let entries = self.file.index().entries.iter().enumerate();
        let shape = |index: usize| match self.file.stored(index) {
            Stored::Record(header) | Stored::Narrow { header, .. } => header.shape.clone(),
            Stored::Opaque { shape, .. } => shape.clone(),
            Stored::Alias(_) => Vec::new(),
        };
        entries.map(|(index, entry)| (entry.name.clone(), shape(index))).collect()
    }

    fn block_type(&self, index: usize) -> Option<&'static TypeInfo> {
        let Stored::Record(header) = self.file.stored(index) else { return None };
        let info = by_name(&header.codec).filter(|info| info.weights > 1 && header.stage.is_empty())?;
        // Our streams cut the flattened tensor into blocks, GGUF its rows.
        info.size(&header.shape).map(|_| info)
    }

    fn load(&self, index: usize, form: Form) -> Result<Weights, ExchangeError> {
        match self.file.stored(index) {
            Stored::Record(header) => {
                match form {
                    Form::Grid if header.shape.len() == 2 && !FLOATS.contains(&header.codec.as_str()) => {
                        return self.grid(index, header);
                    }
                    Form::Blocks(info) if self.block_type(index) == Some(info) => {
                        if let Some(blocks) = self.blocks(index, info)? {
                            return Ok(blocks);
                        }
                    }
                    _ => {}
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
            Stored::Narrow { form, .. } => {
                let why = format!("its source has it as {}, with scales beside it", form.dtype);
                Err(self.refuse(index, why, "turn the file back with `seedpress decompress` first"))
            }
            Stored::Alias(_) => {
                Err(self.refuse(index, "it stands for another tensor".to_owned(), "decompress the file"))
            }
        }
    }
}
