//! One thread: a tensor of 64 MiB from its segments, against copying as many bytes. Both are too large for any cache.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seedpress_codec::{
    AnyCodec, Codec, DType, EncodeContext, EncodedView, Int, LayerView, Limits, SegmentView, TensorView,
};
use seedpress_seedlm_paper::{Config, SeedLm};

#[path = "../tests/common/mod.rs"]
mod common;

/// Weights that are really encoded: whole bytes of every segment in both presets.
const SAMPLE: usize = 3 << 16;

/// Times the sample's blocks are repeated.
const COPIES: usize = 86;

fn bench(criterion: &mut Criterion) {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
    let mut random = common::Random(5);
    let sample: Vec<f32> = (0..SAMPLE).map(|_| random.gaussian() as f32).collect();
    let weights = sample.repeat(COPIES);
    let mut out = vec![0f32; weights.len()];
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(10).throughput(Throughput::Bytes(4 * weights.len() as u64));
    group.bench_function("memcpy", |bencher| bencher.iter(|| out.copy_from_slice(std::hint::black_box(&weights))));
    for (rows, columns) in [(8, 3), (12, 4)] {
        // Few candidates: the seeds are spread as widely as any, and the bench starts soon.
        let config = Config { candidates: Int::of(509), ..common::preset(rows, columns) };
        let Ok(tensor) = TensorView::new("w", &[SAMPLE], &sample, DType::F32) else { return };
        let Ok(encoded) = AnyCodec::new(SeedLm::new(config)).encode_raw(&tensor, &EncodeContext::default()) else {
            return;
        };
        let long: Vec<_> = encoded.layers[0].segments.iter().map(|s| (s.role, s.bytes.repeat(COPIES))).collect();
        let segments = long.iter().map(|(role, bytes)| SegmentView { role: *role, bytes }).collect();
        let shape = [weights.len()];
        let view = EncodedView::new(1, &shape, &encoded.params, vec![LayerView { segments }]);
        group.bench_function(format!("{rows}x{columns}"), |bencher| {
            pool.install(|| {
                bencher.iter(|| assert!(SeedLm::decode(&view, &mut out, &mut Limits::new(1 << 30)).is_ok()))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
