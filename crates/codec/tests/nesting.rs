//! A codec that nests others: found when it is built, handed to its decoder, never deeper than the stack bears.

#![allow(clippy::unwrap_used)]

use schemars::JsonSchema;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    AnyCodec, Capabilities, Codec, ConfigError, DType, DecodeError, DecodeErrorKind, EncodeContext, EncodeError,
    Encoded, EncodedView, Limits, RecordView, Registry, Role, Segment, Symbols, Tensor, TensorView,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoOptions {}

/// Every weight as its sign; version 1 knew magnitude 1 only, version 2 writes the magnitude.
struct Sign(NoOptions);

impl Codec for Sign {
    const ID: &'static str = "sign";
    const FORMAT: u32 = 2;
    const SUMMARY: &'static str = "for tests";
    type Config = NoOptions;

    fn new(config: NoOptions) -> Self {
        Self(config)
    }

    fn config(&self) -> &NoOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, tensor: &TensorView<'_>, _: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let signs = tensor.values().iter().map(|&value| u8::from(value < 0.0)).collect();
        let mut params = Vec::new();
        params.put_f32(2.0);
        Ok(Encoded::single(params, vec![Segment::new(Role::Signs, Symbols::OPAQUE, signs)]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let mut params = Reader::new(encoded.params);
        let magnitude = if encoded.format == 1 { 1.0 } else { params.finite_f32()? };
        params.finish()?;
        let signs = encoded.segments(0)?.exact(Role::Signs, out.len())?;
        for (value, &sign) in out.iter_mut().zip(signs) {
            *value = if sign == 0 { magnitude } else { -magnitude };
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HalfOptions {
    /// The codec whose values are halved.
    of: String,
}

impl Default for HalfOptions {
    fn default() -> Self {
        Self { of: "sign".to_owned() }
    }
}

/// Half of what another codec decodes to.
struct Half {
    config: HalfOptions,
    inner: Option<AnyCodec>,
}

impl Codec for Half {
    const ID: &'static str = "half";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "for tests";
    type Config = HalfOptions;

    fn new(config: HalfOptions) -> Self {
        Self { config, inner: None }
    }

    fn with_codecs(config: HalfOptions, codecs: &Registry) -> Result<Self, ConfigError> {
        let inner = Some(codecs.parse(&config.of)?);
        Ok(Self { config, inner })
    }

    fn config(&self) -> &HalfOptions {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let inner = self.inner.as_ref().ok_or_else(|| EncodeError::Internal("built without a registry".into()))?;
        let mut encoded = inner.encode_raw(tensor, context)?;
        let mut params = vec![inner.formats().0 as u8, inner.id().len() as u8];
        params.extend_from_slice(inner.id().as_bytes());
        params.append(&mut encoded.params);
        Ok(Encoded { params, ..encoded })
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let mut params = Reader::new(encoded.params);
        let (format, length) = (params.u8()?, params.u8()?);
        let id = std::str::from_utf8(params.take(length.into())?).map_err(|_| DecodeError::corrupt("no name"))?;
        let rest = params.take(params.remaining())?;
        let nested = EncodedView::new(format.into(), encoded.shape, rest, encoded.layers.clone());
        encoded.decode_nested(id, nested, out, limits)?;
        out.iter_mut().for_each(|value| *value /= 2.0);
        Ok(())
    }
}

fn registry() -> Registry {
    Registry::new().with::<Sign>().with::<Half>()
}

fn encode(name: &str) -> seedpress_codec::Record {
    let tensor = Tensor::new(vec![3], vec![1.0, -4.0, 0.5], DType::F32).unwrap();
    registry().parse(name).unwrap().encode(&tensor.view("t"), &EncodeContext::default()).unwrap()
}

#[test]
fn nested_codecs_are_built_with_their_host_and_decode() {
    for (name, value) in [("sign", 2.0), ("half", 1.0), ("half:of=half", 0.5)] {
        let decoded = registry().decode_bytes(&encode(name).to_bytes()).unwrap();
        assert_eq!(decoded.tensor.values(), [value, -value, value], "{name}");
    }
    let error = registry().parse("half:of=nothing").unwrap_err();
    assert!(error.message.contains("unknown codec `nothing`: legal values are half, sign"), "{error}");
    assert_eq!(registry().default_codec("half").unwrap().name(), "half");
}

#[test]
fn a_decoder_is_told_the_format_of_its_stream() {
    let mut record = encode("sign");
    (record.header.codec_format, record.header.params) = (1, Vec::new());
    assert_eq!(registry().decode_bytes(&record.to_bytes()).unwrap().tensor.values(), [1.0, -1.0, 1.0]);
    record.header.codec_format = 3;
    let error = registry().decode_bytes(&record.to_bytes()).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::UnsupportedVersion { found: 3, newest: 2 });
    // The nested stream has a format of its own, checked in the same way.
    let mut record = encode("half");
    record.header.params[0] = 3;
    let error = registry().decode_bytes(&record.to_bytes()).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::UnsupportedVersion { found: 3, newest: 2 });
}

#[test]
fn deep_nesting_is_refused() {
    let mut record = encode("half");
    record.header.params = b"\x01\x04half".repeat(100_000);
    let bytes = record.to_bytes();
    let error = registry().decode_bytes(&bytes).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Corrupt("codecs are nested too deeply"));
}

#[test]
fn a_record_is_read_back_whole_or_not_at_all() {
    let record = encode("half");
    let bytes = record.to_bytes();
    let again = seedpress_codec::Record::parse(&bytes).unwrap();
    assert_eq!(again.to_bytes(), bytes);
    assert_eq!(again.header, record.header);
    for len in 0..bytes.len() {
        assert!(seedpress_codec::Record::parse(&bytes[..len]).is_err(), "{len}");
    }
    // Two layers, the second cut: a prefix decodes, and is no whole record.
    let mut layered = record;
    layered.layers.push(layered.layers[0].clone());
    layered.header.layers.push(layered.header.layers[0].clone());
    let bytes = layered.to_bytes();
    assert!(RecordView::parse(&bytes[..bytes.len() - 1]).is_ok());
    let error = seedpress_codec::Record::parse(&bytes[..bytes.len() - 1]).unwrap_err();
    assert_eq!(
        (error.layer, error.kind),
        (Some(1), DecodeErrorKind::Truncated { needed: bytes.len() as u64, have: bytes.len() as u64 - 1 })
    );
}
