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

use rayon::prelude::*;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, EncodeError, Layer, LayerView, Limits, Packing, Segment, Stage};

use crate::floats::{self, Kind};
use crate::frequencies::{self, Frequencies, least_bits};
use crate::layout::Layout;
use crate::plane::{self, Plan, Promise};
use crate::stages::{each, stored};
use crate::{ans, frame};

const STORED: u8 = 0;
const PLANES: u8 = 1;
const ROTATED: u8 = 2;
const FIELDS: u8 = 3;
const FRAME: u8 = 4;

/// The stage `ans`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ans;

/// The stage `planes+ans`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanesAns;

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

/// The part by which a layout may look larger than another and still be coded. No bound on what estimates miss: they were a hundredth
/// off, alike for two layouts, on MiniLM's position embeddings, but a sixth on a tensor of repeats farther apart than samples are long.
const DOUBT: usize = 400;

/// Floats in the smallest layout where some repeat. The slow search takes nearly all the time: sizes are estimated first, and what is
/// within doubt of the smallest is coded.
fn search_floats(
    segment: &Segment,
    kind: Kind,
    layout: Layout,
    count: usize,
    mixed: bool,
) -> Result<Vec<u8>, EncodeError> {
    let (bytes, size) = (&segment.bytes, kind.size());
    let mut fields: Option<Vec<u8>> = None;
    for mixed in [false, true].into_iter().take(1 + usize::from(mixed)) {
        let mut upper = vec![FIELDS];
        floats::encode_upper(bytes, kind, segment.symbols.row as usize, mixed, &mut upper)?;
        fields = fields.filter(|fields| fields.len() <= upper.len()).or(Some(upper));
    }
    let mut fields = fields.unwrap_or_default();
    let rotated = layout.unpack(&rotate(bytes, size, 1), count);
    let plain = layout.unpack(bytes, count);
    let plans = |planes| -> Result<Vec<Plan<'_>>, EncodeError> {
        <[u8]>::par_chunks_exact(planes, count.max(1)).map(Plan::of).collect()
    };
    // The tails of fields are the lower planes of records of four bytes.
    let (rotated, mut lower) = (plans(&rotated)?, plans(&plain)?);
    let upper = lower.split_off(lower.len().min(size - 2));
    let sum = |plans: &[Plan<'_>]| plans.iter().map(|plan| plan.size).sum::<usize>();
    let (of_fields, of_planes, of_rotated) = (fields.len() + sum(&lower), sum(&lower) + sum(&upper), sum(&rotated));
    let doubtful = |size: usize| size + size / DOUBT;
    let least = of_fields.min(of_planes).min(of_rotated).min(1 + bytes.len());
    // Of few floats everything is coded: headers, which sizes leave out, weigh more than the time.
    let few = count <= FEW;
    let frame = Promise::of(bytes, if few { usize::MAX } else { doubtful(least) })?;
    let enough = if few { usize::MAX } else { doubtful(frame.map_or(least, |frame| frame.size.min(least))) };
    let mut best = Vec::new();
    let mut keep = |candidate: Vec<u8>| {
        if candidate.len() < if best.is_empty() { 1 + bytes.len() } else { best.len() } {
            best = candidate;
        }
    };
    let write = |plans: Vec<Plan<'_>>| -> Result<Vec<u8>, EncodeError> {
        let coded: Vec<_> = plans.into_par_iter().map(Plan::write).collect::<Result<_, _>>()?;
        Ok(coded.concat())
    };
    let headed = |method, planes: &[&[u8]]| {
        let mut candidate = vec![method];
        layout.write(count, &mut candidate);
        planes.iter().for_each(|planes| candidate.extend_from_slice(planes));
        candidate
    };
    if of_fields.min(of_planes) <= enough {
        let lower = write(lower)?;
        if of_planes <= enough {
            keep(headed(PLANES, &[&lower, &write(upper)?]));
        }
        if of_fields <= enough {
            fields.extend(lower);
            keep(fields);
        }
    }
    if of_rotated <= enough {
        keep(headed(ROTATED, &[&write(rotated)?]));
    }
    if let Some(frame) = frame.filter(|frame| frame.size <= enough) {
        let mut whole = vec![FRAME];
        whole.put_varint(bytes.len() as u64);
        whole.extend(frame.keep(bytes)?);
        keep(whole);
    }
    Ok(or_stored(best, bytes))
}

/// What was found, or the bytes as they are.
fn or_stored(found: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    if found.is_empty() { [&[STORED], bytes].concat() } else { found }
}

/// The layout under which several symbols decode as one, where that costs little. The price is a larger table and coarser
/// probabilities; a two-hundredth is paid.
fn joined(layout: Layout, count: usize, bytes: &[u8]) -> (Layout, usize) {
    let candidates: &[(Layout, usize)] = match layout {
        Layout::Bits(1) => &[(Layout::Bytes, 8), (Layout::Bits(4), 4), (Layout::Bits(2), 2)],
        Layout::Bits(2) => &[(Layout::Bytes, 4), (Layout::Bits(4), 2)],
        Layout::Bits(3) => &[(Layout::Bits(6), 2)],
        Layout::Bits(4) => &[(Layout::Bytes, 2)],
        Layout::Trits => &[(Layout::Bytes, 5)],
        _ => &[],
    };
    let cost = |layout: Layout, count| {
        let counts = frequencies::count(&layout.unpack(bytes, count));
        Frequencies::from_counts(&counts).cost(&counts)
    };
    let mut single = None;
    for &(candidate, symbols) in candidates {
        let joined = count.div_ceil(symbols);
        // The same bytes, though the last symbol may hold nothing but padding in its upper parts.
        let same = candidate.packed_len(joined) == Some(bytes.len());
        if same && cost(candidate, joined) <= 1.005 * *single.get_or_insert_with(|| cost(layout, count)) {
            return (candidate, joined);
        }
    }
    (layout, count)
}

