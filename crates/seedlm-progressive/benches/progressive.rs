//! The search against its definition, and decoding against copying, each in one run.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seedpress_codec::packing::pack_bits;
use seedpress_codec::{Codec, EncodedView, LayerView, Limits, Role, SegmentView};
use seedpress_seedlm_progressive::codebook::Codebook;
use seedpress_seedlm_progressive::search::{Index, Judge, Target, target};
use seedpress_seedlm_progressive::{SeedlmProgressive, Values, gain};
use seedpress_simd::Level;

fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    // The sum of four is normal enough here.
    (0..count).map(|_| (next() + next() + next() + next()) * 1.732).collect()
}

/// The definition, one codeword after another, in floating point; it is even spared running the register.
fn brute_force(codebook: &Codebook, block: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::MIN);
    for position in 0..codebook.len() {
        let (mut product, mut square) = (0f32, 0f32);
        for (value, codeword) in block.iter().zip(codebook.codeword(position, block.len())) {
            product += value * codeword;
            square += codeword * codeword;
        }
        let score = product.abs() - 0.5 * square;
        if score > best.1 {
            best = (position, score);
        }
    }
    best
}

/// Keeps the best score of every target.
struct Best {
    bars: Vec<i32>,
}

impl Judge for Best {
    fn bar(&self, target: usize) -> i32 {
        self.bars[target]
    }

    fn offer(&mut self, target: usize, _: u32, score: i32) {
        self.bars[target] = score;
    }
}

fn search(criterion: &mut Criterion) {
    let codebook = Codebook::new(16, 0, Values::Gaussian);
    let weights: Vec<f32> = noise(16 * 8).iter().map(|v| v * 148.0).collect();
    let targets: Vec<Target> = weights.chunks(16).map(|block| target(block.iter().copied())).collect();
    let mut group = criterion.benchmark_group("search of 65,535 codewords of 16");
    group.sample_size(10).throughput(Throughput::Elements(weights.len() as u64));
    group.bench_function("brute force", |b| {
        b.iter(|| weights.chunks(16).map(|block| brute_force(&codebook, black_box(block)).0).sum::<usize>())
    });
    for level in Level::supported() {
        let index = Index::with_level(level, &codebook, 16, usize::MAX);
        group.bench_function(format!("{level:?}").to_lowercase(), |b| {
            b.iter(|| {
                let mut best = Best { bars: vec![1; targets.len()] };
                index.screen(index.penalties(), black_box(&targets), &mut best);
                best.bars
            })
        });
    }
    group.finish();
}

/// Tensors of 64 MiB with codewords at random positions, against copying as many bytes: too large for any cache.
fn decode(criterion: &mut Criterion) {
    let count = 1 << 24;
    let mut weights = noise(1 << 20);
    weights.resize(count, 1.0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let mut group = criterion.benchmark_group("decode, one thread");
    group.sample_size(10).throughput(Throughput::Bytes(4 * count as u64));
    let mut out = vec![0f32; count];
    group.bench_function("memcpy", |b| b.iter(|| black_box(&mut out).copy_from_slice(black_box(&weights))));
    for (name, width, block, layers) in [
        ("one layer of k = 14", 14u8, 28, 1),
        ("three layers of k = 14", 14, 28, 3),
        ("three layers of k = 12", 12, 24, 3),
        ("three layers of k = 16", 16, 32, 3),
    ] {
        let (terms, blocks) = (2, count.div_ceil(block));
        let mut state = 1u64;
        let mut next = |bits: u8| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> (64 - bits)) as u32
        };
        let levels = gain::write(&vec![0; blocks]);
        let segments: Vec<Vec<(Role, Vec<u8>)>> = (0..layers)
            .map(|layer| {
                let scales = [0.01f32; 8][..(layer + 1) * terms].iter().flat_map(|scale| scale.to_le_bytes());
                let mut segments = vec![
                    (Role::Seeds, pack_bits((0..terms * blocks).map(|_| next(width)), width)),
                    (Role::Signs, pack_bits((0..terms * blocks).map(|_| next(1)), 1)),
                ];
                if layer == 0 {
                    segments.push((Role::Coefficients, levels.clone()));
                }
                segments.push((Role::Scales, scales.collect()));
                segments
            })
            .collect();
        let layers = segments
            .iter()
            .map(|layer| LayerView {
                segments: layer.iter().map(|(role, bytes)| SegmentView { role: *role, bytes }).collect(),
            })
            .collect();
        let params = [width, block as u8, terms as u8, 1, 0, 0, 0, 0, 0, 0];
        let shape = [count];
        let view = EncodedView::new(1, &shape, &params, layers);
        group.bench_function(name, |b| {
            pool.install(|| {
                b.iter(|| {
                    SeedlmProgressive::decode(&view, black_box(&mut out), &mut Limits::new(1 << 30)).expect("decodes")
                })
            })
        });
    }
    group.finish();
}

criterion_group!(benches, search, decode);
criterion_main!(benches);
