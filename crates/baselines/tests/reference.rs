//! Against the gguf package's vectors, known figures on a unit Gaussian, odd tensors, and damaged streams.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use seedpress_codec::{
    DType, EncodeContext, Encoded, InputStatistics, Limits, Registry, Role, Segment, Symbols, TensorView,
};

fn registry() -> Registry {
    seedpress_baselines::register(Registry::default())
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

fn floats(name: &str) -> Vec<f32> {
    golden(name).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn encode(name: &str, shape: &[usize], values: &[f32]) -> Encoded {
    let view = TensorView::new("w", shape, values, DType::F32).unwrap();
    registry().parse(name).unwrap().encode_raw(&view, &EncodeContext::default()).unwrap()
}

fn decode(name: &str, shape: &[usize], encoded: &Encoded, count: usize) -> Option<Vec<f32>> {
    let mut out = vec![0f32; count];
    let id = name.split(':').next().unwrap();
    let entry = *registry().codec(id).unwrap();
    entry.decode_raw(&encoded.view(entry.format, shape), &mut out, &mut Limits::new(1 << 28)).ok()?;
    assert!(out.iter().all(|value| value.is_finite()), "{name}");
    Some(out)
}

/// Squared error over energy, bits a weight.
fn measure(name: &str, shape: &[usize], values: &[f32]) -> (f64, f64) {
    let encoded = encode(name, shape, values);
    let bytes: usize = encoded.layers[0].segments.iter().map(|segment| segment.bytes.len()).sum();
    let out = decode(name, shape, &encoded, values.len()).unwrap();
    let error: f64 = values.iter().zip(&out).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let energy: f64 = values.iter().map(|&a| f64::from(a).powi(2)).sum();
    (error / energy.max(f64::MIN_POSITIVE), bytes as f64 * 8.0 / values.len() as f64)
}

fn gaussian(count: usize) -> Vec<f32> {
    let mut state = 7u64;
    let mut uniform = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..count).map(|_| ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32).collect()
}

#[test]
fn dequantisation_is_bit_exact() {
    for id in
        ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "tq1_0", "tq2_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"]
    {
        let segment = Segment::new(Role::Blocks, Symbols::OPAQUE, golden(&format!("{id}.blocks")));
        let out = decode(id, &[1024], &Encoded::single(vec![0, 0], vec![segment]), 1024).unwrap();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&out), bits(&floats(&format!("{id}.f32"))), "{id}");
    }
}

#[test]
fn quantisation_is_byte_exact() {
    for (id, source) in [
        ("q8_0", "weights"),
        ("q4_0", "weights"),
        ("q4_1", "weights"),
        ("q5_0", "weights"),
        ("q5_1", "weights"),
        ("tq1_0", "ternary"),
        ("tq2_0", "ternary"),
    ] {
        let encoded = encode(id, &[1024], &floats(&format!("{source}.f32")));
        assert_eq!(encoded.layers[0].segments[0].bytes, golden(&format!("{id}.blocks")), "{id}");
    }
}

/// What ggml writes where weights are far beyond others, and where a level is nearly the largest binary16.
#[test]
fn quantisation_is_byte_exact_with_outliers() {
    for (id, source) in
        [("q8_0", "outliers"), ("q4_0", "outliers"), ("tq1_0", "ternary-outliers"), ("tq2_0", "ternary-outliers")]
    {
        let encoded = encode(id, &[1024], &floats(&format!("{source}.f32")));
        assert_eq!(encoded.params, [0, 0], "{id}: no shift");
        assert_eq!(encoded.layers[0].segments[0].bytes, golden(&format!("{id}-outliers.blocks")), "{id}");
    }
}

/// Whatever its size, and also where ggml's own scale of the block would be infinite.
#[test]
fn an_outlier_changes_its_own_block_only() {
    let plain: Vec<f32> = gaussian(4096).iter().map(|v| v * 0.02).collect();
    for (id, size, weights) in BLOCKS {
        let usual = encode(id, &[16, 256], &plain);
        for outlier in [1025.0, 1e6, -1e9, 1e30, f32::MIN] {
            let mut values = plain.clone();
            values[1000] = outlier;
            let encoded = encode(id, &[16, 256], &values);
            let blocks =
                usual.layers[0].segments[0].bytes.chunks(size).zip(encoded.layers[0].segments[0].bytes.chunks(size));
            for (index, (before, after)) in blocks.enumerate() {
                assert!(before == after || index == 1000 / weights, "{id} {outlier:e}: block {index}");
            }
            let out = decode(id, &[16, 256], &encoded, 4096).unwrap();
            assert!((out[1000] / outlier - 1.0).abs() < 0.15, "{id} {outlier:e}: {:e}", out[1000]);
        }
    }
}

