//! Ratios of decoding speeds that hold on a busy machine: short jobs in turn, the fastest run of each counts.
//!
//! One thread, 2^21 symbols of a bell curve a job, the same for all; speeds count symbols. "bytes" decode to a symbol a byte, "fields"
//! to packed fields: the stage `ans` as a codec's indices go through it, and zstd -3 on the same packed bytes.

use std::hint::black_box;
use std::time::Instant;

use constriction::stream::model::DefaultContiguousCategoricalEntropyModel as Model;
use constriction::stream::stack::DefaultAnsCoder;
use constriction::stream::{Decode, Encode};
use seedpress_codec::packing::pack_bits;
use seedpress_codec::wire::Reader;
use seedpress_codec::{Layer, LayerView, Limits, Registry, Role, Segment, SegmentView, Symbols};
use seedpress_entropy::{ans, mixing};
use seedpress_testing::Noise;

type Job<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// Long, for it is the list of what is timed, all on the same symbols.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let rounds = std::env::args().nth(1).map_or(Ok(60), |rounds| rounds.parse())?;
    let registry = seedpress_entropy::register(Registry::default());
    for width in [2u8, 3, 4, 5, 8] {
        let mut noise = Noise::new(7);
        let symbols: Vec<u8> = (0..1 << 21).map(|_| noise.bell_byte() >> (8 - width)).collect();
        let count = symbols.len();
        let coded = ans::encode_bytes(&symbols);
        let mut counts = vec![1e-3f64; 1 << width];
        symbols.iter().for_each(|&s| counts[usize::from(s)] += 1.0);
        let model = Model::from_floating_point_probabilities_fast(&counts, None).map_err(|()| "model")?;
        let mut coder = DefaultAnsCoder::new();
        for &symbol in symbols.iter().rev() {
            coder.encode_symbol(usize::from(symbol), &model)?;
        }
        let packed = pack_bits(symbols.iter().map(|&symbol| u32::from(symbol)), width);
        let (frame, frame_packed) = (zstd::bulk::compress(&symbols, 3)?, zstd::bulk::compress(&packed, 3)?);
        let mixed = mixing::encode(&symbols, width, 512);
        let stage = registry.stage("ans")?;
        let indices = Segment::new(Role::Indices, Symbols::bits(width, count, 512), packed.clone());
        let staged = stage.encode(&Layer { segments: vec![indices] })?.remove(0);
        let view = LayerView { segments: vec![SegmentView { role: Role::Indices, bytes: &staged }] };
        let limits = || Limits::new(1 << 26);
        let mut out = vec![0u8; count];
        let mut jobs: Vec<Job<'_>> = vec![
            ("zstd -3, bytes", Box::new(|| drop(black_box(zstd::bulk::decompress(&frame, count))))),
            ("ans, bytes", Box::new(|| drop(black_box(ans::decode_bytes(&coded, count, &mut limits()))))),
            ("ans, fields", Box::new(|| drop(black_box(stage.decode(stage.format(), &view, &mut limits()))))),
            ("zstd -3 of fields", Box::new(|| drop(black_box(zstd::bulk::decompress(&frame_packed, packed.len()))))),
            (
                "constriction, bytes",
                Box::new(|| {
                    let mut coder = coder.clone();
                    out.iter_mut().for_each(|out| *out = coder.decode_symbol(&model).map_or(0, |s| s as u8));
                    black_box(&out);
                }),
            ),
            ("copy of bytes", Box::new(|| drop(black_box(black_box(&symbols).clone())))),
            (
                "mixed contexts",
                Box::new(|| drop(black_box(mixing::decode(&mut Reader::new(&mixed), width, count, &mut limits())))),
            ),
            ("encode ans", Box::new(|| drop(black_box(ans::encode_bytes(&symbols))))),
            (
                "encode constriction",
                Box::new(|| {
                    let mut coder = DefaultAnsCoder::new();
                    for &symbol in symbols.iter().rev() {
                        let _ = coder.encode_symbol(usize::from(symbol), &model);
                    }
                    black_box(coder);
                }),
            ),
            ("encode zstd -3", Box::new(|| drop(black_box(zstd::bulk::compress(&symbols, 3))))),
        ];
        let mut best = vec![f64::MAX; jobs.len()];
        for _ in 0..rounds {
            for (best, (_, job)) in best.iter_mut().zip(&mut jobs) {
                let start = Instant::now();
                job();
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
        println!(
            "{width} bits: {} bytes packed; ans of symbols {}, stage ans {}, constriction {}, zstd -3 {}, of fields {}, mixed {}",
            packed.len(),
            coded.len(),
            staged.len(),
            4 * coder.num_words(),
            frame.len(),
            frame_packed.len(),
            mixed.len()
        );
        for ((name, _), seconds) in jobs.iter().zip(&best) {
            println!(
                "  {name:20} {:7.0} M symbols/s, {:5.2} x zstd -3, {:5.2} x zstd -3 of fields",
                count as f64 / seconds / 1e6,
                best[0] / seconds,
                best[3] / seconds
            );
        }
    }
    Ok(())
}
