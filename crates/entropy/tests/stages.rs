//! Every stage restores every kind of segment exactly, expands none by more than a few bytes, and survives damage.

#![allow(clippy::unwrap_used)]

use seedpress_codec::packing::{pack_bits, pack_trits};
use seedpress_codec::{Layer, LayerView, Limits, Packing, Registry, Role, Segment, SegmentView, Stage, Symbols};
use seedpress_testing::Noise;

fn segments(count: usize) -> Vec<Segment> {
    let mut noise = Noise::new(count as u64);
    let mut all = Vec::new();
    for width in [1u8, 2, 3, 4, 5, 7, 8, 9, 12, 16, 24, 32] {
        let symbols: Vec<u32> = (0..count)
            .map(|_| match u32::from(noise.bell_byte()) {
                bell if width > 8 => bell << (width - 8) | 1,
                bell => bell >> (8 - width),
            })
            .collect();
        let row = count / 7;
        all.push(Segment::new(Role::Indices, Symbols::bits(width, count, row), pack_bits(symbols, width)));
    }
    let digits: Vec<u8> = (0..count).map(|_| noise.bell_byte() / 86).collect();
    all.push(Segment::new(Role::Indices, Symbols::trits(count, count / 3), pack_trits(&digits)));
    let floats: Vec<f32> = (0..count).map(|_| (f32::from(noise.bell_byte()) - 124.0) * 1.000_123e-3).collect();
    all.push(Segment::new(
        Role::Raw,
        Symbols::floats(Packing::F32, count),
        floats.iter().flat_map(|v| v.to_le_bytes()).collect(),
    ));
    for packing in [Packing::F16, Packing::BF16] {
        let halves = floats.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect();
        all.push(Segment::new(Role::Scales, Symbols::floats(packing, count), halves));
    }
    for len in [2u16, 5, 18] {
        let symbols = Symbols { packing: Packing::Records(len), count: count as u64, row: 0 };
        let bytes =
            (0..count * usize::from(len)).map(|i| if i % usize::from(len) == 0 { 7 } else { noise.bell_byte() });
        all.push(Segment::new(Role::Blocks, symbols, bytes.collect()));
    }
    all.push(Segment::new(Role::Tables, Symbols::OPAQUE, (0..count).map(|_| (noise.bits() >> 33) as u8).collect()));
    all.push(Segment::new(Role::Tables, Symbols::OPAQUE, vec![9; count]));
    // Declarations that do not fit the bytes.
    all.push(Segment::new(Role::Indices, Symbols::bits(3, count + 1, 2), vec![0xFF; count]));
    all.push(Segment::new(Role::Indices, Symbols::trits(count, 0), vec![0xFF; count]));
    all
}

fn view(coded: &[Vec<u8>]) -> LayerView<'_> {
    LayerView { segments: coded.iter().map(|bytes| SegmentView { role: Role::Indices, bytes }).collect() }
}

fn for_each_stage(test: impl Fn(&dyn Stage)) {
    let registry = seedpress_entropy::register(Registry::default());
    let mut count = 0;
    for stage in registry.stages() {
        test(stage);
        count += 1;
    }
    assert!(count >= 1);
}

#[test]
fn every_segment_comes_back_and_none_grows() {
    for_each_stage(|stage| {
        for count in [0usize, 1, 2, 3, 31, 100, 1000, 20_000] {
            let layer = Layer { segments: segments(count) };
            let coded = stage.encode(&layer).unwrap();
            for (segment, bytes) in layer.segments.iter().zip(&coded) {
                assert!(bytes.len() <= segment.bytes.len() + 1, "{} {:?}", stage.id(), segment.symbols);
            }
            let restored = stage.decode(stage.format(), &view(&coded), &mut Limits::new(64 << 20)).unwrap();
            for (segment, bytes) in layer.segments.iter().zip(&restored) {
                assert_eq!(&segment.bytes, bytes, "{} {:?}", stage.id(), segment.symbols);
            }
        }
    });
}

#[test]
fn damage_is_an_error_or_bounded() {
    for_each_stage(|stage| {
        for segment in segments(200) {
            let coded = stage.encode(&Layer { segments: vec![segment.clone()] }).unwrap().remove(0);
            let attempt = |bytes: Vec<u8>| {
                let limit = 1 << 16;
                match stage.decode(stage.format(), &view(&[bytes]), &mut Limits::new(limit)) {
                    Ok(restored) => assert!(restored[0].len() as u64 <= limit),
                    Err(error) => assert_eq!(error.segment, Some(0)),
                }
            };
            for len in 0..coded.len() {
                attempt(coded[..len].to_vec());
            }
            for bit in 0..coded.len() * 8 {
                let mut damaged = coded.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                attempt(damaged);
            }
        }
    });
}

#[test]
fn a_stream_asking_for_too_much_memory_is_refused() {
    for_each_stage(|stage| {
        let zeros = Segment::new(Role::Tables, Symbols::OPAQUE, vec![0; 1 << 20]);
        let coded = stage.encode(&Layer { segments: vec![zeros] }).unwrap();
        assert!(coded[0].len() < 1000, "{}: {}", stage.id(), coded[0].len());
        assert!(stage.decode(stage.format(), &view(&coded), &mut Limits::new(1 << 19)).is_err());
        assert!(stage.decode(stage.format(), &view(&coded), &mut Limits::new(8 << 20)).is_ok());
    });
}
