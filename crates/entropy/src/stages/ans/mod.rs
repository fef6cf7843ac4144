//! Range-ANS behind any codec: `ans` models the declared symbols, `planes+ans` also splits floats by their fields.
//!
//! | method `u8` | body |
//! | --- | --- |
//! | 0 stored | the bytes |
//! | 1 planes | [layout and count](crate::layout), then each byte plane as a [plane](crate::plane) of width 8 |
//! | 2 rotated | the same for records of 2 or 4 bytes, each (little-endian) rotated left by a bit first: the sign leaves the exponent's byte |
//! | 3 fields | [floats by their fields](crate::floats) |
//! | 4 frame | length `varint`, a zstd frame of the bytes |
//!
//! Byte plane `i` holds byte `i` of every symbol, the least significant first; a symbol narrower than a byte is one byte. Every plane
//! has its own table, so the position within a record or a float is the context. `planes+ans` writes whichever is smallest, of floats
//! that repeat by estimates, which can miss it; methods 3 and 4 are of format 2, everything older still decodes. `ans` writes methods 0
//! and 1, without zstd, and it joins symbols that fill bytes evenly where that costs next to nothing: several decode in the time of one.

mod choice;
mod methods;

pub(super) use methods::decode;

use rayon::prelude::*;
use seedpress_codec::wire::Put;
use seedpress_codec::{DecodeError, EncodeError, Layer, LayerView, Limits, Packing, Segment, Stage};

use crate::floats::{self, Kind};
use crate::layout::Layout;
use crate::plane;
use crate::stages::each;
use choice::{joined, repeats, search_floats, size_of_planes};
use methods::{FIELDS, FRAME, PLANES, ROTATED, or_stored, rotate};

/// The stage `ans`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ans;

/// The stage `planes+ans`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PlanesAns;

impl Stage for Ans {
    fn id(&self) -> &'static str {
        "ans"
    }

    fn format(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "interleaved range-ANS with a static table for each symbol position"
    }

    fn encode(&self, layer: &Layer) -> Result<Vec<Vec<u8>>, EncodeError> {
        layer.segments.par_iter().map(|segment| encode(segment, false, false)).collect()
    }

    fn decode(&self, _format: u32, layer: &LayerView<'_>, limits: &mut Limits) -> Result<Vec<Vec<u8>>, DecodeError> {
        each(layer, |bytes| decode(bytes, limits))
    }
}

impl Stage for PlanesAns {
    fn id(&self) -> &'static str {
        "planes+ans"
    }

    fn format(&self) -> u32 {
        2
    }

    fn summary(&self) -> &'static str {
        "floats split by their fields, exponents and top mantissa bits modelled; the smallest of that, byte planes and zstd"
    }

    fn encode(&self, layer: &Layer) -> Result<Vec<Vec<u8>>, EncodeError> {
        layer.segments.par_iter().map(|segment| encode(segment, true, false)).collect()
    }

    fn decode(&self, _format: u32, layer: &LayerView<'_>, limits: &mut Limits) -> Result<Vec<Vec<u8>>, DecodeError> {
        each(layer, |bytes| decode(bytes, limits))
    }
}

