//! One cell of the matrix: encode, decode from the written bytes, measure.
//!
//! The encoder's record is serialised, copied into a buffer of exactly its length and dropped; every figure comes from what the
//! registry decodes from that copy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rayon::ThreadPool;
use seedpress_codec::{
    AnyCodec, DecodeError, Decoded, EncodeContext, EncodeError, InputStatistics, RecordView, Registry, Tensor,
};
use seedpress_results::{Prefix, Status, TensorRow};

use crate::memory;

/// Why a cell has no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CellError {
    /// The encoder refused.
    #[error("encoding: {0}")]
    Encode(#[from] EncodeError),
    /// The written bytes do not decode.
    #[error("decoding: {0}")]
    Decode(#[from] DecodeError),
    /// They decode to something else than a tensor of this kind.
    #[error("verification: {0}")]
    Verify(String),
    /// A bug of ours.
    #[error("panic: {0}")]
    Panic(String),
}

/// What measuring needs beside codec and tensor.
#[derive(Clone, Copy)]
pub(crate) struct Bench<'a> {
    /// Decodes.
    pub registry: &'a Registry,
    /// Where encoders run.
    pub encode_pool: &'a ThreadPool,
    /// Where timed decodes run: one thread.
    pub decode_pool: &'a ThreadPool,
    /// Encodes to time.
    pub encode_runs: usize,
    /// Decodes to time.
    pub decode_runs: usize,
    /// What the encoder is told of the tensor's inputs.
    pub calibration: Option<&'a InputStatistics>,
    /// What is encoded in place of the tensor, whose errors count all the same.
    pub corrected: Option<&'a Tensor>,
}

/// Squared sums of one reconstruction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Errors {
    squared_error: f64,
    energy: f64,
    dot: f64,
    decoded_energy: f64,
    max_abs_error: f64,
    max_abs: f64,
}

impl Errors {
    /// Compares finite values; others must have come back bit for bit.
    fn between(weights: &[f32], decoded: &[f32]) -> Result<Self, CellError> {
        let mut sums = Self::default();
        for (index, (&weight, &value)) in weights.iter().zip(decoded).enumerate() {
            if !weight.is_finite() || !value.is_finite() {
                if weight.to_bits() != value.to_bits() {
                    return Err(CellError::Verify(format!("weight {index} is {weight} and came back as {value}")));
                }
                continue;
            }
            let (w, v) = (f64::from(weight), f64::from(value));
            let error = w - v;
            sums.squared_error += error * error;
            sums.energy += w * w;
            sums.dot += w * v;
            sums.decoded_energy += v * v;
            sums.max_abs_error = sums.max_abs_error.max(error.abs());
            sums.max_abs = sums.max_abs.max(w.abs());
        }
        Ok(sums)
    }
}

/// Fills the measured fields of `row`; returns the written bytes.
///
/// # Errors
/// Whatever goes wrong, panics included: the caller records it and goes on.
pub(crate) fn measure(
    bench: Bench<'_>,
    codec: &AnyCodec,
    name: &str,
    tensor: &Tensor,
    row: &mut TensorRow,
) -> Result<Vec<u8>, CellError> {
    let outcome = catch_unwind(AssertUnwindSafe(|| measure_unguarded(bench, codec, name, tensor, row)));
    outcome.unwrap_or_else(|payload| Err(CellError::Panic(panic_text(payload.as_ref()))))
}

