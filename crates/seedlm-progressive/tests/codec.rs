//! The codec as a whole, through records.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use seedpress_codec::{
    AnyCodec, DType, EncodeContext, Encoded, EncodedView, InputStatistics, Int, LayerView, Limits, RecordView,
    Registry, SegmentView, Tensor,
};
use seedpress_seedlm_progressive::encode::encode_with;
use seedpress_seedlm_progressive::{Config, register};
use seedpress_simd::Level;

fn registry() -> Registry {
    register(Registry::default())
}

fn codec(options: &str) -> AnyCodec {
    registry().parse(&format!("seedlm-progressive:{options}")).unwrap()
}

/// Deterministic numbers in (0, 1).
fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

fn gaussian(count: usize, seed: u64) -> Vec<f32> {
    let mut next = uniform(seed);
    (0..count).map(|_| ((-2.0 * next().ln()).sqrt() * (std::f64::consts::TAU * next()).cos()) as f32).collect()
}

fn laplacian(count: usize, seed: u64) -> Vec<f32> {
    let mut next = uniform(seed);
    let mut draw = move || {
        let p = next() - 0.5;
        (-p.signum() * (1.0 - 2.0 * p.abs()).ln()) as f32
    };
    (0..count).map(|_| draw()).collect()
}

fn tensor(shape: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::new(shape.to_vec(), values, DType::F32).unwrap()
}

/// Bits per weight and relative mean square error of every prefix, from written bytes.
fn prefixes(codec: &AnyCodec, tensor: &Tensor) -> Vec<(f64, f64)> {
    let record = codec.encode(&tensor.view("t"), &EncodeContext::default()).unwrap();
    let bytes = record.to_bytes();
    let mut end = record.header.to_bytes().len();
    (0..record.header.layers.len())
        .map(|layer| {
            end += record.header.layer_len(layer);
            let view = RecordView::parse(&bytes[..end]).unwrap();
            let decoded = registry().decode(&view, &mut Limits::for_input(end)).unwrap();
            assert_eq!(decoded.layers, layer + 1);
            let (mut error, mut total) = (0f64, 0f64);
            for (&a, &b) in tensor.values().iter().zip(decoded.tensor.values()) {
                error += (f64::from(a) - f64::from(b)).powi(2);
                total += f64::from(a).powi(2);
            }
            (8.0 * end as f64 / tensor.values().len() as f64, error / total)
        })
        .collect()
}

#[test]
fn every_prefix_of_gaussian_weights_is_near_the_shannon_limit() {
    let tensor = tensor(&[128, 256], gaussian(1 << 15, 1));
    for (layer, (bits, error)) in prefixes(&codec("layers=4"), &tensor).into_iter().enumerate() {
        let gap = 10.0 * (error * 4f64.powf(bits)).log10();
        // Headers, scales and gains of a tensor this small are a twentieth of a bit, 0.3 dB.
        assert!(gap < [1.4, 1.9, 2.3, 2.8][layer], "{layer}: {bits} bits, gap {gap} dB");
    }
}

#[test]
fn more_layers_never_hurt() {
    let mut spread = gaussian(64 * 96, 3);
    for (index, value) in spread.iter_mut().enumerate() {
        *value *= [0.01, 1.0, 30.0][index / 96 % 3];
    }
    let mut spiked = laplacian(5000, 4);
    spiked[77] = 4000.0;
    let cases = [
        tensor(&[40, 100], laplacian(4000, 2)),
        tensor(&[64, 96], spread),
        tensor(&[5000], spiked),
        tensor(&[7, 3, 3, 3], gaussian(189, 5)),
        tensor(&[1, 33], gaussian(33, 6)),
        tensor(&[31, 1], gaussian(31, 7)),
        tensor(&[100], (0..100).map(|i| if i % 9 == 0 { 1.0 + i as f32 } else { 0.0 }).collect()),
        tensor(&[2], vec![1.0, 2.0]),
    ];
    for options in
        ["layers=5,k=10,block=16,terms=1", "layers=3,k=12,beam=2", "layers=4,k=11,block=8,terms=2,values=uniform"]
    {
        for tensor in &cases {
            let found = prefixes(&codec(options), tensor);
            for pair in found.windows(2) {
                assert!(pair[1].1 < pair[0].1 || pair[0].1 < 1e-12, "{options} {:?}: {found:?}", tensor.shape());
            }
            assert!(found[0].1 < 1.0, "{options} {:?}: {found:?}", tensor.shape());
        }
    }
}

#[test]
fn scale_costs_nothing() {
    let values = gaussian(3000, 8);
    let codec = codec("k=10,block=12,terms=1");
    let reference = prefixes(&codec, &tensor(&[3000], values.clone()));
    for scale in [1e-6f32, 1e6, 1e-30, 1e37] {
        let scaled = values.iter().map(|v| v * scale).collect();
        let found = prefixes(&codec, &tensor(&[3000], scaled));
        for (a, b) in reference.iter().zip(found) {
            // The gain's grid is a quarter octave; scales that are no power of two shift it.
            assert!((a.1 / b.1 - 1.0).abs() < 0.05, "{scale}: {a:?} {b:?}");
        }
    }
}

