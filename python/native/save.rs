//! `.sdp` files out.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use seedpress::codec::{AnyCodec, InputStatistics, Tensor};
use seedpress_checkpoint::{Checkpoint, Content, Order, Output, Overwrite, TensorInfo, companions};
use seedpress_press::summary::TensorSummary;
use seedpress_press::{
    Accompanied, Assign, Control, Guidance, Guide, Kept, Outcome, Patterns, PressError, SmallTensors, Source, Summary,
    Treatment, compress_file,
};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::array::Array;
use crate::calibration::Statistics;
use crate::work::{self, Hands};
use crate::{REGISTRY, codec, errors};

/// How a checkpoint is compressed: a dictionary of the package.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    /// Patterns with a codec, or none for what is kept; the first that matches counts.
    codecs: Vec<(String, Option<String>)>,
    include: Vec<String>,
    exclude: Vec<String>,
    keep_below: usize,
    tensor_major: bool,
    verify: bool,
    tie: bool,
    threads: usize,
    max_memory: Option<u64>,
    overwrite: bool,
}

impl Settings {
    /// What each tensor gets.
    pub(crate) fn rules(&self, py: Python<'_>, tensors: &[TensorInfo]) -> PyResult<Rules> {
        let patterns = Patterns::new(&self.include, &self.exclude);
        let names = || tensors.iter().map(|info| info.name.as_str());
        let mut checked = patterns.check(names());
        let mut rules = Vec::new();
        for (pattern, name) in &self.codecs {
            let codec = name.as_deref().map(|name| codec::parse(py, name)).transpose()?;
            let of = Patterns::new(std::slice::from_ref(pattern), &[]);
            if pattern != "*" {
                checked = checked.and_then(|()| of.check(names()));
            }
            rules.push((of, codec));
        }
        checked.map_err(|error| errors::press(py, &error))?;
        Ok(Rules { rules, patterns, small: SmallTensors { below: self.keep_below } })
    }

    /// The order of the payload.
    pub(crate) fn order(&self) -> Order {
        if self.tensor_major { Order::TensorMajor } else { Order::QualityMajor }
    }

    /// How `press` is to work.
    pub(crate) fn control<'a>(&self, hands: &'a Hands<'_>) -> Control<'a> {
        Control { verify: self.verify, tie: self.tie, ..hands.control(self.threads, self.max_memory) }
    }

    /// The file to write.
    pub(crate) fn output(&self, py: Python<'_>, path: &Path, inputs: &[&Path]) -> PyResult<Output> {
        let overwrite = if self.overwrite { Overwrite::Allow } else { Overwrite::Refuse };
        Output::create(path, overwrite, inputs).map_err(|error| errors::checkpoint(py, &error))
    }
}

/// Which codec a tensor gets.
pub(crate) struct Rules {
    rules: Vec<(Patterns, Option<AnyCodec>)>,
    patterns: Patterns,
    small: SmallTensors,
}

impl Assign for Rules {
    fn treat(&self, tensor: &TensorInfo) -> Result<Treatment<'_>, PressError> {
        if !self.patterns.admit(&tensor.name) {
            return Ok(Treatment::Keep(Kept::LeftOut));
        }
        if self.small.keeps(&tensor.shape) {
            return Ok(Treatment::Keep(Kept::Small));
        }
        match self.rules.iter().find(|(pattern, _)| pattern.admit(&tensor.name)) {
            Some((_, Some(codec))) => Ok(Treatment::Code(codec)),
            Some((_, None)) => Ok(Treatment::Keep(Kept::LeftOut)),
            None => Err(PressError::Assignment(format!("no codec for `{}`: add a last one for \"*\"", tensor.name))),
        }
    }
}

/// Statistics by tensor.
struct Known(Vec<Option<Arc<InputStatistics>>>);

impl Known {
    fn of(
        py: Python<'_>,
        tensors: &[TensorInfo],
        calibration: &HashMap<String, PyRef<'_, Statistics>>,
    ) -> PyResult<Self> {
        let mut known = vec![None; tensors.len()];
        let places: HashMap<&str, usize> = tensors.iter().zip(0..).map(|(info, at)| (info.name.as_str(), at)).collect();
        for (name, statistics) in calibration {
            let Some(&place) = places.get(name.as_str()) else {
                return Err(errors::raise(
                    py,
                    "CalibrationError",
                    format!("calibration of `{name}`, which is no tensor"),
                ));
            };
            codec::check_columns(py, name, &tensors[place].shape, &statistics.0)?;
            known[place] = Some(Arc::clone(&statistics.0));
        }
        Ok(Self(known))
    }
}

impl Guide for Known {
    fn guide(&mut self, tensor: usize) -> Result<Guidance, PressError> {
        Ok(Guidance { statistics: self.0[tensor].clone(), ..Guidance::default() })
    }
}

/// Arrays of the interpreter as a checkpoint.
struct Arrays<'a> {
    infos: Vec<TensorInfo>,
    bytes: Vec<&'a [u8]>,
    metadata: BTreeMap<String, String>,
}

