//! The package `hqq` 0.2.8 on the same kind of weights.

#![allow(clippy::unwrap_used)]

use seedpress_codec::{DType, EncodeContext, Registry, TensorView};
use seedpress_testing::noise::normal;

/// Relative squared errors measured with the package, in binary32 on the processor, on N(0,1), 1024 x 1024; its figures repeat to 1 %.
#[test]
fn errors_are_those_of_the_package() {
    let values = normal(512 * 512, 1);
    let tensor = TensorView::new("w", &[512, 512], &values, DType::F32).unwrap();
    let power: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
    let registry = seedpress_hqq::register(Registry::default());
    let cases = [
        ("hqq", 0.00738),
        ("hqq:iterations=0", 0.008041),
        ("hqq:bits=3", 0.033357),
        ("hqq:bits=3,iterations=0", 0.037053),
        ("hqq:bits=2", 0.187781),
        ("hqq:bits=2,iterations=0", 0.202589),
        ("hqq:bits=2,group=16", 0.090276),
    ];
    for (name, wanted) in cases {
        let record = registry.parse(name).unwrap().encode(&tensor, &EncodeContext::default()).unwrap();
        let decoded = registry.decode_bytes(&record.to_bytes()).unwrap().tensor;
        let error: f64 = values.iter().zip(decoded.values()).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let relative = error / power;
        assert!((relative / wanted - 1.0).abs() < 0.02, "{name}: {relative} instead of {wanted}");
    }
}
