//! One array to bytes and back; the list of codecs.

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use seedpress::codec::MatrixView;
use seedpress::codec::NonFinite;
use seedpress::codec::{
    AnyCodec, DecodeError, Decoded, EncodeContext, EncodeError, InputStatistics, Limits, Record, TensorView,
};
use seedpress_checkpoint::{Container, ContainerView, Entry, Order, Stored};
use serde_json::json;

use crate::REGISTRY;
use crate::array::{Array, Flat, Memory, flat};
use crate::calibration::Statistics;
use crate::errors;
use crate::work::{self, in_pool};

/// Bytes of decoded values over which what decoding takes is measured, as a share of what the data justifies.
const TIGHT: u64 = 8;

/// A codec by its name.
pub(crate) fn parse(py: Python<'_>, codec: &str) -> PyResult<AnyCodec> {
    REGISTRY.parse(codec).map_err(|error| errors::config(py, &error))
}

/// The canonical name of a codec.
#[pyfunction]
pub(crate) fn name(py: Python<'_>, codec: &str) -> PyResult<String> {
    parse(py, codec).map(|codec| codec.name())
}

/// Whether a codec makes use of input statistics.
#[pyfunction]
pub(crate) fn uses_calibration(py: Python<'_>, codec: &str) -> PyResult<bool> {
    parse(py, codec).map(|codec| codec.capabilities().uses_calibration)
}

/// Every codec and stage with what it can do, as JSON.
#[pyfunction]
pub(crate) fn codecs(py: Python<'_>) -> PyResult<String> {
    let mut listed = Vec::new();
    for entry in REGISTRY.codecs() {
        let codec = REGISTRY.default_codec(entry.id).map_err(|error| errors::config(py, &error))?;
        let able = codec.capabilities();
        listed.push(json!({
            "id": entry.id, "format": entry.format, "summary": entry.summary, "schema": entry.schema(), "options": codec.options(),
            "progressive": able.progressive, "lossless": able.lossless, "targets_bits": able.targets_bits,
            "uses_calibration": able.uses_calibration,
        }));
    }
    let stages = REGISTRY
        .stages()
        .map(|stage| json!({ "id": stage.id(), "format": stage.format(), "summary": stage.summary() }));
    Ok(json!({ "codecs": listed, "stages": stages.collect::<Vec<_>>() }).to_string())
}

/// Fails where statistics are not of this tensor's inputs.
pub(crate) fn check_columns(py: Python<'_>, name: &str, shape: &[usize], statistics: &InputStatistics) -> PyResult<()> {
    let (_, columns) = MatrixView::of(name, shape).matrix_shape(shape);
    if statistics.columns() == columns {
        return Ok(());
    }
    let given = statistics.columns();
    let message =
        format!("tensor `{name}` of shape {shape:?} multiplies {columns} inputs, the calibration is of {given}");
    Err(errors::raise(py, "CalibrationError", message))
}

/// Compresses an array into the bytes of an `.sdp` file of one tensor.
#[pyfunction]
#[pyo3(signature = (array, codec, name, calibration, reject, threads, progress))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn compress<'py>(
    py: Python<'py>,
    array: Array<'py>,
    codec: &str,
    name: &str,
    calibration: Option<PyRef<'py, Statistics>>,
    reject: bool,
    threads: usize,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let codec = parse(py, codec)?;
    let (values, dtype) = array.values()?;
    let view = TensorView::new(name, array.shape(), &values, dtype);
    let view = view.map_err(|error| PyValueError::new_err(error.to_string()))?;
    let statistics = calibration.as_ref().map(|statistics| statistics.0.as_ref());
    if let Some(statistics) = statistics {
        check_columns(py, name, array.shape(), statistics)?;
    }
    let non_finite = if reject { NonFinite::Reject } else { NonFinite::Keep };
    let done = work::run(py, progress.as_ref(), view.len() as u64, |hands| {
        use seedpress_press::Progress;
        hands.meter.begin(name);
        let advance = |weights| hands.meter.advance(weights);
        let context = EncodeContext {
            calibration: statistics,
            non_finite,
            progress: Some(&advance),
            cancel: Some(hands.stop),
            ..EncodeContext::default()
        };
        in_pool(threads, || {
            let record = codec.encode(&view, &context)?;
            container(name, record)
        })
    })?;
    let bytes = done.map_err(PyValueError::new_err)?.map_err(|error| errors::encode(py, &error))?;
    Ok(PyBytes::new(py, &bytes))
}

