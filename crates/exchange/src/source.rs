//! What every file of weights looks like once it is open: a list of tensors, loaded one at a time.

use std::collections::BTreeMap;

use seedpress_codec::{DType, Tensor};

use crate::error::ExchangeError;

/// What a file says of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name, Hugging Face's where the format's own names could be mapped back.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The type as the file spells it, e.g. `Q4_K`, `F16`, `int64` or `gptq 4-bit`.
    pub stored: String,
    /// The type its values have once loaded; `None` for tensors that hold no weights (integers, booleans, `f64`).
    pub float: Option<DType>,
    /// Bytes it takes in the file.
    pub bytes: u64,
}

/// A tensor as loaded.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded {
    /// Weights.
    Float(Tensor),
    /// Little-endian values of a type no codec handles.
    Opaque {
        /// The data type as safetensors spells it, e.g. `I64`.
        dtype: String,
        /// The values.
        bytes: Vec<u8>,
    },
}

/// An open file of weights. Nothing but its index is in memory; [`load`](Self::load) reads one tensor.
pub trait TensorSource: Send + Sync {
    /// The format, for people: `GGUF v3`, `PyTorch (zip)`.
    fn format(&self) -> String;

    /// Every tensor, in the file's order. Names are unique.
    fn tensors(&self) -> &[TensorEntry];

    /// The file's own key-value metadata, as text.
    fn metadata(&self) -> &BTreeMap<String, String>;

    /// What the file holds beside tensors and metadata and is therefore left out, a sentence each.
    fn notes(&self) -> &[String];

    /// The blocks of a tensor that is stored in a type of GGUF's, rows in Hugging Face's order; `None` where it is not, or where its values
    /// are not what its blocks hold.
    ///
    /// # Errors
    /// Blocks that break the rules of their type.
    ///
    /// # Panics
    /// Where there is no such tensor.
    fn blocks(&self, index: usize) -> Result<Option<Vec<u8>>, ExchangeError> {
        let _ = index;
        Ok(None)
    }

    /// Loads tensor `index` of [`tensors`](Self::tensors).
    ///
    /// # Errors
    /// A tensor whose bytes break the rules of its type.
    ///
    /// # Panics
    /// Where there is no such tensor.
    fn load(&self, index: usize) -> Result<Loaded, ExchangeError>;
}

/// Says which name occurs twice, if one does.
pub(crate) fn repeated_name(entries: &[TensorEntry]) -> Option<&str> {
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
