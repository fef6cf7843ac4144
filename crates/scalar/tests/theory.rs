//! Gaps to the Shannon limit on N(0,1), from written bytes, against the published figures.

#![allow(clippy::unwrap_used)]

use seedpress_codec::{DType, EncodeContext, Limits, Registry, Tensor};
use seedpress_testing::noise::normal;

/// Bits per weight and gap in dB.
fn measure(name: &str, values: &[f32]) -> (f64, f64) {
    let registry = seedpress_scalar::register(Registry::default());
    let tensor = Tensor::new(vec![values.len() / 512, 512], values.to_vec(), DType::F32).unwrap();
    let bytes = registry.parse(name).unwrap().encode(&tensor.view("t"), &EncodeContext::default()).unwrap().to_bytes();
    let back = registry.decode_bytes(&bytes).unwrap().tensor;
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        values.iter().zip(back.values()).map(|(&a, &b)| f(f64::from(a), f64::from(b))).sum()
    };
    let error = sum(&|a, b| (a - b) * (a - b)) / sum(&|a, _| a * a);
    let bits = bytes.len() as f64 * 8.0 / values.len() as f64;
    (bits, 10.0 * (error * 4f64.powf(bits)).log10())
}

#[test]
fn entropy_coded_quantiser_is_where_theory_says() {
    let values = normal(1 << 20, 1);
    for (bits, gap) in [(1.0, 1.44), (1.067, 1.47), (2.0, 1.53), (3.0, 1.53), (4.0, 1.53)] {
        let (spent, measured) = measure(&format!("ecsq:bits={bits}"), &values);
        println!("ecsq {bits}: {spent:.4} b, gap {measured:.3} dB");
        assert!((spent - bits).abs() < 0.01, "{spent}");
        assert!((measured - gap).abs() < 0.05, "{bits}: {measured}");
    }
}

#[test]
fn lloyd_max_is_where_theory_says() {
    let values = normal(1 << 20, 1);
    for (bits, gap) in [(1, 1.62), (2, 2.74), (3, 3.45), (4, 3.86)] {
        let (_, measured) = measure(&format!("lloyd-max:bits={bits}"), &values);
        println!("lloyd-max {bits}: gap {measured:.3} dB");
        assert!((measured - gap).abs() < 0.05, "{bits}: {measured}");
    }
}

#[test]
fn odd_contents_come_back_finite_and_damage_is_survived() {
    let registry = seedpress_scalar::register(Registry::default());
    let cases: Vec<Vec<f32>> = vec![
        vec![0.0; 9],
        vec![1.5],
        vec![f32::MAX, f32::MIN, 1.0, 0.0, f32::MAX, -3.0],
        vec![f32::from_bits(1), -f32::from_bits(3), 0.0],
        normal(300, 1).iter().map(|v| v * 1e-6).collect(),
    ];
    for values in cases {
        let shape = [values.len()];
        let tensor = Tensor::new(shape.to_vec(), values.clone(), DType::F32).unwrap();
        for entry in registry.codecs() {
            let codec = registry.default_codec(entry.id).unwrap();
            let bytes = codec.encode(&tensor.view("t"), &EncodeContext::default()).unwrap().to_bytes();
            let back = registry.decode_bytes(&bytes).unwrap().tensor;
            assert_eq!(back.shape(), shape);
            let raw = codec.encode_raw(&tensor.view("t"), &EncodeContext::default()).unwrap();
            for segment in 0..raw.layers[0].segments.len() {
                for bit in 0..raw.layers[0].segments[segment].bytes.len() * 8 {
                    let mut damaged = raw.clone();
                    damaged.layers[0].segments[segment].bytes[bit / 8] ^= 1 << (bit % 8);
                    let mut out = vec![0f32; values.len()];
                    let mut limits = Limits::new(1 << 16);
                    if entry.decode_raw(&damaged.view(entry.format, &shape), &mut out, &mut limits).is_ok() {
                        assert!(out.iter().all(|v| v.is_finite()));
                    }
                }
            }
        }
    }
}
