//! Where a forward pass takes its weights from: a memory-mapped checkpoint, and tensors that stand in place of some of its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use seedpress_checkpoint::Checkpoint;

use crate::config::Shapes;
use crate::error::TransformerError;

/// Weights by the names of the checkpoint's tensors.
pub trait Weights: Sync {
    /// Values `range` of a tensor in its own order, as f32.
    ///
    /// # Errors
    /// No such tensor, one that is shorter, or one that cannot be read.
    fn values(&self, tensor: &str, range: Range<usize>) -> Result<Cow<'_, [f32]>, TransformerError>;
}

/// Values widened by one task.
const STRETCH: usize = 1 << 16;

#[derive(Debug)]
struct Place {
    shard: usize,
    bytes: Range<usize>,
    dtype: Dtype,
}

/// A checkpoint whose files are memory-mapped. Nothing is read before it is asked for, and nothing is kept.
#[derive(Debug)]
pub struct MappedWeights {
    shards: Vec<Mmap>,
    places: HashMap<String, Place>,
    shapes: Shapes,
}

impl MappedWeights {
    /// Opens a folder's weights: the files that [`Checkpoint`] takes of it.
    ///
    /// # Errors
    /// Files that are missing, no safetensors files, or damaged.
    pub fn open(folder: &Path) -> Result<Self, TransformerError> {
        let mut weights = Self { shards: Vec::new(), places: HashMap::new(), shapes: Shapes::new() };
        for file in Checkpoint::open(folder)?.files() {
            weights.add(file)?;
        }
        Ok(weights)
    }

    fn add(&mut self, path: &Path) -> Result<(), TransformerError> {
        let file = File::open(path).map_err(TransformerError::io(path))?;
        let map = map(&file).map_err(TransformerError::io(path))?;
        let parsed = SafeTensors::deserialize(&map).map_err(|error| TransformerError::file(path, error))?;
        let base = map.as_ptr() as usize;
        for (name, view) in parsed.tensors() {
            let start = view.data().as_ptr() as usize - base;
            let bytes = start..start + view.data().len();
            let place = Place { shard: self.shards.len(), bytes, dtype: view.dtype() };
            if self.places.insert(name.clone(), place).is_some() {
                return Err(TransformerError::tensor(&name, "is in two shards"));
            }
            self.shapes.insert(name, view.shape().to_vec());
        }
        self.shards.push(map);
        Ok(())
    }

    /// Shapes of all tensors.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }
}

impl Weights for MappedWeights {
    fn values(&self, tensor: &str, range: Range<usize>) -> Result<Cow<'_, [f32]>, TransformerError> {
        let place = self.places.get(tensor).ok_or_else(|| TransformerError::tensor(tensor, "is missing"))?;
        let bytes = &self.shards[place.shard][place.bytes.clone()];
        let size = match place.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => return Err(TransformerError::tensor(tensor, format!("{other:?} is no type of weights"))),
        };
        let short = || TransformerError::tensor(tensor, "is shorter than its use");
        let bytes = bytes.get(range.start * size..range.end * size).ok_or_else(short)?;
        Ok(match place.dtype {
            Dtype::F32 => match bytemuck::try_cast_slice(bytes) {
                Ok(values) if cfg!(target_endian = "little") => Cow::Borrowed(values),
                _ => Cow::Owned(widen(bytes, f32::from_le_bytes)),
            },
            Dtype::F16 => Cow::Owned(widen(bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
            _ => Cow::Owned(widen(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        })
    }
}

/// Values of `N` bytes each, as f32, on all threads.
fn widen<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<N>();
    let mut values = vec![0f32; chunks.len()];
    values.par_chunks_mut(STRETCH).zip(chunks.par_chunks(STRETCH)).for_each(|(values, chunks)| {
        values.iter_mut().zip(chunks).for_each(|(value, &bytes)| *value = convert(bytes));
    });
    values
}

#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this process. Another process that shrinks the file while it is mapped would
    // cause a fault; that is the accepted contract of every memory-mapped checkpoint reader.
    unsafe { Mmap::map(file) }
}

/// Weights of which some are replaced: compressed and decoded ones in place of the checkpoint's.
pub struct Replaced<'a> {
    base: &'a dyn Weights,
    values: BTreeMap<String, Vec<f32>>,
}

impl<'a> Replaced<'a> {
    /// Nothing is replaced yet.
    pub fn new(base: &'a dyn Weights) -> Self {
        Self { base, values: BTreeMap::new() }
    }

    /// Puts values in place of a tensor's; the number must be the same.
    pub fn insert(&mut self, tensor: impl Into<String>, values: Vec<f32>) {
        self.values.insert(tensor.into(), values);
    }

    /// Takes the checkpoint's values again.
    pub fn remove(&mut self, tensor: &str) {
        self.values.remove(tensor);
    }
}

impl Weights for Replaced<'_> {
    fn values(&self, tensor: &str, range: Range<usize>) -> Result<Cow<'_, [f32]>, TransformerError> {
        match self.values.get(tensor) {
            None => self.base.values(tensor, range),
            Some(values) => match values.get(range) {
                Some(values) => Ok(Cow::Borrowed(values)),
                None => Err(TransformerError::tensor(tensor, "is shorter than its use")),
            },
        }
    }
}

/// Weights that are widened once and kept: for many short passes, at the price of the whole model in memory.
pub(crate) struct Kept<'a> {
    base: &'a dyn Weights,
    values: BTreeMap<String, Vec<f32>>,
}

impl<'a> Kept<'a> {
    /// Reads all tensors of these shapes.
    ///
    /// # Errors
    /// Tensors that cannot be read.
    pub(crate) fn new(base: &'a dyn Weights, shapes: &Shapes) -> Result<Self, TransformerError> {
        let read = |(name, shape): (&String, &Vec<usize>)| {
            let values = base.values(name, 0..shape.iter().product())?.into_owned();
            Ok((name.clone(), values))
        };
        Ok(Self { base, values: shapes.iter().map(read).collect::<Result<_, TransformerError>>()? })
    }
}

impl Weights for Kept<'_> {
    fn values(&self, tensor: &str, range: Range<usize>) -> Result<Cow<'_, [f32]>, TransformerError> {
        match self.values.get(tensor).and_then(|values| values.get(range.clone())) {
            Some(values) => Ok(Cow::Borrowed(values)),
            None => self.base.values(tensor, range),
        }
    }
}

/// Weights rounded to bf16.
pub(crate) struct Rounded<'a>(pub &'a dyn Weights);

impl Weights for Rounded<'_> {
    fn values(&self, tensor: &str, range: Range<usize>) -> Result<Cow<'_, [f32]>, TransformerError> {
        let mut values = self.0.values(tensor, range)?.into_owned();
        values.par_iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32());
        Ok(Cow::Owned(values))
    }
}
