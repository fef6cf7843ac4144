//! Streams of format 1, frozen: written once by this encoder and read forever. `golden/README.md` says how they were made.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use seedpress_codec::{DType, EncodeContext, EncodedView, LayerView, Limits, Registry, Role, SegmentView, TensorView};
use seedpress_testing::Noise;
use seedpress_testing::golden::{Fields, hash, hex, relative_square_error, unhex};

/// Name, codec, shape, factor of the weights.
const CASES: [(&str, &str, [usize; 2], f32); 3] = [
    ("default", "hqq", [5, 100], 1.0),
    ("row", "hqq:bits=3,group=0", [7, 30], 1.0),
    ("tiny", "hqq:bits=2,group=16", [6, 40], 1e-30),
];
const ROLES: [(&str, Role); 2] = [("scales", Role::Scales), ("indices", Role::Indices)];

/// Sums of four uniform numbers.
fn input(count: usize, factor: f32) -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..count).map(|_| noise.bell_integer() as f32 / 500.0 * factor).collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("txt")
}

fn decode(view: &EncodedView<'_>) -> Vec<f32> {
    let registry = seedpress_hqq::register(Registry::default());
    let mut out = vec![0f32; view.shape.iter().product()];
    registry.codec("hqq").unwrap().decode_raw(view, &mut out, &mut Limits::new(1 << 20)).unwrap();
    out
}

#[test]
fn frozen_streams_decode() {
    for (name, _, shape, factor) in CASES {
        let fields = Fields::read(&path(name));
        let params = unhex(fields.get("params"));
        let segments = fields.bytes(&ROLES);
        let segments = segments.iter().map(|(role, bytes)| SegmentView { role: *role, bytes }).collect();
        let out = decode(&EncodedView::new(1, &shape, &params, vec![LayerView { segments }]));
        assert_eq!(hash(&out), fields.get("fnv1a"), "{name}");
        let error = relative_square_error(&input(out.len(), factor), &out);
        assert!(error <= 0.4, "{name}: {error}");
    }
}

/// Writes the files that are not there yet: `cargo test -p seedpress-hqq --test golden -- --ignored`.
#[test]
#[ignore = "writes streams of a new format"]
fn write() {
    let registry = seedpress_hqq::register(Registry::default());
    for (name, codec, shape, factor) in CASES.into_iter().filter(|case| !path(case.0).exists()) {
        let values = input(shape.iter().product(), factor);
        let tensor = TensorView::new("t", &shape, &values, DType::F32).unwrap();
        let encoded = registry.parse(codec).unwrap().encode_raw(&tensor, &EncodeContext::default()).unwrap();
        let mut text = format!("shape {} {}\nparams {}\n", shape[0], shape[1], hex(&encoded.params));
        for segment in &encoded.layers[0].segments {
            let role = ROLES.iter().find(|role| role.1 == segment.role).unwrap().0;
            text += &format!("{role} {}\n", hex(&segment.bytes));
        }
        text += &format!("fnv1a {}\n", hash(&decode(&encoded.view(1, &shape))));
        std::fs::write(path(name), text).unwrap();
    }
}
