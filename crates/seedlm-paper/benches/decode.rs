//! One thread: a tensor from its segments, against copying as many bytes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seedpress_codec::{AnyCodec, Codec, DType, EncodeContext, Int, Limits, Registry, TensorView};
use seedpress_seedlm_paper::{Config, SeedLm, register};

#[path = "../tests/common/mod.rs"]
mod common;

fn bench(criterion: &mut Criterion) {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
    let registry = register(Registry::default());
    let Ok(codec) = registry.codec("seedlm-paper") else { return };
    let mut random = common::Random(5);
    let values: Vec<f32> = (0..1 << 20).map(|_| random.gaussian() as f32).collect();
    let mut out = vec![0f32; values.len()];
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(4 * values.len() as u64));
    group.bench_function("memcpy", |bencher| bencher.iter(|| out.copy_from_slice(std::hint::black_box(&values))));
    for (rows, columns) in [(8, 3), (12, 4)] {
        // Few candidates: the seeds are spread as widely as any, and the bench starts soon.
        let config = Config { candidates: Int::of(4093), ..common::preset(rows, columns) };
        let shape = [1024, 1024];
        let Ok(tensor) = TensorView::new("w", &shape, &values, DType::F32) else { return };
        let Ok(encoded) = AnyCodec::new(SeedLm::new(config)).encode_raw(&tensor, &EncodeContext::default()) else {
            return;
        };
        let view = encoded.view(&shape);
        group.bench_function(format!("{rows}x{columns}"), |bencher| {
            pool.install(|| bencher.iter(|| codec.decode_raw(&view, &mut out, &mut Limits::new(1 << 30)).is_ok()));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
