//! Files made in parts, on several machines: some of a checkpoint's tensors each, joined where all of them are at hand.
//!
//! A part is an `.sdp` file of its tensors, in the checkpoint's order. Joined, they make the file that one machine would have made, as
//! long as tensors of the same content, and weights with their scales, are in the same part.

use std::collections::BTreeMap;
use std::path::PathBuf;

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use seedpress::codec::{DecodeError, Record};
use seedpress_checkpoint::{
    Checkpoint, Container, ContainerView, ContainerWriter, Content, Entry, Index, Order, Stored, TensorInfo,
};
use seedpress_press::{Compressed, NoGuide, PressError, Sink, Source, compress};
use serde_json::json;

use crate::save::{Settings, beside, report};
use crate::{REGISTRY, errors, work};

fn open(py: Python<'_>, path: &std::path::Path) -> PyResult<Checkpoint> {
    py.detach(|| Checkpoint::open(path)).map_err(|error| errors::checkpoint(py, &error))
}

/// As JSON, the bytes of a checkpoint's files and its tensors, in its order. Those of the same content have the same `sample`; the reverse
/// need not hold.
#[pyfunction]
pub(crate) fn tensors(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let checkpoint = open(py, &path)?;
    let mut listed = Vec::new();
    for (place, info) in checkpoint.tensors().iter().enumerate() {
        let sample = Source::sample(&checkpoint, place).map_err(|error| errors::press(py, &error))?;
        listed.push(json!({
            "name": info.name, "dtype": info.dtype, "shape": info.shape, "bytes": info.bytes,
            "sample": sample.map(|sample| format!("{sample:032x}")),
        }));
    }
    Ok(json!({ "source_bytes": Source::source_bytes(&checkpoint), "tensors": listed }).to_string())
}

/// Some tensors of a checkpoint.
struct Chosen {
    checkpoint: Checkpoint,
    places: Vec<usize>,
    infos: Vec<TensorInfo>,
}

impl Source for Chosen {
    fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn load(&self, tensor: usize) -> Result<Content, PressError> {
        Source::load(&self.checkpoint, self.places[tensor])
    }

    fn blocks(&self, tensor: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), PressError> {
        Source::blocks(&self.checkpoint, self.places[tensor], take)
    }

    fn sample(&self, tensor: usize) -> Result<Option<u128>, PressError> {
        Source::sample(&self.checkpoint, self.places[tensor])
    }
}

/// Keeps what comes out.
#[derive(Default)]
struct Kept {
    entries: Vec<(String, Entry)>,
    memory: Vec<u64>,
}

impl Sink for Kept {
    fn push(&mut self, compressed: Compressed) -> Result<u64, PressError> {
        let Compressed { name, entry, memory, .. } = compressed;
        let bytes = match &entry {
            Entry::Record(record) | Entry::Narrow { record, .. } => {
                (0..record.layers.len()).map(|layer| record.header.layer_len(layer) as u64).sum()
            }
            Entry::Opaque { bytes, .. } => bytes.len() as u64 + 4,
            Entry::Alias(_) => 0,
        };
        self.entries.push((name, entry));
        self.memory.push(memory);
        Ok(bytes)
    }
}

/// Compresses some tensors of a checkpoint: the part, the memory that decoding each of them takes, and what became of them as JSON.
#[pyfunction]
#[pyo3(signature = (path, places, settings, progress))]
pub(crate) fn part<'py>(
    py: Python<'py>,
    path: PathBuf,
    places: Vec<usize>,
    settings: Settings,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyBytes>, Vec<u64>, String)> {
    let checkpoint = open(py, &path)?;
    let all = checkpoint.tensors();
    if !places.is_sorted_by(|a, b| a < b) || places.last().is_some_and(|&last| last >= all.len()) {
        return Err(PyValueError::new_err(format!("places are ascending and below {}", all.len())));
    }
    let rules = settings.rules(py, all)?;
    let infos: Vec<TensorInfo> = places.iter().map(|&place| all[place].clone()).collect();
    let total = infos.iter().map(|info| info.bytes as u64).sum();
    let source = Chosen { checkpoint, places, infos };
    let done = work::run(py, progress.as_ref(), total, |hands| {
        let mut kept = Kept::default();
        let control = settings.control(hands);
        let summary = compress(&source, &rules, &mut NoGuide, &REGISTRY, &control, &mut kept)?;
        let part = Container { order: Order::TensorMajor, entries: kept.entries, ..Container::default() };
        Ok((part.to_bytes(), kept.memory, report(&summary).to_string()))
    })?;
    let (bytes, memory, summary) = done.map_err(|error| errors::press(py, &error))?;
    Ok((PyBytes::new(py, &bytes), memory, summary))
}

