//! Any finite tensor encodes, the bytes do not depend on threads, the rate is hit, and damaged streams are errors or finite tensors.

#![allow(clippy::unwrap_used)]

use seedpress_codec::{AnyCodec, DType, EncodeContext, InputStatistics, Limits, Registry, TensorView};
use seedpress_testing::Noise;

fn registry() -> Registry {
    seedpress_trellis::register(Registry::default())
}

fn codec(name: &str) -> AnyCodec {
    registry().parse(name).unwrap()
}

/// Sums of four uniform numbers: near enough to normal, without any library function.
fn noise(count: usize, scale: f32) -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..count).map(|_| noise.bell(4) * 1.732 * scale).collect()
}

fn round_trip(codec: &AnyCodec, shape: &[usize], values: &[f32]) -> (Vec<f32>, usize) {
    let tensor = TensorView::new("t", shape, values, DType::F32).unwrap();
    let encoded = codec.encode_raw(&tensor, &EncodeContext::default()).unwrap();
    let size = encoded.payload_bytes();
    let bytes = codec.encode(&tensor, &EncodeContext::default()).unwrap().to_bytes();
    let back = registry().decode_bytes(&bytes).unwrap().tensor.into_values();
    assert!(back.iter().all(|v| v.is_finite()));
    (back, size)
}

fn relative(values: &[f32], back: &[f32]) -> f64 {
    let square = |v: f64| v * v;
    let error: f64 = values.iter().zip(back).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    error / values.iter().map(|&a| square(f64::from(a))).sum::<f64>().max(f64::MIN_POSITIVE)
}

#[test]
fn odd_shapes_and_contents_encode() {
    let codec = codec("trellis:bits=2");
    for shape in [&[][..], &[1], &[7], &[1, 33], &[33, 1], &[17, 19], &[8, 4, 3, 3], &[300, 5]] {
        let count = shape.iter().product();
        for scale in [1e-42, 1e-30, 1e-6, 1.0, 1e6, 1e30, 8e37] {
            let (back, _) = round_trip(&codec, shape, &noise(count, scale));
            assert_eq!(back.len(), count);
        }
        for constant in [0.0, -0.0, 0.37, f32::MAX, -f32::MAX, f32::MIN_POSITIVE, 1e-45] {
            let values = vec![constant; count];
            assert_eq!(round_trip(&codec, shape, &values).0, values, "{shape:?} {constant}");
        }
        for outlier in [1e4, 1e20, f32::MAX] {
            let mut values = noise(count, 0.02);
            values[count / 2] = outlier;
            let (back, _) = round_trip(&codec, shape, &values);
            // A handful of bits cannot place it well.
            assert!(
                count < 256 || (f64::from(back[count / 2]) / f64::from(outlier) - 1.0).abs() < 0.3,
                "{shape:?} {outlier}"
            );
        }
        let mut extremes = vec![f32::MAX; count];
        extremes.iter_mut().step_by(2).for_each(|v| *v = -f32::MAX);
        round_trip(&codec, shape, &extremes);
    }
}

#[test]
fn the_rate_is_hit_and_the_error_is_near_theory() {
    let values = noise(128 * 256, 0.02);
    // Measured gaps to the Gaussian limit at 8 states are 0.5 to 0.7 dB; a short tensor pays for learning.
    for bits in [1.07, 1.6, 2.0, 3.0, 4.0, 6.5] {
        let (back, size) = round_trip(&codec(&format!("trellis:bits={bits}")), &[128, 256], &values);
        let written = size as f64 * 8.0 / values.len() as f64;
        assert!((written - bits).abs() < 0.01, "{written} for {bits}");
        let gap = 10.0 * (relative(&values, &back) * 4f64.powf(written)).log10();
        assert!(gap < 0.9, "{gap} dB at {bits}");
    }
}

#[test]
fn more_states_err_less() {
    let values = noise(128 * 256, 1.0);
    let mut last = f64::INFINITY;
    for effort in ["fast", "default", "high", "best"] {
        let (back, _) = round_trip(&codec(&format!("trellis:bits=2.5,effort={effort}")), &[256, 128], &values);
        let error = relative(&values, &back);
        assert!(error < last * 0.995, "{effort}: {error} against {last}");
        last = error;
    }
}

