//! Codecs named in an option, and their streams inside another's.
//!
//! Wire of a nested stream's head: length `varint` and bytes of the codec's id, its format `varint`, length `varint` and bytes of its
//! parameters, the number of its layers `varint`.

use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    AnyCodec, ConfigError, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, LayerView, Limits, Registry,
    TensorView,
};

/// Longest id of a codec on the wire.
const LONGEST_ID: usize = 64;

/// Configured codecs, and those they may nest themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nested {
    /// In the order they were named.
    pub codecs: Vec<AnyCodec>,
    registry: Registry,
}

impl Nested {
    /// Codecs from their canonical names, separated by bars. Those in `refused` would nest too deeply.
    ///
    /// # Errors
    /// No name, a name that is none, a stage, a codec that is refused.
    pub(crate) fn parse(names: &str, refused: &[&str], registry: &Registry) -> Result<Self, ConfigError> {
        let parse = |name: &str| {
            let codec = registry.parse(name.trim())?;
            if let Some(stage) = codec.stage() {
                let why = format!("`{stage}` in `{}`: a stage stands behind the whole, as `then`", name.trim());
                return Err(ConfigError::new(why));
            }
            if refused.contains(&codec.id()) {
                return Err(ConfigError::new(format!("`{}` cannot stand here: it nests codecs itself", codec.id())));
            }
            Ok(codec)
        };
        let codecs = split(names).into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { codecs, registry: registry.clone() })
    }

    /// What a codec wrote, decoded.
    ///
    /// # Errors
    /// Internal: a codec decodes what it wrote.
    pub(crate) fn decode(&self, codec: &AnyCodec, encoded: &Encoded, shape: &[usize]) -> Result<Vec<f32>, EncodeError> {
        let internal = |error: &dyn std::fmt::Display| EncodeError::Internal(format!("`{}`: {error}", codec.id()));
        let entry = self.registry.codec(codec.id()).map_err(|error| internal(&error.message))?;
        let mut out = vec![0f32; shape.iter().product()];
        let view = encoded.view(codec.formats().0, shape).with_decoders(self.registry.decoders());
        entry.decode_raw(&view, &mut out, &mut Limits::new(u64::MAX)).map_err(|error| internal(&error))?;
        Ok(out)
    }

    /// Encodes by one of the codecs.
    ///
    /// # Errors
    /// As the codec says; internal where it wrote no layer.
    pub(crate) fn encode(
        codec: &AnyCodec,
        tensor: &TensorView<'_>,
        context: &EncodeContext<'_>,
    ) -> Result<Encoded, EncodeError> {
        let encoded = codec.encode_raw(tensor, context)?;
        if encoded.layers.is_empty() {
            return Err(EncodeError::Internal(format!("codec `{}` wrote no layer", codec.id())));
        }
        Ok(encoded)
    }
}

/// Names between bars; a bar in quotes belongs to a name.
fn split(names: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, character) in names.char_indices() {
        match (character, quote) {
            ('|', None) => {
                parts.push(&names[start..at]);
                start = at + 1;
            }
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if open == character => quote = None,
            _ => {}
        }
    }
    parts.push(&names[start..]);
    parts
}

/// Appends the head of what a codec wrote.
pub(crate) fn write_head(codec: &AnyCodec, encoded: &Encoded, out: &mut Vec<u8>) {
    out.put_varint(codec.id().len() as u64);
    out.extend_from_slice(codec.id().as_bytes());
    out.put_varint(u64::from(codec.formats().0));
    out.put_varint(encoded.params.len() as u64);
    out.extend_from_slice(&encoded.params);
    out.put_varint(encoded.layers.len() as u64);
}

/// The head of a nested stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    id: &'a str,
    format: u32,
    params: &'a [u8],
    /// Layers when all of them are at hand.
    pub layers: usize,
}

impl<'a> Head<'a> {
    /// Reads a head.
    ///
    /// # Errors
    /// Truncated or corrupt.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let corrupt = |what| DecodeError::corrupt(what).at_offset(at);
        let length = reader.length()?;
        if length > LONGEST_ID {
            return Err(corrupt("a codec's name is too long"));
        }
        let id = std::str::from_utf8(reader.take(length)?).map_err(|_| corrupt("a codec's name is no text"))?;
        let format = u32::try_from(reader.varint()?).map_err(|_| corrupt("a format number is too large"))?;
        let length = reader.length()?;
        let params = reader.take(length)?;
        let layers = reader.length()?;
        if layers == 0 {
            Err(corrupt("a nested stream has no layers"))
        } else {
            Ok(Self { id, format, params, layers })
        }
    }

    /// Decodes the layers at hand into `out`, zeroed.
    ///
    /// # Errors
    /// As the codec says.
    pub(crate) fn decode(
        &self,
        host: &EncodedView<'_>,
        layers: &[LayerView<'_>],
        out: &mut [f32],
        limits: &mut Limits,
    ) -> Result<(), DecodeError> {
        let nested = EncodedView::new(self.format, host.shape, self.params, layers.to_vec());
        host.decode_nested(self.id, nested, out, limits)
    }
}
