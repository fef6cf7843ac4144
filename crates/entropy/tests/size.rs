//! Sizes against what the models say, and the same bytes whatever the threads.

#![allow(clippy::unwrap_used)]

use seedpress_codec::packing::pack_bits;
use seedpress_codec::{Layer, LayerView, Limits, Packing, Registry, Role, Segment, SegmentView, Symbols};
use seedpress_entropy::ans;
use seedpress_entropy::frequencies::Frequencies;
use seedpress_testing::Noise;

/// Bits of the symbols under the table's own probabilities and under their own frequencies.
fn bits(symbols: &[u8]) -> (f64, f64) {
    let mut counts = [0f64; 256];
    symbols.iter().for_each(|&symbol| counts[usize::from(symbol)] += 1.0);
    let table = Frequencies::of(symbols);
    let total = symbols.len() as f64;
    let occurring = || counts.iter().zip(table.get()).filter(|(count, _)| **count > 0.0);
    let model = occurring().map(|(count, &f)| count * (4096.0 / f64::from(f)).log2()).sum();
    let empirical = occurring().map(|(count, _)| count * (total / count).log2()).sum();
    (model, empirical)
}

#[test]
fn coded_size_is_within_half_a_percent_of_model_and_tables() {
    let mut noise = Noise::new(3);
    for width in 1..=8u32 {
        for count in [12_000usize, 65_536, 262_144, 262_145, 600_000] {
            let symbols: Vec<u8> = (0..count).map(|_| noise.bell_byte() >> (8 - width)).collect();
            let (model, empirical) = bits(&symbols);
            let coded = ans::encode_bytes(&symbols);
            let mut tables = Vec::new();
            Frequencies::of(&symbols).write(&mut tables);
            // Table, lane count, a length of at most three bytes a block.
            let counted = (tables.len() + 1 + 3 * count.div_ceil(1 << 18)) as f64;
            let size = coded.len() as f64;
            assert!(size <= 1.005 * (model / 8.0 + counted), "{width} bits, {count}: {size} against {}", model / 8.0);
            assert!(size >= empirical / 8.0);
            assert!(model <= 1.002 * empirical + 8.0 * 256.0, "twelve bits of probability are enough");
        }
    }
    for (rare, count) in [(1000u64, 100_000usize), (100, 100_000), (30, 400_000)] {
        let symbols: Vec<u8> = (0..count).map(|_| u8::from(noise.below(rare) == 0)).collect();
        let (model, _) = bits(&symbols);
        let size = ans::encode_bytes(&symbols).len() as f64;
        // What is short pays for a whole state.
        assert!(size <= 1.005 * model / 8.0 + 12.0, "1 in {rare}: {size} against {}", model / 8.0);
    }
}

#[test]
fn floats_that_repeat_are_taken_once_whatever_repeats() {
    let registry = seedpress_entropy::register(Registry::default());
    let stage = registry.stage("planes+ans").unwrap();
    let mut noise = Noise::new(23);
    let mut float = || (0x3D00_0000 | noise.below(2) << 31 | noise.below(1 << 24)) as u32;
    let (row, count) = (1000usize, 200_000usize);
    let rows: Vec<u32> = (0..row * 20).map(|_| float()).collect();
    let palette: Vec<u32> = (0..16).map(|_| float()).collect();
    let once = 4 * rows.len();
    let mut pick = Noise::new(29);
    // Whole rows, with signs of their own, single values, and the lower half alone.
    let cases: [(&str, Vec<u32>, usize); 4] = [
        ("rows", (0..count).map(|i| rows[i % rows.len()]).collect(), once * 21 / 20),
        ("signs", (0..count).map(|i| rows[i % rows.len()] ^ (pick.below(2) << 31) as u32).collect(), once + count / 4),
        ("palette", (0..count).map(|_| palette[pick.below(16) as usize]).collect(), count * 2),
        ("tails", (0..count).map(|i| rows[i % row] & 0xFFFF | float() << 16).collect(), 2 * count + count / 50),
    ];
    for (name, words, most) in cases {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let segment = Segment::new(Role::Raw, Symbols::floats(Packing::F32, count).in_rows(row), bytes.clone());
        let coded = stage.encode(&Layer { segments: vec![segment] }).unwrap().remove(0);
        let view = LayerView { segments: vec![SegmentView { role: Role::Raw, bytes: &coded }] };
        assert!(stage.decode(stage.format(), &view, &mut Limits::new(64 << 20)).unwrap()[0] == bytes, "{name}");
        assert!(coded.len() <= most, "{name}: {} of at most {most}", coded.len());
    }
}

