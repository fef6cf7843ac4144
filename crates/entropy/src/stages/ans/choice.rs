//! What is worth coding: estimates and samples that spare most of the search for the smallest layout.

use rayon::prelude::*;
use seedpress_codec::wire::Put;
use seedpress_codec::{EncodeError, Segment};

use super::methods::{FIELDS, FRAME, PLANES, ROTATED, or_stored, rotate};
use crate::floats::{self, Kind};
use crate::frame;
use crate::frequencies::{self, Frequencies, least_bits};
use crate::layout::Layout;
use crate::plane::{FrameEstimate, Plan};

/// The part by which a layout may look larger than another and still be coded. No bound on what estimates miss: they were a hundredth
/// off, alike for two layouts, on MiniLM's position embeddings, but a sixth on a tensor of repeats farther apart than samples are long.
const DOUBT: usize = 400;

/// Floats in the smallest layout where some repeat. The slow search takes nearly all the time: sizes are estimated first, and what is
/// within doubt of the smallest is coded.
pub(super) fn search_floats(
    segment: &Segment,
    kind: Kind,
    layout: Layout,
    count: usize,
    mixed: bool,
) -> Result<Vec<u8>, EncodeError> {
    let (bytes, size) = (&segment.bytes, kind.size());
    let mut fields = upper_fields(bytes, kind, segment.symbols.row as usize, mixed)?;
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
    let frame = FrameEstimate::of(bytes, if few { usize::MAX } else { doubtful(least) })?;
    let enough = if few { usize::MAX } else { doubtful(frame.map_or(least, |frame| frame.size.min(least))) };
    let mut best = Vec::new();
    let mut keep = |candidate: Vec<u8>| {
        if candidate.len() < if best.is_empty() { 1 + bytes.len() } else { best.len() } {
            best = candidate;
        }
    };
    let headed = |method, planes: &[&[u8]]| {
        let mut candidate = vec![method];
        layout.write(count, &mut candidate);
        planes.iter().for_each(|planes| candidate.extend_from_slice(planes));
        candidate
    };
    if of_fields.min(of_planes) <= enough {
        let lower = write_plans(lower)?;
        if of_planes <= enough {
            keep(headed(PLANES, &[&lower, &write_plans(upper)?]));
        }
        if of_fields <= enough {
            fields.extend(lower);
            keep(fields);
        }
    }
    if of_rotated <= enough {
        keep(headed(ROTATED, &[&write_plans(rotated)?]));
    }
    if let Some(frame) = frame.filter(|frame| frame.size <= enough) {
        let mut whole = vec![FRAME];
        whole.put_varint(bytes.len() as u64);
        whole.extend(frame.write(bytes)?);
        keep(whole);
    }
    Ok(or_stored(best, bytes))
}

/// The fields of floats without their tails, with mixed exponents where they may be and that is smaller.
fn upper_fields(bytes: &[u8], kind: Kind, row: usize, mixed: bool) -> Result<Vec<u8>, EncodeError> {
    let mut fields: Option<Vec<u8>> = None;
    for mixed in [false, true].into_iter().take(1 + usize::from(mixed)) {
        let mut upper = vec![FIELDS];
        floats::encode_upper(bytes, kind, row, mixed, &mut upper)?;
        fields = fields.filter(|fields| fields.len() <= upper.len()).or(Some(upper));
    }
    Ok(fields.unwrap_or_default())
}

fn write_plans(plans: Vec<Plan<'_>>) -> Result<Vec<u8>, EncodeError> {
    let coded: Vec<_> = plans.into_par_iter().map(Plan::write).collect::<Result<_, _>>()?;
    Ok(coded.concat())
}

/// The layout under which several symbols decode as one, where that costs little. The price is a larger table and coarser
/// probabilities; a two-hundredth is paid.
pub(super) fn joined(layout: Layout, count: usize, bytes: &[u8]) -> (Layout, usize) {
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
pub(super) fn repeats(bytes: &[u8], size: usize) -> Result<bool, EncodeError> {
    if bytes.len() < FEW * size {
        return Ok(true);
    }
    let lowest: Vec<u8> = bytes.iter().copied().step_by(size).collect();
    Ok(frame::matches(&lowest)? || frame::matches(bytes)?)
}

/// About how many bytes all planes of floats rotated left by `by` bits take without matches, from a sample.
pub(super) fn size_of_planes(bytes: &[u8], size: usize, by: u32) -> usize {
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
