//! The way back: from a container, or the beginning of one, to a checkpoint.

use seedpress_checkpoint::{ContainerFile, Declared, Output, SafetensorsWriter, SourceForm, Stored, companions};
use seedpress_codec::{DType, Limits, Registry};

use crate::assign::Patterns;
use crate::control::Control;
use crate::error::PressError;
use crate::line::{self, Ends};
use crate::narrow;
use crate::narrow::scales::Scales;

/// Values that are narrowed to their data type together.
const BLOCK: usize = 1 << 18;
/// Bytes that a weight takes while it is decoded: the value, and as much again for whatever it is decoded from.
const BYTES_IN_WORK: u64 = 8;

/// What decoding may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Memory {
    /// What the length of the file justifies: a KiB of values a byte in all and three at a time, and at least 16 and 48 MiB.
    #[default]
    Justified,
    /// This many bytes for a tensor, and any number of tensors: for files that are trusted.
    Bytes(u64),
}

impl Memory {
    pub(crate) fn limits(self, file: &ContainerFile) -> Limits {
        match self {
            Self::Justified => Limits::for_input(usize::try_from(file.at_hand()).unwrap_or(usize::MAX)),
            Self::Bytes(bytes) => Limits::new(bytes),
        }
    }

    /// Fails where a file declares more than its length justifies.
    ///
    /// # Errors
    /// A limit that is exceeded.
    pub fn check(self, file: &ContainerFile) -> Result<(), PressError> {
        let checked = match self {
            Self::Justified => file.index().check_declared(file.at_hand()),
            Self::Bytes(_) => Ok(()),
        };
        checked.map_err(|error| seedpress_checkpoint::CheckpointError::container(file.path())(error).into())
    }
}

/// What is restored, and how.
#[derive(Debug, Clone, Default)]
pub struct Restore {
    /// Decode from the first layers of each tensor.
    pub layers: Option<usize>,
    /// Write weights in this data type instead of the source's.
    pub dtype: Option<DType>,
    /// Tensors to restore.
    pub patterns: Patterns,
    /// What decoding may take.
    pub memory: Memory,
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Tensors written.
    pub tensors: usize,
    /// Layers they were decoded from.
    pub layers: usize,
    /// Layers they have.
    pub layers_total: usize,
    /// Bytes of the checkpoint.
    pub file_bytes: u64,
}

/// Restores a checkpoint, one tensor at a time, whole or not at all.
///
/// # Errors
/// A file that is cut before the last base layer, damaged, or asks for more than it may; what the operating system refuses.
pub fn decompress(
    file: &ContainerFile,
    registry: &Registry,
    restore: &Restore,
    control: &Control<'_>,
    output: Output,
) -> Result<Restored, PressError> {
    restore.memory.check(file)?;
    let entries = &file.index().entries;
    restore.patterns.check(entries.iter().map(|entry| entry.name.as_str()))?;
    let mut chosen: Vec<usize> =
        (0..entries.len()).filter(|&entry| restore.patterns.admit(&entries[entry].name)).collect();
    if restore.dtype.is_some() {
        let scales: std::collections::HashSet<usize> = scale_entries(file).into_iter().collect();
        chosen.retain(|entry| !scales.contains(entry));
    }
    check_reach(file, &chosen)?;
    let declared: Vec<Declared> = chosen.iter().map(|&entry| declare(file, entry, restore.dtype)).collect();
    let metadata = companions::without(&file.index().metadata);
    let writer = SafetensorsWriter::new(output, &declared, &metadata)?;
    let mut ends = Both { file, control, chosen, writer, next: 0, place: 0, restored: Restored::default() };
    line::run(control, &mut ends, |entry| {
        control.check()?;
        tensor(file, registry, restore, entry)
    })?;
    let Both { writer, mut restored, .. } = ends;
    restored.file_bytes = writer.finish()?;
    Ok(restored)
}

/// Every base layer that is needed must be at hand; says how many bytes would do.
fn check_reach(file: &ContainerFile, chosen: &[usize]) -> Result<(), PressError> {
    let index = file.index();
    let base = |&entry: &usize| index.parts[index.target(entry)].first().map_or(0, |part| part.offset + part.len);
    let (have, needed) = (file.at_hand(), chosen.iter().map(base).max().unwrap_or(0));
    if needed <= have {
        return Ok(());
    }
    Err(PressError::TooShort { path: file.path().to_owned(), have, needed, whole: index.whole_len })
}

fn declare(file: &ContainerFile, entry: usize, dtype: Option<DType>) -> Declared {
    let name = file.index().entries[entry].name.clone();
    let spelling = |dtype: DType| dtype.name().to_uppercase();
    let (dtype, shape) = match file.stored(entry) {
        Stored::Opaque { dtype, shape, .. } => (dtype.clone(), shape.clone()),
        Stored::Record(header) => (spelling(dtype.unwrap_or(header.dtype)), header.shape.clone()),
        Stored::Narrow { header, form } => (dtype.map_or_else(|| form.dtype.clone(), spelling), header.shape.clone()),
        // Aliases stand for one of the others.
        Stored::Alias(_) => (String::new(), Vec::new()),
    };
    Declared { name, dtype, shape }
}

