//! Weights of eight, six and four bits with their scales: decoded, compressed, written back as they were.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::*;
use seedpress_checkpoint::{Checkpoint, SavedTensor};

/// E4M3 with blocks of scales, E5M2 without, six and four bits with powers of two; and what stays as it is.
fn narrow_tensors() -> Vec<(&'static str, SavedTensor)> {
    // Patterns of small magnitudes without NaN: a bell of exponents as real checkpoints have.
    let codes = |seed: u64, count: usize, limit: f32| -> Vec<u8> {
        let code = |v: f32| (v.abs() * limit) as u8 | if v < 0.0 { 0x80 } else { 0 };
        noise(seed, count).into_iter().map(code).collect()
    };
    let scale_inv = f32s(&[2, 3], &[0.5, 1.0, 2.0, 0.25, 4.0, 1.5]);
    let packed = |seed: u64, count: usize| noise(seed, count).iter().map(|v| v.to_bits() as u8).collect::<Vec<u8>>();
    let nibbles: Vec<u8> = noise(9, 64 * 64 / 2).iter().map(|v| (v.abs() * 170.0) as u8).collect();
    vec![
        ("a.weight", tensor("F8_E4M3", &[200, 300], codes(1, 60_000, 80.0))),
        ("a.weight_scale_inv", scale_inv),
        ("b.weight", tensor("F8_E5M2", &[64, 128], codes(2, 8192, 80.0))),
        ("c.weight", tensor("F4", &[64, 64], nibbles)),
        ("c.weight_scale", tensor("F8_E8M0", &[64, 2], (0..128).map(|n| 120 + n % 9).collect())),
        ("d.weight", tensor("F8_E4M3", &[64, 64], codes(4, 4096, 80.0))),
        ("d.weight_scale", f32s(&[64, 1], &noise(5, 64).iter().map(|v| v.abs() + 0.1).collect::<Vec<_>>())),
        ("counter", tensor("I64", &[1], vec![1; 8])),
        ("e.weight", tensor("F6_E2M3", &[64, 64], packed(6, 48 * 64))),
        ("e.weight_scale", tensor("F8_E8M0", &[64, 2], (0..128).map(|n| 120 + n % 5).collect())),
        ("f.weight", tensor("F6_E3M2", &[64, 64], packed(7, 48 * 64))),
        ("wide", tensor("F64", &[2], vec![1; 16])),
    ]
}

#[test]
fn weights_of_eight_and_four_bits_are_weights() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let tensors = narrow_tensors();
    save(&here.join("m.safetensors"), &tensors);
    let before = std::fs::read(here.join("m.safetensors")).unwrap();
    let table = succeeds(here, "compress m.safetensors --codec rtn:bits=3 -o m.sdp");
    for part in
        ["rtn:bits=3", "kept: scales of weights", "kept: no weights (I64)", "kept: a type that is not coded (F64)"]
    {
        assert!(table.contains(part), "{table}");
    }
    assert!(std::fs::metadata(here.join("m.sdp")).unwrap().len() < before.len() as u64 * 6 / 10);
    let shown = succeeds(here, "verify m.sdp --against m.safetensors --max-error 0.4");
    assert!(shown.contains("a.weight: relative error 0.") && shown.contains("c.weight: relative error 0."), "{shown}");
    succeeds(here, "decompress m.sdp -o back.safetensors");
    let kinds = |name: &str| {
        let checkpoint = Checkpoint::open(&here.join(name)).unwrap();
        checkpoint.tensors().iter().map(|info| format!("{info:?}")).collect::<Vec<_>>()
    };
    assert_eq!(kinds("back.safetensors"), kinds("m.safetensors"));
    // Without loss it is the same to the bit, and smaller.
    for codec in ["raw", "raw+planes+ans"] {
        succeeds(here, &format!("compress m.safetensors --codec {codec} -o l.sdp --force"));
        succeeds(here, "decompress l.sdp -o l.safetensors --force");
        assert!(std::fs::read(here.join("l.safetensors")).unwrap() == before, "{codec}");
    }
    assert!(std::fs::metadata(here.join("l.sdp")).unwrap().len() < before.len() as u64);
    wide_numbers_are_products(here, &tensors[0].1.bytes);
}

/// As plain numbers: products with their scales, which are left out.
fn wide_numbers_are_products(here: &Path, codes: &[u8]) {
    for name in ["m", "l"] {
        succeeds(here, &format!("decompress {name}.sdp -o wide.{name}.safetensors --dtype f32"));
        let wide = Checkpoint::open(&here.join(format!("wide.{name}.safetensors"))).unwrap();
        assert!(wide.find("a.weight_scale_inv").is_none() && wide.find("counter").is_some());
        assert_eq!(wide.load_float("a.weight").unwrap().shape(), [200, 300]);
    }
    let exact = Checkpoint::open(&here.join("wide.l.safetensors")).unwrap().load_float("a.weight").unwrap();
    let (code, scale) = (codes[150 * 300 + 299], 1.5);
    let (exponent, mantissa) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let magnitude = if exponent == 0 { mantissa / 512.0 } else { (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7) };
    let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
    assert_eq!(exact.values()[150 * 300 + 299], sign * magnitude * scale);
}
