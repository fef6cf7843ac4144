//! A configured codec of any kind: what everybody but its author holds.

use std::sync::Arc;

use seedpress_calibration::InputStatistics;

use crate::capabilities::Capabilities;
use crate::context::EncodeContext;
use crate::encoded::{Encoded, Layer, Segment, Symbols};
use crate::error::EncodeError;
use crate::exceptions::{self, Exceptions};
use crate::float_mode::in_default_mode;
use crate::name;
use crate::record::{MAX_RANK, Record, RecordHeader};
use crate::role::Role;
use crate::stage::Stage;
use crate::tensor::TensorView;

/// The object-safe face of [`Codec`](crate::Codec), got by blanket implementation. Private, so that the method names of both never compete.
pub(crate) trait Erased: Send + Sync {
    fn id(&self) -> &'static str;
    fn format(&self) -> u32;
    fn revision(&self) -> u32;
    fn options(&self) -> serde_json::Value;
    fn default_options(&self) -> serde_json::Value;
    fn capabilities(&self) -> Capabilities;
    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError>;
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
        let outputs = context.calibration.and_then(InputStatistics::outputs);
        // Rows and columns go together: a codec that is given the rows' weights is given the ridge they were found with.
        let ridged = context.calibration.filter(|_| self.capabilities().one_step).map(InputStatistics::with_ridge);
        let split = exceptions::take_out(tensor, context.non_finite, self.capabilities(), outputs)?;
        let coded_shape = tensor.matrix_view().coded_shape(tensor.shape());
        let mut encoded = if tensor.is_empty() {
            Encoded::single(Vec::new(), Vec::new())
        } else {
            let finite = TensorView::new(tensor.name(), &coded_shape, &split.values, tensor.dtype())
                .map_err(|error| EncodeError::Internal(error.to_string()))?;
            let calibration = ridged.as_deref().or(context.calibration);
            self.inner.encode(&finite, &EncodeContext { noted: split.noted, calibration, ..*context })?
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