#[test]
fn scales_of_rows_and_columns_are_used() {
    let (rows, columns) = (96, 256);
    let mut values = noise(rows * columns, 1.0);
    let flat = relative(&values, &round_trip(&codec("trellis:bits=2"), &[rows, columns], &values).0);
    for (index, value) in values.iter_mut().enumerate() {
        *value *= [0.1, 1.0, 4.0][index / columns % 3] * [0.5, 2.0][index % 2];
    }
    let scaled = relative(&values, &round_trip(&codec("trellis:bits=2"), &[rows, columns], &values).0);
    assert!(scaled < flat * 0.5, "{scaled} against {flat}");
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let values = noise(70_000 * 2, 1.0);
    let tensor = TensorView::new("t", &[200, 700], &values, DType::F32).unwrap();
    let codec = codec("trellis:bits=1.5");
    let bytes = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| codec.encode(&tensor, &EncodeContext::default()).unwrap().to_bytes())
    });
    assert_eq!(bytes[0], bytes[1]);
}

#[test]
fn damaged_streams_are_errors_or_finite_tensors() {
    let mut values = noise(24 * 40, 1.0);
    values.iter_mut().take(400).for_each(|value| *value *= 8.0);
    let shape = [24, 40];
    let tensor = TensorView::new("t", &shape, &values, DType::F32).unwrap();
    let codec = codec("trellis:bits=3");
    let encoded = codec.encode_raw(&tensor, &EncodeContext::default()).unwrap();
    let registry = registry();
    let entry = registry.codec("trellis").unwrap();
    let mut out = vec![0f32; values.len()];
    entry.decode_raw(&encoded.view(entry.format, &shape), &mut out, &mut Limits::new(1 << 22)).unwrap();
    let parts = 1 + encoded.layers[0].segments.len();
    for part in 0..parts {
        let length = if part == 0 { encoded.params.len() } else { encoded.layers[0].segments[part - 1].bytes.len() };
        for bit in 0..8 * length {
            let mut damaged = encoded.clone();
            let bytes = if part == 0 { &mut damaged.params } else { &mut damaged.layers[0].segments[part - 1].bytes };
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Values beyond the finite range are caught by the caller; here it must not panic.
            let _ = entry.decode_raw(&damaged.view(entry.format, &shape), &mut out, &mut Limits::new(1 << 22));
        }
    }
    let bytes = codec.encode(&tensor, &EncodeContext::default()).unwrap().to_bytes();
    assert!((0..bytes.len()).all(|end| registry.decode_bytes(&bytes[..end]).is_err()));
}

#[test]
fn column_weights_lower_the_weighted_error_at_equal_bytes() {
    let (rows, columns) = (128, 128);
    let values = noise(rows * columns, 1.0);
    let mean_square: Vec<f32> = (0..columns).map(|column| if column % 8 == 0 { 30.0 } else { 0.3 }).collect();
    let calibration = InputStatistics::from_mean_square(100, mean_square.clone()).unwrap();
    let context = EncodeContext { calibration: Some(&calibration), ..EncodeContext::default() };
    let shape = [rows, columns];
    let tensor = TensorView::new("t", &shape, &values, DType::F32).unwrap();
    let [plain, weighted] = ["trellis:bits=2", "trellis:bits=2,hessian=diagonal"].map(|name| {
        let bytes = codec(name).encode(&tensor, &context).unwrap().to_bytes();
        let back = registry().decode_bytes(&bytes).unwrap().tensor.into_values();
        let errors = values.iter().zip(&back).enumerate();
        let error: f32 = errors.map(|(i, (a, b))| (a - b) * (a - b) * mean_square[i % columns]).sum();
        (bytes.len() as f64, f64::from(error))
    });
    assert!((weighted.0 / plain.0 - 1.0).abs() < 0.02);
    assert!(weighted.1 < 0.5 * plain.1, "{weighted:?} against {plain:?}");
}
