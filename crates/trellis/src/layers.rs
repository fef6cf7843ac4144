//! Several layers, each a trellis on what the ones before left, so that any prefix decodes.
//!
//! Layers coded each for itself add their gaps to the rate-distortion function. The entropy code of a layer has a context for each
//! *cell* of the layer before: its quantiser, and whether the index was 0, 1 or more; the residual's spread depends on it. Scales of rows
//! and columns come in as two groups of the first layer's classes. Residuals are mirrored where the reconstruction so far is negative:
//! the cells of either sign are alike.
//!
//! What this costs against one layer at the same bytes and effort, on 2^18 weights in layers of 1.07 bits (`examples/layers.rs`):
//!
//! | source | effort | two layers | three layers |
//! | --- | --- | --- | --- |
//! | normal | default | 0.75 dB | 1.40 dB |
//! | normal | best | 0.42 dB | 0.77 dB |
//! | Laplacian | default | 0.52 dB | 1.26 dB |
//!
//! On normal weights the cells say nothing: near the rate-distortion function the residual is independent of the reconstruction. What is
//! lost there is the shape of the trellis' cells in many dimensions, about the gap of the layer before, which an entropy code of single
//! residuals cannot see. Hence the default of 256 states, whose gaps are smallest.
//!
//! The first layer is a stream as [`stream`](crate::stream) describes. A later one has the parameter bytes of such a stream as its first
//! segment (role tables), without classes and with 12 element classes: the cell of the layer before (three times the quantiser plus the
//! index, at most 2) plus 6 where twice the first layer's class is at least the number of its classes. What decodes is added to the
//! reconstruction, or subtracted where that is negative, in binary64, and rounded to binary32.

use schemars::JsonSchema;
use seedpress_codec::tensor::matrix_shape;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Layer, Limits, Number,
    Role, Segment, SegmentView, Symbols, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::Effort;
use crate::encoder::{Aim, Weighing, encode, encode_known};
use crate::stream::{CELLS, Stream, decode_noting};

/// Element classes of a later layer.
const KNOWN: u8 = 2 * CELLS;

/// Options of [`Layered`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Target in bits per weight of all layers together, as for `trellis`.
    pub bits: Number<100, 12000>,
    /// Number of layers, which share the bits equally.
    pub layers: Int<1, 8>,
    /// How hard to search: `fast`, `default`, `high` or `best`. The gaps of layers add up, so more states pay more than in one layer.
    pub effort: Effort,
}

impl Default for Config {
    fn default() -> Self {
        Self { bits: Number::of(3.2), layers: Int::of(3), effort: Effort::Best }
    }
}

/// The codec.
#[derive(Debug, Clone)]
pub struct Layered {
    config: Config,
}

/// A reconstruction and what later layers may know of it.
struct State {
    weights: Vec<f32>,
    cells: Vec<u8>,
    groups: Vec<u8>,
}

impl State {
    fn first(stream: Stream<'_>, count: usize, limits: &mut Limits) -> Result<Self, DecodeError> {
        let mut weights = limits.filled(count, 0f32)?;
        let (mut cells, mut groups) = (limits.filled(count, 0u8)?, limits.filled(count, 0u8)?);
        let classes = decode_noting(stream, None, Some(&mut cells), &mut weights, limits)?;
        let (_, columns) = matrix_shape(stream.shape);
        if !classes.rows.is_empty() || !classes.columns.is_empty() {
            classes.fill(0, columns, &mut groups);
        }
        let most = classes.count;
        groups.iter_mut().for_each(|group| *group = if 2 * *group >= most { CELLS } else { 0 });
        Ok(Self { weights, cells, groups })
    }

    /// The classes of the next layer.
    fn known(&self) -> Vec<u8> {
        self.cells.iter().zip(&self.groups).map(|(&cell, &group)| cell + group).collect()
    }

    fn refine(&mut self, stream: Stream<'_>, limits: &mut Limits) -> Result<(), DecodeError> {
        limits.take(6 * self.weights.len() as u64)?;
        let known = self.known();
        let mut residual = vec![0f32; self.weights.len()];
        decode_noting(stream, Some((&known, KNOWN)), Some(&mut self.cells), &mut residual, limits)?;
        for (weight, &residual) in self.weights.iter_mut().zip(&residual) {
            let mirrored = if *weight < 0.0 { -residual } else { residual };
            *weight = ((f64::from(*weight) + f64::from(mirrored)) as f32).clamp(-f32::MAX, f32::MAX);
        }
        Ok(())
    }
}

fn views(segments: &[Segment]) -> Vec<SegmentView<'_>> {
    segments.iter().map(|segment| SegmentView { role: segment.role, bytes: &segment.bytes }).collect()
}

impl Codec for Layered {
    const ID: &'static str = "trellis-progressive";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "trellis quantisation in layers, each entropy-coded given the cells of the one before";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self { config }
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_bits: true, progressive: self.config.layers.get() > 1, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let (layers, count) = (self.config.layers.size(), tensor.len());
        let share = self.config.bits.get() / layers as f64;
        let effort = self.config.effort.search(share, count);
        let quiet = EncodeContext { progress: None, ..*context };
        let mut encoded = encode(tensor, &quiet, Weighing::Plain, Aim::Bits(share.max(0.1)), effort)?;
        let inner = |error: DecodeError| EncodeError::Internal(error.to_string());
        let mut limits = Limits::new(u64::MAX);
        let first = views(&encoded.layers[0].segments);
        let stream = Stream { params: &encoded.params, segments: &first, shape: tensor.shape() };
        let mut state = State::first(stream, count, &mut limits).map_err(inner)?;
        let length = |layer: &Layer| layer.segments.iter().map(|segment| segment.bytes.len()).sum::<usize>();
        let mut written = encoded.params.len() + length(&encoded.layers[0]);
        for number in 2..=layers {
            let residual: Vec<f32> = tensor
                .values()
                .iter()
                .zip(&state.weights)
                .map(|(&wanted, &weight)| {
                    let left = f64::from(wanted) - f64::from(weight);
                    ((if weight < 0.0 { -left } else { left }) as f32).clamp(-f32::MAX, f32::MAX)
                })
                .collect();
            if residual.iter().all(|&left| left == 0.0) {
                break;
            }
            let bits = (share * number as f64 - written as f64 * 8.0 / count as f64).max(0.1);
            let layer = encode_known(&residual, &state.known(), KNOWN, tensor.columns(), &quiet, bits, effort)?;
            let segments = views(&layer.layers[0].segments);
            let stream = Stream { params: &layer.params, segments: &segments, shape: tensor.shape() };
            state.refine(stream, &mut limits).map_err(inner)?;
            let mut segments = vec![Segment::new(Role::Tables, Symbols::OPAQUE, layer.params)];
            segments.extend(layer.layers.into_iter().flat_map(|layer| layer.segments));
            let layer = Layer { segments };
            written += length(&layer);
            encoded.layers.push(layer);
        }
        context.advance(count);
        Ok(encoded)
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let shape = encoded.shape;
        let stream = Stream { params: encoded.params, segments: &encoded.layers[0].segments, shape };
        let mut state = State::first(stream, out.len(), limits)?;
        for layer in &encoded.layers[1..] {
            let [params, segments @ ..] = &layer.segments[..] else {
                return Err(DecodeError::corrupt("a layer without parameters"));
            };
            if params.role != Role::Tables {
                return Err(DecodeError::corrupt("the segments are not those of this codec"));
            }
            state.refine(Stream { params: params.bytes, segments, shape }, limits)?;
        }
        out.copy_from_slice(&state.weights);
        Ok(())
    }
}
