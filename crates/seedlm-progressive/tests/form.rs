//! Codes under the quadratic form of the output error: what they buy, layer by layer; rows that are no whole blocks; statistics that say
//! little.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use seedpress_calibration::output_error;
use seedpress_codec::{Codec, DType, EncodeContext, InputStatistics, Limits, RecordView, Registry, TensorView};
use seedpress_seedlm_progressive::encode::encode_with;
use seedpress_seedlm_progressive::{SeedlmProgressive, register};
use seedpress_simd::Level;

fn gaussian(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..count).map(|_| ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32).collect()
}

/// Inputs whose neighbours are alike, some louder than others.
fn correlated(columns: usize) -> InputStatistics {
    let loud = |i: usize| (1 + i % 5) as f32;
    let entry = |i: usize, j: usize| 0.9f32.powi(i.abs_diff(j) as i32) * loud(i) * loud(j);
    let moment = (0..columns).flat_map(|i| (0..columns).map(move |j| entry(i, j))).collect();
    InputStatistics::from_second_moment(1000, columns, moment).unwrap()
}

/// What every prefix decodes to, and the bytes of all layers.
fn prefixes(
    options: &str,
    values: &[f32],
    columns: usize,
    calibration: Option<&InputStatistics>,
) -> (Vec<Vec<f32>>, usize) {
    let shape = [values.len() / columns, columns];
    let tensor = TensorView::new("w", &shape, values, DType::F32).unwrap();
    let context = EncodeContext { calibration, ..EncodeContext::default() };
    let registry = register(Registry::default());
    let record = registry.parse(&format!("seedlm-progressive:{options}")).unwrap().encode(&tensor, &context).unwrap();
    let bytes = record.to_bytes();
    let (mut end, header) = (record.header.to_bytes().len(), record.header.to_bytes().len());
    let decoded = (0..record.header.layers.len())
        .map(|layer| {
            end += record.header.layer_len(layer);
            let view = RecordView::parse(&bytes[..end]).unwrap();
            registry.decode(&view, &mut Limits::for_input(end)).unwrap().tensor.into_values()
        })
        .collect();
    (decoded, bytes.len() - header)
}

#[test]
fn outputs_err_less_at_the_same_bytes_and_less_with_every_layer() {
    // Whole blocks a row; blocks across two rows; across many; rows shorter than a block; a last block that is cut; one row.
    for (options, rows, columns) in [
        ("k=9,block=16,terms=1", 30, 64),
        ("k=9,block=16,terms=1", 31, 40),
        ("k=9,block=16,terms=1", 31, 37),
        ("k=9,block=16,terms=1", 50, 10),
        ("k=9,block=28,layers=2", 29, 61),
        ("k=9,block=16,terms=1", 1, 200),
    ] {
        let (values, statistics) = (gaussian(rows * columns, 3), correlated(columns));
        let error = |decoded: &Vec<f32>| output_error(&values, decoded, &statistics).unwrap().relative();
        let (plain, bytes) = prefixes(options, &values, columns, None);
        let (fed, fed_bytes) = prefixes(&format!("{options},hessian=full"), &values, columns, Some(&statistics));
        let (plain, fed): (Vec<f64>, Vec<f64>) = (plain.iter().map(error).collect(), fed.iter().map(error).collect());
        let last = fed.len() - 1;
        assert!(fed[last] < 0.6 * plain[last], "{options} {rows} x {columns}: {fed:?} against {plain:?}");
        // Each layer lowers the error that its multipliers minimise, that of the damped form.
        assert!(fed.windows(2).all(|pair| pair[1] < pair[0]), "{options} {rows} x {columns}: {fed:?}");
        // Seeds are as many; the gain track is the same.
        assert_eq!(fed_bytes, bytes);
        if columns == 64 {
            let (weighted, _) = prefixes(&format!("{options},weighted=true"), &values, columns, Some(&statistics));
            assert!(fed[last] < 0.8 * error(&weighted[last]), "{fed:?}");
        }
    }
}

#[test]
fn statistics_that_say_little_do_no_harm() {
    let (rows, columns) = (16, 32);
    let values = gaussian(rows * columns, 5);
    let input = gaussian(2 * columns, 9);
    let entry = |i: usize, j: usize| input[i] * input[j] + input[columns + i] * input[columns + j];
    let of = |moment: Vec<f32>| InputStatistics::from_second_moment(2, columns, moment).unwrap();
    let at = |entry: &dyn Fn(usize, usize) -> f32| {
        of((0..columns * columns).map(|k| entry(k / columns, k % columns)).collect())
    };
    let dead = |i: usize, j: usize| if i == j && !i.is_multiple_of(3) { 1e4 } else { 0.0 };
    let power: f32 = values.iter().map(|v| v * v).sum();
    for (name, statistics) in [
        ("rank 2", at(&entry)),
        ("zero", of(vec![0.0; columns * columns])),
        ("not positive", at(&|i, j| if i == j { 1.0 } else { -1.0 })),
        ("dead channels", at(&dead)),
        ("one loud channel", at(&|i, j| if i == j && i == 7 { 1e12 } else { f32::from(u8::from(i == j)) })),
        ("out of range", at(&|i, j| if i == j { 1e38 } else { 0.0 })),
    ] {
        let (decoded, _) = prefixes("k=8,block=12,terms=1,hessian=full", &values, columns, Some(&statistics));
        let error: f32 = values.iter().zip(decoded.last().unwrap()).map(|(v, b)| (v - b).powi(2)).sum();
        assert!(error < power, "{name}: {}", error / power);
    }
    // Mean squares alone, or statistics of another layer: as without.
    let plain = prefixes("k=8", &values, columns, None).0;
    let squares = InputStatistics::from_mean_square(9, correlated(columns).mean_square().to_vec()).unwrap();
    for statistics in [&squares, &correlated(7)] {
        assert_eq!(prefixes("k=8,hessian=full", &values, columns, Some(statistics)).0, plain);
    }
}

#[test]
fn neither_threads_nor_instructions_change_a_byte() {
    let (rows, columns) = (40, 30);
    let (mut values, statistics) = (gaussian(rows * columns, 11), correlated(columns));
    values[77] = 1e6;
    let shape = [rows, columns];
    let tensor = TensorView::new("w", &shape, &values, DType::F32).unwrap();
    let context = EncodeContext { calibration: Some(&statistics), ..EncodeContext::default() };
    let config = serde_json::from_str(r#"{"k": 9, "block": 20, "terms": 1, "hessian": "full"}"#).unwrap();
    let codec = SeedlmProgressive::new(config);
    let encode = |level, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let encoded = pool.install(|| encode_with(level, codec.config(), &tensor, &context)).unwrap();
        encoded.layers.into_iter().flat_map(|layer| layer.segments).map(|segment| segment.bytes).collect::<Vec<_>>()
    };
    let expected = encode(Level::Portable, 1);
    for level in Level::supported() {
        assert!(encode(level, 3) == expected, "{level:?}");
    }
}