/// Codec, bytes and weights of a block.
const BLOCKS: [(&str, usize, usize); 13] = [
    ("q4_1", 20, 32),
    ("q5_0", 22, 32),
    ("q5_1", 24, 32),
    ("q2_k", 84, 256),
    ("q3_k", 110, 256),
    ("q8_0", 34, 32),
    ("q4_0", 18, 32),
    ("iq4_nl", 18, 32),
    ("q4_k", 144, 256),
    ("q5_k", 176, 256),
    ("q6_k", 210, 256),
    ("tq1_0", 54, 256),
    ("tq2_0", 66, 256),
];

/// Streams of format 1 shifted the whole tensor; they decode as they did.
#[test]
fn streams_of_format_one_decode() {
    let blocks = golden("q8_0.blocks");
    let segment = Segment::new(Role::Blocks, Symbols::OPAQUE, blocks);
    let out = decode("q8_0", &[1024], &Encoded::single(vec![5, 0], vec![segment]), 1024).unwrap();
    let expected: Vec<f32> = floats("q8_0.f32").iter().map(|value| value * 32.0).collect();
    assert_eq!(out, expected);
}

#[test]
fn known_figures_hold_on_a_unit_gaussian() {
    let values = gaussian(1 << 18);
    for (name, expected, bits) in [("nf4", 0.00845, 4.5), ("q4_0", 0.00739, 4.5), ("q8_0", 2.9e-5, 8.5)] {
        let (error, spent) = measure(name, &[256, 1024], &values);
        println!("{name} {error:.6} at {spent:.4}");
        assert!((error / expected - 1.0).abs() < 0.02 && spent == bits, "{name}: {error} at {spent}");
    }
    for (name, most) in [
        ("nf4:double_quant=true", 0.0087),
        ("iq4_nl", 0.0074),
        ("q4_1", 0.0074),
        ("q5_0", 0.0019),
        ("q5_1", 0.0018),
        ("q2_k", 0.1),
        ("q3_k", 0.029),
        ("q4_k", 0.0074),
        ("q5_k", 0.002),
        ("q6_k", 6e-4),
        ("rtn", 0.012),
    ] {
        let (error, spent) = measure(name, &[256, 1024], &values);
        println!("{name} {error:.6} at {spent:.4}");
        assert!(error < most, "{name}: {error}");
    }
}

/// With an importance matrix, errors are smaller where inputs are large: the output error falls, at the same bytes.
#[test]
fn importance_lowers_the_error_of_outputs() {
    let (rows, columns) = (64, 512);
    let values = gaussian(rows * columns);
    let mean_square: Vec<f32> =
        (0..columns).map(|column| if column % 7 == 0 { 30.0 } else { 0.1 + (column % 5) as f32 }).collect();
    let calibration = InputStatistics::from_mean_square(1000, mean_square.clone()).unwrap();
    let context = EncodeContext { calibration: Some(&calibration), ..EncodeContext::default() };
    let shape = [rows, columns];
    let view = TensorView::new("w", &shape, &values, DType::F32).unwrap();
    for id in ["q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"] {
        let output_error = |name: &str| {
            let codec = registry().parse(name).unwrap();
            let encoded = codec.encode_raw(&view, &context).unwrap();
            let out = decode(name, &[rows, columns], &encoded, values.len()).unwrap();
            let errors = values.iter().zip(&out).enumerate();
            let sum: f64 = errors
                .map(|(index, (&a, &b))| {
                    f64::from(mean_square[index % columns]) * (f64::from(a) - f64::from(b)).powi(2)
                })
                .sum();
            (sum, encoded.layers[0].segments[0].bytes.len())
        };
        let (plain, size) = output_error(id);
        let (weighed, same) = output_error(&format!("{id}:importance=input"));
        println!("{id}: {:.3} of the plain output error", weighed / plain);
        assert!(weighed < 0.97 * plain && size == same, "{id}: {weighed} of {plain}");
    }
}