#[test]
fn extreme_tensors_stay_finite_and_exact_where_they_can() {
    let codec = codec("k=9,block=8,terms=1,layers=2");
    let decode = |tensor: &Tensor| {
        let bytes = codec.encode(&tensor.view("t"), &EncodeContext::default()).unwrap().to_bytes();
        registry().decode_bytes(&bytes).unwrap().tensor.into_values()
    };
    for constant in [0.0, -0.125, 1.0, f32::MAX, f32::MIN, f32::from_bits(1)] {
        for shape in [vec![], vec![50], vec![5, 10]] {
            let count = shape.iter().product();
            assert_eq!(decode(&tensor(&shape, vec![constant; count])), vec![constant; count]);
        }
    }
    let alternating: Vec<f32> = (0..100).map(|i| if i % 3 == 0 { f32::MAX } else { f32::MIN }).collect();
    assert!(decode(&tensor(&[100], alternating)).iter().all(|v| v.is_finite()));
    let denormal: Vec<f32> = (0..100u32).map(|i| f32::from_bits(i * 1000)).collect();
    assert!(decode(&tensor(&[100], denormal.clone())).iter().zip(&denormal).all(|(a, b)| (a - b).abs() < 1.5e-40));
    let mut single = vec![0.0; 1000];
    single[500] = 3e38;
    assert!(decode(&tensor(&[1000], single)).iter().all(|v| v.is_finite()));
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let tensor = tensor(&[50, 77], laplacian(50 * 77, 9));
    let encode = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| codec("k=11").encode(&tensor.view("t"), &EncodeContext::default()).unwrap().to_bytes())
    };
    assert_eq!(encode(1), encode(3));
}

#[test]
fn bytes_do_not_depend_on_instructions() {
    for (values, options) in [
        (gaussian(3001, 13), Config { k: Int::of(12), ..Config::default() }),
        (laplacian(2003, 14), Config { k: Int::of(10), block: Int::of(13), terms: Int::of(1), ..Config::default() }),
    ] {
        let tensor = tensor(&[values.len()], values);
        let encode = |level| encode_with(level, &options, &tensor.view("t"), &EncodeContext::default()).unwrap();
        let expected = encode(Level::Portable);
        for level in Level::supported() {
            let found = encode(level);
            assert_eq!(found.params, expected.params);
            for (found, expected) in found.layers.iter().zip(&expected.layers) {
                for (found, expected) in found.segments.iter().zip(&expected.segments) {
                    assert!(found.bytes == expected.bytes, "{level:?}");
                }
            }
        }
    }
}

#[test]
fn targets_and_levels_are_met_from_written_bytes() {
    let tensor = tensor(&[256, 128], gaussian(1 << 15, 10));
    for (options, expected) in
        [("bits=1.067", 1.067), ("bits=3", 3.0), ("bits=4", 4.0), ("level=0.1", 4.1), ("level=0.9", 0.9)]
    {
        let found = prefixes(&codec(&format!("{options},beam=1,k=12")), &tensor);
        let bits = found[found.len() - 1].0;
        // Headers, scales and gains of a tensor of 32 Ki weights.
        assert!((bits / expected - 1.0).abs() < 0.05, "{options}: {bits}");
    }
}

/// Below the checksums, any damage is an error or a reconstruction.
#[test]
fn damaged_streams_are_harmless() {
    let tensor = tensor(&[9, 10], laplacian(90, 11));
    let encoded =
        codec("k=8,block=8,terms=1,layers=2").encode_raw(&tensor.view("t"), &EncodeContext::default()).unwrap();
    let registry = registry();
    let entry = registry.codec("seedlm-progressive").unwrap();
    let mut parts = vec![encoded.params.clone()];
    parts.extend(encoded.layers.iter().flat_map(|layer| layer.segments.iter().map(|segment| segment.bytes.clone())));
    let try_decode = |parts: &[Vec<u8>]| {
        let mut rest = parts[1..].iter();
        let layers = encoded
            .layers
            .iter()
            .map(|layer| LayerView {
                segments: layer
                    .segments
                    .iter()
                    .map(|s| SegmentView { role: s.role, bytes: rest.next().unwrap() })
                    .collect(),
            })
            .collect();
        let mut out = vec![0f32; 90];
        let view = EncodedView::new(1, tensor.shape(), &parts[0], layers);
        let result = entry.decode_raw(&view, &mut out, &mut Limits::new(1 << 26));
        assert!(result.is_err() || out.iter().all(|v| v.is_finite()));
        result.is_ok()
    };
    assert!(try_decode(&parts));
    for part in 0..parts.len() {
        for bit in 0..parts[part].len() * 8 {
            let mut damaged = parts.clone();
            damaged[part][bit / 8] ^= 1 << (bit % 8);
            try_decode(&damaged);
        }
        for length in 0..parts[part].len() {
            let mut damaged = parts.clone();
            damaged[part].truncate(length);
            // The range coder reads zeros beyond its end: a shorter gain track may be another track.
            assert!(!try_decode(&damaged) || part == 3);
        }
        let mut damaged = parts.clone();
        damaged[part].push(0);
        assert!(!try_decode(&damaged));
    }
}

