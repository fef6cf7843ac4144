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
use crate::frequencies::{Frequencies, count, least_bits};
use crate::narrow::{pack_narrow, unpack_narrow};

const STORED: u8 = 0;
const ANS: u8 = 1;
const ZSTD: u8 = 2;

/// Up to here the slow search for matches is always tried.
const SMALL: usize = 1 << 12;

/// The frame where it is smaller than `len`. Long matches show at a fast level already, and without them zstd only does worse what
/// an entropy coder does better: the slow level is tried where the fast one gains, and on little data.
pub(crate) fn worthwhile_frame(bytes: &[u8], len: usize) -> Result<Option<Vec<u8>>, EncodeError> {
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
pub(crate) fn write(symbols: &[u8], width: u8, search: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if symbols.is_empty() {
        return Ok(());
    }
    let (mut method, mut body, known) = without_matches(symbols, width);
    if search && let Some(frame) = worthwhile_frame(symbols, known)? {
        (method, body) = (ZSTD, frame);
    }
    finish(symbols, width, method, body, out);
    Ok(())
}

/// A plane without zstd: the method, its body (none where it is stored) and the size.
fn without_matches(symbols: &[u8], width: u8) -> (u8, Vec<u8>, usize) {
    let stored = packed_len(symbols.len(), width).unwrap_or(usize::MAX);
    if let Some(counts) = promising(symbols, stored) {
        let body = ans::encode_counted(symbols, &counts);
        if body.len() < stored {
            let size = body.len();
            return (ANS, body, size);
        }
    }
    (STORED, Vec::new(), stored)
}

fn finish(symbols: &[u8], width: u8, method: u8, mut body: Vec<u8>, out: &mut Vec<u8>) {
    if method == STORED {
        body = if width == 8 { symbols.to_vec() } else { pack_narrow(symbols, width) };
    }
    out.push(method);
    out.put_varint(body.len() as u64);
    out.extend(body);
}

/// The level of a zstd frame and an estimate of its size, from a fast level and from samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameEstimate {
    /// The level that is worth its time.
    level: i32,
    /// About how many bytes it makes.
    pub size: usize,
}

/// Levels that a frame of more than [`LARGE`] bytes may have. The last weighs all matches against each other, which takes fifty times
/// as long as the first and gains little where matches are few and long.
const LEVELS: [i32; 3] = [9, 12, 16];
/// Up to here the last of the levels is always worth its time.
const LARGE: usize = 1 << 18;

impl FrameEstimate {
    /// None where the fast level makes `len` bytes or more of them.
    pub(crate) fn of(bytes: &[u8], len: usize) -> Result<Option<Self>, EncodeError> {
        if bytes.len() <= 4 * SMALL {
            let size = frame::compress(bytes)?.len();
            return Ok((size < len).then_some(Self { level: frame::LEVEL, size }));
        }
        let probe = frame::probe(bytes)?;
        if probe >= len {
            return Ok(None);
        }
        // How much better a slow level does is the same everywhere, or nearly.
        let piece = (bytes.len() / 16).clamp(1 << 13, 1 << 16).min(bytes.len());
        let starts = [bytes.len() / 4, bytes.len() / 4 * 3].map(|middle| middle.saturating_sub(piece / 2));
        let sampled = |level| -> Result<usize, EncodeError> {
            let pieces = starts.iter().map(|&start| &bytes[start..(start + piece).min(bytes.len())]);
            pieces.map(|piece| Ok(frame::compress_at(piece, level)?.len())).sum()
        };
        let (fast, mut level, mut least) = (sampled(frame::PROBE)?, LEVELS[2], sampled(LEVELS[2])?);
        for &cheaper in LEVELS[..2].iter().filter(|_| bytes.len() > LARGE) {
            let size = sampled(cheaper)?;
            if size - size / 1024 <= least {
                (level, least) = (cheaper, size);
                break;
            }
        }
        Ok(Some(Self { level, size: (probe as u64 * least as u64 / fast.max(1) as u64) as usize }))
    }

    /// The frame.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<Vec<u8>, EncodeError> {
        frame::compress_at(bytes, self.level)
    }
}

/// A plane of width 8 of which the size is known before it is coded, to choose among planes.
pub(crate) struct Plan<'a> {
    symbols: &'a [u8],
    known: Known,
    /// About how many bytes the body is going to take.
    pub size: usize,
}

enum Known {
    /// Method and body (none where it is stored).
    Body(u8, Vec<u8>),
    /// Counts where a table may pay, and a frame where its estimate is small enough.
    Models(Option<Box<[u64; 256]>>, Option<FrameEstimate>),
}

impl<'a> Plan<'a> {
    /// Plans a plane of symbols.
    pub(crate) fn of(symbols: &'a [u8]) -> Result<Self, EncodeError> {
        if symbols.len() <= SMALL {
            let (mut method, mut body, mut size) = without_matches(symbols, 8);
            if let Some(frame) = worthwhile_frame(symbols, size)? {
                (size, method, body) = (frame.len(), ZSTD, frame);
            }
            return Ok(Self { symbols, known: Known::Body(method, body), size });
        }
        let counts = promising(symbols, symbols.len()).map(Box::new);
        let coded = |counts: &[u64; 256]| (Frequencies::from_counts(counts).cost(counts) / 8.0) as usize;
        let size = counts.as_ref().map_or(symbols.len(), |counts| coded(counts).min(symbols.len()));
        let estimate = FrameEstimate::of(symbols, size)?;
        let size = estimate.map_or(size, |estimate| estimate.size.min(size));
        Ok(Self { symbols, known: Known::Models(counts, estimate), size })
    }

    /// The plane, as [`read`] takes it.
    pub(crate) fn write(self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        if self.symbols.is_empty() {
            return Ok(out);
        }
        let (method, body) = match self.known {
            Known::Body(method, body) => (method, body),
            Known::Models(counts, estimate) => {
                let coded = counts.map(|counts| (ANS, ans::encode_counted(self.symbols, &counts)));
                let frame = estimate.map(|estimate| Ok((ZSTD, estimate.write(self.symbols)?))).transpose()?;
                let stored = (STORED, Vec::new());
                let smallest = coded.into_iter().chain(frame).min_by_key(|(_, body)| body.len());
                smallest.filter(|(_, body)| body.len() < self.symbols.len()).unwrap_or(stored)
            }
        };
        finish(self.symbols, 8, method, body, &mut out);
        Ok(out)
    }
}

/// A plane's method, body and the body's offset, for those who know a better way to take it than [`read`].
pub(crate) fn open<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8], usize), DecodeError> {
    let at = reader.position();
    let method = reader.u8()?;
    let len = reader.length()?;
    Ok((method, reader.take(len)?, at))
}

/// Whether the plane's body is a stream of [`ans`].
pub(crate) fn is_ans(method: u8) -> bool {
    method == ANS
}

/// The symbols of an opened plane.
///
/// # Errors
/// Truncated, corrupt (also where a symbol is wider than `width`), or the limit.
pub(crate) fn symbols(
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
pub(crate) fn open_whole<'a>(
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
pub(crate) fn read(
    reader: &mut Reader<'_>,
    width: u8,
    count: usize,
    limits: &mut Limits,
) -> Result<Vec<u8>, DecodeError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    symbols(open(reader)?, width, count, limits)
}
