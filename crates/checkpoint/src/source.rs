//! Safetensors files, single or sharded by an index, memory-mapped, one tensor at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use seedpress_codec::{DType, Tensor};

use crate::error::CheckpointError;

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

/// A tensor as loaded.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Weights.
    Float(Tensor),
    /// Bytes of a type no codec handles.
    Opaque(Vec<u8>),
}

struct Place {
    shard: usize,
    start: usize,
    end: usize,
}

/// An open checkpoint. Tensors are in file order, shard after shard.
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Mmap>,
    infos: Vec<TensorInfo>,
    places: Vec<Place>,
    metadata: BTreeMap<String, String>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint").field("path", &self.path).field("tensors", &self.infos.len()).finish()
    }
}

impl Checkpoint {
    /// Opens a `.safetensors` file, or the `.safetensors.index.json` of a sharded checkpoint.
    ///
    /// # Errors
    /// A file that cannot be read, is no safetensors file, is cut short, or whose shards are missing or hold the same name twice.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self {
            path: path.to_owned(),
            shards: Vec::new(),
            infos: Vec::new(),
            places: Vec::new(),
            metadata: BTreeMap::new(),
        };
        if path.extension().is_some_and(|extension| extension == "json") {
            for shard in shards_of(path)? {
                checkpoint.add(&shard)?;
            }
        } else {
            checkpoint.add(path)?;
        }
        let mut names: Vec<&str> = checkpoint.infos.iter().map(|info| info.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let why = format!("two shards hold a tensor named `{}`", twice[0]);
            return Err(CheckpointError::Index { path: path.to_owned(), why });
        }
        Ok(checkpoint)
    }

    fn add(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let map = map(path)?;
        let fault = |why: String| CheckpointError::Safetensors { path: path.to_owned(), why };
        let parsed = SafeTensors::deserialize(&map).map_err(|error| fault(error.to_string()))?;
        let (_, metadata) = SafeTensors::read_metadata(&map).map_err(|error| fault(error.to_string()))?;
        let base = map.as_ptr() as usize;
        for name in metadata.offset_keys() {
            let view = parsed.tensor(&name).map_err(|error| fault(error.to_string()))?;
            let start = view.data().as_ptr() as usize - base;
            self.places.push(Place { shard: self.shards.len(), start, end: start + view.data().len() });
            self.infos.push(TensorInfo {
                dtype: dtype_name(view.dtype()),
                shape: view.shape().to_vec(),
                bytes: view.data().len(),
                name,
            });
        }
        if let Some(entries) = metadata.metadata() {
            self.metadata.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        self.shards.push(map);
        Ok(())
    }

    /// The file this was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every tensor, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    /// The file's own key-value metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Bytes of all tensors at the source.
    pub fn source_bytes(&self) -> u64 {
        self.infos.iter().map(|info| info.bytes as u64).sum()
    }

    /// Loads tensor `index` of [`tensors`](Self::tensors).
    ///
    /// # Errors
    /// A tensor whose bytes do not fit its shape.
    ///
    /// # Panics
    /// Where there is no such tensor.
    pub fn load(&self, index: usize) -> Result<Content, CheckpointError> {
        let (info, place) = (&self.infos[index], &self.places[index]);
        let bytes = &self.shards[place.shard][place.start..place.end];
        match info.float() {
            Some(dtype) => {
                Tensor::from_le_bytes(dtype, info.shape.clone(), bytes).map(Content::Float).map_err(|error| {
                    CheckpointError::Safetensors { path: self.path.clone(), why: format!("`{}`: {error}", info.name) }
                })
            }
            None => Ok(Content::Opaque(bytes.to_vec())),
        }
    }

    /// Loads a tensor of weights by name.
    ///
    /// # Errors
    /// No such tensor, or one that holds no floats.
    pub fn load_float(&self, name: &str) -> Result<Tensor, CheckpointError> {
        let missing = || CheckpointError::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let index = self.infos.iter().position(|info| info.name == name).ok_or_else(missing)?;
        match self.load(index)? {
            Content::Float(tensor) => Ok(tensor),
            Content::Opaque(_) => Err(missing()),
        }
    }
}

/// The file's own spelling of a data type.
fn dtype_name(dtype: Dtype) -> String {
    // Serde holds the canonical spelling; every variant is a plain string.
    serde_json::to_value(dtype).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[allow(unsafe_code)]
fn map(path: &Path) -> Result<Mmap, CheckpointError> {
    let file = File::open(path).map_err(CheckpointError::io(path))?;
    if file.metadata().map_err(CheckpointError::io(path))?.is_dir() {
        return Err(CheckpointError::Safetensors { path: path.to_owned(), why: "it is a directory".to_owned() });
    }
    // SAFETY: the map is read-only and private to this process. Another process that shrinks the file while it is mapped would
    // cause a fault; that is the accepted contract of every memory-mapped checkpoint reader.
    unsafe { Mmap::map(&file) }.map_err(CheckpointError::io(path))
}

fn shards_of(path: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let fault = |why: String| CheckpointError::Index { path: path.to_owned(), why };
    let text = std::fs::read(path).map_err(CheckpointError::io(path))?;
    let index: serde_json::Value = serde_json::from_slice(&text).map_err(|error| fault(error.to_string()))?;
    let weights =
        index.get("weight_map").and_then(|map| map.as_object()).ok_or_else(|| fault("no `weight_map`".into()))?;
    let mut names = Vec::new();
    for value in weights.values() {
        let name = value.as_str().ok_or_else(|| fault("a `weight_map` value is no file name".into()))?;
        // A shard lies beside its index: a path that leads elsewhere is an attack or a mistake.
        if Path::new(name).file_name().is_none_or(|file| file != name) {
            return Err(fault(format!("shard `{name}` is not a plain file name")));
        }
        names.push(name);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(|name| path.with_file_name(name)).collect())
}
