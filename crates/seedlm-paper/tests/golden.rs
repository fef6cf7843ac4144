//! Frozen streams: what was written once is read forever. See `golden/README.md`.

#![allow(clippy::unwrap_used)] // Helpers of tests, outside the lint's own exemption.

use seedpress_codec::{AnyCodec, Codec, DType, EncodeContext, EncodedView, LayerView, Limits, Registry};
use seedpress_codec::{Role, SegmentView, TensorView};
use seedpress_seedlm_paper::{SeedLm, register};
use serde_json::{Value, json};

const SHAPE: [usize; 2] = [5, 20];
const ROLES: [Role; 3] = [Role::Seeds, Role::Exponents, Role::Coefficients];
const CONFIGS: &[&str] = &[
    "{}",
    "{\"block\":12,\"coefficients\":4}",
    "{\"block\":11,\"coefficients\":2,\"k\":10,\"coefficient_bits\":5,\"exponents_per_octave\":3}",
];

fn input() -> Vec<f32> {
    (0..100i32).map(|i| ((i * i * 37 + i * 11) % 101 - 50) as f32 / 16.0).collect()
}

/// What the present encoder writes: the options, the parameters and the segments.
fn written(options: &str) -> Value {
    let codec = AnyCodec::new(SeedLm::new(serde_json::from_str(options).unwrap()));
    let values = input();
    let tensor = TensorView::new("w", &SHAPE, &values, DType::F32).unwrap();
    let encoded = codec.encode_raw(&tensor, &EncodeContext::default()).unwrap();
    let segments: Vec<_> = encoded.layers[0].segments.iter().map(|segment| segment.bytes.clone()).collect();
    json!({ "options": options, "params": encoded.params, "segments": segments })
}

fn frozen() -> Vec<Value> {
    serde_json::from_str(include_str!("golden/streams.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn frozen_streams_decode_to_the_bit() {
    let registry = register(Registry::default());
    for stream in frozen() {
        let params = bytes(&stream["params"]);
        let segments: Vec<_> = stream["segments"].as_array().unwrap().iter().map(bytes).collect();
        let segments = ROLES.iter().zip(&segments).map(|(&role, bytes)| SegmentView { role, bytes }).collect();
        let view = EncodedView::new(1, &SHAPE, &params, vec![LayerView { segments }]);
        let mut out = vec![0f32; 100];
        let codec = registry.codec("seedlm-paper").unwrap();
        codec.decode_raw(&view, &mut out, &mut Limits::new(1 << 28)).unwrap();
        let found: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
        let expected: Vec<u32> = serde_json::from_value(stream["expected"].clone()).unwrap();
        assert_eq!(found, expected, "{}", stream["options"]);
    }
}

#[test]
fn the_encoder_still_writes_them() {
    assert_eq!(frozen().len(), CONFIGS.len());
    for (mut stream, options) in frozen().into_iter().zip(CONFIGS) {
        stream.as_object_mut().unwrap().remove("expected");
        assert_eq!(written(options), stream);
    }
}

/// Prints the streams, without the expected values: `cargo test -p seedpress-seedlm-paper --test golden -- --ignored --nocapture`.
#[test]
#[ignore = "prints new streams for a new format version"]
fn print() {
    println!("{}", Value::from(CONFIGS.iter().map(|options| written(options)).collect::<Vec<_>>()));
}
