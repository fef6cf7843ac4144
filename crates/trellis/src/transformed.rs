//! Rows through an orthonormal transform first, where neighbours or all columns have something in common.
//!
//! Coefficients that are uncorrelated share the error of the weights better than the weights do: at high rates by the ratio of the
//! arithmetic to the geometric mean of their variances (N. Jayant, P. Noll, "Digital Coding of Waveforms", 1984). The classes of the columns
//! tell the entropy code how large each coefficient is, and the one step for all is reverse water-filling. With `y = W x` and `W = C B`
//! the inputs of the coefficients `C` are `B x`: what minimises the output error works as before, as under a rotation.
//!
//! The cosine transform takes no bytes. Principal directions are those of this tensor and take theirs: they are a stream of their own
//! within the stream, and coefficients are those along the directions as they will be decoded, by the inverse, so that coarse ones cost
//! nothing but some correlation left.
//!
//! # The stream
//!
//! | params | size | |
//! | --- | --- | --- |
//! | flags | u8 | 128 |
//! | kind | u8 | 1: cosine transform ([`Cosine`]), 2: a basis |
//! | segments | u8 | of kind 2: segments of the basis |
//! | length | varint | of kind 2: bytes of the basis's parameters, which follow |
//! | params | | of the coefficients |
//!
//! Basis (of shape `columns x columns`, at most 1,024 columns, a direction a row) and coefficients (of the tensor's shape) are streams as in
//! [`stream`](crate::stream), their segments in this order. The tensor's rows are those of coefficients through the inverse transform, or
//! times the basis.

use seedpress_calibration::output_error;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, InputStatistics, Limits, Number, TensorView,
};
use seedpress_entropy::binary::log2;
use seedpress_matrix::{View, multiply, transpose};
use seedpress_rotation::{Basis, Cosine, principal};

use crate::config::{Config, Hessian, Transform};
use crate::effort::Effort;
use crate::encoder::{self, FIRST_SLOPE_BITS, Target, Weighing};
use crate::matrix::{self, Preparation};
use crate::stream::{self, Stream};

/// The first parameter byte of such a stream.
pub(crate) const FLAG: u8 = 128;

/// Columns of a basis at most.
const MOST_COLUMNS: usize = 1024;

/// Bits of a direction's entries that are tried; the error of the coarsest leaves about a hundredth of the variance where it was.
const BASIS_BITS: [f64; 4] = [3.0, 4.0, 5.0, 6.0];

/// A basis that takes more bits a weight than this is not tried.
const MOST_BASIS_BITS: f64 = 1.0;

/// What a transform must promise before the tensor is coded with it: a tenth of a decibel, as a factor of the error in octaves.
const LEAST_GAIN: f64 = 0.033;

/// A transform with what it makes of a tensor.
struct Candidate {
    transform: Transformation,
    coefficients: Vec<f32>,
    /// Logarithm of the error to be expected at the rate aimed at.
    expected: f64,
}

enum Transformation {
    Cosine(Cosine),
    /// With the stream it is decoded from.
    Basis(Basis, Encoded),
}

impl Transformation {
    fn bytes(&self) -> usize {
        match self {
            Self::Cosine(_) => 2,
            Self::Basis(_, encoded) => 6 + encoded.payload_bytes(),
        }
    }
}

/// Compresses a tensor by a transform, or without where it has nothing to transform or, chosen automatically, that serves better.
///
/// # Errors
/// Cancellation.
pub(crate) fn encode(
    config: &Config,
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
) -> Result<Encoded, EncodeError> {
    let kind = config.transform;
    let plainly = || matrix::encode(config, tensor, tensor, context, Preparation::None);
    let largest = tensor.values().iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let alike = tensor.values().iter().all(|&value| value == tensor.values()[0]);
    // Sums must neither overflow nor lose digits.
    if tensor.columns() < 2 || alike || !(1e-30..1e30).contains(&largest) {
        return plainly();
    }
    let plain = match kind {
        Transform::Auto => Some(plainly()?),
        _ => None,
    };
    let rate = match &plain {
        Some(plain) => 8.0 * plain.payload_bytes() as f64 / tensor.len() as f64,
        None if config.slope.get() > 0.0 => FIRST_SLOPE_BITS,
        None => config.bits.get(),
    };
    let without = expected(tensor.values(), tensor.columns(), rate);
    let mut best: Option<Candidate> = None;
    let mut consider = |candidate: Candidate| {
        if best.as_ref().is_none_or(|best| candidate.expected < best.expected) {
            best = Some(candidate);
        }
    };
    if kind != Transform::Klt {
        consider(cosine(tensor, rate));
    }
    if kind != Transform::Dct {
        bases(tensor, context, rate, kind == Transform::Auto)?.into_iter().for_each(consider);
    }
    let promising = |best: &Candidate| kind != Transform::Auto || best.expected < without - LEAST_GAIN;
    let Some(best) = best.filter(promising) else {
        return plain.map_or_else(plainly, Ok);
    };
    let Some(turned) = with(config, tensor, context, &best)? else {
        return plain.map_or_else(plainly, Ok);
    };
    match plain {
        Some(plain) if merit(config, tensor, context, &plain)? <= merit(config, tensor, context, &turned)? => Ok(plain),
        _ => Ok(turned),
    }
}