impl<'a> Arrays<'a> {
    /// In the order in which a safetensors file would have them: so a file has the bytes of one made from such a file.
    fn new(tensors: &'a [(String, Array<'_>)], metadata: BTreeMap<String, String>) -> PyResult<Self> {
        let mut listed = Vec::with_capacity(tensors.len());
        for (name, array) in tensors {
            let dtype: safetensors::Dtype = serde_json::from_value(Value::String(array.dtype().to_owned()))
                .map_err(|_| PyValueError::new_err(format!("`{name}` has the unknown data type {}", array.dtype())))?;
            listed.push((dtype, name, array));
        }
        listed.sort_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
        let (mut infos, mut bytes) = (Vec::new(), Vec::new());
        for (_, name, array) in listed {
            let (dtype, shape) = (array.dtype().to_owned(), array.shape().to_vec());
            infos.push(TensorInfo { name: name.clone(), dtype, shape, bytes: array.bytes()?.len() });
            bytes.push(array.bytes()?);
        }
        Ok(Self { infos, bytes, metadata })
    }
}

impl Source for Arrays<'_> {
    fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.metadata.clone()
    }

    fn load(&self, tensor: usize) -> Result<Content, PressError> {
        let (info, bytes) = (&self.infos[tensor], self.bytes[tensor]);
        let Some(dtype) = info.float() else { return Ok(Content::Opaque(bytes.to_vec())) };
        let loaded = Tensor::from_le_bytes(dtype, info.shape.clone(), bytes).map(Content::Float);
        loaded.map_err(|error| PressError::Source { tensor: info.name.clone(), why: error.to_string() })
    }

    fn blocks(&self, tensor: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), PressError> {
        take(self.bytes[tensor]);
        Ok(())
    }

    fn sample(&self, tensor: usize) -> Result<Option<u128>, PressError> {
        // In memory, reading it whole is cheap; what is not equal here is read once.
        Ok(Some(xxh3_128(self.bytes[tensor])))
    }
}

/// Compresses arrays into a file; returns what became of them, as JSON.
#[pyfunction]
#[pyo3(signature = (tensors, metadata, path, settings, calibration, progress))]
pub(crate) fn save(
    py: Python<'_>,
    tensors: Vec<(String, Array<'_>)>,
    metadata: BTreeMap<String, String>,
    path: PathBuf,
    settings: Settings,
    calibration: HashMap<String, PyRef<'_, Statistics>>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let source = Arrays::new(&tensors, metadata)?;
    write(py, &source, &path, &[], &settings, &calibration, progress.as_ref())
}

/// Compresses a checkpoint on disk into a file; returns what became of it, as JSON.
#[pyfunction]
#[pyo3(signature = (source, path, settings, calibration, progress))]
pub(crate) fn save_checkpoint(
    py: Python<'_>,
    source: PathBuf,
    path: PathBuf,
    settings: Settings,
    calibration: HashMap<String, PyRef<'_, Statistics>>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let checkpoint = py.detach(|| Checkpoint::open(&source)).map_err(|error| errors::checkpoint(py, &error))?;
    let files: Vec<&Path> = checkpoint.files().iter().map(PathBuf::as_path).collect();
    let inputs = [files.as_slice(), &[checkpoint.path(), &source]].concat();
    let carried = beside(py, &source)?;
    write(py, &Accompanied::new(&checkpoint, carried), &path, &inputs, &settings, &calibration, progress.as_ref())
}

/// The files beside the weights of a folder, as the command carries them.
pub(crate) fn beside(py: Python<'_>, source: &Path) -> PyResult<BTreeMap<String, String>> {
    if !source.is_dir() {
        return Ok(BTreeMap::new());
    }
    companions::read(source).map_err(|error| errors::checkpoint(py, &error))
}

fn write(
    py: Python<'_>,
    source: &dyn Source,
    path: &Path,
    inputs: &[&Path],
    settings: &Settings,
    calibration: &HashMap<String, PyRef<'_, Statistics>>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let rules = settings.rules(py, source.tensors())?;
    let mut known = Known::of(py, source.tensors(), calibration)?;
    let output = settings.output(py, path, inputs)?;
    let total = source.tensors().iter().map(|info| info.bytes as u64).sum();
    let order = settings.order();
    let done = work::run(py, progress, total, |hands| {
        compress_file(source, &rules, &mut known, &REGISTRY, &settings.control(hands), output, order)
    })?;
    let summary = done.map_err(|error| errors::press(py, &error))?;
    Ok(report(&summary).to_string())
}

/// A summary as JSON.
pub(crate) fn report(summary: &Summary) -> Value {
    let tensors: Vec<Value> = summary.tensors.iter().map(|tensor| described(summary, tensor)).collect();
    json!({ "file_bytes": summary.file_bytes, "source_bytes": summary.source_bytes, "tensors": tensors })
}

fn described(summary: &Summary, tensor: &TensorSummary) -> Value {
    let (codec, kept, same) = match &tensor.outcome {
        Outcome::Coded(codec) => (Some(codec.as_str()), None, None),
        Outcome::Kept(kept) => (None, Some(kept.reason()), None),
        Outcome::Same(other) => (None, None, Some(summary.tensors[*other].name.as_str())),
    };
    json!({
        "name": tensor.name, "dtype": tensor.dtype, "elements": tensor.elements, "source_bytes": tensor.source_bytes,
        "stored_bytes": tensor.stored_bytes, "codec": codec, "kept": kept, "same": same,
        "relative_error": tensor.errors.map(|errors| errors.relative),
        "median_row_error": tensor.errors.map(|errors| errors.median_row),
        "worst_row_error": tensor.errors.map(|errors| errors.worst_row),
        "uncalibrated": tensor.unguided,
    })
}
