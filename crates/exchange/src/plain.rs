//! Weights in any format as plain safetensors, which can be mapped: what a network that runs and a matrix of measurements read.

use std::path::{Path, PathBuf};

use seedpress_codec::DType;
use tempfile::TempDir;

use crate::error::ExchangeError;
use crate::export::{FileSupply, ModelFiles, PackedOptions, Target, write_packed};
use crate::packed::{Layout, PackedCheckpoint};

/// Bytes of a file that weights are decoded into; as many are held in memory.
const SHARD: u64 = 256 << 20;

/// Each tensor keeps the type that its values have once loaded.
const OWN_TYPE: Option<DType> = None;

/// Weights as safetensors that are not packed: the file or folder given, or a temporary folder that it was decoded into, which goes with
/// this value.
#[derive(Debug)]
pub struct Plain {
    path: PathBuf,
    notes: Vec<String>,
    decoded: Option<TempDir>,
}

impl Plain {
    /// The weights of a file or folder in any format that is read.
    ///
    /// Safetensors that are damaged are handed on as they are: their own reader says what is wrong.
    ///
    /// # Errors
    /// See [`crate::open()`]; no room for the decoded weights.
    pub fn weights(path: &Path) -> Result<Self, ExchangeError> {
        match crate::open(path) {
            Err(ExchangeError::Checkpoint(_)) => Ok(Self::as_it_is(path)),
            Err(error) => Err(error),
            Ok(source) if source.format() == PackedCheckpoint::PLAIN => Ok(Self::as_it_is(path)),
            Ok(_) => Self::decode(path, None),
        }
    }

    /// A folder of a model: its weights with `config.json` and the files of its tokenizer, those of the folder `config` where the weights
    /// have none beside them.
    ///
    /// # Errors
    /// As [`weights`](Self::weights), and [`ExchangeError::Model`] where no folder says what model it is.
    pub fn model(path: &Path, config: Option<&Path>) -> Result<Self, ExchangeError> {
        if is_plain(path)? {
            return Ok(Self::as_it_is(path));
        }
        Self::decode(path, Some(&ModelFiles::of(path, config)?))
    }

    /// Where the weights are.
    pub fn path(&self) -> &Path {
        self.decoded.as_ref().map_or(&self.path, |folder| folder.path())
    }

    /// What the file holds beside weights and is left out, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn as_it_is(path: &Path) -> Self {
        Self { path: path.to_owned(), notes: Vec::new(), decoded: None }
    }

    fn decode(path: &Path, files: Option<&ModelFiles>) -> Result<Self, ExchangeError> {
        let folder = tempfile::tempdir().map_err(ExchangeError::io(path))?;
        let supply = FileSupply::open(path)?;
        let (codec, keep) = (|_: &str| None, |_: &str| false);
        let target = Target::Safetensors(OWN_TYPE);
        let options = PackedOptions { target, codec: &codec, requantise: false, keep: &keep, shard: SHARD };
        write_packed(&supply, files, &options, folder.path(), &|_| {})?;
        let notes = supply.source().notes().to_vec();
        Ok(Self { path: path.to_owned(), notes, decoded: Some(folder) })
    }
}

/// Whether a path is a folder whose weights are safetensors that are not packed.
fn is_plain(folder: &Path) -> Result<bool, ExchangeError> {
    let plain = ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| folder.join(name).is_file());
    Ok(plain && Layout::of_folder(folder)?.is_none())
}
