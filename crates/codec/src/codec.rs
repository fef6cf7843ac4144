//! The two layers of the trait: [`Codec`] for authors, [`AnyCodec`] for everybody else.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::EncodeContext;
use crate::encoded::{Encoded, Layer, Role, Segment, Symbols};
use crate::error::{ConfigError, DecodeError, EncodeError};
use crate::exceptions::{self, Exceptions};
use crate::float_mode::in_default_mode;
use crate::limits::Limits;
use crate::name;
use crate::record::{MAX_RANK, Record, RecordHeader};
use crate::registry::Registry;
use crate::stage::Stage;
use crate::tensor::TensorView;
use crate::view::EncodedView;

/// What a configured codec can do: asked, never discovered by failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Uses [`InputStatistics`](crate::InputStatistics) where it is given.
    pub uses_calibration: bool,
    /// Writes several layers, each of which refines the ones before.
    pub progressive: bool,
    /// Decodes to exactly the input (for an `f32` source).
    pub lossless: bool,
    /// Has the common option `bits`: a target in bits per weight.
    pub targets_bits: bool,
    /// Scales, where there are any, belong to blocks of at most 256 weights and reach any magnitude: an outlier harms its own block only.
    /// Other codecs have outliers set aside before they see a tensor.
    pub local_scales: bool,
    /// What is far below the tensor's scale comes back as zeros, or as it was, whatever the tensor's shape. Other codecs have rows of
    /// such weights noted, which come back as zeros.
    pub keeps_zeros: bool,
}

/// What the author of a codec writes.
///
/// `encode` is called with a non-empty tensor of finite values whose shape fits; empty tensors, NaN, infinity, outliers
/// ([`Capabilities::local_scales`]) and stacked matrices ([`MatrixView`](crate::MatrixView)) are dealt with outside, once for all
/// codecs. Its bytes must not depend on the thread count. `decode` has no `self`: everything it needs is in
/// the bytes, so a stream outlives the configuration that made it, and settings that only steer the encoder never reach the wire.
pub trait Codec: Sized + Send + Sync + 'static {
    /// The name in TOML, on the wire, and of the crate's folder where it has one of its own.
    const ID: &'static str;
    /// Version of the bytes, apart from the crate's version. Streams of every older version must stay decodable.
    const FORMAT: u32;
    /// Revision of the encoder: raised whenever it writes other bytes for some input than before, format unchanged or not. Stored
    /// measurements of older revisions are stale. `crates/conformance/golden/encodings.txt` notices when it must be.
    const REVISION: u32 = 1;
    /// One line for listings: what it is and its source.
    const SUMMARY: &'static str;
    /// The options: `#[serde(deny_unknown_fields, default)]`, with field types that hold legal values only; the defaults are the
    /// recommended settings. Doc comments become the option's help text.
    type Config: Serialize + DeserializeOwned + JsonSchema + Default + Clone + Send + Sync + 'static;

    /// A codec with these options. Legal options always make a codec.
    fn new(config: Self::Config) -> Self;

    /// As [`new`](Self::new), with the codecs there are: for a codec whose options name others. It looks them up here, once, so that
    /// a wrong name is an error of the configuration; its decoder finds them by
    /// [`EncodedView::decode_nested`](crate::EncodedView::decode_nested).
    ///
    /// # Errors
    /// A nested codec that does not exist or cannot be built.
    fn with_codecs(config: Self::Config, codecs: &Registry) -> Result<Self, ConfigError> {
        let _ = codecs;
        Ok(Self::new(config))
    }

    /// The options.
    fn config(&self) -> &Self::Config;

    /// What it can do, so configured.
    fn capabilities(&self) -> Capabilities;

    /// Compresses a tensor. At least one layer.
    ///
    /// # Errors
    /// Cancellation. Any finite tensor can be encoded.
    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError>;

    /// Reconstructs the weights from the layers at hand (at least one) into `out`, zeroed and as long as the shape says. The view says
    /// which `FORMAT` wrote them.
    ///
    /// # Errors
    /// Whatever the bytes, an error or a reconstruction: never a panic, never an allocation that `limits` did not grant.
    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError>;
}

/// The object-safe face of [`Codec`], got by blanket implementation. Private, so that the method names of both never compete.
pub(crate) trait Erased: Send + Sync {
    fn id(&self) -> &'static str;
    fn format(&self) -> u32;
    fn revision(&self) -> u32;
    fn options(&self) -> serde_json::Value;
    fn default_options(&self) -> serde_json::Value;
    fn capabilities(&self) -> Capabilities;
    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError>;
}

impl<C: Codec> Erased for C {
    fn id(&self) -> &'static str {
        C::ID
    }

    fn format(&self) -> u32 {
        C::FORMAT
    }

    fn revision(&self) -> u32 {
        C::REVISION
    }

    fn options(&self) -> serde_json::Value {
        serde_json::to_value(self.config()).unwrap_or_default()
    }

    fn default_options(&self) -> serde_json::Value {
        serde_json::to_value(C::Config::default()).unwrap_or_default()
    }

    fn capabilities(&self) -> Capabilities {
        Codec::capabilities(self)
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        Codec::encode(self, tensor, context)
    }
}

/// A configured codec with its optional stage: the contender of a benchmark row.
#[derive(Clone)]
pub struct AnyCodec {
    inner: Arc<dyn Erased>,
    stage: Option<Arc<dyn Stage>>,
}

