//! Streams of format 1, frozen: written once by this encoder and read forever. `golden/README.md` says how they were made.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use seedpress_codec::{DType, EncodeContext, EncodedView, LayerView, Limits, Registry, Role, SegmentView, TensorView};
use seedpress_testing::Noise;
use seedpress_testing::golden::{Fields, hash, hex, relative_square_error, unhex};

/// Name, codec, weights.
const CASES: [(&str, &str, usize); 4] = [
    ("lloyd-max-1", "lloyd-max:bits=1", 100),
    ("lloyd-max-3", "lloyd-max:bits=3", 100),
    ("ecsq-2", "ecsq:bits=2", 3000),
    ("ecsq-large-indices", "ecsq:bits=11,dead_zone=0.2", 400),
];
const ROLES: [(&str, Role); 2] = [("codebook", Role::Codebook), ("indices", Role::Indices)];

/// A bell curve, a tenth of the weights ten times as large.
fn input(count: usize) -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..count).map(|i| noise.bell_integer() as f32 / if i % 10 == 0 { 400.0 } else { 4000.0 }).collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("txt")
}

fn decode(codec: &str, view: &EncodedView<'_>) -> Vec<f32> {
    let registry = seedpress_scalar::register(Registry::default());
    let mut out = vec![0f32; view.shape.iter().product()];
    registry
        .codec(codec.split(':').next().unwrap())
        .unwrap()
        .decode_raw(view, &mut out, &mut Limits::new(1 << 20))
        .unwrap();
    out
}

#[test]
fn frozen_streams_decode() {
    for (name, codec, count) in CASES {
        let fields = Fields::read(&path(name));
        let params = unhex(fields.get("params"));
        let parts = ROLES.map(|(key, role)| (role, unhex(fields.get(key))));
        let segments = parts.iter().map(|(role, bytes)| SegmentView { role: *role, bytes }).collect();
        let shape = [count];
        let view = EncodedView::new(1, &shape, &params, vec![LayerView { segments }]);
        let out = decode(codec, &view);
        assert_eq!(hash(&out), fields.get("fnv1a"), "{name}");
        let error = relative_square_error(&input(count), &out);
        let expected = [0.7, 0.1, 0.1, 1e-4][CASES.iter().position(|case| case.0 == name).unwrap()];
        assert!(error < expected, "{name}: {error}");
    }
}

/// Writes the files that are not there yet: `cargo test -p seedpress-scalar --test golden -- --ignored`.
#[test]
#[ignore = "writes streams of a new format"]
fn write() {
    let registry = seedpress_scalar::register(Registry::default());
    for (name, codec, count) in CASES.into_iter().filter(|case| !path(case.0).exists()) {
        let (values, shape) = (input(count), [count]);
        let tensor = TensorView::new("t", &shape, &values, DType::F32).unwrap();
        let encoded = registry.parse(codec).unwrap().encode_raw(&tensor, &EncodeContext::default()).unwrap();
        let mut text = format!("params {}\n", hex(&encoded.params));
        for ((key, role), segment) in ROLES.iter().zip(&encoded.layers[0].segments) {
            assert_eq!(segment.role, *role);
            text += &format!("{key} {}\n", hex(&segment.bytes));
        }
        text += &format!("fnv1a {}\n", hash(&decode(codec, &encoded.view(1, &shape))));
        std::fs::write(path(name), text).unwrap();
    }
}

/// Zeros come back as the zero they were; streams of format 1 had negative ones.
#[test]
fn zeros_have_no_sign() {
    let (mut values, shape) = (input(300), [300]);
    values.iter_mut().step_by(3).for_each(|value| *value = 0.0);
    let registry = seedpress_scalar::register(Registry::default());
    let tensor = TensorView::new("t", &shape, &values, DType::F32).unwrap();
    let encoded = registry.parse("ecsq").unwrap().encode_raw(&tensor, &EncodeContext::default()).unwrap();
    let signs = |format| {
        let out = decode("ecsq", &encoded.view(format, &shape));
        out.iter().step_by(3).filter(|value| value.to_bits() == 0x8000_0000).count()
    };
    assert_eq!((signs(1), signs(2)), (100, 0));
}
