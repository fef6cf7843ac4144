//! The search, the whole encoder, plain and under the quadratic form of correlated inputs, and the decoder, beside a copy of the weights as
//! the roof.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use seedpress_codec::{DType, EncodeContext, InputStatistics, Registry, Tensor};
use seedpress_testing::Noise;
use seedpress_trellis::code::Code;
use seedpress_trellis::viterbi::{Scratch, Start, Tables, search};

const COUNT: usize = 1 << 16;

fn noise(count: usize) -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..count).map(|_| noise.bell(4) * 1.732).collect()
}

fn kernels(criterion: &mut Criterion) {
    let values = noise(COUNT);
    let mut group = criterion.benchmark_group("trellis");
    group.throughput(Throughput::Elements(COUNT as u64)).sample_size(20);
    group.bench_function("copy", |bencher| bencher.iter(|| values.clone()));
    let reach = 40;
    let points = [0usize, 1].map(|q| (0..=reach).map(|k| if k < 2 { 0.0 } else { (2 * (k - 1) - q) as f32 }).collect());
    let row = || std::iter::once(1e30).chain((0..reach).map(|k| 0.5 + 0.3 * k as f32));
    let tables = Tables { reach, points, rates: row().chain(row()).collect(), lambda: 0.5 };
    let magnitudes: Vec<f32> = values.iter().map(|v| v.abs() / 0.4).collect();
    let (classes, mut indices, mut scratch) = (vec![0u8; COUNT], vec![0; COUNT], Scratch::default());
    for memory in [2, 3, 5, 8] {
        let code = Code::new(memory).expect("a code on offer");
        group.bench_function(BenchmarkId::new("search", code.states()), |bencher| {
            bencher.iter(|| search(code, &tables, &magnitudes, &classes, Start::PLAIN, &mut scratch, &mut indices));
        });
    }
    let registry = seedpress_trellis::register(Registry::default());
    let tensor = Tensor::new(vec![256, 256], values, DType::F32).expect("a matrix");
    for bits in ["1.07", "2", "4"] {
        let codec = registry.parse(&format!("trellis:bits={bits}")).expect("legal options");
        let encode = || codec.encode(&tensor.view("t"), &EncodeContext::default()).expect("finite").to_bytes();
        group.bench_function(BenchmarkId::new("encode", bits), |bencher| bencher.iter(encode));
        let bytes = encode();
        group.bench_function(BenchmarkId::new("decode", bits), |bencher| {
            bencher.iter(|| registry.decode_bytes(&bytes).expect("intact"));
        });
    }
    group.finish();
}

/// Inputs of which each has much in common with its neighbours.
fn correlated(columns: usize) -> InputStatistics {
    let entry = |i: usize, j: usize| 0.9f32.powi(i.abs_diff(j) as i32);
    let moment = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
    InputStatistics::from_second_moment(1 << 16, columns, moment).expect("a correlation")
}

fn calibrated(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trellis-calibrated");
    group.sample_size(10);
    let tensor = Tensor::new(vec![512, 512], noise(4 * COUNT), DType::F32).expect("a matrix");
    let statistics = correlated(512);
    let context = EncodeContext { calibration: Some(&statistics), ..EncodeContext::default() };
    let registry = seedpress_trellis::register(Registry::default());
    for bits in ["2", "3"] {
        let codec = registry.parse(&format!("trellis:bits={bits},hessian=full")).expect("legal options");
        group.throughput(Throughput::Elements(4 * COUNT as u64));
        group.bench_function(BenchmarkId::new("encode", bits), |bencher| {
            bencher.iter(|| codec.encode(&tensor.view("t"), &context).expect("finite"));
        });
        // As `compress` does it, where tensors have the same inputs: a search down the columns of one leaves the other's threads free.
        group.throughput(Throughput::Elements(8 * COUNT as u64));
        group.bench_function(BenchmarkId::new("encode-two-of-two", bits), |bencher| {
            let encode = || codec.encode(&tensor.view("t"), &context).expect("finite");
            bencher.iter(|| rayon::join(encode, encode));
        });
    }
    group.finish();
}

criterion_group!(benches, kernels, calibrated);
criterion_main!(benches);