/// A tensor that was restored.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// Weights.
    Weights {
        /// Row-major values, each of which `dtype` can hold.
        values: Vec<f32>,
        /// Their data type: the source's, or what was asked for.
        dtype: DType,
        /// Layers they were decoded from.
        layers: usize,
        /// Layers there are.
        layers_total: usize,
    },
    /// Weights of 8 or 4 bits, in the bytes of the source's own data type.
    Narrow {
        /// The bytes.
        bytes: Vec<u8>,
        /// Layers they were decoded from.
        layers: usize,
        /// Layers there are.
        layers_total: usize,
    },
    /// What holds no weights, as the source had it.
    Bytes(Vec<u8>),
}

/// Restores one tensor of a file.
///
/// # Errors
/// As [`decompress`], of this tensor.
pub fn tensor(
    file: &ContainerFile,
    registry: &Registry,
    restore: &Restore,
    entry: usize,
) -> Result<Tensor, PressError> {
    if let Stored::Opaque { .. } = file.stored(entry) {
        return Ok(Tensor::Bytes(file.opaque_bytes(entry)?));
    }
    let decoded = file.decode(entry, registry, restore.layers, &mut restore.memory.limits(file))?;
    let (layers, layers_total) = (decoded.layers, decoded.layers_total);
    let dtype = restore.dtype.unwrap_or(decoded.tensor.dtype());
    let shape = decoded.tensor.shape().to_vec();
    let mut values = decoded.tensor.into_values();
    let Stored::Narrow { form, .. } = file.stored(entry) else {
        return Ok(Tensor::Weights { values, dtype, layers, layers_total });
    };
    let wrong = |why: String| PressError::Source { tensor: file.index().entries[entry].name.clone(), why };
    let scales = scales(file, registry, restore.memory, form)?;
    if scales.as_ref().is_some_and(|scales| !scales.fit(&shape)) {
        return Err(wrong("its scales do not fit its shape".to_owned()));
    }
    if restore.dtype.is_some() {
        // The scales are left out of what is written: numbers stand for themselves.
        if let Some(scales) = scales.filter(|_| !form.applied) {
            scales.apply(&shape, &mut values, false);
        }
        return Ok(Tensor::Weights { values, dtype, layers, layers_total });
    }
    let scales = scales.filter(|_| form.applied);
    let bytes = narrow::narrow(form, &shape, &mut values, scales.as_ref()).map_err(wrong)?;
    Ok(Tensor::Narrow { bytes, layers, layers_total })
}

/// The scales of a form, from the container.
pub(crate) fn scales(
    file: &ContainerFile,
    registry: &Registry,
    memory: Memory,
    form: &SourceForm,
) -> Result<Option<Scales>, PressError> {
    let Some(place) = form.scale else { return Ok(None) };
    let values = match file.stored(place) {
        Stored::Opaque { dtype, .. } => narrow::scales::values(dtype, &file.opaque_bytes(place)?),
        _ => Some(file.decode(place, registry, None, &mut memory.limits(file))?.tensor.into_values()),
    };
    Ok(values.map(|values| Scales { values, block: form.block.clone() }))
}

/// Tensors that hold scales of others: left out where weights are written as numbers that stand for themselves.
fn scale_entries(file: &ContainerFile) -> Vec<usize> {
    let scale = |stored: &Stored| match stored {
        Stored::Narrow { form, .. } => form.scale,
        _ => None,
    };
    file.index().entries.iter().filter_map(|entry| scale(&entry.stored)).collect()
}

struct Both<'a> {
    file: &'a ContainerFile,
    control: &'a Control<'a>,
    chosen: Vec<usize>,
    writer: SafetensorsWriter,
    next: usize,
    place: usize,
    restored: Restored,
}

impl Ends for Both<'_> {
    type Job = usize;
    type Done = Tensor;

    fn next(&mut self) -> Result<Option<(usize, u64)>, PressError> {
        let Some(&place) = self.writer.order().get(self.next) else { return Ok(None) };
        self.next += 1;
        let entry = self.chosen[place];
        self.control.progress.begin(&self.file.index().entries[entry].name);
        let cost = match self.file.stored(entry) {
            Stored::Opaque { len, .. } => *len,
            stored => stored.record().map_or(0, |header| header.weights() as u64).saturating_mul(BYTES_IN_WORK),
        };
        Ok(Some((entry, cost)))
    }

    fn waiting(&self) -> usize {
        2
    }

    fn take(&mut self, done: Tensor) -> Result<(), PressError> {
        self.control.check()?;
        match done {
            Tensor::Bytes(bytes) => {
                self.writer.write(&bytes)?;
                self.control.progress.advance(bytes.len() as u64);
            }
            Tensor::Narrow { bytes, layers, layers_total } => {
                self.writer.write(&bytes)?;
                self.control.progress.advance(bytes.len() as u64);
                self.restored.layers += layers;
                self.restored.layers_total += layers_total;
            }
            Tensor::Weights { values, dtype, layers, layers_total } => {
                let mut bytes = Vec::with_capacity(BLOCK.min(values.len()) * dtype.size());
                for block in values.chunks(BLOCK) {
                    bytes.clear();
                    dtype.narrow(block, &mut bytes);
                    self.writer.write(&bytes)?;
                    self.control.progress.advance(bytes.len() as u64);
                }
                self.restored.layers += layers;
                self.restored.layers_total += layers_total;
            }
        }
        self.writer.end(self.place)?;
        self.place += 1;
        self.restored.tensors += 1;
        Ok(())
    }
}
