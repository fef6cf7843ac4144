//! Round trips from bytes, the rate, and independence of threads.

#![allow(clippy::unwrap_used)] // Helpers of tests, outside the lint's own exemption.

use seedpress_codec::{AnyCodec, Codec, DType, EncodeContext, Registry, TensorView};
use seedpress_seedlm_legacy::{Legacy, register};
use seedpress_testing::Noise;

fn round_trip(values: &[f32], threads: usize) -> (Vec<u8>, Vec<f32>) {
    let shape = [values.len()];
    let tensor = TensorView::new("w", &shape, values, DType::F32).unwrap();
    let codec = AnyCodec::new(Legacy::new(Default::default()));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let bytes = pool.install(|| codec.encode(&tensor, &EncodeContext::default()).unwrap().to_bytes());
    let back = register(Registry::default()).decode_bytes(&bytes).unwrap().tensor.into_values();
    (bytes, back)
}

#[test]
fn the_error_is_far_below_the_weights_at_every_scale() {
    for scale in [1e-6f32, 0.02, 1.0, 1e6] {
        let mut noise = Noise::new(1);
        // Sums of twelve uniform numbers: Gaussian enough.
        let values: Vec<f32> = (0..16384).map(|_| noise.bell(12) * scale).collect();
        let (bytes, back) = round_trip(&values, 1);
        assert_eq!(bytes, round_trip(&values, 3).0);
        assert!(bytes.len() as f64 * 8.0 / 16384.0 < 7.1);
        let (lost, energy) = values.iter().zip(&back).fold((0.0, 0.0), |(lost, energy), (&a, &b)| {
            let (a, b) = (f64::from(a), f64::from(b));
            (lost + (a - b) * (a - b), energy + a * a)
        });
        let relative = f64::sqrt(lost / energy);
        println!("scale {scale}: relative error {relative:.4}");
        assert!(relative < 0.4, "scale {scale}: {relative}");
    }
}

#[test]
fn extremes_stay_finite() {
    for values in [vec![f32::MAX, -f32::MAX, 1.0], vec![f32::from_bits(1); 9], vec![0.0; 5], vec![3.0], vec![0.25; 100]]
    {
        let (_, back) = round_trip(&values, 1);
        assert!(back.len() == values.len() && back.iter().all(|value| value.is_finite()));
    }
}
