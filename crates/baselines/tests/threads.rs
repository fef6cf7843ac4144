//! Bytes and values must not depend on the number of threads.

#![allow(clippy::unwrap_used)]

use seedpress_codec::{DType, EncodeContext, Registry, Tensor};
use seedpress_testing::Noise;

/// One of each kind of choice, beside every codec's defaults.
const VARIANTS: &[&str] =
    &["rtn:bits=3,group=0", "rtn:bits=7,symmetric=false,group=24", "nf4:block=9", "nf4:double_quant=true"];

/// Rows of different scales, heavier in the tails than uniform.
fn weights(rows: usize, columns: usize) -> Tensor {
    let mut noise = Noise::new(3);
    let values =
        (0..rows * columns).map(|index| noise.centred() * noise.centred() * (1 + index / columns) as f32).collect();
    Tensor::new(vec![rows, columns], values, DType::F32).unwrap()
}

#[test]
fn one_thread_and_three_agree() {
    let registry = seedpress_baselines::register(Registry::default());
    let tensor = weights(300, 700);
    let pools = [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for name in registry.codecs().map(|entry| entry.id).chain(VARIANTS.iter().copied()) {
        let codec = registry.parse(name).unwrap();
        let [one, three] = pools.each_ref().map(|pool| {
            pool.install(|| {
                let bytes = codec.encode(&tensor.view("w"), &EncodeContext::default()).unwrap().to_bytes();
                let decoded = registry.decode_bytes(&bytes).unwrap();
                (bytes, decoded.tensor.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>())
            })
        });
        assert!(one.0 == three.0, "{name}: the bytes differ");
        assert!(one.1 == three.1, "{name}: the values differ");
    }
}