fn cosine(tensor: &TensorView<'_>, rate: f64) -> Candidate {
    let transform = Cosine::new(tensor.columns());
    let mut coefficients = tensor.values().to_vec();
    transform.apply(&mut coefficients);
    let expected = expected(&coefficients, tensor.columns(), rate);
    Candidate { transform: Transformation::Cosine(transform), coefficients, expected }
}

/// Principal directions at several precisions.
fn bases(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    rate: f64,
    automatic: bool,
) -> Result<Vec<Candidate>, EncodeError> {
    let columns = tensor.columns();
    let cost = |bits: f64| bits * (columns * columns) as f64 / tensor.len() as f64;
    let affordable = |bits: &f64| !automatic || cost(*bits) <= MOST_BASIS_BITS.min(0.5 * rate);
    if columns > MOST_COLUMNS || !BASIS_BITS.iter().any(affordable) {
        return Ok(Vec::new());
    }
    let Some(directions) = principal(tensor.values(), columns) else { return Ok(Vec::new()) };
    let mut candidates = Vec::new();
    for bits in BASIS_BITS.into_iter().filter(affordable) {
        context.check_cancelled()?;
        let encoded = basis_stream(&directions, columns, bits)?;
        let mut matrix = vec![0f32; directions.len()];
        stream::decode_fresh(&encoded, &[columns, columns], &mut matrix)?;
        let Some(basis) = Basis::new(columns, matrix) else { continue };
        let Some(coefficients) = basis.coefficients(tensor.values()) else { continue };
        let left = rate - 8.0 * encoded.payload_bytes() as f64 / tensor.len() as f64;
        let expected = expected(&coefficients, columns, left);
        candidates.push(Candidate { transform: Transformation::Basis(basis, encoded), coefficients, expected });
    }
    Ok(candidates)
}

/// Directions as a stream.
fn basis_stream(directions: &[f32], columns: usize, bits: f64) -> Result<Encoded, EncodeError> {
    let shape = [columns, columns];
    let tensor = TensorView::new("basis", &shape, directions, seedpress_codec::DType::F32);
    let tensor = tensor.map_err(|error| EncodeError::Internal(error.to_string()))?;
    let search = Effort::Default.search(bits, directions.len());
    encoder::encode(&tensor, &EncodeContext::default(), Weighing::Plain, Target::Bits(bits), search)
}

/// The stream of a tensor with a transform; `None` where the transform takes more bits than there are.
fn with(
    config: &Config,
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    candidate: &Candidate,
) -> Result<Option<Encoded>, EncodeError> {
    let overhead = 8.0 * candidate.transform.bytes() as f64 / tensor.len() as f64;
    let bits = match config.slope.get() {
        0.0 => Number::new(((config.bits.get() - overhead) * 1000.0).round() / 1000.0),
        _ => Some(config.bits),
    };
    let Some(bits) = bits else { return Ok(None) };
    let inner = Config { bits, ..config.clone() };
    let calibration = context.calibration.and_then(|statistics| turned(statistics, &candidate.transform));
    let context = EncodeContext { calibration: calibration.as_ref(), ..*context };
    let coefficients = TensorView::new(tensor.name(), tensor.shape(), &candidate.coefficients, tensor.dtype());
    let coefficients = coefficients.map_err(|error| EncodeError::Internal(error.to_string()))?;
    let mut encoded = matrix::encode(&inner, &coefficients, &coefficients, &context, Preparation::Transformed)?;
    let mut params = vec![FLAG];
    match &candidate.transform {
        Transformation::Cosine(_) => params.push(1),
        Transformation::Basis(_, basis) => {
            params.extend([2, basis.layers[0].segments.len() as u8]);
            params.put_varint(basis.params.len() as u64);
            params.extend(&basis.params);
            encoded.layers[0].segments.splice(0..0, basis.layers[0].segments.iter().cloned());
        }
    }
    params.extend(&encoded.params);
    encoded.params = params;
    Ok(Some(encoded))
}

