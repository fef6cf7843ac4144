//! The tensors a packed matrix is made of.

use std::collections::HashMap;

use half::{bf16, f16};
use seedpress_checkpoint::{Checkpoint, Content, SavedTensor};
use seedpress_codec::{DType, Tensor};

use crate::cursor::Why;

/// Access to the parts of one packed matrix in a checkpoint.
pub struct Parts<'a> {
    checkpoint: &'a Checkpoint,
    index: &'a HashMap<String, usize>,
    /// The name without its last part, e.g. `model.layers.0.mlp.up_proj`.
    stem: &'a str,
    /// Parts are stacks, of which this member is meant.
    expert: Option<usize>,
}

impl<'a> Parts<'a> {
    /// Parts whose names begin with `stem` and a dot; `index` says where in the checkpoint a name is.
    pub fn new(checkpoint: &'a Checkpoint, index: &'a HashMap<String, usize>, stem: &'a str) -> Self {
        Self { checkpoint, index, stem, expert: None }
    }

    /// The parts of one member where they are stacks, or all as they are.
    pub fn of_expert(self, expert: Option<usize>) -> Self {
        Self { expert, ..self }
    }

    fn index(&self, part: &str) -> Option<usize> {
        self.index.get(&format!("{}.{part}", self.stem)).copied()
    }

    /// The shape of a part, `None` where it is missing.
    pub fn shape(&self, part: &str) -> Option<&'a [usize]> {
        let shape = self.index(part).map(|index| self.checkpoint.tensors()[index].shape.as_slice())?;
        match self.expert {
            None => Some(shape),
            Some(expert) => shape.split_first().filter(|(experts, _)| expert < **experts).map(|(_, shape)| shape),
        }
    }

    /// The data type of a part.
    pub fn dtype(&self, part: &str) -> Option<&'a str> {
        self.index(part).map(|index| self.checkpoint.tensors()[index].dtype.as_str())
    }

    fn load(&self, part: &str) -> Result<Content, Why> {
        let missing = || format!("`{}.{part}` is missing", self.stem);
        let index = self.index(part).ok_or_else(missing)?;
        let Some(expert) = self.expert else { return self.checkpoint.load(index).map_err(|error| error.to_string()) };
        let (info, shape) = (&self.checkpoint.tensors()[index], self.shape(part).ok_or_else(missing)?);
        let size = info.bytes / info.shape[0];
        let bytes = self.checkpoint.range(index, expert * size, size).map_err(|error| error.to_string())?;
        match info.float() {
            None => Ok(Content::Opaque(bytes)),
            Some(dtype) => Tensor::from_le_bytes(dtype, shape.to_vec(), &bytes)
                .map(Content::Float)
                .map_err(|error| format!("`{}.{part}`: {error}", self.stem)),
        }
    }

    /// A matrix of 32-bit words: rows, columns, words.
    pub fn words(&self, part: &str) -> Result<(usize, usize, Vec<u32>), Why> {
        let shape = self.shape(part).ok_or_else(|| format!("`{}.{part}` is missing", self.stem))?;
        let &[rows, columns] = shape else { return Err(format!("`{part}` is no matrix")) };
        match (self.load(part)?, self.dtype(part)) {
            (Content::Opaque(bytes), Some("I32" | "U32")) => {
                Ok((rows, columns, bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect()))
            }
            (_, dtype) => Err(format!("`{part}` holds {}, not 32-bit words", dtype.unwrap_or_default())),
        }
    }

    /// Whole numbers of 32 or 64 bits, or signed bytes.
    pub fn integers(&self, part: &str) -> Result<Vec<i64>, Why> {
        match (self.load(part)?, self.dtype(part)) {
            (Content::Opaque(bytes), Some("I64")) => {
                Ok(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
            }
            (Content::Opaque(bytes), Some("I32")) => {
                Ok(bytes.as_chunks().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect())
            }
            (Content::Opaque(bytes), Some("I8")) => Ok(bytes.iter().map(|&b| i64::from(b as i8)).collect()),
            (_, dtype) => Err(format!("`{part}` holds {}, not whole numbers", dtype.unwrap_or_default())),
        }
    }

    /// Floats.
    pub fn floats(&self, part: &str) -> Result<Vec<f32>, Why> {
        match self.load(part)? {
            Content::Float(tensor) => Ok(tensor.into_values()),
            Content::Opaque(_) => Err(format!("`{part}` holds {}, not floats", self.dtype(part).unwrap_or_default())),
        }
    }
}

/// The tensors a matrix becomes, by the last part of their names.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// `("qweight", tensor)` and so on.
    pub parts: Vec<(&'static str, SavedTensor)>,
    /// Scales, of how many, that the layout's float type could not hold exactly and that were rounded.
    pub rounded: (usize, usize),
}

/// A tensor of 32-bit words.
pub(crate) fn words_tensor(dtype: &str, shape: Vec<usize>, words: &[u32]) -> SavedTensor {
    SavedTensor { dtype: dtype.to_owned(), shape, bytes: super::words::to_bytes(words) }
}

/// Floats in one of the three types, and how many were not exact in it.
pub(crate) fn float_tensor(dtype: DType, shape: Vec<usize>, values: &[f32]) -> (SavedTensor, usize) {
    let mut inexact = 0;
    let mut bytes = Vec::with_capacity(values.len() * dtype.size());
    for &value in values {
        let held = match dtype {
            DType::F32 => value,
            DType::F16 => f16::from_f32(value).to_f32(),
            DType::BF16 => bf16::from_f32(value).to_f32(),
        };
        inexact += usize::from(held != value);
        match dtype {
            DType::F32 => bytes.extend_from_slice(&value.to_le_bytes()),
            DType::F16 => bytes.extend_from_slice(&f16::from_f32(value).to_le_bytes()),
            DType::BF16 => bytes.extend_from_slice(&bf16::from_f32(value).to_le_bytes()),
        }
    }
    (SavedTensor { dtype: dtype.name().to_uppercase(), shape, bytes }, inexact)
}

/// A row-major matrix turned round.
pub(crate) fn transposed<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values[row * columns + column]));
    }
    out
}