/// The file of one record, long enough for its own contents to be justified.
fn container(name: &str, record: Record) -> Result<Vec<u8>, EncodeError> {
    let weights = record.header.weights() as u64;
    let file = |record| Container {
        order: Order::QualityMajor,
        entries: vec![(name.to_owned(), Entry::Record(record))],
        ..Container::default()
    };
    let stored: u64 = (0..record.header.layers.len()).map(|layer| record.header.layer_len(layer) as u64).sum();
    if Limits::justified(stored) >= weights.saturating_mul(4 * TIGHT) {
        return Ok(file(record).to_bytes());
    }
    let mut limits = Limits::new(u64::MAX);
    let bytes = record.to_bytes();
    let view = seedpress::codec::RecordView::parse(&bytes);
    let decoded = view.and_then(|view| REGISTRY.decode(&view, &mut limits));
    decoded.map_err(|error| EncodeError::Internal(format!("what was written does not decode: {error}")))?;
    Ok(file(record).to_bytes_for(u64::MAX - limits.remaining()))
}

/// What came back: the array, its shape, layers used and layers there are.
type Restored<'py> = (Flat<'py>, Vec<usize>, usize, usize);

/// Decodes the only tensor of an `.sdp` file in memory, or of the beginning of one.
#[pyfunction]
#[pyo3(signature = (data, layers, max_memory, threads))]
pub(crate) fn decompress<'py>(
    py: Python<'py>,
    data: PyReadonlyArray1<'py, u8>,
    layers: Option<usize>,
    max_memory: Option<u64>,
    threads: usize,
) -> PyResult<Restored<'py>> {
    enum Found {
        Weights(Decoded),
        Bytes(Vec<u8>, String, Vec<usize>),
        Several(usize),
    }
    let bytes = data.as_slice().map_err(|_| PyValueError::new_err("the bytes are not contiguous"))?;
    let work = || -> Result<Found, DecodeError> {
        let file = ContainerView::parse(bytes)?;
        let [entry] = file.entries.as_slice() else { return Ok(Found::Several(file.entries.len())) };
        if let Stored::Opaque { dtype, shape, .. } = &entry.stored {
            return Ok(Found::Bytes(entry.opaque_bytes()?.to_vec(), dtype.clone(), shape.clone()));
        }
        if entry.layers().0 == 0 {
            return Err(DecodeError::truncated(file.whole_len as usize, bytes.len()).in_tensor(&entry.name));
        }
        let mut limits = max_memory.map_or_else(|| Limits::for_input(bytes.len()), Limits::new);
        entry.decode(&REGISTRY, layers, &mut limits).map(Found::Weights)
    };
    let done = work::run(py, None, 0, |_| in_pool(threads, work))?.map_err(PyValueError::new_err)?;
    match done.map_err(|error| errors::decode(py, &error))? {
        Found::Weights(decoded) => {
            let (layers, total, dtype) = (decoded.layers, decoded.layers_total, decoded.tensor.dtype());
            let shape = decoded.tensor.shape().to_vec();
            let values = py.detach(|| Memory::weights(decoded.tensor.into_values(), dtype));
            Ok((flat(py, values), shape, layers, total))
        }
        Found::Bytes(bytes, dtype, shape) => Ok((flat(py, Memory::Bytes(bytes, dtype)), shape, 1, 1)),
        Found::Several(count) => {
            let message = format!("the data holds {count} tensors: write it to a file and use seedpress.open");
            Err(errors::raise(py, "FileError", message))
        }
    }
}
