//! Streams of format 1, frozen: written once by this encoder and read forever. `golden/README.md` says how they were made.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use seedpress_codec::{
    DType, EncodeContext, EncodedView, InputStatistics, LayerView, Limits, Registry, Role, SegmentView, TensorView,
};
use seedpress_testing::Noise;
use seedpress_testing::golden::{Fields, hash, hex, relative_square_error, unhex};

/// Name, codec, shape, and what every block of 256 weights is multiplied by, in turn.
const CASES: [(&str, &str, &[usize], [f32; 3]); 10] = [
    ("bits-1", "bitshift:bits=1,effort=fast,rotate=false", &[300], [1.0; 3]),
    ("bits-2", "bitshift:bits=2,effort=default,rotate=false", &[5, 107], [1.0; 3]),
    ("bits-3-rotated", "bitshift:bits=3,effort=fast,rotate=true,seed=3000000000", &[7, 110], [1.0; 3]),
    ("bits-4-rotated", "bitshift:bits=4,effort=high,rotate=true,seed=7", &[300], [1e-30; 3]),
    ("scales", "bitshift:bits=2,effort=fast,rotate=false", &[9, 100], [1.0, 0.0, 0.01]),
    ("scales-rotated", "bitshift:bits=2,effort=best,rotate=true", &[9, 100], [1.0, 0.01, 1e30]),
    ("short", "bitshift:bits=1,effort=best,rotate=true", &[3], [1.0; 3]),
    ("zeros", "bitshift:bits=3", &[300], [0.0; 3]),
    ("columns", "bitshift:bits=2,effort=fast,hessian=full,seed=9", &[20, 30], [1.0; 3]),
    ("columns-scaled", "bitshift:bits=3,effort=fast,hessian=full,rotate=false", &[40, 140], [1.0, 0.02, 1e-3]),
];
const ROLES: [(&str, Role); 2] = [("scales", Role::Scales), ("indices", Role::Indices)];

/// Sums of four uniform numbers.
fn input(count: usize, scales: [f32; 3]) -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..count).map(|i| noise.bell_integer() as f32 / 500.0 * scales[i / 256 % 3]).collect()
}

/// Inputs of which neighbours are alike, every fourth much louder.
fn statistics(columns: usize) -> InputStatistics {
    let loud = |i: usize| if i.is_multiple_of(4) { 9.0 } else { 1.0 };
    let entry = |i: usize, j: usize| loud(i) * loud(j) / (1 + i.abs_diff(j)) as f32;
    let moment = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
    InputStatistics::from_second_moment(100, columns, moment).unwrap()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("txt")
}

fn decode(view: &EncodedView<'_>) -> Vec<f32> {
    let registry = seedpress_bitshift::register(Registry::default());
    let mut out = vec![0f32; view.shape.iter().product()];
    registry.codec("bitshift").unwrap().decode_raw(view, &mut out, &mut Limits::new(1 << 20)).unwrap();
    out
}

#[test]
fn frozen_streams_decode() {
    for (name, _, shape, scales) in CASES {
        let fields = Fields::read(&path(name));
        let params = unhex(fields.get("params"));
        let segments = fields.bytes(&ROLES);
        let segments = segments.iter().map(|(role, bytes)| SegmentView { role: *role, bytes }).collect();
        let out = decode(&EncodedView::new(1, shape, &params, vec![LayerView { segments }]));
        assert_eq!(hash(&out), fields.get("fnv1a"), "{name}");
        let error = relative_square_error(&input(out.len(), scales), &out);
        // Of three weights at one bit most is lost.
        assert!(error <= 0.7, "{name}: {error}");
    }
}

/// Writes the files that are not there yet: `cargo test -p seedpress-bitshift --test golden -- --ignored`.
#[test]
#[ignore = "writes streams of a new format"]
fn write() {
    let registry = seedpress_bitshift::register(Registry::default());
    for (name, codec, shape, scales) in CASES.into_iter().filter(|case| !path(case.0).exists()) {
        let values = input(shape.iter().product(), scales);
        let tensor = TensorView::new("t", shape, &values, DType::F32).unwrap();
        let statistics = statistics(tensor.columns());
        let context = EncodeContext { calibration: Some(&statistics), ..EncodeContext::default() };
        let encoded = registry.parse(codec).unwrap().encode_raw(&tensor, &context).unwrap();
        let shape_text: Vec<String> = shape.iter().map(usize::to_string).collect();
        let mut text = format!("shape {}\nparams {}\n", shape_text.join(" "), hex(&encoded.params));
        for segment in &encoded.layers[0].segments {
            let role = ROLES.iter().find(|role| role.1 == segment.role).unwrap().0;
            text += &format!("{role} {}\n", hex(&segment.bytes));
        }
        text += &format!("fnv1a {}\n", hash(&decode(&encoded.view(1, shape))));
        std::fs::write(path(name), text).unwrap();
    }
}