/// Statistics of the inputs of coefficients: `B H B^T`; `None` for those of another shape, or so large that sums overflow. Where only
/// mean squares are known the inputs are taken to be uncorrelated.
fn turned(statistics: &InputStatistics, transform: &Transformation) -> Option<InputStatistics> {
    let columns = statistics.columns();
    let mut matrix = vec![0f32; columns * columns];
    matrix.iter_mut().step_by(columns + 1).for_each(|entry| *entry = 1.0);
    // The directions: what single coefficients stand for.
    match transform {
        Transformation::Cosine(transform) => transform.undo(&mut matrix),
        Transformation::Basis(basis, _) if basis.matrix().len() == matrix.len() => {
            matrix.copy_from_slice(basis.matrix())
        }
        Transformation::Basis(..) => return None,
    }
    let Some(moment) = statistics.second_moment() else {
        let along = |row: &[f32]| row.iter().zip(statistics.mean_square()).map(|(b, h)| b * b * h).sum();
        let squares = matrix.chunks_exact(columns).map(along).collect();
        return InputStatistics::from_mean_square(statistics.samples(), squares).ok();
    };
    let (mut half, mut whole) = (vec![0f32; moment.len()], vec![0f32; moment.len()]);
    let directions = View::new(&matrix, columns);
    multiply(&mut half, columns, directions, View::new(moment, columns));
    multiply(&mut whole, columns, View::new(&half, columns), directions.t());
    let other = transpose(&whole, columns, columns);
    whole.iter_mut().zip(other).for_each(|(entry, other)| *entry = 0.5 * (*entry + other));
    whole.iter_mut().step_by(columns + 1).for_each(|square| *square = square.max(0.0));
    InputStatistics::from_second_moment(statistics.samples(), columns, whole).ok()
}

/// The logarithm of the mean squared error at a rate of columns that are independent and normal, by reverse water-filling.
fn expected(values: &[f32], columns: usize, rate: f64) -> f64 {
    let mut variances = vec![0f64; columns];
    for row in values.chunks_exact(columns) {
        variances.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v) * f64::from(v));
    }
    let rows = (values.len() / columns) as f64;
    let logs: Vec<f64> = variances.iter().map(|sum| log2((sum / rows).max(1e-300))).collect();
    let (mut low, mut high) = (-1000.0f64, logs.iter().copied().fold(-1000.0, f64::max));
    for _ in 0..60 {
        let level = 0.5 * (low + high);
        let bits = logs.iter().map(|log| 0.5 * (log - level).max(0.0)).sum::<f64>() / columns as f64;
        if bits > rate { low = level } else { high = level }
    }
    let error =
        variances.iter().zip(&logs).map(|(sum, log)| if *log < high { sum / rows } else { crate::math::exp2(high) });
    log2((error.sum::<f64>() / columns as f64).max(1e-300))
}

/// What two streams are compared by: the logarithm of the error, that of the output where the codec minimises it, at equal bits.
fn merit(
    config: &Config,
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    encoded: &Encoded,
) -> Result<f64, EncodeError> {
    let mut decoded = vec![0f32; tensor.len()];
    let view = encoded.view(stream::FORMAT, tensor.shape());
    decode(&view, &mut decoded, &mut Limits::new(u64::MAX))
        .map_err(|error| EncodeError::Internal(format!("a fresh stream does not decode: {error}")))?;
    let statistics = context.calibration.filter(|_| config.hessian != Hessian::None);
    let form = statistics.and_then(|statistics| output_error(tensor.values(), &decoded, statistics).ok());
    let error = form.map_or_else(
        || tensor.values().iter().zip(&decoded).map(|(&w, &v)| (f64::from(w) - f64::from(v)).powi(2)).sum(),
        |form| form.error,
    );
    // A bit is two octaves.
    Ok(log2(error.max(1e-300)) + 2.0 * 8.0 * encoded.payload_bytes() as f64 / tensor.len() as f64)
}

/// Reconstructs a tensor from a stream of this kind, or one without a transform.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub(crate) fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    let segments = &encoded.layers[0].segments[..];
    if encoded.params.first() != Some(&FLAG) {
        return stream::decode(Stream { params: encoded.params, segments, shape: encoded.shape }, out, limits);
    }
    let columns = encoded.columns();
    let mut reader = Reader::new(encoded.params);
    let (_, kind) = (reader.u8()?, reader.u8()?);
    let (basis, segments) = match kind {
        1 => (None, segments),
        2 if columns <= MOST_COLUMNS => {
            let count = usize::from(reader.u8()?);
            let (own, rest) = segments
                .split_at_checked(count)
                .ok_or(DecodeError::corrupt("a basis of more segments than there are"))?;
            let length = reader.length()?;
            let params = reader.take(length)?;
            let mut matrix = limits.filled(columns * columns, 0f32)?;
            let stream = Stream { params, segments: own, shape: &[columns, columns] };
            stream::decode(stream, &mut matrix, limits)?;
            (Basis::new(columns, matrix), rest)
        }
        _ => return Err(DecodeError::corrupt("unknown transform").at_offset(1)),
    };
    let params = reader.take(reader.remaining())?;
    stream::decode(Stream { params, segments, shape: encoded.shape }, out, limits)?;
    match basis {
        Some(basis) => basis.undo(out),
        None => Cosine::new(columns).undo(out),
    }
    Ok(())
}
