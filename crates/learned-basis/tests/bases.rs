//! A learned basis against a register's at equal bits, layers, odd tensors, and frozen streams.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use proptest::prelude::*;
use seedpress_codec::{DType, EncodeContext, Encoded, Registry, TensorView};
use seedpress_testing::Noise;
use seedpress_testing::golden::hash;

fn registry() -> Registry {
    seedpress_learned_basis::register(Registry::default())
}

/// Sums of four uniform numbers.
fn bell(count: usize, seed: u64) -> Vec<f32> {
    let mut noise = Noise::new(seed);
    (0..count).map(|_| noise.bell_integer() as f32 / 500.0).collect()
}

fn encode(name: &str, shape: [usize; 2], values: &[f32]) -> Encoded {
    let tensor = TensorView::new("w", &shape, values, DType::F32).unwrap();
    registry().parse(name).unwrap().encode_raw(&tensor, &EncodeContext::default()).unwrap()
}

fn decoded(name: &str, shape: [usize; 2], values: &[f32]) -> Vec<f32> {
    let tensor = TensorView::new("w", &shape, values, DType::F32).unwrap();
    let record = registry().parse(name).unwrap().encode(&tensor, &EncodeContext::default()).unwrap();
    registry().decode_bytes(&record.to_bytes()).unwrap().tensor.into_values()
}

fn error(values: &[f32], decoded: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let missed: f64 = values.iter().zip(decoded).map(|(&w, &v)| square(w - v)).sum();
    missed / values.iter().map(|&w| square(w)).sum::<f64>().max(f64::MIN_POSITIVE)
}

fn bits(name: &str, shape: [usize; 2], values: &[f32]) -> f64 {
    let encoded = encode(name, shape, values);
    let bytes: usize = encoded.layers.iter().flat_map(|layer| &layer.segments).map(|s| s.bytes.len()).sum();
    8.0 * (bytes + encoded.params.len()) as f64 / values.len() as f64
}

#[test]
fn a_basis_is_worth_its_bytes_where_there_is_something_to_learn() {
    let shape = [128, 128];
    let plain = bell(128 * 128, 3);
    // Neighbours alike: every weight half of the one before.
    let mut alike = plain.clone();
    (1..alike.len()).for_each(|at| alike[at] += 0.9 * alike[at - 1]);
    let learned = "learned-basis:index=6,layers=2";
    let lfsr = "learned-basis:index=6,layers=2,basis=lfsr";
    let both = |values: &[f32]| [learned, lfsr].map(|name| error(values, &decoded(name, shape, values)));
    let [one, other] = both(&alike);
    assert!(one < 0.5 * other, "{one} against {other} where neighbours are alike");
    let [one, other] = both(&plain);
    assert!(one < other && one > 0.5 * other, "{one} against {other} where nothing is alike");
    // The same code but for the bytes of the basis: 64 directions of 8 signed bytes in each of two layers.
    let more = bits(learned, shape, &plain) - bits(lfsr, shape, &plain);
    assert!((more - 2.0 * 64.0 * 64.0 / (128.0 * 128.0)).abs() < 1e-9, "{more}");
    assert!((bits(lfsr, shape, &plain) - 2.5).abs() < 0.05);
}

#[test]
fn layers_refine() {
    let (shape, values) = ([64, 64], bell(64 * 64, 9));
    let mut last = 1.0;
    for layers in 1..=4 {
        let error = error(&values, &decoded(&format!("learned-basis:layers={layers}"), shape, &values));
        assert!(error < 0.62 * last, "{layers}: {error} after {last}");
        last = error;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tensor_comes_back(
        (rows, columns) in (1usize..6, 1usize..40),
        (block, index, coefficient) in (2usize..=32, 1usize..=6, 1usize..=8),
        power in -30i32..30,
        seed in any::<u64>(),
    ) {
        let values: Vec<f32> = bell(rows * columns, seed).iter().map(|w| w * 10f32.powi(power)).collect();
        for basis in ["learned", "lfsr"] {
            let name = format!("learned-basis:block={block},index={index},coefficient={coefficient},basis={basis}");
            let decoded = decoded(&name, [rows, columns], &values);
            prop_assert!(error(&values, &decoded) < 1.01, "{name}");
        }
    }
}

const GOLDEN: [(&str, &str); 3] = [
    ("default", "learned-basis:index=4"),
    ("lfsr", "learned-basis:basis=lfsr,block=5,index=7,coefficient=3"),
    ("layers", "learned-basis:block=16,index=3,layers=3"),
];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("record")
}

#[test]
fn frozen_streams_decode() {
    for (name, _) in GOLDEN {
        let wanted = std::fs::read_to_string(golden(name).with_extension("fnv")).unwrap();
        let decoded = registry().decode_bytes(&std::fs::read(golden(name)).unwrap()).unwrap();
        assert_eq!(hash(decoded.tensor.values()), wanted.trim(), "{name}");
    }
}

#[test]
#[ignore = "writes the golden files that are not there yet"]
fn write_streams() {
    for (name, codec) in GOLDEN {
        if !golden(name).exists() {
            let (shape, values) = ([5usize, 47], bell(5 * 47, 7));
            let tensor = TensorView::new("w", &shape, &values, DType::F32).unwrap();
            let record = registry().parse(codec).unwrap().encode(&tensor, &EncodeContext::default()).unwrap();
            let bytes = record.to_bytes();
            let decoded = registry().decode_bytes(&bytes).unwrap();
            std::fs::write(golden(name).with_extension("fnv"), hash(decoded.tensor.values()) + "\n").unwrap();
            std::fs::write(golden(name), bytes).unwrap();
        }
    }
}
