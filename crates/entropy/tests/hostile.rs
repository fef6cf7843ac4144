//! Bytes nobody wrote: a typed error or a bounded result, whatever they are.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use seedpress_codec::packing::{pack_bits, pack_trits};
use seedpress_codec::{Layer, LayerView, Limits, Packing, Registry, Role, Segment, SegmentView, Symbols};

const LIMIT: u64 = 1 << 20;

/// Decodes by every stage; what comes back fits the limit, what fails names the segment.
fn attempt(bytes: &[u8]) {
    let registry = seedpress_entropy::register(Registry::default());
    for stage in registry.stages() {
        let view = LayerView { segments: vec![SegmentView { role: Role::Indices, bytes }] };
        match stage.decode(stage.format(), &view, &mut Limits::new(LIMIT)) {
            Ok(restored) => assert!(restored[0].len() as u64 <= LIMIT, "{}", stage.id()),
            Err(error) => assert_eq!(error.segment, Some(0), "{}", stage.id()),
        }
    }
}

fn segments(count: usize, seed: u64) -> Vec<Segment> {
    let mut noise = seedpress_testing::Noise::new(seed);
    let mut die = |sides: u32| noise.below(u64::from(sides)) as u32;
    let mut all = Vec::new();
    for width in [2u8, 3, 8, 11] {
        let symbols: Vec<u32> = (0..count).map(|_| (die(16) + die(16)) << 6 >> (11 - width)).collect();
        all.push(Segment::new(Role::Indices, Symbols::bits(width, count, 16), pack_bits(symbols, width)));
    }
    let digits: Vec<u8> = (0..count).map(|_| (die(2) + die(2)) as u8).collect();
    all.push(Segment::new(Role::Indices, Symbols::trits(count, 16), pack_trits(&digits)));
    for packing in [Packing::F32, Packing::BF16, Packing::F16] {
        let upper = |i: usize, die: &mut dyn FnMut(u32) -> u32| (70 + 8 * (i / 16 % 2) as u32 + die(3)) << 8;
        let bytes = (0..count)
            .flat_map(|i| {
                let word = upper(i, &mut die).to_le_bytes();
                let low = if packing == Packing::F32 { 2 } else { 0 };
                [9, die(8) as u8, word[0] | die(64) as u8, word[1]][2 - low..].to_vec()
            })
            .collect();
        all.push(Segment::new(Role::Raw, Symbols { packing, count: count as u64, row: 16 }, bytes));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(method in prop_oneof![0u8..6, Just(16u8), any::<u8>()], body in prop::collection::vec(any::<u8>(), 0..200)) {
        attempt(&[&[method], &body[..]].concat());
    }

    /// Small numbers pass more of the checks than arbitrary bytes do.
    #[test]
    fn plausible_headers(method in prop_oneof![0u8..6, Just(16u8)], body in prop::collection::vec(0u8..9, 0..60)) {
        attempt(&[&[method], &body[..]].concat());
    }

    #[test]
    fn several_damaged_bytes(seed in any::<u64>(), which in 0usize..8, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()) {
        let segment = segments(if seed % 4 == 0 { 6000 } else { 300 }, seed).swap_remove(which);
        let registry = seedpress_entropy::register(Registry::default());
        for stage in registry.stages() {
            let mut bytes = stage.encode(&Layer { segments: vec![segment.clone()] }).unwrap().remove(0);
            for (at, value) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            attempt(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            attempt(&bytes);
        }
    }
}

/// Counts that no limit allows, in every place that holds one.
#[test]
fn enormous_counts_are_refused_before_any_work() {
    let enormous = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
    for header in [
        &[1u8, 0][..],
        &[1, 1, 2],
        &[1, 1, 32],
        &[1, 2],
        &[1, 3, 4],
        &[2, 3, 4],
        &[3, 0],
        &[3, 1],
        &[3, 2],
        &[4],
        &[16, 1, 3],
        &[16, 2],
    ] {
        for rest in [&[][..], &[1; 40], &[0; 40], &[0, 0, 8, 1, 1, 1, 1, 1, 1, 1], &[2, 1, 9, 0, 0x80, 0x10, 1, 4]] {
            attempt(&[header, &enormous, rest].concat());
        }
    }
    // A class for every row of one float, of which a few bytes promise very many.
    let labels = [&[1u8, 5, 0, 0x80, 0x20, 1, 1][..], &[0, 0, 1, 0]].concat();
    attempt(&[&[3u8, 1, 0xFF, 0xFF, 0x7F, 2, 1, 1][..], &labels].concat());
}
