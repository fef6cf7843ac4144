//! A plane: symbols of one width, in whichever of three forms is smallest.
//!
//! | method `u8` | body |
//! | --- | --- |
//! | 0 stored | fields of the plane's width, LSB first, zero padding |
//! | 1 ANS | [a coded stream](crate::ans) |
//! | 2 zstd | a frame of one symbol a byte |
//!
//! then the body's length `varint` and the body. Width (1..=8) and count are known from outside; no symbols are no bytes.

use std::borrow::Cow;

use seedpress_codec::packing::packed_len;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, EncodeError, Limits};

use crate::ans;
use crate::frame;
use crate::frequencies::{count, least_bits};
use crate::layout::{pack_narrow, unpack_narrow};

const STORED: u8 = 0;
const ANS: u8 = 1;
const ZSTD: u8 = 2;

/// Up to here the slow search for matches is always tried.
const SMALL: usize = 1 << 12;

/// The frame where it is smaller than `len`. Long matches show at a fast level already, and without them zstd only does worse what
/// an entropy coder does better: the slow level is tried where the fast one gains, and on little data.
pub fn worthwhile_frame(bytes: &[u8], len: usize) -> Result<Option<Vec<u8>>, EncodeError> {
    if bytes.len() > SMALL && frame::probe(bytes)? >= len {
        return Ok(None);
    }
    Ok(Some(frame::compress(bytes)?).filter(|frame| frame.len() < len))
}

/// Symbols that stand for all where there are more than twice as many, in pieces.
const SAMPLE: usize = 1 << 16;
const PIECES: usize = 16;

/// The counts of symbols that a table of them might store in fewer than `stored` bytes: noise is known from its counts, and much
/// noise from a part of them.
fn promising(symbols: &[u8], stored: usize) -> Option<[u64; 256]> {
    if symbols.len() > 2 * SAMPLE {
        let (length, apart) = (SAMPLE / PIECES, symbols.len() / PIECES);
        let mut sampled = [0; 256];
        for piece in symbols.chunks(apart).take(PIECES) {
            let counts = count(&piece[..length.min(piece.len())]);
            sampled.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        // Chance alone makes 256 equal symbols look .003 bits less than they are.
        let bits = least_bits(&sampled) / sampled.iter().sum::<u64>() as f64;
        if bits * symbols.len() as f64 > 0.998 * 8.0 * stored as f64 {
            return None;
        }
    }
    let counts = count(symbols);
    // A byte at least for each frequency, and a state.
    let table = counts.iter().filter(|count| **count > 0).count() + 4;
    (least_bits(&counts) + 8.0 * (table as f64) < 8.0 * stored as f64).then_some(counts)
}

/// Appends a plane of symbols below `2^width`; zstd is tried where `search` says so.
pub fn write(symbols: &[u8], width: u8, search: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if symbols.is_empty() {
        return Ok(());
    }
    let stored = packed_len(symbols.len(), width).unwrap_or(usize::MAX);
    let mut method = ANS;
    let mut body = match promising(symbols, stored) {
        Some(counts) => ans::encode_counted(symbols, &counts),
        None => Vec::new(),
    };
    let known = if body.is_empty() { stored } else { body.len().min(stored) };
    if search && let Some(frame) = worthwhile_frame(symbols, known)? {
        (method, body) = (ZSTD, frame);
    }
    if body.is_empty() || stored <= body.len() {
        method = STORED;
        body = if width == 8 { symbols.to_vec() } else { pack_narrow(symbols, width) };
    }
    out.push(method);
    out.put_varint(body.len() as u64);
    out.extend(body);
    Ok(())
}

/// A plane's method, body and the body's offset, for those who know a better way to take it than [`read`].
pub fn open<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8], usize), DecodeError> {
    let at = reader.position();
    let method = reader.u8()?;
    let len = reader.length()?;
    Ok((method, reader.take(len)?, at))
}

/// Whether the plane's body is a stream of [`ans`].
pub fn is_ans(method: u8) -> bool {
    method == ANS
}

/// The symbols of an opened plane.
///
/// # Errors
/// Truncated, corrupt (also where a symbol is wider than `width`), or the limit.
pub fn symbols(
    (method, body, at): (u8, &[u8], usize),
    width: u8,
    count: usize,
    limits: &mut Limits,
) -> Result<Vec<u8>, DecodeError> {
    let symbols = match method {
        STORED if packed_len(count, width) == Some(body.len()) => {
            limits.take(count as u64)?;
            let used = count * usize::from(width) % 8;
            if used != 0 && body[body.len() - 1] >> used != 0 {
                return Err(DecodeError::corrupt("padding bits are set").at_offset(at));
            }
            return Ok(if width == 8 { body.to_vec() } else { unpack_narrow(body, width, count) });
        }
        ANS => ans::decode_bytes(body, count, limits)?,
        ZSTD => frame::decompress(body, count, limits)?,
        _ => return Err(DecodeError::corrupt("unknown plane method or wrong length").at_offset(at)),
    };
    if width < 8 && symbols.iter().fold(0, |all, &symbol| all | symbol) >> width != 0 {
        return Err(DecodeError::corrupt("a symbol is wider than its field").at_offset(at));
    }
    Ok(symbols)
}

/// Reads a plane of width 8, in place where it is stored as it is.
///
/// # Errors
/// As [`symbols`].
pub fn open_whole<'a>(
    reader: &mut Reader<'a>,
    count: usize,
    limits: &mut Limits,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    if count == 0 {
        return Ok(Cow::Borrowed(&[]));
    }
    match open(reader)? {
        (STORED, body, _) if body.len() == count => Ok(Cow::Borrowed(body)),
        opened => symbols(opened, 8, count, limits).map(Cow::Owned),
    }
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// As [`symbols`].
pub fn read(reader: &mut Reader<'_>, width: u8, count: usize, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    symbols(open(reader)?, width, count, limits)
}
