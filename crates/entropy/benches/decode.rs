//! Decoding 3-bit indices of a bell curve on one thread: our ANS, constriction's default ANS coder, zstd -3 on a symbol a byte.

use std::hint::black_box;

use constriction::stream::model::DefaultContiguousCategoricalEntropyModel as Model;
use constriction::stream::stack::DefaultAnsCoder;
use constriction::stream::{Decode, Encode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seedpress_codec::Limits;
use seedpress_entropy::ans;

fn bell(count: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut die = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) % 3
    };
    (0..count).map(|_| (0..4).map(|_| die()).sum::<u64>().min(7) as u8).collect()
}

fn decode(criterion: &mut Criterion) {
    let symbols = bell(1 << 20);
    let mut group = criterion.benchmark_group("decode 3-bit indices, one thread");
    group.throughput(Throughput::Elements(symbols.len() as u64));
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };

    let coded = ans::encode_bytes(&symbols);
    group.bench_function("seedpress ans", |b| {
        pool.install(|| b.iter(|| ans::decode_bytes(black_box(&coded), symbols.len(), &mut Limits::new(1 << 24))));
    });

    let mut counts = [0f64; 9];
    symbols.iter().for_each(|&s| counts[usize::from(s)] += 1.0);
    let Ok(model) = Model::from_floating_point_probabilities_fast(&counts, None) else { return };
    let mut coder = DefaultAnsCoder::new();
    for &symbol in symbols.iter().rev() {
        let _ = coder.encode_symbol(usize::from(symbol), &model);
    }
    group.bench_function("constriction default ans", |b| {
        b.iter(|| {
            let mut coder = coder.clone();
            (0..symbols.len()).map(|_| coder.decode_symbol(&model).map_or(0, |s| s as u64)).sum::<u64>()
        });
    });

    let Ok(frame) = zstd::bulk::compress(&symbols, 3) else { return };
    group.bench_function("zstd -3, a symbol a byte", |b| {
        b.iter(|| zstd::bulk::decompress(black_box(&frame), symbols.len()));
    });
    group.finish();
    eprintln!("bytes: ans {}, zstd -3 {}", coded.len(), frame.len());
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(300)).sample_size(10);
    targets = decode
}
criterion_main!(benches);
