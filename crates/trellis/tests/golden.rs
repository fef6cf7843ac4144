//! Streams of format 1, frozen: written once by this encoder and read forever.
//!
//! The input is `((i * i * 37 + i * 11) % 101 - 50) / 16` for 48 weights as 6 x 8, coded with `bits=3`. The values
//! were checked against the input when the stream was made; the coder has a frozen stream of its own.

use seedpress_codec::{EncodedView, LayerView, Limits, Registry, Role, SegmentView};

const PARAMS: &[u8] = &[0, 94, 104, 15, 63, 5, 0, 0];
const INDICES: &[u8] = &[30, 202, 7, 226, 240, 47, 244, 200, 79, 118, 136, 24, 10, 95, 238, 200, 119];
/// In 1/1024, rounded.
const VALUES: &[i32] = &[
    -3442, 0, 1147, 574, -1147, 1147, 1721, 1721, -1721, 574, 1721, 0, -2868, -1721, -1147, -2868, 0, 1721, 1147,
    -1721, 1721, 2295, 1147, -1147, 574, 1147, 0, -2868, -1721, -1147, 3442, -1147, 1147, 0, -1721, 574, 1721, 574,
    -2295, 0, 0, -1721, 1721, -2868, -2868, 1721, -1721, -574,
];

fn input() -> Vec<f32> {
    (0..48i32).map(|i| ((i * i * 37 + i * 11) % 101 - 50) as f32 / 16.0).collect()
}

fn frozen() -> EncodedView<'static> {
    let segments = vec![SegmentView { role: Role::Indices, bytes: INDICES }];
    EncodedView { shape: &[6, 8], params: PARAMS, layers: vec![LayerView { segments }] }
}

#[test]
fn frozen_stream_decodes() {
    let registry = seedpress_trellis::register(Registry::default());
    let mut out = vec![0f32; 48];
    registry.codec("trellis").unwrap().decode_raw(&frozen(), &mut out, &mut Limits::new(1 << 20)).unwrap();
    let rounded: Vec<i32> = out.iter().map(|v| (v * 1024.0).round() as i32).collect();
    assert_eq!(rounded, VALUES);
    let error: f32 = input().iter().zip(&out).map(|(a, b)| (a - b) * (a - b)).sum();
    let power: f32 = input().iter().map(|a| a * a).sum();
    assert!(error / power < 0.05, "{}", error / power);
}

/// Prints the constants above from the present encoder: `cargo test -p seedpress-trellis --test golden -- --ignored --nocapture`.
#[test]
#[ignore = "prints new constants for a new format version"]
fn print() {
    use seedpress_codec::{DType, EncodeContext, TensorView};
    let registry = seedpress_trellis::register(Registry::default());
    let values = input();
    let tensor = TensorView::new("t", &[6, 8], &values, DType::F32).unwrap();
    let encoded = registry.parse("trellis:bits=3").unwrap().encode_raw(&tensor, &EncodeContext::default()).unwrap();
    let mut out = vec![0f32; 48];
    let entry = registry.codec("trellis").unwrap();
    entry.decode_raw(&encoded.view(&[6, 8]), &mut out, &mut Limits::new(1 << 20)).unwrap();
    println!("const PARAMS: &[u8] = &{:?};", encoded.params);
    println!("const INDICES: &[u8] = &{:?};", encoded.layers[0].segments[0].bytes);
    let rounded: Vec<i32> = out.iter().map(|v| (v * 1024.0).round() as i32).collect();
    println!("const VALUES: &[i32] = &{rounded:?};");
}
