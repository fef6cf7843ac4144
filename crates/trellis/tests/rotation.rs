//! Rotated streams: any shape comes back, outliers stop mattering, calibration is rotated along, damage and threads change nothing.

#![allow(clippy::unwrap_used)]

use seedpress_codec::{DType, EncodeContext, Encoded, InputStatistics, Limits, Registry, TensorView};
use seedpress_testing::Noise;

fn registry() -> Registry {
    seedpress_trellis::register(Registry::default())
}

fn noise(count: usize, scale: f32) -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..count).map(|_| noise.bell(4) * 1.732 * scale).collect()
}

fn encode(name: &str, shape: &[usize], values: &[f32], calibration: Option<&InputStatistics>) -> Encoded {
    let tensor = TensorView::new("t", shape, values, DType::F32).unwrap();
    let context = EncodeContext { calibration, ..EncodeContext::default() };
    registry().parse(name).unwrap().encode_raw(&tensor, &context).unwrap()
}

fn decode(encoded: &Encoded, shape: &[usize]) -> Vec<f32> {
    let mut out = vec![0f32; shape.iter().product()];
    let registry = registry();
    let entry = registry.codec("trellis").unwrap();
    entry.decode_raw(&encoded.view(entry.format, shape), &mut out, &mut Limits::new(1 << 24)).unwrap();
    out
}

fn size(encoded: &Encoded) -> usize {
    encoded.payload_bytes()
}

fn relative(values: &[f32], back: &[f32]) -> f64 {
    let error: f64 = values.iter().zip(back).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    error / values.iter().map(|&a| f64::from(a).powi(2)).sum::<f64>().max(f64::MIN_POSITIVE)
}

const ROTATED: u8 = 1 << 6;

#[test]
fn any_shape_and_content_comes_back() {
    for shape in [&[][..], &[1], &[7], &[1, 33], &[33, 1], &[17, 19], &[8, 4, 3, 3], &[40, 257], &[3, 784]] {
        let count = shape.iter().product();
        for scale in [1e-42, 1e-33, 1e-6, 1.0, 1e20, 8e37] {
            let values = noise(count, scale);
            let encoded = encode("trellis:bits=4,rotation=hadamard", shape, &values, None);
            let back = decode(&encoded, shape);
            assert!(back.iter().all(|v| v.is_finite()));
            let sound = (1e-6..1e21).contains(&scale);
            assert!(!sound || count < 256 || relative(&values, &back) < 0.02, "{shape:?} {scale}");
            // Neither rows of one weight nor absurd magnitudes are rotated.
            let rotated = encoded.params[0] & ROTATED != 0;
            assert_eq!(rotated, sound && TensorView::new("t", shape, &values, DType::F32).unwrap().columns() > 1);
        }
        for constant in [0.0, 0.37, f32::MAX] {
            let values = vec![constant; count];
            assert_eq!(decode(&encode("trellis:rotation=hadamard", shape, &values, None), shape), values);
        }
    }
}

/// A tensor whose rotation has one value for all weights has a stream all the same.
#[test]
fn a_rotation_of_one_value_is_left_alone() {
    let mut values = vec![0.5f32; 64];
    seedpress_rotation::Rotation::new(0, 16).undo(&mut values);
    let encoded = encode("trellis:bits=6,rotation=hadamard", &[4, 16], &values, None);
    assert!(relative(&values, &decode(&encoded, &[4, 16])) < 0.01);
}

#[test]
fn outliers_stop_mattering_to_a_code_without_contexts() {
    let shape = [128, 300];
    let mut values = noise(128 * 300, 1.0);
    values.iter_mut().step_by(97).for_each(|value| *value *= 12.0);
    let errors = ["none", "hadamard"].map(|rotation| {
        let name = format!("trellis:bits=3,contexts=false,rotation={rotation}");
        let encoded = encode(&name, &shape, &values, None);
        (size(&encoded) as f64 * 8.0 / values.len() as f64, relative(&values, &decode(&encoded, &shape)))
    });
    for (bits, _) in errors {
        assert!((bits - 3.0).abs() < 0.01);
    }
    // Rotated weights are nearly normal: the gap is that of a normal source. (What an entropy code makes of outliers is better still.)
    let gap = 10.0 * (errors[1].1 * 64.0).log10();
    assert!((0.0..1.0).contains(&gap), "{gap}");
}

/// Statistics of inputs whose neighbours are alike and whose magnitudes differ.
fn correlated(columns: usize) -> InputStatistics {
    let alike = |i: usize, j: usize| {
        let scale = |i: usize| if i.is_multiple_of(8) { 3.0 } else { 0.5f32 };
        0.9f32.powi(i.abs_diff(j) as i32) * scale(i) * scale(j)
    };
    let hessian: Vec<f32> = (0..columns * columns).map(|at| alike(at / columns, at % columns)).collect();
    InputStatistics::from_second_moment(1, columns, hessian).unwrap()
}

fn output_error(values: &[f32], back: &[f32], calibration: &InputStatistics) -> f64 {
    seedpress_calibration::output_error(values, back, calibration).unwrap().error
}

