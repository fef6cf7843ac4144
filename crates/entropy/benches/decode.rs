//! Coding and decoding indices on one thread, everything on the same symbols of a bell curve: our ANS, constriction's default ANS
//! coder, zstd -3 on a symbol a byte and on packed fields, and copying the bytes.
//!
//! `ans` decodes to a symbol a byte, as constriction and `zstd -3 unpacked` do; `ans to fields` decodes to the packed bytes that
//! a codec reads, as `zstd -3 packed` does. Throughput counts symbols; sizes are printed beside.

use std::hint::black_box;
use std::time::Duration;

use constriction::stream::model::DefaultContiguousCategoricalEntropyModel as Model;
use constriction::stream::stack::DefaultAnsCoder;
use constriction::stream::{Decode, Encode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seedpress_codec::Limits;
use seedpress_codec::packing::pack_bits;
use seedpress_entropy::{ans, mixing};
use seedpress_testing::Noise;

/// The sum of eight dice, scaled to a width: a bell curve over the whole alphabet.
fn bell(count: usize, width: u8) -> Vec<u8> {
    let mut noise = Noise::new(7);
    (0..count).map(|_| noise.bell_byte() >> (8 - width)).collect()
}

/// Long, for every coder is timed on the same symbols, one after the other.
fn coders(criterion: &mut Criterion) {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
    for width in [2u8, 3, 4, 5, 8] {
        let symbols = bell(1 << 20, width);
        let mut group = criterion.benchmark_group(format!("{width}-bit indices"));
        group.throughput(Throughput::Elements(symbols.len() as u64));

        let coded = ans::encode_bytes(&symbols);
        let limits = || Limits::new(1 << 24);
        group.bench_function("decode ans", |b| {
            pool.install(|| b.iter(|| ans::decode_bytes(black_box(&coded), symbols.len(), &mut limits())));
        });
        group.bench_function("decode ans to fields", |b| {
            pool.install(|| b.iter(|| ans::decode_packed(black_box(&coded), width, symbols.len(), &mut limits())));
        });

        let mut counts = vec![1e-3f64; 1 << width];
        symbols.iter().for_each(|&s| counts[usize::from(s)] += 1.0);
        let Ok(model) = Model::from_floating_point_probabilities_fast(&counts, None) else { return };
        let mut coder = DefaultAnsCoder::new();
        for &symbol in symbols.iter().rev() {
            let _ = coder.encode_symbol(usize::from(symbol), &model);
        }
        let mut out = vec![0u8; symbols.len()];
        group.bench_function("decode constriction default ans", |b| {
            b.iter(|| {
                let mut coder = coder.clone();
                out.iter_mut().for_each(|out| *out = coder.decode_symbol(&model).map_or(0, |symbol| symbol as u8));
            });
        });

        let packed = pack_bits(symbols.iter().map(|&symbol| u32::from(symbol)), width);
        let mut sizes = vec![("ans", coded.len()), ("constriction", coder.num_words() * 4)];
        for (name, bytes) in [("unpacked", &symbols), ("packed", &packed)] {
            let Ok(frame) = zstd::bulk::compress(bytes, 3) else { return };
            group.bench_function(format!("decode zstd -3 {name}"), |b| {
                b.iter(|| zstd::bulk::decompress(black_box(&frame), bytes.len()));
            });
            sizes.push((name, frame.len()));
        }
        group.bench_function("memcpy of a symbol a byte", |b| b.iter(|| black_box(&symbols).clone()));

        if width == 3 {
            group.bench_function("encode ans", |b| {
                pool.install(|| b.iter(|| ans::encode_bytes(black_box(&symbols))));
            });
            group.bench_function("encode constriction default ans", |b| {
                b.iter(|| {
                    let mut coder = DefaultAnsCoder::new();
                    for &symbol in black_box(&symbols).iter().rev() {
                        let _ = coder.encode_symbol(usize::from(symbol), &model);
                    }
                    coder
                });
            });
            group.bench_function("encode zstd -3 unpacked", |b| {
                b.iter(|| zstd::bulk::compress(black_box(&symbols), 3));
            });
            let mixed = mixing::encode(&symbols, width, 1024);
            group.bench_function("decode mixed contexts", |b| {
                pool.install(|| {
                    b.iter(|| {
                        let mut reader = seedpress_codec::wire::Reader::new(black_box(&mixed));
                        mixing::decode(&mut reader, width, symbols.len(), &mut limits())
                    });
                });
            });
            sizes.push(("mixed", mixed.len()));
        }
        group.finish();
        eprintln!("bytes of {} {width}-bit symbols: {sizes:?}", symbols.len());
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .measurement_time(Duration::from_millis(800))
        .warm_up_time(Duration::from_millis(200))
        .sample_size(10);
    targets = coders
}
criterion_main!(benches);
