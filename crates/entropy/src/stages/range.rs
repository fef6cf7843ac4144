//! The stage `range`: [constriction]'s range coder under quantised models fitted to the rows of a segment.
//!
//! | method `u8` | body |
//! | --- | --- |
//! | 0 stored | the bytes |
//! | 1 coded | [layout and count](crate::layout), then each byte plane |
//!
//! A plane: lowest and highest symbol `u8`; nothing else where they are the same. Then the symbols of a group (`varint`; 0 if all are one
//! group), a [model](crate::models) a group, for each block of 2^18 symbols its number of words `varint`, and the blocks: 32-bit words,
//! little-endian, of constriction's default range coder (24-bit probabilities, 64-bit state). Groups are whole rows of the tensor.
//!
//! This is the well-kept reference that the workspace's own coders are measured against.

use constriction::stream::queue::{DefaultRangeDecoder, DefaultRangeEncoder};
use constriction::stream::{Decode, Encode};
use rayon::prelude::*;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, EncodeError, Layer, LayerView, Limits, Segment, Stage};

use crate::frequencies::count;
use crate::layout::Layout;
use crate::models::{Alphabet, Family, Model};
use crate::stages::{each, stored};

const STORED: u8 = 0;
const CODED: u8 = 1;

/// Symbols that are coded by themselves, so that threads can share a plane.
const BLOCK: usize = 1 << 18;
/// About how many symbols have a model of their own, where that pays: parameters of a bell take three to four bytes.
const GROUPS: [usize; 2] = [1 << 10, 1 << 14];

/// The stage `range`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Range;

impl Stage for Range {
    fn id(&self) -> &'static str {
        "range"
    }

    fn format(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "constriction's range coder under categorical, Laplace or Gaussian models fitted to groups of rows"
    }

    fn encode(&self, layer: &Layer) -> Result<Vec<Vec<u8>>, EncodeError> {
        layer.segments.par_iter().map(encode).collect()
    }

    fn decode(&self, _format: u32, layer: &LayerView<'_>, limits: &mut Limits) -> Result<Vec<Vec<u8>>, DecodeError> {
        each(layer, |bytes| decode(bytes, limits))
    }
}

fn encode(segment: &Segment) -> Result<Vec<u8>, EncodeError> {
    let (layout, count) = Layout::of(segment);
    let mut out = vec![CODED];
    layout.write(count, &mut out);
    for symbols in layout.unpack(&segment.bytes, count).chunks_exact(count.max(1)) {
        write_plane(symbols, segment.symbols.row as usize, &mut out)?;
    }
    if out.len() <= segment.bytes.len() {
        return Ok(out);
    }
    let mut out = vec![STORED];
    out.extend_from_slice(&segment.bytes);
    Ok(out)
}

fn write_plane(symbols: &[u8], row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let low = symbols.iter().copied().min().unwrap_or(0);
    let high = symbols.iter().copied().max().unwrap_or(0);
    out.extend([low, high]);
    if low == high {
        return Ok(());
    }
    let (group, families) = fit(symbols, row, (low, high));
    out.put_varint(if families.len() == 1 { 0 } else { group as u64 });
    families.iter().for_each(|family| family.write(out));
    let internal = |what: String| EncodeError::Internal(format!("range coder: {what}"));
    let models: Vec<Model> = families
        .iter()
        .map(|family| Model::new(family, (low, high), &mut Limits::new(u64::MAX)))
        .collect::<Result<_, _>>()
        .map_err(|error| internal(error.to_string()))?;
    let blocks: Vec<Vec<u32>> = symbols
        .par_chunks(BLOCK)
        .enumerate()
        .map(|(number, block)| encode_block(block, number * BLOCK, group, &models).map_err(internal))
        .collect::<Result<_, _>>()?;
    blocks.iter().for_each(|words| out.put_varint(words.len() as u64));
    blocks.iter().flatten().for_each(|word| out.extend(word.to_le_bytes()));
    Ok(())
}

