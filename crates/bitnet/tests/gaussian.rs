//! Known figures on a unit Gaussian, odd tensors, and damaged streams.

#![allow(clippy::unwrap_used)]

use seedpress_codec::{DType, EncodeContext, Limits, Registry, TensorView};

fn gaussian(count: usize) -> Vec<f32> {
    seedpress_testing::noise::normal(count, 7)
}

fn relative(name: &str, shape: &[usize], values: &[f32], layers: usize) -> (f64, f64) {
    let registry = seedpress_bitnet::register(Registry::default());
    let view = TensorView::new("w", shape, values, DType::F32).unwrap();
    let encoded = registry.parse(name).unwrap().encode_raw(&view, &EncodeContext::default()).unwrap();
    let bytes: usize = encoded.layers[..layers].iter().flat_map(|l| &l.segments).map(|s| s.bytes.len()).sum();
    let mut prefix = encoded.view(1, shape);
    prefix.layers.truncate(layers);
    let mut out = vec![0f32; values.len()];
    registry.codec("bitnet").unwrap().decode_raw(&prefix, &mut out, &mut Limits::new(1 << 28)).unwrap();
    assert!(out.iter().all(|value| value.is_finite()), "{name}");
    let error: f64 = values.iter().zip(&out).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let energy: f64 = values.iter().map(|&a| f64::from(a).powi(2)).sum();
    (error / energy.max(f64::MIN_POSITIVE), (bytes + encoded.params.len()) as f64 * 8.0 / values.len() as f64)
}

#[test]
fn theory_holds_on_a_unit_gaussian() {
    let (values, shape) = (gaussian(1 << 19), [512, 1024]);
    let (error, bits) = relative("bitnet", &shape, &values, 1);
    println!("absmean {error:.4} at {bits:.4}");
    assert!((error - 0.263).abs() < 0.002 && bits <= 1.61, "{error} at {bits}");
    let (error, _) = relative("bitnet:threshold=mse", &shape, &values, 1);
    println!("mse {error:.4}");
    assert!((error - 0.190).abs() < 0.002, "{error}");
    let (alone, _) = relative("bitnet:threshold=mse,planes=2", &shape, &values, 1);
    let (both, _) = relative("bitnet:threshold=mse,planes=2", &shape, &values, 2);
    println!("two planes: {alone:.4}, {both:.4}");
    assert!(alone < 0.25 && both < 0.045, "{alone} {both}");
}

#[test]
fn odd_tensors_survive_every_option() {
    let cases: [(Vec<usize>, Vec<f32>); 6] = [
        (vec![], vec![3.0]),
        (vec![7], vec![0.0; 7]),
        (vec![3, 11], gaussian(33).iter().map(|v| v * 1e38).map(|v| v.clamp(f32::MIN, f32::MAX)).collect()),
        (vec![13, 1], gaussian(13).iter().map(|v| v * 1e-6).collect()),
        (vec![1, 300], (1..=300).map(f32::from_bits).collect()),
        (vec![4, 3, 3, 3], gaussian(108)),
    ];
    for (shape, values) in cases {
        for rule in ["absmean", "mse", "twn"] {
            for scale in ["tensor", "row", "group"] {
                for planes in [1, 2] {
                    let name = format!("bitnet:threshold={rule},scale={scale},group=8,planes={planes}");
                    let (error, _) = relative(&name, &shape, &values, planes);
                    assert!(error < 1.0, "{name} {shape:?}: {error}");
                }
            }
        }
    }
}

#[test]
fn damage_is_an_error_or_a_finite_tensor() {
    let registry = seedpress_bitnet::register(Registry::default());
    let (values, shape) = (gaussian(33), [3, 11]);
    let view = TensorView::new("w", &shape, &values, DType::F32).unwrap();
    let codec = registry.parse("bitnet:threshold=mse,scale=group,group=8,planes=2").unwrap();
    let record = codec.encode(&view, &EncodeContext::default()).unwrap().to_bytes();
    assert!(registry.decode_bytes(&record).is_ok());
    for bit in 0..record.len() * 8 {
        let mut damaged = record.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let _ = registry.decode_bytes(&damaged);
    }
    let encoded = codec.encode_raw(&view, &EncodeContext::default()).unwrap();
    for layer in 0..2 {
        for segment in 0..2 {
            let bits = encoded.layers[layer].segments[segment].bytes.len() * 8;
            for bit in 0..bits {
                let mut damaged = encoded.clone();
                damaged.layers[layer].segments[segment].bytes[bit / 8] ^= 1 << (bit % 8);
                let mut out = vec![0f32; 33];
                let entry = registry.codec("bitnet").unwrap();
                if entry.decode_raw(&damaged.view(entry.format, &shape), &mut out, &mut Limits::new(1 << 20)).is_ok() {
                    assert!(out.iter().all(|value| value.is_finite()));
                }
            }
            let mut short = encoded.clone();
            short.layers[layer].segments[segment].bytes.pop();
            let mut out = vec![0f32; 33];
            let entry = registry.codec("bitnet").unwrap();
            assert!(entry.decode_raw(&short.view(entry.format, &shape), &mut out, &mut Limits::new(1 << 20)).is_err());
        }
    }
}