#[test]
fn odd_tensors_and_damage() {
    let names = [
        "raw",
        "f16",
        "bf16",
        "rtn",
        "rtn:bits=3,symmetric=false,group=8",
        "rtn:bits=2,group=0",
        "nf4",
        "nf4:double_quant=true,block=8",
        "q8_0",
        "q4_0",
        "q4_1",
        "q5_0",
        "q5_1",
        "q2_k",
        "q3_k",
        "iq4_nl",
        "q4_k",
        "q5_k",
        "q6_k",
        "tq1_0",
        "tq2_0",
        "zeros",
    ];
    let scaled = |count, factor: f32| gaussian(count).iter().map(|v| (v * factor).clamp(f32::MIN, f32::MAX)).collect();
    let cases: [(Vec<usize>, Vec<f32>); 7] = [
        (vec![], vec![3.0]),
        (vec![7], vec![0.0; 7]),
        (vec![5, 9], vec![-0.7; 45]),
        (vec![3, 11], scaled(33, 1e38)),
        (vec![13, 1], scaled(13, 1e-6)),
        (vec![1, 300], (1..=300).map(f32::from_bits).collect()),
        (vec![4, 3, 3, 3], scaled(108, 1.0)),
    ];
    for name in names {
        for (shape, values) in &cases {
            let (error, _) = measure(name, shape, values);
            assert!(matches!(name, "zeros" | "f16" | "bf16") || error < 0.9, "{name} {shape:?}: {error}");
        }
        let (shape, values) = &cases[6];
        let encoded = encode(name, shape, values);
        for segment in 0..encoded.layers[0].segments.len() {
            for bit in 0..encoded.layers[0].segments[segment].bytes.len() * 8 {
                let mut damaged = encoded.clone();
                damaged.layers[0].segments[segment].bytes[bit / 8] ^= 1 << (bit % 8);
                let _ = decode(name, shape, &damaged, values.len());
            }
            let mut short = encoded.clone();
            if short.layers[0].segments[segment].bytes.pop().is_some() {
                assert!(decode(name, shape, &short, values.len()).is_none(), "{name}");
            }
        }
        for bit in 0..encoded.params.len() * 8 {
            let mut damaged = encoded.clone();
            damaged.params[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(name, shape, &damaged, values.len());
        }
    }
}

/// With the second moment of the inputs the output error falls, at the same bytes; without statistics the option changes nothing.
#[test]
fn feedback_lowers_the_error_of_outputs() {
    // No multiple of a group, nor of the rows swept together.
    let (rows, columns) = (70, 200);
    let values = gaussian(rows * columns);
    let deviation = |column: usize| 0.2 + (column % 7) as f32;
    let entry = |i: usize, j: usize| 0.9f32.powi(i.abs_diff(j) as i32) * deviation(i) * deviation(j);
    let moment = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
    let calibration = InputStatistics::from_second_moment(1000, columns, moment).unwrap();
    let shape = [rows, columns];
    let view = TensorView::new("w", &shape, &values, DType::F32).unwrap();
    for plain in ["rtn:bits=2", "rtn:bits=3,symmetric=false", "rtn:bits=4,group=0", "nf4", "nf4:double_quant=true"] {
        let swept = if plain.contains(':') { format!("{plain},hessian=full") } else { format!("{plain}:hessian=full") };
        let measure = |name: &str, calibration: Option<&InputStatistics>| {
            let context = EncodeContext { calibration, ..EncodeContext::default() };
            let encoded = registry().parse(name).unwrap().encode_raw(&view, &context).unwrap();
            let out = decode(name.split(':').next().unwrap(), &shape, &encoded, values.len()).unwrap();
            let bytes = |encoded: &Encoded| encoded.layers[0].segments.iter().map(|s| s.bytes.len()).sum::<usize>();
            (bytes(&encoded), out)
        };
        let error = |out: &[f32]| seedpress_calibration::output_error(&values, out, &calibration).unwrap().relative();
        let (off, on) = (measure(plain, Some(&calibration)), measure(&swept, Some(&calibration)));
        assert_eq!(off.0, on.0, "{plain}");
        assert!(error(&on.1) < 0.6 * error(&off.1), "{plain}: {} {}", error(&off.1), error(&on.1));
        assert_eq!(measure(&swept, None), off, "{plain}");
    }
}