fn measure_unguarded(
    bench: Bench<'_>,
    codec: &AnyCodec,
    name: &str,
    tensor: &Tensor,
    row: &mut TensorRow,
) -> Result<Vec<u8>, CellError> {
    memory::reset_peak();
    let mut written: Option<Vec<u8>> = None;
    for _ in 0..bench.encode_runs {
        let start = Instant::now();
        let encode = || {
            let context = EncodeContext { calibration: bench.calibration, ..EncodeContext::default() };
            let record = codec.encode(&bench.corrected.unwrap_or(tensor).view(name), &context)?;
            let bytes = record.to_bytes();
            Ok::<_, EncodeError>((record, bytes))
        };
        let (record, bytes) = bench.encode_pool.install(encode)?;
        row.encode_seconds.push(start.elapsed().as_secs_f64());
        row.parts = record.bytes_by_role().into_iter().map(|(role, bytes)| (role.to_owned(), bytes)).collect();
        match &written {
            Some(first) if *first != bytes => {
                return Err(CellError::Verify("two encodes wrote different bytes".to_owned()));
            }
            Some(_) => {}
            // The capacity of a boxed slice is its length: nothing beyond the written bytes reaches the decoder.
            None => written = Some(bytes.into_boxed_slice().into_vec()),
        }
    }
    let written = written.unwrap_or_default();
    row.bytes = written.len() as u64;
    row.threads = bench.encode_pool.current_num_threads();
    row.decode_threads = bench.decode_pool.current_num_threads();
    let accounted: u64 = row.parts.values().sum();
    if accounted != row.bytes {
        return Err(CellError::Verify(format!("{accounted} bytes accounted for, {} written", row.bytes)));
    }

    let mut first: Option<Decoded> = None;
    for _ in 0..bench.decode_runs {
        let start = Instant::now();
        let decoded = bench.decode_pool.install(|| bench.registry.decode_trusted(&written))?;
        row.decode_seconds.push(start.elapsed().as_secs_f64());
        match &first {
            Some(first) if !same_bits(first.tensor.values(), decoded.tensor.values()) => {
                return Err(CellError::Verify("two decodes of the same bytes differ".to_owned()));
            }
            Some(_) => {}
            None => first = Some(decoded),
        }
    }
    let Some(decoded) = first else { return Err(CellError::Verify("nothing was decoded".to_owned())) };
    judge(name, tensor, &decoded.tensor, row)?;
    row.prefixes = prefixes(bench.registry, &written, tensor)?;
    row.peak_memory = memory::peak();
    row.status = Status::Ok;
    Ok(written)
}

/// Fills the errors of `row`: how far `decoded` is from `tensor`.
pub(crate) fn judge(name: &str, tensor: &Tensor, decoded: &Tensor, row: &mut TensorRow) -> Result<(), CellError> {
    check_kind(tensor, decoded)?;
    let errors = Errors::between(tensor.values(), decoded.values())?;
    (row.squared_error, row.energy, row.dot) = (errors.squared_error, errors.energy, errors.dot);
    (row.decoded_energy, row.max_abs_error, row.max_abs) =
        (errors.decoded_energy, errors.max_abs_error, errors.max_abs);
    let by_row = seedpress_codec::row_errors(&tensor.view(name), decoded.values());
    row.rows = Some(by_row.rows as u64);
    row.rows_worse_than_zeros = Some(by_row.worse_than_zeros as u64);
    row.median_row_error = by_row.median.is_finite().then_some(by_row.median);
    Ok(())
}

/// Decodes every prefix that ends with a layer, each from a truncated copy. Empty for records of one layer.
fn prefixes(registry: &Registry, written: &[u8], tensor: &Tensor) -> Result<Vec<Prefix>, CellError> {
    let header = RecordView::parse(written)?.header;
    let count = header.layers.len();
    if count < 2 {
        return Ok(Vec::new());
    }
    let layers_len: usize = (0..count).map(|index| header.layer_len(index)).sum();
    let mut end = written.len() - layers_len;
    let mut prefixes = Vec::with_capacity(count);
    for index in 0..count {
        end += header.layer_len(index);
        let cut = written[..end].to_vec();
        let decoded = registry.decode_trusted(&cut)?;
        if decoded.layers != index + 1 {
            return Err(CellError::Verify(format!("a prefix of {} layers decoded {}", index + 1, decoded.layers)));
        }
        check_kind(tensor, &decoded.tensor)?;
        let errors = Errors::between(tensor.values(), decoded.tensor.values())?;
        prefixes.push(Prefix { bytes: end as u64, squared_error: errors.squared_error });
    }
    Ok(prefixes)
}

fn check_kind(expected: &Tensor, found: &Tensor) -> Result<(), CellError> {
    if expected.shape() != found.shape() || expected.dtype() != found.dtype() {
        let (shape, dtype) = (found.shape(), found.dtype().name());
        return Err(CellError::Verify(format!("decoded to {dtype} {shape:?}, not {:?}", expected.shape())));
    }
    Ok(())
}

fn same_bits(left: &[f32], right: &[f32]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
