//! What calibration buys, and calibration data that says little.

#![allow(clippy::unwrap_used)]

use seedpress_codec::{DType, EncodeContext, InputStatistics, Registry, TensorView};

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let scrambled = |i: u32| (i ^ seed).wrapping_mul(0x9E37_79B9).rotate_left(13).wrapping_mul(0x85EB_CA6B);
    (0..count as u32).map(|i| (scrambled(i) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

/// Statistics of `samples` inputs, neighbours alike, each eighth silent where `dead`.
fn calibration(columns: usize, samples: usize, dead: bool) -> InputStatistics {
    let raw = noise(samples * columns, 5);
    let input = |sample: usize, column: usize| {
        let own = raw[sample * columns + column] + 2.0 * raw[sample * columns + column / 4 * 4];
        if dead && column.is_multiple_of(8) { 0.0 } else { own * (1 + column % 7 * 2) as f32 }
    };
    let mut moment = vec![0f32; columns * columns];
    let mut mean_abs = vec![0f32; columns];
    for sample in 0..samples {
        for i in 0..columns {
            mean_abs[i] += input(sample, i).abs() / samples as f32;
            (0..columns).for_each(|j| moment[i * columns + j] += input(sample, i) * input(sample, j) / samples as f32);
        }
    }
    InputStatistics::from_second_moment(samples as u64, columns, moment).unwrap().with_mean_abs(mean_abs).unwrap()
}

fn decoded(codec: &str, values: &[f32], columns: usize, calibration: Option<&InputStatistics>) -> Vec<f32> {
    let registry = seedpress_gptq::register(Registry::default());
    let shape = [values.len() / columns, columns];
    let tensor = TensorView::new("w", &shape, values, DType::F32).unwrap();
    let context = EncodeContext { calibration, ..EncodeContext::default() };
    let record = registry.parse(codec).unwrap().encode(&tensor, &context).unwrap();
    registry.decode_bytes(&record.to_bytes()).unwrap().tensor.into_values()
}

fn output_error(values: &[f32], decoded: &[f32], calibration: &InputStatistics) -> f64 {
    let (columns, moment) = (calibration.columns(), calibration.second_moment().unwrap());
    let mut sum = 0.0;
    for (row, decoded) in values.chunks(columns).zip(decoded.chunks(columns)) {
        let errors: Vec<f64> = row.iter().zip(decoded).map(|(w, v)| f64::from(w - v)).collect();
        for (i, e) in errors.iter().enumerate() {
            let inner: f64 = errors.iter().zip(&moment[i * columns..]).map(|(e, &h)| e * f64::from(h)).sum();
            sum += e * inner;
        }
    }
    sum
}

#[test]
fn calibrated_outputs_err_less_than_rounded_ones() {
    let (columns, rows) = (128, 48);
    let (values, calibration) = (noise(rows * columns, 11), calibration(columns, 600, false));
    for bits in [2, 3, 4, 8] {
        for more in ["", ",activation_order=true", ",static_groups=true,symmetric=false", ",search=true"] {
            let codec = format!("gptq:bits={bits},group=32{more}");
            let plain = output_error(&values, &decoded(&codec, &values, columns, None), &calibration);
            let swept = output_error(&values, &decoded(&codec, &values, columns, Some(&calibration)), &calibration);
            assert!(swept < 0.8 * plain, "{codec}: {swept} {plain}");
        }
        let codec = format!("awq:bits={bits},group=32");
        let plain = output_error(&values, &decoded(&codec, &values, columns, None), &calibration);
        let scaled = output_error(&values, &decoded(&codec, &values, columns, Some(&calibration)), &calibration);
        assert!(scaled < plain, "{codec}: {scaled} {plain}");
    }
}

#[test]
fn statistics_that_say_little_do_no_harm() {
    let (columns, rows) = (40, 6);
    let values = noise(rows * columns, 3);
    let nothing = calibration(columns, 4, false);
    let zero = InputStatistics::from_second_moment(4, columns, vec![0.0; columns * columns]).unwrap();
    let zero = zero.with_mean_abs(vec![0.0; columns]).unwrap();
    let squares = calibration(columns, 50, true);
    let squares = InputStatistics::from_mean_square(50, squares.mean_square().to_vec()).unwrap();
    let power: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
    for (name, calibration) in
        [("rank 4", nothing), ("zero", zero), ("squares", squares), ("dead", calibration(columns, 90, true))]
    {
        for codec in ["gptq:group=16", "gptq:group=16,activation_order=true", "awq:group=16", "gptq:group=0"] {
            let decoded = decoded(codec, &values, columns, Some(&calibration));
            let error: f64 = values.iter().zip(&decoded).map(|(w, v)| f64::from(w - v).powi(2)).sum();
            assert!(error < 0.1 * power, "{codec}, {name}: {}", error / power);
        }
    }
}

#[test]
fn wrong_columns_are_no_calibration() {
    let values = noise(96, 3);
    for codec in ["gptq", "awq"] {
        let other = calibration(5, 9, false);
        assert_eq!(decoded(codec, &values, 12, Some(&other)), decoded(codec, &values, 12, None));
    }
}
