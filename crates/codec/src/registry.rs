//! From a name and options to a codec, and from bytes to a tensor.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::codec::{AnyCodec, Codec, Erased};
use crate::error::{ConfigError, DecodeError, DecodeErrorKind};
use crate::exceptions;
use crate::float_mode::in_default_mode;
use crate::limits::Limits;
use crate::name;
use crate::record::{Decoded, RecordView};
use crate::stage::Stage;
use crate::tensor::Tensor;
use crate::view::{EncodedView, LayerView, SegmentView};
use crate::wire::Reader;

type Build = fn(ValueDeserializer<'_>, &Registry) -> Result<Arc<dyn Erased>, ConfigError>;
type Decode = fn(&EncodedView<'_>, &mut [f32], &mut Limits) -> Result<(), DecodeError>;

/// A registered codec.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The codec's id.
    pub id: &'static str,
    /// Newest version of its bytes.
    pub format: u32,
    /// One line: what it is.
    pub summary: &'static str,
    build: Build,
    decode: Decode,
    schema: fn() -> serde_json::Value,
}

impl Entry {
    /// The JSON schema of the options: types, ranges, defaults, help texts.
    pub fn schema(&self) -> serde_json::Value {
        (self.schema)()
    }

    /// The codec's own decoder, without record or stage: for tests that corrupt a stream below its checksums.
    ///
    /// # Errors
    /// As the codec says.
    pub fn decode_raw(
        &self,
        encoded: &EncodedView<'_>,
        out: &mut [f32],
        limits: &mut Limits,
    ) -> Result<(), DecodeError> {
        (self.decode)(encoded, out, limits)
    }
}

/// Every codec and stage known to a program. Filled explicitly: `Registry::default().with::<MyCodec>()`.
#[derive(Default, Clone)]
pub struct Registry {
    codecs: BTreeMap<&'static str, Entry>,
    stages: BTreeMap<&'static str, Arc<dyn Stage>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("codecs", &self.codecs.keys().collect::<Vec<_>>())
            .field("stages", &self.stages.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Registry {
    /// A registry of nothing.
    pub const fn new() -> Self {
        Self { codecs: BTreeMap::new(), stages: BTreeMap::new() }
    }

    /// Adds a codec.
    ///
    /// # Panics
    /// Where the id is taken: a mistake in the list, found at the first start.
    #[must_use]
    pub fn with<C: Codec>(mut self) -> Self {
        let entry = Entry {
            id: C::ID,
            format: C::FORMAT,
            summary: C::SUMMARY,
            build: |options, codecs| Ok(Arc::new(C::with_codecs(C::Config::deserialize(options)?, codecs)?)),
            decode: C::decode,
            schema: || serde_json::to_value(schemars::schema_for!(C::Config)).unwrap_or_default(),
        };
        assert!(self.codecs.insert(C::ID, entry).is_none(), "two codecs are named `{}`", C::ID);
        self
    }

    /// Adds a stage.
    ///
    /// # Panics
    /// Where the id is taken.
    #[must_use]
    pub fn with_stage(mut self, stage: impl Stage) -> Self {
        let id = stage.id();
        assert!(self.stages.insert(id, Arc::new(stage)).is_none(), "two stages are named `{id}`");
        self
    }

    /// Every codec, sorted by id.
    pub fn codecs(&self) -> impl Iterator<Item = &Entry> {
        self.codecs.values()
    }

    /// Every stage, sorted by id.
    pub fn stages(&self) -> impl Iterator<Item = &dyn Stage> {
        self.stages.values().map(AsRef::as_ref)
    }

    /// The codec of this id.
    ///
    /// # Errors
    /// Naming the ids there are.
    pub fn codec(&self, id: &str) -> Result<&Entry, ConfigError> {
        self.codecs.get(id).ok_or_else(|| {
            let known: Vec<_> = self.codecs.keys().copied().collect();
            let meant = did_you_mean(id, &known);
            ConfigError::new(format!("unknown codec `{id}`: legal values are {}{meant}", known.join(", ")))
        })
    }

    /// The stage of this id.
    ///
    /// # Errors
    /// Naming the ids there are.
    pub fn stage(&self, id: &str) -> Result<Arc<dyn Stage>, ConfigError> {
        self.stages.get(id).cloned().ok_or_else(|| {
            let known: Vec<_> = self.stages.keys().copied().collect();
            let meant = did_you_mean(id, &known);
            ConfigError::new(format!("unknown stage `{id}`: legal values are {}{meant}", known.join(", ")))
        })
    }

    /// A codec from an id and a TOML table of options. An error's span points into the text the table was parsed from.
    ///
    /// # Errors
    /// Unknown id, unknown option, illegal value.
    pub fn build(&self, id: &str, options: toml::Spanned<DeValue<'_>>) -> Result<AnyCodec, ConfigError> {
        let entry = self.codec(id)?;
        let inner = (entry.build)(ValueDeserializer::from(options), self)?;
        Ok(AnyCodec::from_erased(inner))
    }

    /// The codec of this id with its default options.
    ///
    /// # Errors
    /// Unknown id.
    pub fn default_codec(&self, id: &str) -> Result<AnyCodec, ConfigError> {
        self.build(id, toml::Spanned::new(0..0, DeValue::Table(DeTable::new())))
    }

    /// A codec from its canonical name, `id:key=value,key=value+stage`: what [`AnyCodec::name`] prints and command lines take. Values
    /// that hold `+`, `,` or spaces stand in quotes.
    ///
    /// # Errors
    /// Unknown id, stage or option, illegal value.
    pub fn parse(&self, name: &str) -> Result<AnyCodec, ConfigError> {
        let name::Parts { id, options, stage } = name::parse(name)?;
        let mut text = String::new();
        for (key, value) in options {
            // A bare word is a string; everything TOML can read by itself stays as it is.
            text.push_str(&if name::is_literal(value) {
                format!("{key} = {value}\n")
            } else {
                format!("{key} = {value:?}\n")
            });
        }
        let table = DeTable::parse(&text)?;
        let span = table.span();
        let codec = self
            .build(id, toml::Spanned::new(span, DeValue::Table(table.into_inner())))
            .map_err(|error| ConfigError::new(format!("in `{name}`: {}", error.message)))?;
        match stage {
            Some(stage) => Ok(codec.then(self.stage(stage)?)),
            None => Ok(codec),
        }
    }

    /// Reconstructs a tensor from a record or a prefix of one.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(&self, record: &RecordView<'_>, limits: &mut Limits) -> Result<Decoded, DecodeError> {
        in_default_mode(|| self.decode_record(record, limits))
    }

    fn decode_record(&self, record: &RecordView<'_>, limits: &mut Limits) -> Result<Decoded, DecodeError> {
        let header = &record.header;
        // An unknown codec is reported before a stage does work for it.
        self.decoder(&header.codec, header.codec_format)?;
        limits.check_values(header.weights())?;
        let (mut view, exceptions) = record.parts();
        let recoded: Vec<Vec<Vec<u8>>>;
        if !header.stage.is_empty() {
            let stage = self.stages.get(header.stage.as_str()).ok_or_else(|| unknown(&header.stage))?;
            check_version(header.stage_format, stage.format())?;
            let restore = |(index, layer): (usize, &LayerView<'_>)| {
                let segments = stage
                    .decode(header.stage_format, layer, limits)
                    .map_err(|error| DecodeError { layer: Some(index), ..error })?;
                if segments.len() == layer.segments.len() {
                    Ok(segments)
                } else {
                    Err(DecodeError::corrupt("the stage restored another number of segments"))
                }
            };
            recoded = view.layers.iter().enumerate().map(restore).collect::<Result<_, _>>()?;
            for (layer, restored) in view.layers.iter_mut().zip(&recoded) {
                for (segment, bytes) in layer.segments.iter_mut().zip(restored) {
                    *segment = SegmentView { role: segment.role, bytes };
                }
            }
        }
        let mut values = limits.filled(header.weights(), 0f32)?;
        let (_, columns) = header.matrix_view.matrix_shape(&header.shape);
        let mut exceptions = exceptions.map(Reader::new);
        let misplaced = |error: DecodeError| error.at(0, header.layers[0].len() - 1);
        if !values.is_empty() {
            self.decode_view(&header.codec, &view.with_codecs(self), &mut values, limits)?;
            if let Some(reader) = &mut exceptions {
                exceptions::bring_up_rows(reader, header.exceptions, columns, &mut values).map_err(misplaced)?;
            }
            // A decoder fed with nonsense may overflow; the contract is finite values, exceptions apart.
            if !header.dtype.round_all(&mut values) {
                return Err(DecodeError::corrupt("a reconstructed value is not finite"));
            }
        }
        if let Some(reader) = exceptions {
            exceptions::put_back(reader, header.exceptions, columns, &mut values).map_err(misplaced)?;
        }
        let tensor = Tensor::new(header.shape.clone(), values, header.dtype)
            .map_err(|_| DecodeError::corrupt("the shape does not fit the values"))?;
        Ok(Decoded { tensor, layers: record.layer_count(), layers_total: header.layers.len() })
    }

    /// Parses and decodes a record that this program wrote itself, whatever memory it takes.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode_trusted(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        self.decode(&RecordView::parse(bytes)?, &mut Limits::new(u64::MAX))
    }

    /// The codec's own decoder, without record or stage.
    ///
    /// # Errors
    /// An unknown codec, a newer format, or whatever the codec says of the bytes.
    pub(crate) fn decode_view(
        &self,
        id: &str,
        view: &EncodedView<'_>,
        out: &mut [f32],
        limits: &mut Limits,
    ) -> Result<(), DecodeError> {
        self.decoder(id, view.format)?(view, out, limits)
    }

    fn decoder(&self, id: &str, format: u32) -> Result<Decode, DecodeError> {
        let entry = self.codecs.get(id).ok_or_else(|| unknown(id))?;
        check_version(format, entry.format)?;
        Ok(entry.decode)
    }

    /// Parses and decodes a record in one step, within the default limits for its length.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode_bytes(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        self.decode(&RecordView::parse(bytes)?, &mut Limits::for_input(bytes.len()))
    }
}

/// `; did you mean ..?` where a known name is near.
fn did_you_mean(given: &str, known: &[&str]) -> String {
    let likeness = |name: &&&str| (strsim::jaro_winkler(given, name) * 1000.0) as u32;
    let nearest = known.iter().max_by_key(likeness).filter(|name| likeness(name) >= 850);
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn unknown(id: &str) -> DecodeError {
    DecodeError::new(DecodeErrorKind::UnknownCodec(id.to_owned()))
}

fn check_version(found: u32, newest: u32) -> Result<(), DecodeError> {
    if found <= newest { Ok(()) } else { Err(DecodeError::new(DecodeErrorKind::UnsupportedVersion { found, newest })) }
}