#[test]
fn calibration_lowers_the_output_error_of_rotated_weights_too() {
    // No multiple of a block.
    let shape = [96, 150];
    let (values, calibration) = (noise(96 * 150, 1.0), correlated(150));
    let error = |name: &str| {
        let encoded = encode(name, &shape, &values, Some(&calibration));
        let bits = size(&encoded) as f64 * 8.0 / values.len() as f64;
        assert!((bits - 2.0).abs() < 0.02, "{name}: {bits}");
        output_error(&values, &decode(&encoded, &shape), &calibration)
    };
    let [plain, diagonal, full] =
        ["none", "diagonal", "full"].map(|h| error(&format!("trellis:bits=2,rotation=hadamard,hessian={h}")));
    let unrotated = error("trellis:bits=2,hessian=full");
    // Of correlated inputs a rotated diagonal says next to nothing.
    assert!(full < 0.2 * plain && diagonal < 1.2 * plain, "{plain} {diagonal} {full}");
    // The form is invariant, and so is what can be reached, up to how well each suits the code.
    assert!((0.8..1.25).contains(&(full / unrotated)), "{full} against {unrotated}");
}

#[test]
fn statistics_that_do_not_fit_are_no_obstacle() {
    let (shape, values) = ([20, 24], noise(20 * 24, 1.0));
    for (columns, fill) in [(24, f32::MAX), (24, 0.0), (7, 1.0)] {
        let calibration = InputStatistics::from_second_moment(1, columns, vec![fill; columns * columns]).unwrap();
        for hessian in ["diagonal", "full"] {
            let name = format!("trellis:bits=4,rotation=hadamard,hessian={hessian}");
            let encoded = encode(&name, &shape, &values, Some(&calibration));
            assert!(relative(&values, &decode(&encoded, &shape)) < 0.1, "{columns} {fill} {hessian}");
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let (shape, values, calibration) = ([300, 270], noise(300 * 270, 1.0), correlated(270));
    for name in ["trellis:bits=1.5,rotation=hadamard", "trellis:bits=1.5,rotation=hadamard,hessian=full"] {
        let streams = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let encoded = encode(name, &shape, &values, Some(&calibration));
                let back: Vec<u32> = decode(&encoded, &shape).into_iter().map(f32::to_bits).collect();
                (encoded, back)
            })
        });
        assert!(streams[0] == streams[1], "{name}");
    }
}

#[test]
fn seeds_differ_and_zero_takes_a_byte() {
    let (shape, values) = ([20, 24], noise(20 * 24, 1.0));
    let streams = [0u32, 1, u32::MAX]
        .map(|seed| encode(&format!("trellis:bits=2,rotation=hadamard,seed={seed}"), &shape, &values, None));
    assert!(streams[0] != streams[1]);
    for encoded in &streams {
        assert!(relative(&values, &decode(encoded, &shape)) < 0.2);
    }
    assert_eq!(streams[0].params[1], 0);
    let unused = encode("trellis:bits=2,seed=5", &shape, &values, None);
    assert!(unused == encode("trellis:bits=2", &shape, &values, None));
}

#[test]
fn damaged_streams_are_errors_or_tensors() {
    let (shape, values) = ([24, 40], noise(24 * 40, 1.0));
    let calibration = correlated(40);
    let registry = registry();
    let entry = registry.codec("trellis").unwrap();
    let mut out = vec![0f32; values.len()];
    for name in ["trellis:bits=2,rotation=hadamard", "trellis:bits=2,rotation=hadamard,hessian=full"] {
        let encoded = encode(name, &shape, &values, Some(&calibration));
        for part in 0..1 + encoded.layers[0].segments.len() {
            let length =
                if part == 0 { encoded.params.len() } else { encoded.layers[0].segments[part - 1].bytes.len() };
            for bit in 0..8 * length {
                let mut damaged = encoded.clone();
                let bytes =
                    if part == 0 { &mut damaged.params } else { &mut damaged.layers[0].segments[part - 1].bytes };
                bytes[bit / 8] ^= 1 << (bit % 8);
                if entry.decode_raw(&damaged.view(entry.format, &shape), &mut out, &mut Limits::new(1 << 22)).is_ok() {
                    assert!(out.iter().all(|v| v.is_finite()));
                }
            }
        }
        // A seed of more than 32 bits, and a rotation of a constant.
        let mut long = encoded.clone();
        long.params.splice(1..2, [0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
        let mut constant = encoded.clone();
        constant.params = vec![ROTATED | 8];
        constant.layers[0].segments.clear();
        for damaged in [long, constant] {
            assert!(
                entry.decode_raw(&damaged.view(entry.format, &shape), &mut out, &mut Limits::new(1 << 22)).is_err()
            );
        }
    }
}

/// Layers refine weights in the order they were coded in.
#[test]
fn no_layer_is_rotated() {
    let (shape, values) = ([24, 40], noise(24 * 40, 1.0));
    let encoded = encode("trellis:bits=2,rotation=hadamard", &shape, &values, None);
    let registry = registry();
    let entry = registry.codec("trellis-progressive").unwrap();
    let mut out = vec![0f32; values.len()];
    assert!(entry.decode_raw(&encoded.view(entry.format, &shape), &mut out, &mut Limits::new(1 << 22)).is_err());
}
