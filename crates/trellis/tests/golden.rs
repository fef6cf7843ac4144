//! Streams of format 1, frozen: written once by this encoder and read forever.
//!
//! The input is `((i * i * 37 + i * 11) % 101 - 50) / 16` for 48 weights as 6 x 8, coded with `bits=3`. The values
//! were checked against the input when the stream was made; the coder has a frozen stream of its own.

use seedpress_codec::{EncodedView, LayerView, Limits, Registry, Role, SegmentView};

const PARAMS: &[u8] = &[0, 94, 104, 15, 63, 5, 0, 0, 17];
const INDICES: &[u8] = &[30, 202, 7, 226, 240, 47, 244, 200, 79, 118, 136, 24, 10, 95, 238, 200, 119];
/// Bits of binary32.
const VALUES: &[u32] = &[
    0xc0571c8d, 0x00000000, 0x3f8f685e, 0x3f0f685e, 0xbf8f685e, 0x3f8f685e, 0x3fd71c8d, 0x3fd71c8d, 0xbfd71c8d,
    0x3f0f685e, 0x3fd71c8d, 0x00000000, 0xc0334276, 0xbfd71c8d, 0xbf8f685e, 0xc0334276, 0x00000000, 0x3fd71c8d,
    0x3f8f685e, 0xbfd71c8d, 0x3fd71c8d, 0x400f685e, 0x3f8f685e, 0xbf8f685e, 0x3f0f685e, 0x3f8f685e, 0x00000000,
    0xc0334276, 0xbfd71c8d, 0xbf8f685e, 0x40571c8d, 0xbf8f685e, 0x3f8f685e, 0x00000000, 0xbfd71c8d, 0x3f0f685e,
    0x3fd71c8d, 0x3f0f685e, 0xc00f685e, 0x00000000, 0x00000000, 0xbfd71c8d, 0x3fd71c8d, 0xc0334276, 0xc0334276,
    0x3fd71c8d, 0xbfd71c8d, 0xbf0f685e,
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
    assert_eq!(out.iter().map(|v| v.to_bits()).collect::<Vec<u32>>(), VALUES);
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
    println!("const VALUES: &[u32] = &{:#010x?};", out.iter().map(|v| v.to_bits()).collect::<Vec<u32>>());
}