/// Joins parts into the file of a checkpoint.
#[pyclass(module = "seedpress._native")]
pub struct Joiner {
    writer: Option<ContainerWriter>,
    names: Vec<String>,
    next: usize,
    /// What came before its turn.
    early: BTreeMap<usize, (Entry, u64)>,
}

#[pymethods]
impl Joiner {
    #[new]
    fn new(py: Python<'_>, source: PathBuf, path: PathBuf, settings: Settings) -> PyResult<Self> {
        let checkpoint = open(py, &source)?;
        let files: Vec<&std::path::Path> = checkpoint.files().iter().map(PathBuf::as_path).collect();
        let output = settings.output(py, &path, &[files.as_slice(), &[checkpoint.path()]].concat())?;
        let mut metadata = checkpoint.metadata().clone();
        metadata.extend(beside(py, &source)?);
        // Nothing that another run left is taken up: parts are kept elsewhere.
        let job = u128::from(std::process::id()) << 64 | output.path().as_os_str().len() as u128;
        let writer = ContainerWriter::new(output, settings.order(), metadata, job);
        let writer = Some(writer.map_err(|error| errors::checkpoint(py, &error))?);
        let names = checkpoint.tensors().iter().map(|info| info.name.clone()).collect();
        Ok(Self { writer, names, next: 0, early: BTreeMap::new() })
    }

    /// Takes a part of the tensors at these places.
    fn push(
        &mut self,
        py: Python<'_>,
        places: Vec<usize>,
        part: PyReadonlyArray1<'_, u8>,
        memory: Vec<u64>,
    ) -> PyResult<()> {
        let bytes = part.as_slice().map_err(|_| PyValueError::new_err("the bytes are not contiguous"))?;
        let entries = entries(bytes, &places).map_err(|error| errors::decode(py, &error))?;
        if entries.len() != places.len() || memory.len() != places.len() {
            return Err(PyValueError::new_err("a part of other tensors"));
        }
        for ((name, entry), (place, memory)) in entries.into_iter().zip(places.into_iter().zip(memory)) {
            if self.names.get(place) != Some(&name) {
                return Err(PyValueError::new_err(format!("`{name}` is not the tensor at {place}")));
            }
            self.early.insert(place, (entry, memory));
        }
        let writer = self.writer.as_mut().ok_or_else(|| PyValueError::new_err("the file is finished"))?;
        while let Some((entry, memory)) = self.early.remove(&self.next) {
            let written = writer.push(&self.names[self.next], &entry, self.next as u128, memory);
            written.map_err(|error| errors::checkpoint(py, &error))?;
            self.next += 1;
        }
        Ok(())
    }

    /// Writes the file and puts it in its place; returns its length.
    fn finish(&mut self, py: Python<'_>) -> PyResult<u64> {
        if self.next < self.names.len() {
            return Err(PyValueError::new_err(format!("`{}` is missing", self.names[self.next])));
        }
        let writer = self.writer.take().ok_or_else(|| PyValueError::new_err("the file is finished"))?;
        py.detach(|| writer.finish(&|| true)).map_err(|error| errors::checkpoint(py, &error))
    }

    /// Gives up what is not finished; nothing is left behind.
    fn close(&mut self) {
        self.writer = None;
        self.early.clear();
    }
}

/// The entries of a part; what they say of other tensors is said of their places in the checkpoint.
fn entries(bytes: &[u8], places: &[usize]) -> Result<Vec<(String, Entry)>, DecodeError> {
    let (index, view) = (Index::parse(bytes)?, ContainerView::parse(bytes)?);
    let place = |local: usize| places.get(local).copied().ok_or(DecodeError::corrupt("a part of other tensors"));
    let mut entries = Vec::with_capacity(index.entries.len());
    for (at, listed) in index.entries.iter().enumerate() {
        let record = |header: &seedpress::codec::RecordHeader| {
            let mut whole = header.to_bytes();
            for part in &index.parts[at] {
                let stored = bytes.get(part.offset as usize..(part.offset + part.len) as usize);
                whole.extend_from_slice(stored.ok_or(DecodeError::truncated(part.len as usize, 0))?);
            }
            Record::parse(&whole)
        };
        let entry = match &listed.stored {
            Stored::Record(header) => Entry::Record(record(header)?),
            Stored::Narrow { header, form } => {
                let mut form = form.as_ref().clone();
                form.scale = form.scale.map(place).transpose()?;
                Entry::Narrow { record: record(header)?, form }
            }
            Stored::Opaque { dtype, shape, .. } => {
                let bytes = view.entries[at].opaque_bytes()?.to_vec();
                Entry::Opaque { dtype: dtype.clone(), shape: shape.clone(), bytes }
            }
            Stored::Alias(other) => Entry::Alias(place(*other)?),
        };
        entries.push((listed.name.clone(), entry));
    }
    Ok(entries)
}
