//! What fuzzers start from: streams of every codec and stage as they are written today.

use seedpress_codec::{AnyCodec, DType, EncodeContext, Layer, Tensor};
use seedpress_conformance::{inputs, settings};

use crate::registry::REGISTRY;
use crate::stream::{KINDS, Stream};

/// Longest seed: libFuzzer's own default, and what the corpora's files are kept to.
pub const LONGEST: usize = 4096;

fn layer(layer: &Layer, bytes: impl Fn(usize) -> Vec<u8>) -> Vec<(u8, Vec<u8>)> {
    layer.segments.iter().enumerate().map(|(index, segment)| (segment.role as u8, bytes(index))).collect()
}

fn codecs() -> Vec<AnyCodec> {
    let names = REGISTRY.codecs().map(|entry| entry.id).chain(settings::MORE.iter().copied());
    names.filter_map(|name| REGISTRY.parse(name).ok()).collect()
}

fn name_of_file(codec: &AnyCodec) -> String {
    codec.name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// A stream of every codec and setting, by name.
pub fn decoder() -> Vec<(String, Vec<u8>)> {
    let input = inputs::tiny();
    let shape: Vec<u16> = input.tensor.shape().iter().map(|&axis| axis as u16).collect();
    let stream = |codec: AnyCodec| {
        let encoded = codec.encode_raw(&input.tensor.view("w"), &EncodeContext::default()).ok()?;
        let layers = encoded.layers.iter().map(|of| layer(of, |index| of.segments[index].bytes.clone())).collect();
        let (format, shape, params) = (codec.formats().0 as u8, shape.clone(), encoded.params);
        let stream = Stream { id: codec.id().to_owned(), format, shape, params, layers };
        Some((name_of_file(&codec), stream.to_bytes()))
    };
    short(codecs().into_iter().filter_map(stream).collect())
}

/// Layers of a few codecs behind every stage, by name.
pub fn stage() -> Vec<(String, Vec<u8>)> {
    let input = inputs::tiny();
    let mut seeds = Vec::new();
    for stage in REGISTRY.stages() {
        for name in ["raw", "rtn", "bitnet", "seedlm-paper", "q4_k", "nf4"] {
            let Ok(codec) = REGISTRY.parse(name) else { continue };
            let Ok(encoded) = codec.encode_raw(&input.tensor.view("w"), &EncodeContext::default()) else { continue };
            let coded = |of: &Layer| {
                Some(layer(of, {
                    let coded = stage.encode(of).ok()?;
                    move |index| coded[index].clone()
                }))
            };
            let layers: Option<Vec<_>> = encoded.layers.iter().map(coded).collect();
            let Some(layers) = layers else { continue };
            let (id, format) = (stage.id().to_owned(), stage.format() as u8);
            let file = format!("{}-{name}", id.replace('+', "-"));
            seeds.push((file, Stream { id, format, layers, ..Stream::default() }.to_bytes()));
        }
    }
    short(seeds)
}

/// A matrix of 20 rows of 32, by the kind of exception that it has.
fn exceptional() -> [(&'static str, Vec<f32>); 6] {
    let plain = inputs::gaussian(ROWS * COLUMNS, 5);
    let with = |spoils: fn(usize) -> bool, spoil: fn(f32) -> f32| -> Vec<f32> {
        let spoilt = |(index, &value): (usize, &f32)| if spoils(index) { spoil(value) } else { value };
        plain.iter().enumerate().map(spoilt).collect()
    };
    [
        ("plain", plain.clone()),
        ("nan", with(|index| index % 99 == 0, |_| f32::NAN)),
        ("outlier", with(|index| index == 77, |_| 1e9)),
        ("silent", with(|index| index / COLUMNS > 2, |value| value * 1e20)),
        ("loud", with(|index| index / COLUMNS % 8 == 3, |value| value * 1e20)),
        ("column", with(|index| index % COLUMNS == 9, |value| value * 1e20)),
    ]
}

const ROWS: usize = 20;
const COLUMNS: usize = 32;

/// Records with every kind of exception, by name: a byte before the stream says which.
pub fn record() -> Vec<(String, Vec<u8>)> {
    let contents = exceptional();
    let mut seeds = Vec::new();
    for name in ["zeros", "raw", "rtn", "lloyd-max", "trellis-progressive"] {
        let Ok(codec) = REGISTRY.parse(name) else { continue };
        for (content, values) in &contents {
            let Ok(tensor) = Tensor::new(vec![ROWS, COLUMNS], values.clone(), DType::F32) else { continue };
            let Ok(record) = codec.encode(&tensor.view("w"), &EncodeContext::default()) else { continue };
            let layers = record.layers.iter().map(|of| layer(of, |index| of.segments[index].bytes.clone())).collect();
            let kind = KINDS.iter().position(|&kind| kind == record.header.exceptions).unwrap_or(0);
            let shape = vec![ROWS as u16, COLUMNS as u16];
            let (id, format) = (name.to_owned(), record.header.codec_format as u8);
            let stream = Stream { id, format, shape, params: record.header.params, layers };
            seeds.push((format!("{name}-{content}"), [vec![kind as u8], stream.to_bytes()].concat()));
        }
    }
    short(seeds)
}

fn short(seeds: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    seeds.into_iter().filter(|(_, bytes)| bytes.len() <= LONGEST).collect()
}