/// Recodes a segment; `split` allows everything that `planes+ans` does, `mixed` also mixed contexts for exponents.
pub(super) fn encode(segment: &Segment, split: bool, mixed: bool) -> Result<Vec<u8>, EncodeError> {
    let bytes = &segment.bytes;
    let (layout, count) = Layout::of(segment);
    // Empty where nothing is smaller than the bytes themselves.
    let mut best = Vec::new();
    let keep = |best: &mut Vec<u8>, candidate: Vec<u8>| {
        if candidate.len() < if best.is_empty() { 1 + bytes.len() } else { best.len() } {
            *best = candidate;
        }
    };
    let kind = match (layout, segment.symbols.packing) {
        (Layout::Records(4), Packing::F32) => Some(Kind::F32),
        (Layout::Records(2), Packing::BF16) => Some(Kind::BF16),
        (Layout::Records(2), Packing::F16) => Some(Kind::F16),
        _ => None,
    };
    // What repeats is found by matches; in floats that do not, searching for them would take most of the time.
    let search = split && kind.map_or(Ok(true), |kind| repeats(bytes, kind.size()))?;
    if let Some(kind) = kind.filter(|_| search) {
        return search_floats(segment, kind, layout, count, mixed);
    }
    match kind {
        Some(kind) if split => {
            for mixed in [false, true].into_iter().take(1 + usize::from(mixed)) {
                let mut fields = vec![FIELDS];
                floats::encode(bytes, kind, segment.symbols.row as usize, mixed, &mut fields)?;
                keep(&mut best, fields);
            }
            // A thousandth would not be worth the time.
            let enough = if best.is_empty() { bytes.len() } else { best.len() - best.len() / 1024 };
            if size_of_planes(bytes, kind.size(), 1) < enough {
                keep(&mut best, planes(ROTATED, layout, count, &rotate(bytes, kind.size(), 1), false)?);
            }
            if size_of_planes(bytes, kind.size(), 0) >= enough {
                return Ok(or_stored(best, bytes));
            }
        }
        _ => {}
    }
    let (layout, count) = if split { (layout, count) } else { joined(layout, count, bytes) };
    // Of floats too: where signs are all alike, as those of scales are, nothing has to be moved out of the way.
    keep(&mut best, planes(PLANES, layout, count, bytes, search)?);
    if search && layout != Layout::Bytes {
        let mut whole = vec![FRAME];
        whole.put_varint(bytes.len() as u64);
        let least = if best.is_empty() { 1 + bytes.len() } else { best.len() };
        if let Some(frame) = plane::worthwhile_frame(bytes, least.saturating_sub(whole.len()))? {
            whole.extend(frame);
            keep(&mut best, whole);
        }
    }
    Ok(or_stored(best, bytes))
}

fn planes(method: u8, layout: Layout, count: usize, bytes: &[u8], search: bool) -> Result<Vec<u8>, EncodeError> {
    let mut out = vec![method];
    layout.write(count, &mut out);
    for symbols in layout.unpack(bytes, count).chunks_exact(count.max(1)) {
        plane::write(symbols, 8, search, &mut out)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ans;
    use seedpress_codec::packing::{pack_bits, pack_trits};
    use seedpress_codec::{Role, SegmentView, Symbols};

    #[test]
    fn joined_symbols_come_back_and_cost_little() {
        let mut noise = seedpress_testing::Noise::new(5);
        let mut die = |sides: u64| noise.below(sides);
        for width in [1u8, 2, 3, 4, 0] {
            for count in [1usize, 3, 7, 64, 40_001, 80_000, 80_005] {
                let most = if width == 0 { 2 } else { (1 << width) - 1 };
                let symbols: Vec<u8> = (0..count).map(|_| ((die(most + 1) + die(most + 1)) / 2) as u8).collect();
                let (declared, bytes) = if width == 0 {
                    (Symbols::trits(count, 0), pack_trits(&symbols))
                } else {
                    (Symbols::bits(width, count, 0), pack_bits(symbols.iter().map(|&s| u32::from(s)), width))
                };
                let layer = Layer { segments: vec![Segment::new(Role::Indices, declared, bytes.clone())] };
                let coded = Ans.encode(&layer).unwrap().remove(0);
                if count == 80_000 && (1..4).contains(&width) {
                    // Joined: the layout written is not the one declared.
                    assert_ne!(coded[..3], [PLANES, 1, width]);
                    assert!(coded.len() * 1000 <= ans::encode_bytes(&symbols).len() * 1006, "{width}");
                }
                let view = LayerView { segments: vec![SegmentView { role: Role::Indices, bytes: &coded }] };
                assert!(
                    Ans.decode(Ans.format(), &view, &mut Limits::new(1 << 22)).unwrap()[0] == bytes,
                    "{width} {count}"
                );
            }
        }
    }
}