impl std::fmt::Debug for AnyCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl AnyCodec {
    /// Wraps a codec, without a stage.
    pub fn new<C: Codec>(codec: C) -> Self {
        Self { inner: Arc::new(codec), stage: None }
    }

    pub(crate) fn from_erased(inner: Arc<dyn Erased>) -> Self {
        Self { inner, stage: None }
    }

    /// Puts a stage behind the codec.
    #[must_use]
    pub fn then(mut self, stage: Arc<dyn Stage>) -> Self {
        self.stage = Some(stage);
        self
    }

    /// The codec's id.
    pub fn id(&self) -> &'static str {
        self.inner.id()
    }

    /// The stage's id, if there is one.
    pub fn stage(&self) -> Option<&'static str> {
        self.stage.as_ref().map(|stage| stage.id())
    }

    /// What decides the bytes beside input and options: format and encoder revision of the codec, then of the stage (0 without one).
    /// Part of what a stored measurement depends on.
    pub fn code(&self) -> [u32; 4] {
        let stage = self.stage.as_ref().map_or([0, 0], |stage| [stage.format(), stage.revision()]);
        [self.inner.format(), self.inner.revision(), stage[0], stage[1]]
    }

    /// Version of the codec's bytes and of the stage's (0 without one), as records hold them.
    pub fn formats(&self) -> (u32, u32) {
        (self.inner.format(), self.stage.as_ref().map_or(0, |stage| stage.format()))
    }

    /// All options as JSON.
    pub fn options(&self) -> serde_json::Value {
        self.inner.options()
    }

    /// What the codec can do.
    pub fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    /// The canonical name: id, options that differ from their defaults, stage: `bitnet:scale=row,threshold=mse+zstd`. A text that
    /// holds what separates parts of a name stands in quotes: `plan:like="rtn+ans"`.
    /// [`Registry::parse`](crate::Registry::parse) reads it back.
    pub fn name(&self) -> String {
        let mut name = self.inner.id().to_owned();
        let defaults = self.inner.default_options();
        let options = self.inner.options();
        let changed = options.as_object().into_iter().flatten().filter(|(key, value)| defaults.get(key) != Some(value));
        for (index, (key, value)) in changed.enumerate() {
            name.push(if index == 0 { ':' } else { ',' });
            name.push_str(key);
            name.push('=');
            match value {
                serde_json::Value::String(text) if name::is_bare(text) => name.push_str(text),
                other => name.push_str(&other.to_string()),
            }
        }
        if let Some(stage) = &self.stage {
            name.push('+');
            name.push_str(stage.id());
        }
        name
    }

    /// Compresses a tensor.
    ///
    /// # Errors
    /// As the codec says; [`EncodeError::NonFinite`] where the context asks for it.
    pub fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Record, EncodeError> {
        in_default_mode(|| self.encode_record(tensor, context))
    }

    fn encode_record(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Record, EncodeError> {
        context.check_cancelled()?;
        if tensor.shape().len() > MAX_RANK {
            let why = format!("rank {} is above {MAX_RANK}", tensor.shape().len());
            return Err(EncodeError::UnsupportedInput { tensor: tensor.name().to_owned(), why });
        }
        let split = exceptions::take_out(tensor, context.non_finite, self.capabilities())?;
        let coded_shape = tensor.matrix_view().coded_shape(tensor.shape());
        let mut encoded = if tensor.is_empty() {
            Encoded::single(Vec::new(), Vec::new())
        } else {
            let finite = TensorView::new(tensor.name(), &coded_shape, &split.values, tensor.dtype())
                .map_err(|error| EncodeError::Internal(error.to_string()))?;
            self.inner.encode(&finite, context)?
        };
        if encoded.layers.is_empty() {
            return Err(EncodeError::Internal(format!("codec `{}` wrote no layer", self.id())));
        }
        if let Some(stage) = &self.stage {
            for layer in &mut encoded.layers {
                let coded = stage.encode(layer)?;
                if coded.len() != layer.segments.len() {
                    return Err(EncodeError::Internal(format!("stage `{}` lost a segment", stage.id())));
                }
                for (segment, bytes) in layer.segments.iter_mut().zip(coded) {
                    segment.bytes = bytes;
                    segment.symbols = Symbols::OPAQUE;
                }
            }
        }
        if split.kind != Exceptions::None {
            encoded.layers[0].segments.push(Segment::new(Role::Exceptions, Symbols::OPAQUE, split.bytes));
        }
        let lengths = |layer: &Layer| layer.segments.iter().map(|s| (s.role, s.bytes.len())).collect();
        let (codec_format, stage_format) = self.formats();
        let header = RecordHeader {
            codec: self.id().to_owned(),
            codec_format,
            stage: self.stage().unwrap_or_default().to_owned(),
            stage_format,
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
            matrix_view: tensor.matrix_view(),
            params: encoded.params,
            exceptions: split.kind,
            layers: encoded.layers.iter().map(lengths).collect(),
        };
        Ok(Record { header, layers: encoded.layers })
    }

    /// What the codec itself writes, before stage and record: for codecs that nest others, and for tests that look inside a stream.
    /// The tensor must be non-empty and finite.
    ///
    /// # Errors
    /// As the codec says.
    pub fn encode_raw(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        self.inner.encode(tensor, context)
    }
}
