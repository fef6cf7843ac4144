//! What layers cost against one layer, from decoded bytes.

#![allow(clippy::unwrap_used, clippy::panic)]

use seedpress_codec::{DType, EncodeContext, RecordView, Registry, Tensor};
use seedpress_testing::noise::normal;

/// Bits per weight and decibels of relative error of every prefix.
fn prefixes(codec: &str, tensor: &Tensor) -> Vec<[f64; 2]> {
    let registry = seedpress_trellis::register(Registry::default());
    let bytes = registry.parse(codec).unwrap().encode(&tensor.view("t"), &EncodeContext::default()).unwrap().to_bytes();
    let header = RecordView::parse(&bytes).unwrap().header;
    let lengths: Vec<usize> = (0..header.layers.len()).map(|layer| header.layer_len(layer)).collect();
    let mut end = bytes.len() - lengths.iter().sum::<usize>();
    lengths
        .iter()
        .map(|length| {
            end += length;
            let back = registry.decode_bytes(&bytes[..end]).unwrap().tensor;
            let pairs = tensor.values().iter().zip(back.values());
            let error: f64 = pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
            let power: f64 = tensor.values().iter().map(|&a| f64::from(a).powi(2)).sum();
            [end as f64 * 8.0 / tensor.values().len() as f64, 10.0 * (error / power).log10()]
        })
        .collect()
}

#[test]
fn a_prefix_costs_little_against_one_layer() {
    let tensor = Tensor::new(vec![256, 256], normal(1 << 16, 7), DType::F32).unwrap();
    for (bits, layers, most) in [("2.14", 2, 0.35), ("3.2", 2, 0.35), ("3.2", 3, 0.85)] {
        let layered = prefixes(&format!("trellis-progressive:bits={bits},layers={layers},effort=default"), &tensor);
        assert_eq!(layered.len(), layers);
        for [rate, decibels] in layered {
            let [one] = prefixes(&format!("trellis:bits={rate:.4},effort=default"), &tensor)[..] else { panic!() };
            // Six decibels a bit, where the rates differ a little.
            let loss = decibels - one[1] + 6.02 * (rate - one[0]);
            assert!((-0.1..most).contains(&loss), "{bits} bits in {layers} layers: {loss:.2} dB at {rate:.3} bits");
        }
    }
}

/// Every bfloat16 from 4e-10 on in one tensor: what a layer leaves is then as large as numbers get.
#[test]
fn every_magnitude_at_once_encodes() {
    let registry = seedpress_trellis::register(Registry::default());
    let patterns = (0..=u16::MAX).filter(|bits| (0x3000..0x7F80).contains(&(bits & 0x7FFF)));
    let values: Vec<f32> = patterns.map(|bits| f32::from_bits(u32::from(bits) << 16)).collect();
    let tensor = Tensor::new(vec![64, 636], values.clone(), DType::BF16).unwrap();
    for name in ["trellis-progressive", "trellis-progressive:bits=8.0,layers=3,effort=fast"] {
        let codec = registry.parse(name).unwrap();
        let bytes = codec.encode(&tensor.view("t"), &EncodeContext::default()).unwrap().to_bytes();
        let back = registry.decode_bytes(&bytes).unwrap().tensor.into_values();
        assert!(back.iter().all(|value| value.is_finite()), "{name}");
        // The last positive row holds the largest of all.
        let pairs = values[31 * 636..32 * 636].iter().zip(&back[31 * 636..]);
        let [miss, power] = pairs.fold([0f64; 2], |[miss, power], (&a, &b)| {
            let (a, b) = (f64::from(a), f64::from(b));
            [miss + (a - b).powi(2), power + a * a]
        });
        assert!((miss / power).sqrt() < 0.4, "{name}: the largest row is lost");
    }
}
