//! A cut or lengthened segment is an error, and what a stream may allocate does not depend on the machine.

#![allow(clippy::unwrap_used)]

use seedpress_codec::{DType, DecodeError, EncodeContext, Encoded, InputStatistics, Limits, Registry, TensorView};
use seedpress_testing::Noise;

fn registry() -> Registry {
    seedpress_trellis::register(Registry::default())
}

/// Noise whose rows, and columns, differ in scale.
fn encode(name: &str, rows: usize, columns: usize) -> Encoded {
    let mut noise = Noise::new(7);
    let values: Vec<f32> = (0..rows * columns)
        .map(|i| noise.centred() * [1.0, 8.0][i / columns % 2] * [1.0, 0.1][i % columns / 8 % 2])
        .collect();
    let shape = [rows, columns];
    let tensor = TensorView::new("t", &shape, &values, DType::F32).unwrap();
    let squares = (0..columns).map(|j| 1.0 + (j % 5) as f32 * 3.0).collect();
    let calibration = InputStatistics::from_mean_square(1, squares).unwrap();
    let context = EncodeContext { calibration: Some(&calibration), ..EncodeContext::default() };
    registry().parse(name).unwrap().encode_raw(&tensor, &context).unwrap()
}

fn decode(encoded: &Encoded, rows: usize, columns: usize, budget: u64) -> Result<Vec<f32>, DecodeError> {
    let mut out = vec![0f32; rows * columns];
    let (registry, shape) = (registry(), [rows, columns]);
    let entry = registry.codec("trellis").unwrap();
    entry.decode_raw(&encoded.view(entry.format, &shape), &mut out, &mut Limits::new(budget))?;
    Ok(out)
}

#[test]
fn every_cut_and_every_extension_of_a_segment_is_an_error() {
    let mut most = 0;
    for (name, rows, columns) in [
        ("trellis:bits=3", 6, 8),
        ("trellis:bits=2,hessian=diagonal", 40, 48),
        ("trellis:bits=0.2,hessian=diagonal", 260, 256),
    ] {
        let whole = encode(name, rows, columns);
        decode(&whole, rows, columns, 1 << 24).unwrap();
        most = most.max(whole.layers[0].segments.len());
        for segment in 0..whole.layers[0].segments.len() {
            let length = whole.layers[0].segments[segment].bytes.len();
            for kept in (0..length).step_by(length.div_ceil(60)).chain([length - 1, length + 1]) {
                let mut cut = whole.clone();
                cut.layers[0].segments[segment].bytes.resize(kept, 1);
                assert!(
                    decode(&cut, rows, columns, 1 << 24).is_err(),
                    "{name}: segment {segment} at {kept} of {length}"
                );
            }
        }
        for kept in 0..whole.params.len() {
            let mut cut = whole.clone();
            cut.params.truncate(kept);
            assert!(decode(&cut, rows, columns, 1 << 24).is_err(), "{name}: parameters at {kept}");
        }
    }
    assert_eq!(most, 4, "no case has all segments");
}

#[test]
fn the_least_budget_is_the_same_on_any_number_of_threads() {
    let whole = encode("trellis:bits=0.2", 1024, 512);
    let least = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut low, mut high) = (0u64, 1 << 24);
        while low < high {
            let middle = (low + high) / 2;
            match pool.install(|| decode(&whole, 1024, 512, middle)) {
                Ok(_) => high = middle,
                Err(_) => low = middle + 1,
            }
        }
        low
    };
    assert_eq!(least(1), least(3));
}
