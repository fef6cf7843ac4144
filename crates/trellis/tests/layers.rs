//! What layers cost against one layer, from decoded bytes.

#![allow(clippy::unwrap_used, clippy::panic)]

use seedpress_codec::{DType, EncodeContext, RecordView, Registry, Tensor};

fn normals(count: usize) -> Vec<f32> {
    let mut state = 7u64;
    let mut draw = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..count).map(|_| ((-2.0 * draw().ln()).sqrt() * (std::f64::consts::TAU * draw()).cos()) as f32).collect()
}

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
    let tensor = Tensor::new(vec![256, 256], normals(1 << 16), DType::F32).unwrap();
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