fn large_layer() -> Layer {
    let mut noise = Noise::new(17);
    let count = 1_060_000usize;
    let symbols: Vec<u32> = (0..count).map(|i| u32::from(noise.bell_byte() >> (6 + (i / 512 % 2)))).collect();
    let trits: Vec<u8> = (0..300_001).map(|_| noise.below(3) as u8).collect();
    let floats: Vec<u8> =
        (0..300_000).flat_map(|_| ((f32::from(noise.bell_byte()) - 124.0) * 1.000_123e-3).to_le_bytes()).collect();
    Layer {
        segments: vec![
            Segment::new(Role::Indices, Symbols::bits(2, count, 512), pack_bits(symbols, 2)),
            Segment::new(Role::Indices, Symbols::trits(trits.len(), 100), seedpress_codec::packing::pack_trits(&trits)),
            Segment::new(Role::Raw, Symbols::floats(Packing::F32, 300_000).in_rows(1000), floats),
        ],
    }
}

#[test]
fn threads_change_neither_bytes_nor_results() {
    let registry = seedpress_entropy::register(Registry::default());
    let mut layer = large_layer();
    for id in ["ans", "planes+ans", "context"] {
        let stage = registry.stage(id).unwrap();
        if id == "context" {
            // Half a minute of exponents would show nothing that indices do not.
            layer.segments.truncate(2);
        }
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let coded = stage.encode(&layer).unwrap();
                let segments = coded.iter().map(|bytes| SegmentView { role: Role::Raw, bytes }).collect();
                let restored =
                    stage.decode(stage.format(), &LayerView { segments }, &mut Limits::new(64 << 20)).unwrap();
                assert!(restored.iter().zip(&layer.segments).all(|(back, segment)| *back == segment.bytes), "{id}");
                coded
            })
        };
        let alone = run(1);
        for threads in [2, 5] {
            assert!(run(threads) == alone, "{id} on {threads} threads");
        }
    }
}

/// What constriction's coder adds to the models: next to nothing. And groups of rows are told apart.
#[test]
fn the_range_coder_takes_what_its_models_say() {
    let registry = seedpress_entropy::register(Registry::default());
    let stage = registry.stage("range").unwrap();
    let (row, rows) = (512usize, 600usize);
    let mut noise = Noise::new(31);
    // Rows of two widths: one table for all costs what their mixture does.
    let width = |index: usize| if (index / row / 100).is_multiple_of(2) { 5 } else { 3 };
    let symbols: Vec<u8> =
        (0..row * rows).map(|i| (128 + ((i64::from(noise.bell_byte()) - 124) >> (8 - width(i)))) as u8).collect();
    let coded = |row: usize| {
        let declared = Symbols::bits(8, symbols.len(), row);
        let layer = Layer { segments: vec![Segment::new(Role::Indices, declared, symbols.clone())] };
        let coded = stage.encode(&layer).unwrap().remove(0);
        let view = LayerView { segments: vec![SegmentView { role: Role::Indices, bytes: &coded }] };
        assert!(stage.decode(1, &view, &mut Limits::new(1 << 24)).unwrap()[0] == symbols);
        coded.len() as f64
    };
    let entropy = |symbols: &[u8]| bits(symbols).1 / 8.0;
    let (mixed, apart) = (entropy(&symbols), symbols.chunks(100 * row).map(entropy).sum::<f64>());
    assert!(coded(0) < 1.003 * mixed + 300.0, "{} {mixed}", coded(0));
    assert!(coded(row) < 1.01 * apart + 600.0 && coded(row) < 0.97 * mixed, "{} {apart} {mixed}", coded(row));
}
