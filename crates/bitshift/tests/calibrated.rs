//! Errors fed forward: what they buy, statistics and shapes that leave little to work with, and damaged streams of this layout.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use seedpress_calibration::output_error;
use seedpress_codec::{DType, EncodeContext, Encoded, InputStatistics, Limits, Registry, TensorView};

fn registry() -> Registry {
    seedpress_bitshift::register(Registry::default())
}

/// Sums of three uniform numbers.
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

fn encode(name: &str, values: &[f32], columns: usize, calibration: Option<&InputStatistics>) -> Encoded {
    let shape = [values.len() / columns, columns];
    let tensor = TensorView::new("w", &shape, values, DType::F32).unwrap();
    let context = EncodeContext { calibration, ..EncodeContext::default() };
    registry().parse(name).unwrap().encode_raw(&tensor, &context).unwrap()
}

fn decode(encoded: &Encoded, count: usize, columns: usize) -> Option<Vec<f32>> {
    let mut out = vec![0f32; count];
    let registry = registry();
    let entry = registry.codec("bitshift").unwrap();
    let shape = [count / columns, columns];
    entry.decode_raw(&encoded.view(entry.format, &shape), &mut out, &mut Limits::new(1 << 24)).ok()?;
    Some(out)
}

fn through(name: &str, values: &[f32], columns: usize, calibration: Option<&InputStatistics>) -> (usize, Vec<f32>) {
    let encoded = encode(name, values, columns, calibration);
    let bytes = encoded.payload_bytes();
    (bytes, decode(&encoded, values.len(), columns).unwrap())
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

#[test]
fn outputs_err_less_at_the_same_bytes() {
    // Blocks of one column, of several, of parts; few rows.
    for (rows, columns) in [(256, 64), (300, 48), (64, 96), (10, 150)] {
        let (values, statistics) = (noise(rows * columns, 3), correlated(columns));
        for (bits, rotate) in [(1, true), (2, true), (2, false), (3, true), (4, false)] {
            let name = format!("bitshift:bits={bits},effort=fast,rotate={rotate}");
            let plain = through(&name, &values, columns, None);
            let fed = through(&format!("{name},hessian=full"), &values, columns, Some(&statistics));
            let error = |back: &[f32]| output_error(&values, back, &statistics).unwrap().relative();
            let (before, after) = (error(&plain.1), error(&fed.1));
            assert!(after < 0.65 * before, "{name} {rows} x {columns}: {after:e} against {before:e}");
            // Scales of columns, and what rounds a panel's blocks up.
            let most = plain.0 as f64 + columns as f64 + 0.02 * plain.0 as f64 + 16.0;
            assert!((fed.0 as f64) < most, "{name} {rows} x {columns}: {} bytes against {}", fed.0, plain.0);
        }
    }
}

/// Inputs that are all alike and independent leave nothing to make up for: the layout alone costs nothing.
#[test]
fn white_inputs_get_the_error_of_the_plain_search() {
    let (rows, columns) = (256, 40);
    let values = noise(rows * columns, 8);
    let moment = (0..columns * columns).map(|at| if at % (columns + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let white = InputStatistics::from_second_moment(9, columns, moment).unwrap();
    for bits in 1..=4 {
        let name = format!("bitshift:bits={bits},effort=fast");
        let [plain, fed] = [("", None), (",hessian=full", Some(&white))]
            .map(|(more, statistics)| through(&format!("{name}{more}"), &values, columns, statistics).1)
            .map(|back| squared(&values, &back));
        assert!(fed < 1.05 * plain, "{bits}: {fed} against {plain}");
    }
}

#[test]
fn statistics_that_say_little_do_no_harm() {
    let (rows, columns) = (40, 64);
    let values = noise(rows * columns, 5);
    let input = noise(2 * columns, 9);
    let entry = |i: usize, j: usize| input[i] * input[j] + input[columns + i] * input[columns + j];
    let low = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
    let low = InputStatistics::from_second_moment(2, columns, low).unwrap();
    let zero = InputStatistics::from_second_moment(2, columns, vec![0.0; columns * columns]).unwrap();
    let broken = (0..columns * columns).map(|at| if at % (columns + 1) == 0 { 1.0 } else { -1.0 }).collect();
    let broken = InputStatistics::from_second_moment(2, columns, broken).unwrap();
    let power = squared(&values, &vec![0.0; values.len()]);
    for (name, statistics) in [("rank 2", low), ("zero", zero), ("not positive", broken)] {
        for bits in [1, 2, 4] {
            let codec = format!("bitshift:bits={bits},effort=fast,hessian=full");
            let error = squared(&values, &through(&codec, &values, columns, Some(&statistics)).1);
            assert!(error < power, "{name}, {bits} bits: {}", error / power);
        }
    }
    // Mean squares alone, or statistics of another layer: as without.
    let plain = encode("bitshift:effort=fast", &values, columns, None);
    let squares = InputStatistics::from_mean_square(9, correlated(columns).mean_square().to_vec()).unwrap();
    for statistics in [&squares, &correlated(7)] {
        assert_eq!(encode("bitshift:effort=fast,hessian=full", &values, columns, Some(statistics)), plain);
    }
}

#[test]
fn any_shape_and_magnitude_encodes() {
    for (rows, columns) in [(1, 1), (1, 70), (70, 1), (3, 5), (17, 33), (127, 2), (129, 3), (257, 2), (520, 2)] {
        let statistics = correlated(columns);
        for (bits, effort) in [(1, "best"), (2, "fast"), (3, "fast"), (4, "fast")] {
            for scale in [1e-45, 1e-30, 1.0, 8e37] {
                let values: Vec<f32> = noise(rows * columns, 2).iter().map(|v| v * scale).collect();
                let name = format!("bitshift:bits={bits},effort={effort},hessian=full");
                let back = through(&name, &values, columns, Some(&statistics)).1;
                assert!(back.iter().all(|v| v.is_finite()), "{name} {rows} x {columns} {scale}");
                let power = squared(&values, &vec![0.0; values.len()]);
                assert!(scale < 1e-40 || squared(&values, &back) < power, "{name} {rows} x {columns} {scale}");
            }
        }
        let zeros = vec![0f32; rows * columns];
        assert_eq!(through("bitshift:hessian=full", &zeros, columns, Some(&statistics)).1, zeros);
    }
}

/// Rows of any scale beside each other: none comes back as noise of the others, with statistics or without, short rows or long.
#[test]
fn rows_far_below_the_tensors_scale_come_back_right() {
    let registry = registry();
    for columns in [7, 40, 100, 300] {
        let statistics = correlated(columns);
        for small in [1e-30f32, 1e-20, 1e-8, 3e-6] {
            let mut values = noise(48 * columns, 4);
            values[5 * columns..6 * columns].iter_mut().for_each(|v| *v *= small);
            values[30 * columns..33 * columns].iter_mut().for_each(|v| *v *= small);
            let shape = [48, columns];
            let tensor = TensorView::new("w", &shape, &values, DType::F32).unwrap();
            for codec in ["bitshift:effort=fast", "bitshift:effort=fast,hessian=full"] {
                let context = EncodeContext { calibration: Some(&statistics), ..EncodeContext::default() };
                let bytes = registry.parse(codec).unwrap().encode(&tensor, &context).unwrap().to_bytes();
                let back = registry.decode_bytes(&bytes).unwrap().tensor.into_values();
                let rows = values.chunks(columns).zip(back.chunks(columns)).enumerate();
                // What a form makes of ordinary rows need not be near them.
                for (row, (own, back)) in rows.filter(|(row, _)| *row == 5 || (30..33).contains(row)) {
                    let (error, power) = (squared(own, back), squared(own, &vec![0.0; columns]));
                    assert!(error <= power, "{codec}, {columns} columns, {small:e}, row {row}: {}", error / power);
                }
            }
        }
    }
    // Less far, in rows long enough for a scale of their own.
    let columns = 200;
    let mut values = noise(64 * columns, 4);
    values[..columns].iter_mut().for_each(|v| *v *= 2e-4);
    let back = through("bitshift:effort=fast,hessian=full", &values, columns, Some(&correlated(columns))).1;
    let (row, power) = (&values[..columns], squared(&values[..columns], &vec![0.0; columns]));
    assert!(squared(row, &back[..columns]) < 0.5 * power);
}

#[test]
fn threads_change_no_byte() {
    let (rows, columns) = (300, 40);
    let (values, statistics) = (noise(rows * columns, 11), correlated(columns));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| encode("bitshift:effort=fast,hessian=full", &values, columns, Some(&statistics)))
    };
    assert_eq!(run(1), run(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_streams_never_panic(part in 0usize..4, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        static WHOLE: std::sync::OnceLock<Encoded> = std::sync::OnceLock::new();
        let whole = WHOLE.get_or_init(|| {
            let mut values = noise(260 * 150, 1);
            values.chunks_mut(150).step_by(3).flatten().for_each(|v| *v *= 1e-3);
            values.iter_mut().step_by(150).for_each(|v| *v *= 100.0);
            encode("bitshift:bits=3,effort=fast,hessian=full", &values, 150, Some(&correlated(150)))
        });
        prop_assert_eq!(whole.layers[0].segments.len(), 3);
        let mut damaged = whole.clone();
        let bytes = if part == 0 { &mut damaged.params } else { &mut damaged.layers[0].segments[part - 1].bytes };
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(decode(&damaged, 260 * 150, 150).is_none());
        } else {
            bytes[at] ^= byte;
            if let Some(back) = decode(&damaged, 260 * 150, 150) {
                prop_assert!(back.iter().all(|v| v.is_finite()));
            }
        }
    }
}
