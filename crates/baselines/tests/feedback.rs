//! Error feedback in block formats: what it buys, and statistics and tensors that leave it little to work with.

#![allow(clippy::unwrap_used)]

use seedpress_calibration::output_error;
use seedpress_codec::{DType, EncodeContext, InputStatistics, Registry, TensorView};

const TYPES: [&str; 13] =
    ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0"];

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let scrambled = |i: u32| (i ^ seed).wrapping_mul(0x9E37_79B9).rotate_left(13).wrapping_mul(0x85EB_CA6B);
    let uniform = |i: u32| (scrambled(i) >> 8) as f32 / 8_388_608.0 - 1.0;
    (0..count as u32).map(|i| uniform(3 * i) + uniform(3 * i + 1) + uniform(3 * i + 2)).collect()
}

/// Inputs whose neighbours are alike, some louder than others.
fn correlated(columns: usize) -> InputStatistics {
    let loud = |i: usize| (1 + i % 5) as f32;
    let entry = |i: usize, j: usize| 0.9f32.powi(i.abs_diff(j) as i32) * loud(i) * loud(j);
    let moment = (0..columns).flat_map(|i| (0..columns).map(move |j| entry(i, j))).collect();
    InputStatistics::from_second_moment(1000, columns, moment).unwrap()
}

fn bytes(codec: &str, values: &[f32], columns: usize, calibration: Option<&InputStatistics>) -> Vec<u8> {
    let registry = seedpress_baselines::register(Registry::default());
    let shape = [values.len() / columns, columns];
    let tensor = TensorView::new("w", &shape, values, DType::F32).unwrap();
    let context = EncodeContext { calibration, ..EncodeContext::default() };
    registry.parse(codec).unwrap().encode(&tensor, &context).unwrap().to_bytes()
}

fn decoded(bytes: &[u8]) -> Vec<f32> {
    let registry = seedpress_baselines::register(Registry::default());
    registry.decode_bytes(bytes).unwrap().tensor.into_values()
}

#[test]
fn outputs_err_less_at_the_same_bytes() {
    // Whole superblocks a row; superblocks that end in other rows; rows of no whole sub-blocks.
    for (rows, columns, gain) in [(8, 512, 0.6), (70, 96, 0.6), (9, 100, 0.9)] {
        let (values, statistics) = (noise(rows * columns, 3), correlated(columns));
        let error = |bytes: &[u8]| output_error(&values, &decoded(bytes), &statistics).unwrap().relative();
        for id in TYPES {
            let weighed = bytes(&format!("{id}:importance=input"), &values, columns, Some(&statistics));
            let fed = bytes(&format!("{id}:hessian=full"), &values, columns, Some(&statistics));
            assert_eq!(weighed.len(), fed.len(), "{id}");
            let (weighed, fed) = (error(&weighed), error(&fed));
            assert!(fed < gain * weighed, "{id} {rows} x {columns}: {fed:e} against {weighed:e}");
        }
    }
}

#[test]
fn statistics_that_say_little_do_no_harm() {
    let (rows, columns) = (5, 64);
    let values = noise(rows * columns, 5);
    let input = noise(2 * columns, 9);
    let entry = |i: usize, j: usize| input[i] * input[j] + input[columns + i] * input[columns + j];
    let low: Vec<f32> =
        (0..columns).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| entry(i, j)).collect();
    let low = InputStatistics::from_second_moment(2, columns, low).unwrap();
    let zero = InputStatistics::from_second_moment(2, columns, vec![0.0; columns * columns]).unwrap();
    let broken = (0..columns * columns).map(|at| if at % (columns + 1) == 0 { 1.0 } else { -1.0 }).collect();
    let broken = InputStatistics::from_second_moment(2, columns, broken).unwrap();
    let power: f32 = values.iter().map(|v| v * v).sum();
    for (name, statistics) in [("rank 2", low), ("zero", zero), ("not positive", broken)] {
        for id in TYPES {
            let back = decoded(&bytes(&format!("{id}:hessian=full"), &values, columns, Some(&statistics)));
            let error: f32 = values.iter().zip(&back).map(|(v, b)| (v - b).powi(2)).sum();
            assert!(error < power, "{id}, {name}: {}", error / power);
        }
    }
    // Mean squares alone weigh errors and feed none; statistics of another layer are none.
    let squares = InputStatistics::from_mean_square(9, correlated(columns).mean_square().to_vec()).unwrap();
    for id in TYPES {
        let fed = bytes(&format!("{id}:hessian=full"), &values, columns, Some(&squares));
        let weighed = bytes(&format!("{id}:importance=input"), &values, columns, Some(&squares));
        assert!(decoded(&fed) == decoded(&weighed), "{id}");
        let other = bytes(&format!("{id}:hessian=full"), &values, columns, Some(&correlated(7)));
        assert!(decoded(&other) == decoded(&bytes(id, &values, columns, None)), "{id}");
    }
}

#[test]
fn an_outlier_leaves_distant_rows_as_good_as_they_were() {
    let (rows, columns) = (200, 64);
    let mut values = noise(rows * columns, 7);
    let statistics = correlated(columns);
    let error = |values: &[f32], back: &[f32]| {
        let from = 64 * columns;
        output_error(&values[from..], &back[from..], &statistics).unwrap().relative()
    };
    for id in TYPES {
        let codec = format!("{id}:hessian=full");
        let plain = error(&values, &decoded(&bytes(&codec, &values, columns, Some(&statistics))));
        let kept = std::mem::replace(&mut values[10], 1e30);
        let back = decoded(&bytes(&codec, &values, columns, Some(&statistics)));
        assert!((back[10] / 1e30 - 1.0).abs() < 0.15, "{id}: {:e}", back[10]);
        assert!(error(&values, &back) <= 1.01 * plain, "{id}");
        values[10] = kept;
    }
}

#[test]
fn threads_change_no_byte() {
    let (rows, columns) = (150, 96);
    let (values, statistics) = (noise(rows * columns, 11), correlated(columns));
    for id in ["q3_k", "q4_1"] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bytes(&format!("{id}:hessian=full"), &values, columns, Some(&statistics)))
        };
        assert!(run(1) == run(3), "{id}");
    }
}
