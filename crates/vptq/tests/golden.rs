//! Streams of format 1, frozen: written once by this encoder and read forever. `golden/README.md` says how they were made.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use seedpress_codec::{
    DType, EncodeContext, EncodedView, InputStatistics, LayerView, Limits, Registry, Role, SegmentView, TensorView,
};
use seedpress_testing::Noise;
use seedpress_testing::golden::{Fields, hash, hex, relative_square_error, unhex};

/// Name, codec, shape, factor of the weights, whether calibrated.
const CASES: [(&str, &str, [usize; 2], f32, bool); 5] = [
    ("plain", "vptq:residual=false,outliers=0.0", [24, 20], 1.0, false),
    ("residual", "vptq:bits=4.0,vector=4,outliers=0.0", [30, 24], 1.0, false),
    ("classes", "vptq:bits=3.0,vector=2,groups=2", [40, 32], 1.0, true),
    ("row", "vptq:bits=3.0", [1, 300], 1.0, false),
    ("tiny", "vptq", [16, 30], 1e-30, false),
];
const ROLES: [(&str, Role); 3] = [("tables", Role::Tables), ("codebook", Role::Codebook), ("indices", Role::Indices)];

/// Sums of four uniform numbers.
fn input(count: usize, factor: f32) -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..count).map(|_| noise.bell_integer() as f32 / 500.0 * factor).collect()
}

/// Neighbours alike, later ones stronger.
fn calibration(columns: usize) -> InputStatistics {
    let entry = |i: usize, j: usize| ((1 + i) * (1 + j)) as f32 / (1 + i.abs_diff(j)) as f32;
    let moment: Vec<f32> = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
    let statistics = InputStatistics::from_second_moment(100, columns, moment).unwrap();
    statistics.with_mean_abs((0..columns).map(|i| 0.8 * (1 + i) as f32).collect()).unwrap()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("txt")
}

fn decode(view: &EncodedView<'_>) -> Vec<f32> {
    let registry = seedpress_vptq::register(Registry::default());
    let mut out = vec![0f32; view.shape.iter().product()];
    registry.codec("vptq").unwrap().decode_raw(view, &mut out, &mut Limits::new(1 << 20)).unwrap();
    out
}

#[test]
fn frozen_streams_decode() {
    for (name, _, shape, factor, _) in CASES {
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

/// Writes the files that are not there yet: `cargo test -p seedpress-vptq --test golden -- --ignored`.
#[test]
#[ignore = "writes streams of a new format"]
fn write() {
    let registry = seedpress_vptq::register(Registry::default());
    for (name, codec, shape, factor, calibrated) in CASES.into_iter().filter(|case| !path(case.0).exists()) {
        let values = input(shape.iter().product(), factor);
        let tensor = TensorView::new("t", &shape, &values, DType::F32).unwrap();
        let calibration = calibration(shape[1]);
        let context = EncodeContext { calibration: calibrated.then_some(&calibration), ..EncodeContext::default() };
        let encoded = registry.parse(codec).unwrap().encode_raw(&tensor, &context).unwrap();
        let mut text = format!("shape {} {}\nparams {}\n", shape[0], shape[1], hex(&encoded.params));
        for segment in &encoded.layers[0].segments {
            let role = ROLES.iter().find(|role| role.1 == segment.role).unwrap().0;
            text += &format!("{role} {}\n", hex(&segment.bytes));
        }
        text += &format!("fnv1a {}\n", hash(&decode(&encoded.view(1, &shape))));
        std::fs::write(path(name), text).unwrap();
    }
}
