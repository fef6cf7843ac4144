//! Every codec and stage a program knows: from a name and options to a codec.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::any::{AnyCodec, Erased};
use crate::error::{ConfigError, DecodeError};
use crate::limits::Limits;
use crate::name;
use crate::stage::Stage;
use crate::view::{Decode, Decoders, EncodedView};

type Build = fn(ValueDeserializer<'_>, &Registry) -> Result<Arc<dyn Erased>, ConfigError>;

/// A registered codec.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The codec's id.
    pub id: &'static str,
    /// Newest version of its bytes.
    pub format: u32,
    /// One line: what it is.
    pub summary: &'static str,
    pub(crate) build: Build,
    pub(crate) decode: Decode,
    pub(crate) schema: fn() -> serde_json::Value,
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
    decoders: Decoders,
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
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a codec's entry.
    pub(crate) fn with_entry(mut self, entry: Entry) -> Self {
        assert!(self.codecs.insert(entry.id, entry).is_none(), "two codecs are named `{}`", entry.id);
        self.decoders.insert(entry.id, entry.format, entry.decode);
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

    /// The decoders of every codec: what [`EncodedView::with_decoders`] takes.
    pub fn decoders(&self) -> &Decoders {
        &self.decoders
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

    /// The stage that a record names.
    pub(crate) fn known_stage(&self, id: &str) -> Result<&dyn Stage, DecodeError> {
        self.stages.get(id).map(AsRef::as_ref).ok_or_else(|| DecodeError::unknown_codec(id))
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
}

/// `; did you mean ..?` where a known name is near.
fn did_you_mean(given: &str, known: &[&str]) -> String {
    let likeness = |name: &&&str| (strsim::jaro_winkler(given, name) * 1000.0) as u32;
    let nearest = known.iter().max_by_key(likeness).filter(|name| likeness(name) >= 850);
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
