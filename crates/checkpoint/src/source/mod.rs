//! Safetensors files, single or sharded by an index, one tensor at a time.

mod header;
mod index;
mod info;

pub use info::TensorInfo;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use seedpress_codec::Tensor;
use seedpress_codec::text::printable;

use crate::error::CheckpointError;
use crate::input::Input;

/// A tensor as loaded.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Weights.
    Float(Tensor),
    /// Bytes of a type no codec handles.
    Opaque(Vec<u8>),
}

#[derive(Debug)]
struct Place {
    shard: usize,
    start: u64,
}

/// An open checkpoint. Tensors are in file order, shard after shard.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<PathBuf>,
    left_out: Vec<PathBuf>,
    shards: Vec<Input>,
    infos: Vec<TensorInfo>,
    places: Vec<Place>,
    names: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, the `.safetensors.index.json` of a sharded checkpoint, a folder that holds either, or standard
    /// input (`-`). Headers are read, nothing else.
    ///
    /// # Errors
    /// A file that cannot be read, is no safetensors file, is cut short; an index that names no tensor, a shard that is missing, a
    /// tensor that its shard lacks; a name that two shards hold; a folder that holds shards without their index, or several checkpoints.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let found = index::find(path)?;
        let mut checkpoint = Self {
            path: found.path,
            files: found.shards,
            left_out: found.left_out,
            shards: Vec::new(),
            infos: Vec::new(),
            places: Vec::new(),
            names: HashMap::new(),
            metadata: BTreeMap::new(),
        };
        for shard in 0..checkpoint.files.len() {
            checkpoint.add(shard)?;
        }
        let fault = |why: String| CheckpointError::Index { path: checkpoint.path.clone(), why };
        for (name, &shard) in found.promised.iter().flatten() {
            let held = checkpoint.names.get(name).is_some_and(|&index| checkpoint.places[index].shard == shard);
            if !held {
                let file = checkpoint.files[shard].file_name().unwrap_or_default().to_string_lossy();
                return Err(fault(format!("shard {file} holds no tensor named `{}`", printable(name))));
            }
        }
        Ok(checkpoint)
    }

    fn add(&mut self, shard: usize) -> Result<(), CheckpointError> {
        let opened = header::open(&self.files[shard])?;
        for (info, start) in opened.tensors {
            if self.names.insert(info.name.clone(), self.infos.len()).is_some() {
                let why = format!("two shards hold a tensor named `{}`", printable(&info.name));
                return Err(CheckpointError::Index { path: self.path.clone(), why });
            }
            self.infos.push(info);
            self.places.push(Place { shard, start });
        }
        self.metadata.extend(opened.metadata);
        self.shards.push(opened.input);
        Ok(())
    }

    /// The file this was opened from: of a folder, the file that was found in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every file it consists of, without the index.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Safetensors files beside those of a folder or an index, which are no part of it.
    pub fn left_out(&self) -> &[PathBuf] {
        &self.left_out
    }

    /// Which of how many shards this is by its name, where a file was opened that is one of several.
    pub fn shard(&self) -> Option<(u32, u32)> {
        let alone = self.files.len() == 1 && self.files[0] == self.path;
        index::shard_number(&self.path).filter(|_| alone)
    }

    /// Every tensor, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    /// The place of a tensor in [`tensors`](Self::tensors).
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The file's own key-value metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Bytes of all tensors at the source.
    pub fn source_bytes(&self) -> u64 {
        self.infos.iter().map(|info| info.bytes as u64).sum()
    }

    /// Bytes of all its files, without the index.
    pub fn file_bytes(&self) -> u64 {
        self.shards.iter().map(Input::len).sum()
    }

    /// Loads tensor `index` of [`tensors`](Self::tensors).
    ///
    /// # Errors
    /// The operating system's; a file that became shorter.
    ///
    /// # Panics
    /// Where there is no such tensor.
    pub fn load(&self, index: usize) -> Result<Content, CheckpointError> {
        let Some(dtype) = self.infos[index].float() else { return self.bytes(index).map(Content::Opaque) };
        let info = &self.infos[index];
        let mut values = Vec::with_capacity(info.bytes / dtype.size());
        self.blocks(index, |block| dtype.widen(block, &mut values))?;
        Tensor::new(info.shape.clone(), values, dtype).map(Content::Float).map_err(|error| {
            let why = format!("`{}`: {error}", printable(&info.name));
            CheckpointError::Safetensors { path: self.path.clone(), why }
        })
    }

    /// The bytes of tensor `index`, as the file has them.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    ///
    /// # Panics
    /// Where there is no such tensor.
    pub fn bytes(&self, index: usize) -> Result<Vec<u8>, CheckpointError> {
        let place = &self.places[index];
        self.shards[place.shard].bytes(place.start, self.infos[index].bytes)
    }

    /// Hands the bytes of tensor `index` to `take`, a block at a time, whole elements each.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    ///
    /// # Panics
    /// Where there is no such tensor.
    pub fn blocks(&self, index: usize, take: impl FnMut(&[u8])) -> Result<(), CheckpointError> {
        let place = &self.places[index];
        self.shards[place.shard].blocks(place.start, self.infos[index].bytes, 16, take)
    }

    /// `len` bytes of tensor `index` from its byte `start` on.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    ///
    /// # Panics
    /// Where there is no such tensor, or it has fewer bytes.
    pub fn range(&self, index: usize, start: usize, len: usize) -> Result<Vec<u8>, CheckpointError> {
        let (info, place) = (&self.infos[index], &self.places[index]);
        assert!(start <= info.bytes && len <= info.bytes - start, "a range outside the tensor");
        self.shards[place.shard].bytes(place.start + start as u64, len)
    }

    /// Loads a tensor of weights by name.
    ///
    /// # Errors
    /// No such tensor, or one that holds no floats.
    pub fn load_float(&self, name: &str) -> Result<Tensor, CheckpointError> {
        let missing = || CheckpointError::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        match self.load(self.find(name).ok_or_else(missing)?)? {
            Content::Float(tensor) => Ok(tensor),
            Content::Opaque(_) => Err(missing()),
        }
    }
}
