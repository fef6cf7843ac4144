//! Several layers, each a trellis on what the ones before left, so that any prefix decodes.
//!
//! The entropy code of a layer has a context for each *cell* of the layer before: its quantiser, and whether the index was 0, 1 or more;
//! the residual's spread depends on it. Scales of rows and columns come in as two groups of the first layer's classes. Residuals are
//! mirrored where the reconstruction so far is negative: the cells of either sign are alike.
//!
//! Layers chosen one after another add their gaps to the rate-distortion function: near it a residual is independent of the
//! reconstruction, and what an entropy code of single residuals cannot see, the shape of the trellis' cells in many dimensions, is lost.
//! So each layer but the last is chosen with the next one in view ([`lookahead`]), over the product of both trellises ([`product`]).
//!
//! What layers cost against one layer at the same bytes and effort, in dB, on 2^18 weights (`examples/layers.rs`), and what three layers
//! of 256 states cost when chosen one after another:
//!
//! | source | effort | 2 layers, 1.07 + 1.07 bits | 2 layers, 1.6 + 1.6 bits | 3 layers of 1.07 bits |
//! | --- | --- | --- | --- | --- |
//! | normal | fast | .14, .12 | .09, .06 | .13, .21, .59 |
//! | normal | default | .12, .11 | .06, .27 | .12, .29, .70 |
//! | normal | high | .20, .12 | .15, .19 | .20, .21, .55 |
//! | normal | best | .22, .15 | .16, .12 | .22, .23, .47 |
//! | normal | best, one after another | .00, .42 | | .00, .42, .77 |
//! | Laplacian | default | .09, .00 | .07, .21 | .11, .12, .61 |
//! | Student-t | default | .07, .09 | .06, .29 | .06, .15, .70 |
//!
//! The last of three layers has none to look at; three in view would need the product of three trellises.
//!
//! The first layer is a stream as [`stream`](crate::stream) describes. A later one has the parameter bytes of such a stream as its first
//! segment (role tables), without classes and with 12 element classes: the cell of the layer before (three times the quantiser plus the
//! index, at most 2) plus 6 where twice the first layer's class is at least the number of its classes. What decodes is added to the
//! reconstruction, or subtracted where that is negative, in binary64, and rounded to binary32.

use schemars::JsonSchema;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Layer, Limits, Number,
    Role, Segment, SegmentView, Symbols, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::classes::Classes;
use crate::effort::{Effort, SearchParameters};
use crate::encoder::{Budget, RateSearch, Source, constant};
use crate::pass::Pass;
use crate::stream::{Params, Stream};

mod lookahead;
mod product;
mod state;

use state::{KNOWN, State, halves};

/// Options of [`Layered`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Target in bits per weight of all layers together, as for `trellis`.
    pub bits: Number<100, 12000>,
    /// Number of layers, which share the bits equally.
    pub layers: Int<1, 8>,
    /// How hard to search, with the next layer in view: `fast` (32 x 32 states), `default` (64 x 64), `high` (128 x 128) or `best`
    /// (256 x 256).
    pub effort: Effort,
}

impl Default for Config {
    fn default() -> Self {
        Self { bits: Number::of(3.2), layers: Int::of(2), effort: Effort::Default }
    }
}

/// The codec.
#[derive(Debug, Clone)]
pub(crate) struct Layered {
    config: Config,
}

/// Compresses one layer, with the next in view where `ahead` says what its groups are.
fn encode(
    source: &Source<'_>,
    ahead: Option<&[u8]>,
    [count, columns]: [usize; 2],
    bits: [f64; 2],
    context: &EncodeContext<'_>,
    search: SearchParameters,
) -> Result<Encoded, EncodeError> {
    let rows = &source.rows;
    let rate_search = RateSearch { context, search, code: rows.code(), count };
    let budget = Budget::new(count, None, rows.classes(), bits[0], source.magnitudes);
    let point = rate_search.run(rows, &budget, &source.params, None)?;
    match ahead.filter(|_| bits.iter().all(|&bits| bits >= LEAST_BITS)) {
        Some(groups) => lookahead::finish(rate_search, rows, groups, columns, budget, point, bits[1]),
        None => rate_search.finish(rows, &budget, point, columns),
    }
}

/// Bits per weight from which on it pays to look at the next layer: where most indices are 0, either layer might leave its share to the other.
const LEAST_BITS: f64 = 0.75;

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
        let share = (self.config.bits.get() / layers as f64).max(0.1);
        let search = self.config.effort.layered(share, count);
        let quiet = EncodeContext { progress: None, ..*context };
        let inner = |error: DecodeError| EncodeError::Internal(error.to_string());
        let blank = Params { memory: search.memory, ..Params::default() };
        let (rows, columns) = (tensor.rows(), tensor.columns());
        let mut encoded = match Source::of_tensor(tensor.values(), rows, columns, false, search)? {
            None => constant(tensor.values(), search),
            Some(source) => {
                let mut groups = vec![0u8; count];
                halves(source.rows.classes(), columns, &mut groups);
                let ahead = (layers > 1).then_some(&groups[..]);
                encode(&source, ahead, [count, columns], [share; 2], &quiet, search)?
            }
        };
        let mut limits = Limits::new(u64::MAX);
        let segments = views(&encoded.layers[0].segments);
        let stream = Stream { params: &encoded.params, segments: &segments, shape: tensor.shape() };
        let mut state = State::first(stream, count, &mut limits).map_err(inner)?;
        let length = |layer: &Layer| layer.segments.iter().map(|segment| segment.bytes.len()).sum::<usize>();
        let mut written = encoded.params.len() + length(&encoded.layers[0]);
        for number in 2..=layers {
            let residual = state.residual(tensor.values());
            let bits = (share * number as f64 - written as f64 * 8.0 / count as f64).max(0.1);
            let known = state.known();
            let classes = || Classes { count: KNOWN, ..Classes::none() };
            let Some(source) = Source::new(&residual, columns, blank.clone(), classes, search)? else { break };
            let source = Source { rows: source.rows.knowing(&known), ..source };
            let ahead = (number < layers).then_some(&state.groups[..]);
            let layer = encode(&source, ahead, [count, columns], [bits, share], &quiet, search)?;
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
