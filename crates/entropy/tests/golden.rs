//! Streams of every format, frozen: written once by the encoder of their time and read forever. `golden/README.md` says how.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use seedpress_codec::packing::{pack_bits, pack_trits};
use seedpress_codec::{Layer, LayerView, Limits, Packing, Registry, Role, Segment, SegmentView, Symbols};
use seedpress_testing::Noise;
use seedpress_testing::golden::{hex, unhex};

/// What the files hold: a stage, a format, and whether it is `more` or `cases`.
const FILES: [(&str, u32, bool); 10] = [
    ("zstd", 1, false),
    ("ans", 1, false),
    ("planes+ans", 1, false),
    ("planes+ans", 2, false),
    ("context", 1, false),
    ("zstd", 1, true),
    ("planes+ans", 2, true),
    ("context", 1, true),
    ("range", 1, false),
    ("range", 1, true),
];

fn path(stage: &str, format: u32, more: bool) -> PathBuf {
    let name = format!("{}-{format}{}.txt", stage.replace('+', "-"), if more { "-more" } else { "" });
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A segment for every packing and every way to code one.
fn cases() -> Vec<(&'static str, Segment)> {
    let mut noise = Noise::new(11);
    let mut die = |sides: u32| noise.below(u64::from(sides)) as u32;
    let mut cases = Vec::new();
    let mut push = |name, symbols: Symbols, bytes| cases.push((name, Segment::new(Role::Indices, symbols, bytes)));
    for (name, width) in [("bits-1", 1u8), ("bits-2", 2), ("bits-3", 3), ("bits-4", 4), ("bits-8", 8), ("bits-12", 12)]
    {
        let symbols: Vec<u32> =
            (0..300).map(|_| (die(16) + die(16) + die(16) + die(16)) << 8 >> (14 - width)).collect();
        push(name, Symbols::bits(width, 300, 30), pack_bits(symbols, width));
    }
    let digits: Vec<u8> = (0..301).map(|_| (die(2) + die(2)) as u8).collect();
    push("trits", Symbols::trits(301, 43), pack_trits(&digits));
    for (name, packing) in [("f32", Packing::F32), ("bf16", Packing::BF16), ("f16", Packing::F16)] {
        let mut bytes = Vec::new();
        for _ in 0..200 {
            let upper = (die(2) << 15 | (60 + die(3) + die(3)) << 8 | die(256)) as u16;
            if packing == Packing::F32 {
                bytes.extend((die(1 << 16) as u16).to_le_bytes());
            }
            bytes.extend(upper.to_le_bytes());
        }
        push(name, Symbols { packing, count: 200, row: 20 }, bytes);
    }
    // Powers of two: rows of two scales, columns of two.
    let exponent = |i: usize, die: &mut dyn FnMut(u32) -> u32| {
        (100 + 12 * (i as u32 / 64 % 2) + 4 * (i as u32 % 64 / 32) + die(2)) as u16
    };
    let bytes = (0..64 * 80).flat_map(|i| (exponent(i, &mut die) << 7).to_le_bytes()).collect();
    push("bf16-classes", Symbols { packing: Packing::BF16, count: 64 * 80, row: 64 }, bytes);
    let records: Vec<u8> = (0..40 * 18).map(|i| (i % 18 * 5 + die(4) as usize) as u8).collect();
    push("records-18", Symbols { packing: Packing::Records(18), count: 40, row: 0 }, records);
    push("opaque", Symbols::OPAQUE, (0..100).map(|_| die(256) as u8).collect());
    push("repetitive", Symbols::OPAQUE, (0..1200u32).map(|i| (i % 200 * 57) as u8).collect());
    push("one-symbol", Symbols::bits(2, 5000, 50), vec![0b0101_0101; 1250]);
    push("empty-bits", Symbols::bits(3, 0, 0), Vec::new());
    push("empty-floats", Symbols::floats(Packing::F32, 0), Vec::new());
    push("empty", Symbols::OPAQUE, Vec::new());
    // Enough symbols for each number of lanes and for more than one block.
    for (name, count, rare) in [("lanes-4", 20_000usize, 20), ("two-blocks", 270_000, 3000)] {
        let symbols: Vec<u32> = (0..count).map(|_| if die(rare) == 0 { 1 + die(3) } else { 0 }).collect();
        push(name, Symbols::bits(2, count, 500), pack_bits(symbols, 2));
    }
    cases
}

/// What the segments of `cases` leave open.
fn more() -> Vec<(&'static str, Segment)> {
    let mut noise = Noise::new(13);
    let mut die = |sides: u32| noise.below(u64::from(sides)) as u32;
    let mut more = Vec::new();
    let mut push = |name, symbols: Symbols, bytes| more.push((name, Segment::new(Role::Indices, symbols, bytes)));
    // Of three exponents one occurs 512 times, one 511 times; the mantissa leans to zero by exponent.
    let mut bytes = Vec::new();
    for i in 0..1400u32 {
        let (exponent, sides) = [(100, 128), (101, 64), (102, 16)][(i * 9 % 1400).div_euclid(512).min(2) as usize];
        let exponent = if i * 9 % 1400 == 512 { 102 } else { exponent };
        bytes.extend((((die(2) << 8 | exponent) << 7 | die(sides)) as u16).to_le_bytes());
    }
    push("bf16-512", Symbols { packing: Packing::BF16, count: 1400, row: 40 }, bytes);
    let symbols: Vec<u32> = (0..600).map(|i| if i / 100 % 2 == 0 { die(2) } else { 2 + die(3) + die(4) }).collect();
    push("no-rows", Symbols::bits(3, 600, 0), pack_bits(symbols, 3));
    // Long silences: certain decisions, levels beyond the last.
    let symbols: Vec<u32> = (0..6000).map(|i| if i / 60 % 25 == 20 && i % 60 < 30 { 8 + die(8) } else { 0 }).collect();
    push("bursts", Symbols::bits(4, 6000, 60), pack_bits(symbols, 4));
    let symbols: Vec<u32> = (0..3000).map(|_| if die(9) == 0 { 1 + die(7) } else { 0 }).collect();
    push("bits-3-sparse", Symbols::bits(3, 3000, 50), pack_bits(symbols, 3));
    more
}

#[test]
fn frozen_streams_decode() {
    let registry = seedpress_entropy::register(Registry::default());
    for (id, format, beyond) in FILES {
        let cases = if beyond { more() } else { cases() };
        let stage = registry.stage(id).unwrap();
        let text = std::fs::read_to_string(path(id, format, beyond)).unwrap();
        assert_eq!(text.lines().count(), cases.len());
        for (line, (name, segment)) in text.lines().zip(&cases) {
            let (found, text) = line.split_once(' ').unwrap();
            assert_eq!(found, *name);
            let coded = unhex(text);
            let view = LayerView { segments: vec![SegmentView { role: segment.role, bytes: &coded }] };
            let restored = stage.decode(stage.format(), &view, &mut Limits::new(1 << 24)).unwrap();
            assert!(restored[0] == segment.bytes, "{id} {format} {name}");
        }
    }
}

/// Writes the files of the present formats that are not there yet; frozen ones are left alone.
#[test]
#[ignore = "writes the golden files"]
fn write_streams() {
    let registry = seedpress_entropy::register(Registry::default());
    for (id, format, beyond) in FILES {
        let (stage, path) = (registry.stage(id).unwrap(), path(id, format, beyond));
        if path.exists() || stage.format() != format {
            continue;
        }
        let mut text = String::new();
        for (name, segment) in if beyond { more() } else { cases() } {
            let coded = stage.encode(&Layer { segments: vec![segment] }).unwrap().remove(0);
            text += &format!("{name} {}\n", hex(&coded));
        }
        std::fs::write(path, text).unwrap();
    }
}
