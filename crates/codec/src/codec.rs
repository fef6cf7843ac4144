//! The trait that the author of a codec implements, and how a registry and an [`AnyCodec`] are made of it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::any::{AnyCodec, Erased};
use crate::capabilities::Capabilities;
use crate::context::EncodeContext;
use crate::encoded::Encoded;
use crate::error::{ConfigError, DecodeError, EncodeError};
use crate::limits::Limits;
use crate::registry::{Entry, Registry};
use crate::tensor::TensorView;
use crate::view::EncodedView;

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

impl AnyCodec {
    /// Wraps a codec, without a stage.
    pub fn new<C: Codec>(codec: C) -> Self {
        Self::from_erased(Arc::new(codec))
    }
}

impl Registry {
    /// Adds a codec.
    ///
    /// # Panics
    /// Where the id is taken: a mistake in the list, found at the first start.
    #[must_use]
    pub fn with<C: Codec>(self) -> Self {
        self.with_entry(Entry {
            id: C::ID,
            format: C::FORMAT,
            summary: C::SUMMARY,
            build: |options, codecs| Ok(Arc::new(C::with_codecs(C::Config::deserialize(options)?, codecs)?)),
            decode: C::decode,
            schema: || serde_json::to_value(schemars::schema_for!(C::Config)).unwrap_or_default(),
        })
    }
}
