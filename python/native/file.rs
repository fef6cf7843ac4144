//! `.sdp` files in.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use numpy::PyReadonlyArray1;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use rayon::prelude::*;
use seedpress_checkpoint::{ContainerFile, Index, Stored};
use seedpress_press::decompress::{self, Memory as Trust};
use seedpress_press::{PressError, Progress, Restore};

use crate::array::{Flat, Memory, flat};
use crate::work::{self, in_pool};
use crate::{REGISTRY, errors};

/// What a file holds, as JSON.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let file = py.detach(|| ContainerFile::open(&path, None)).map_err(|error| errors::checkpoint(py, &error))?;
    Ok(seedpress_press::inspect(file.index(), file.at_hand()).to_string())
}

/// What data in memory holds, as JSON.
#[pyfunction]
pub(crate) fn inspect_bytes(py: Python<'_>, data: PyReadonlyArray1<'_, u8>) -> PyResult<String> {
    let bytes = data.as_slice().map_err(|_| PyValueError::new_err("the bytes are not contiguous"))?;
    let at_hand = bytes.len() as u64;
    let index = Index::parse(bytes).and_then(|index| index.check_length(at_hand).map(|()| index));
    let index = index.map_err(|error| errors::decode(py, &error))?;
    Ok(seedpress_press::inspect(&index, at_hand).to_string())
}

/// An open file, or the beginning of one.
#[pyclass(frozen, module = "seedpress._native")]
pub struct File {
    file: ContainerFile,
    trust: Trust,
}

#[pymethods]
impl File {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, max_bytes: Option<u64>, max_memory: Option<u64>) -> PyResult<Self> {
        let trust = max_memory.map_or(Trust::Justified, Trust::Bytes);
        let file =
            py.detach(|| ContainerFile::open(&path, max_bytes)).map_err(|error| errors::checkpoint(py, &error))?;
        trust.check(&file).map_err(|error| errors::press(py, &error))?;
        Ok(Self { file, trust })
    }

    /// What it holds, as JSON.
    fn inspect(&self) -> String {
        seedpress_press::inspect(self.file.index(), self.file.at_hand()).to_string()
    }

    /// Decodes tensors by their places in the index.
    #[pyo3(signature = (places, layers, threads, progress))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        places: Vec<usize>,
        layers: Option<usize>,
        threads: usize,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Flat<'py>>> {
        let entries = &self.file.index().entries;
        if let Some(place) = places.iter().find(|&&place| place >= entries.len()) {
            return Err(PyIndexError::new_err(format!("no tensor {place} among {}", entries.len())));
        }
        let restore = Restore { layers, memory: self.trust, ..Restore::default() };
        let total = places.iter().map(|&place| self.size(place)).sum();
        let done = work::run(py, progress.as_ref(), total, |hands| {
            let read = |&place: &usize| {
                if hands.stop.load(Ordering::Relaxed) {
                    return Err(PressError::Cancelled);
                }
                hands.meter.begin(&entries[place].name);
                let tensor = decompress::tensor(&self.file, &REGISTRY, &restore, place)?;
                hands.meter.advance(self.size(place));
                Ok(Memory::of(tensor, self.dtype(place)))
            };
            in_pool(threads, || places.par_iter().map(read).collect::<Result<Vec<_>, _>>())
        })?;
        let read = done.map_err(PyValueError::new_err)?.map_err(|error| errors::press(py, &error))?;
        Ok(read.into_iter().map(|memory| flat(py, memory)).collect())
    }
}

impl File {
    /// The data type of what is not 16-bit or 32-bit floats.
    fn dtype(&self, place: usize) -> &str {
        match self.file.stored(place) {
            Stored::Opaque { dtype, .. } => dtype,
            Stored::Narrow { form, .. } => &form.dtype,
            Stored::Record(_) | Stored::Alias(_) => "",
        }
    }

    /// Bytes of a tensor when it is restored, or about as many.
    fn size(&self, place: usize) -> u64 {
        match self.file.stored(place) {
            Stored::Opaque { len, .. } => *len,
            stored => stored.record().map_or(0, |header| (header.weights() * header.dtype.size()) as u64),
        }
    }
}