/// Floats up to here are searched for matches in any case.
const FEW: usize = 1 << 12;

/// Whether floats of `size` bytes repeat, in whole runs or in the lowest byte, where there is nothing else to find.
fn repeats(bytes: &[u8], size: usize) -> Result<bool, EncodeError> {
    if bytes.len() < FEW * size {
        return Ok(true);
    }
    let lowest: Vec<u8> = bytes.iter().copied().step_by(size).collect();
    Ok(frame::matches(&lowest)? || frame::matches(bytes)?)
}

/// About how many bytes all planes of floats rotated left by `by` bits take without matches, from a sample.
fn size_of_planes(bytes: &[u8], size: usize, by: u32) -> usize {
    const PIECES: usize = 16;
    const PIECE: usize = 1 << 11;
    let count = bytes.len() / size;
    let apart = (count / PIECES).max(PIECE) * size;
    let mut counts = vec![[0u64; 256]; size];
    let mut sampled = 0;
    for piece in bytes.chunks(apart) {
        let piece = &piece[..piece.len().min(PIECE * size)];
        sampled += piece.len() / size;
        for float in rotate(piece, size, by).chunks_exact(size) {
            counts.iter_mut().zip(float).for_each(|(counts, &byte)| counts[usize::from(byte)] += 1);
        }
    }
    let plane = |counts: &[u64; 256]| {
        let symbols = counts.iter().filter(|count| **count > 0).count();
        // What so few observations seem to have less of entropy than there is (Miller and Madow).
        let bias = symbols as f64 / (2.0 * std::f64::consts::LN_2);
        (least_bits(counts) + bias) / 8.0 * count as f64 / sampled.max(1) as f64 + symbols as f64
    };
    counts.iter().map(plane).sum::<f64>() as usize
}

fn planes(method: u8, layout: Layout, count: usize, bytes: &[u8], search: bool) -> Result<Vec<u8>, EncodeError> {
    let mut out = vec![method];
    layout.write(count, &mut out);
    for symbols in layout.unpack(bytes, count).chunks_exact(count.max(1)) {
        plane::write(symbols, 8, search, &mut out)?;
    }
    Ok(out)
}

/// Restores a segment.
pub(super) fn decode(bytes: &[u8], limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let method = reader.u8()?;
    let restored = match method {
        STORED => return stored(reader.take(reader.remaining())?, limits),
        FIELDS => floats::decode(&mut reader, limits)?,
        FRAME => {
            let len = reader.length()?;
            frame::decompress(reader.take(reader.remaining())?, len, limits)?
        }
        PLANES | ROTATED => {
            let (layout, count) = Layout::read(&mut reader)?;
            match layout {
                Layout::Records(size @ (2 | 4)) if method == ROTATED => {
                    let rotated = read_planes(&mut reader, layout, count, limits)?;
                    limits.take(rotated.len() as u64)?;
                    rotate(&rotated, usize::from(size), 8 * u32::from(size) - 1)
                }
                _ if method == ROTATED => {
                    return Err(DecodeError::corrupt("floats are records of 2 or 4 bytes").at_offset(1));
                }
                Layout::Bits(width @ 1..8) if count > 0 => {
                    let opened = plane::open(&mut reader)?;
                    if plane::is_ans(opened.0) {
                        ans::decode_packed(opened.1, width, count, limits)?
                    } else {
                        layout.pack(plane::symbols(opened, 8, count, limits)?, count, limits)?
                    }
                }
                _ => read_planes(&mut reader, layout, count, limits)?,
            }
        }
        _ => return Err(DecodeError::corrupt("unknown method").at_offset(0)),
    };
    reader.finish()?;
    Ok(restored)
}

fn read_planes(
    reader: &mut Reader<'_>,
    layout: Layout,
    count: usize,
    limits: &mut Limits,
) -> Result<Vec<u8>, DecodeError> {
    if let 0 | 1 = layout.planes() {
        let symbols = plane::read(reader, 8, count, limits)?;
        return layout.pack(symbols, count, limits);
    }
    let mut planes: Vec<u8> = limits.vec(count * layout.planes())?;
    for _ in 0..layout.planes() {
        planes.extend(plane::read(reader, 8, count, limits)?);
    }
    layout.pack(planes, count, limits)
}

/// Rotates each little-endian record of 2 or 4 bytes to the left.
fn rotate(bytes: &[u8], size: usize, by: u32) -> Vec<u8> {
    let mut rotated = bytes.to_vec();
    if size == 2 {
        for b in rotated.chunks_exact_mut(2) {
            b.copy_from_slice(&u16::from_le_bytes([b[0], b[1]]).rotate_left(by).to_le_bytes());
        }
    } else {
        for b in rotated.chunks_exact_mut(4) {
            b.copy_from_slice(&u32::from_le_bytes([b[0], b[1], b[2], b[3]]).rotate_left(by).to_le_bytes());
        }
    }
    rotated
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedpress_codec::packing::{pack_bits, pack_trits};
    use seedpress_codec::{Role, SegmentView, Symbols};

    #[test]
    fn joined_symbols_come_back_and_cost_little() {
        let mut state = 5u64;
        let mut die = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) % sides
        };
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