#[test]
fn calibration_is_neither_needed_nor_used_by_default() {
    let codec = codec("k=9,block=8");
    assert!(codec.capabilities().progressive && codec.capabilities().targets_bits);
    assert!(!codec.capabilities().uses_calibration);
    let tensor = tensor(&[4, 4], gaussian(16, 12));
    let calibration = InputStatistics::from_mean_square(1, vec![1.0; 4]).unwrap();
    let with = EncodeContext { calibration: Some(&calibration), ..EncodeContext::default() };
    let encode = |context| codec.encode(&tensor.view("t"), context).unwrap().to_bytes();
    assert_eq!(encode(&with), encode(&EncodeContext::default()));
}

/// Weighted errors shrink and plain errors grow where columns count differently; every layer lowers the weighted error.
#[test]
fn calibration_moves_error_to_columns_that_matter_less() {
    let (rows, columns) = (60, 50);
    let tensor = tensor(&[rows, columns], gaussian(rows * columns, 15));
    let mean_square: Vec<f32> = (0..columns).map(|column| if column % 3 == 0 { 25.0 } else { 0.5 }).collect();
    let calibration = InputStatistics::from_mean_square(100, mean_square.clone()).unwrap();
    let context = EncodeContext { calibration: Some(&calibration), ..EncodeContext::default() };
    let errors = |options: &str| {
        let codec = codec(options);
        let record = codec.encode(&tensor.view("t"), &context).unwrap();
        let bytes = record.to_bytes();
        let mut end = record.header.to_bytes().len();
        let mut errors = Vec::new();
        for layer in 0..record.header.layers.len() {
            end += record.header.layer_len(layer);
            let back =
                registry().decode(&RecordView::parse(&bytes[..end]).unwrap(), &mut Limits::for_input(end)).unwrap();
            let pairs = tensor.values().iter().zip(back.tensor.values()).enumerate();
            errors.push(pairs.fold((0.0, 0.0), |(plain, scaled), (index, (a, b))| {
                let square = (f64::from(*a) - f64::from(*b)).powi(2);
                (plain + square, scaled + square * f64::from(mean_square[index % columns]))
            }));
        }
        errors
    };
    let (plain, weighted) = (errors("k=11"), errors("k=11,weighted=true"));
    for (plain, weighted) in plain.iter().zip(&weighted) {
        assert!(weighted.1 < 0.8 * plain.1 && weighted.0 > plain.0, "{plain:?} {weighted:?}");
    }
    assert!(weighted.windows(2).all(|pair| pair[1].1 < pair[0].1), "{weighted:?}");
    assert!(codec("weighted=true").capabilities().uses_calibration);
    // Without statistics, or with those of another shape, the option changes nothing; the bytes are as many in any case.
    let encode = |options: &str, calibration| {
        let context = EncodeContext { calibration, ..EncodeContext::default() };
        codec(options).encode_raw(&tensor.view("t"), &context).unwrap()
    };
    let other = InputStatistics::from_mean_square(100, vec![1.0; 7]).unwrap();
    let bytes = |encoded: Encoded| -> Vec<Vec<u8>> {
        encoded.layers.into_iter().flat_map(|layer| layer.segments).map(|segment| segment.bytes).collect()
    };
    let plain = bytes(encode("k=9", None));
    assert_eq!(plain, bytes(encode("k=9,weighted=true", None)));
    assert_eq!(plain, bytes(encode("k=9,weighted=true", Some(&other))));
    let weighted = bytes(encode("k=9,weighted=true", Some(&calibration)));
    assert!(plain != weighted && plain[0].len() == weighted[0].len());
}

/// Every layer lowers the error of every tensor of a trained model, by its written bytes; large ones by their first rows.
#[test]
fn every_layer_lowers_the_error_of_every_real_tensor() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/silero-vad/model.safetensors");
    let file = std::fs::read(path).unwrap();
    let checkpoint = safetensors::SafeTensors::deserialize(&file).unwrap();
    let codec = codec("k=10,block=20,layers=4,beam=4");
    let mut seen = 0;
    for (name, view) in checkpoint.iter().filter(|(_, view)| view.dtype() == safetensors::Dtype::F32) {
        let values: Vec<f32> =
            view.data().chunks_exact(4).take(6000).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let tensor = tensor(&[values.len()], values);
        let found = prefixes(&codec, &tensor);
        for pair in found.windows(2) {
            assert!(pair[1].1 < pair[0].1 || pair[0].1 < 1e-12, "{name}: {found:?}");
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen} tensors");
}

/// Prints what `golden.rs` freezes.
#[test]
#[ignore = "only to make a new golden stream"]
fn print_golden() {
    let values: Vec<f32> = (0..10).map(|i| (i * i % 11) as f32 * if i % 2 == 0 { 0.25 } else { -4.0 }).collect();
    let encoded = codec("k=8,block=4,terms=1,layers=2")
        .encode_raw(&tensor(&[2, 5], values).view("t"), &EncodeContext::default())
        .unwrap();
    println!("{encoded:?}");
}