/// How many symbols share a model, and the models, by which the plane is smallest.
fn fit(symbols: &[u8], row: usize, alphabet: Alphabet) -> (usize, Vec<Family>) {
    let sizes = GROUPS.map(|about| about.div_ceil(row.max(1)).saturating_mul(row));
    let mut sizes: Vec<usize> = sizes.into_iter().filter(|&size| size > 0 && size < symbols.len()).collect();
    sizes.push(symbols.len());
    let candidates = sizes.into_iter().map(|size| {
        let fitted: Vec<(Family, f64)> =
            symbols.par_chunks(size).map(|group| Family::fit(&count(group), alphabet)).collect();
        // Summed in one order: decisions are the same on any number of threads.
        let bits: f64 = fitted.iter().map(|(_, bits)| bits).sum();
        (size, fitted, bits)
    });
    let best = candidates.reduce(|best, other| if other.2 < best.2 { other } else { best });
    best.map_or((1, Vec::new()), |(size, fitted, _)| (size, fitted.into_iter().map(|(family, _)| family).collect()))
}

fn encode_block(symbols: &[u8], first: usize, group: usize, models: &[Model]) -> Result<Vec<u32>, String> {
    let mut coder = DefaultRangeEncoder::new();
    for (index, &symbol) in (first..).zip(symbols) {
        let model = &models[index / group];
        if let Some(table) = model.table() {
            coder.encode_symbol(model.place(symbol), table).map_err(|error| error.to_string())?;
        }
    }
    coder.into_compressed().map_err(|error| error.to_string())
}

/// Restores a segment.
fn decode(bytes: &[u8], limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        STORED => stored(reader.take(reader.remaining())?, limits),
        CODED => {
            let (layout, count) = Layout::read(&mut reader)?;
            let mut planes: Vec<u8> = limits.filled(count * layout.planes(), 0)?;
            for symbols in planes.chunks_exact_mut(count.max(1)) {
                read_plane(&mut reader, symbols, limits)?;
            }
            reader.finish()?;
            layout.pack(planes, count, limits)
        }
        _ => Err(DecodeError::corrupt("unknown method").at_offset(0)),
    }
}

fn read_plane(reader: &mut Reader<'_>, symbols: &mut [u8], limits: &mut Limits) -> Result<(), DecodeError> {
    let at = reader.position();
    let (low, high) = (reader.u8()?, reader.u8()?);
    if low >= high {
        symbols.fill(low);
        return if low == high { Ok(()) } else { Err(DecodeError::corrupt("no symbols").at_offset(at)) };
    }
    let group = match reader.length()? {
        0 => symbols.len(),
        group => group,
    };
    let groups = symbols.len().div_ceil(group);
    // A model takes three bytes at least, a block one: more of them than bytes are not there.
    if groups > reader.remaining() {
        return Err(DecodeError::truncated(groups, reader.remaining()));
    }
    let mut models: Vec<Model> = Vec::new();
    for _ in 0..groups {
        models.push(Model::new(&Family::read(reader)?, (low, high), limits)?);
    }
    let count = symbols.len().div_ceil(BLOCK);
    if count > reader.remaining() {
        return Err(DecodeError::truncated(count, reader.remaining()));
    }
    let mut lengths: Vec<usize> = limits.vec(count)?;
    for _ in 0..count {
        let words = reader.length()?;
        lengths.push(words.checked_mul(4).ok_or(DecodeError::corrupt("a block's length overflows").at_offset(at))?);
    }
    let blocks = lengths.into_iter().map(|length| reader.take(length)).collect::<Result<Vec<_>, _>>()?;
    limits.take(blocks.iter().map(|block| block.len() as u64).sum())?;
    symbols
        .par_chunks_mut(BLOCK)
        .zip(&blocks)
        .enumerate()
        .try_for_each(|(number, (symbols, block))| decode_block(block, symbols, number * BLOCK, group, &models))
}

fn decode_block(
    bytes: &[u8],
    symbols: &mut [u8],
    first: usize,
    group: usize,
    models: &[Model],
) -> Result<(), DecodeError> {
    let words: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let Ok(mut coder) = DefaultRangeDecoder::from_compressed(words);
    for (index, symbol) in (first..).zip(symbols) {
        let model = &models[index / group];
        let place = match model.table() {
            Some(table) => {
                coder.decode_symbol(table).map_err(|_| DecodeError::corrupt("words that no range coder writes"))?
            }
            None => 0,
        };
        *symbol = model.symbol(place);
    }
    if coder.maybe_exhausted() { Ok(()) } else { Err(DecodeError::corrupt("a block holds words beyond its symbols")) }
}
