//! Encoders and decoders, without record and checksums, beside a copy of the weights as the roof.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use seedpress_codec::{DType, EncodeContext, Limits, Registry, Tensor};
use seedpress_testing::Noise;

const SHAPE: [usize; 2] = [1024, 1024];
const COUNT: usize = SHAPE[0] * SHAPE[1];

const CODECS: &[&str] = &[
    "raw",
    "f16",
    "rtn",
    "rtn:bits=3,symmetric=false,group=128",
    "nf4",
    "nf4:double_quant=true",
    "q8_0",
    "q4_0",
    "iq4_nl",
    "q4_k",
    "q6_k",
    "tq2_0",
];

/// Sums of four uniforms: near enough to normal for timing.
fn noise() -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..COUNT).map(|_| noise.bell(4) * 0.05).collect()
}

fn kernels(criterion: &mut Criterion) {
    let registry = seedpress_baselines::register(Registry::default());
    let tensor = Tensor::new(SHAPE.to_vec(), noise(), DType::F32).expect("a matrix");
    let mut out = vec![0f32; COUNT];
    let mut group = criterion.benchmark_group("baselines");
    group.throughput(Throughput::Elements(COUNT as u64)).sample_size(10);
    group.bench_function("copy", |bencher| bencher.iter(|| out.copy_from_slice(tensor.values())));
    for name in CODECS {
        let codec = registry.parse(name).expect("legal options");
        let encode = || codec.encode_raw(&tensor.view("w"), &EncodeContext::default()).expect("finite");
        group.bench_function(BenchmarkId::new("encode", name), |bencher| bencher.iter(encode));
        let (encoded, entry) = (encode(), registry.codec(codec.id()).expect("registered"));
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| {
                let mut limits = Limits::new(1 << 30);
                entry.decode_raw(&encoded.view(entry.format, &SHAPE), &mut out, &mut limits).expect("intact");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
