//! Symbols with one static integer table, range-ANS coded in blocks that decode in parallel.
//!
//! Wire of [`encode_bytes`]: [table](crate::frequencies), lanes `u8` (1, 4 or 32), for each block of 2^18 symbols its length
//! `varint` (the jump table), then the blocks. The number of symbols is the caller's to keep; no symbols are no bytes.
//!
//! Wire of [`encode`], for symbols up to 16 bits: length `varint` and coded tokens, then raw bits, LSB first. A value below 128 is
//! its own token; above, with the highest bit at position `h`, the token is `128 + 8 (h - 7)` plus the three bits below that bit, and the
//! `h - 3` bits left are raw. Tokens are coded as the bytes above; the raw bits of all values follow one another, the last byte padded
//! with zeros.

use rayon::prelude::*;
use seedpress_codec::packing::packed_len;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Limits};

use crate::frequencies::{Frequencies, count};
use crate::narrow::pack_into;
use crate::rans::{self, Divisors, Slots};

const BLOCK: usize = 1 << 18;
/// Blocks that one task decodes at most, side by side where that hides latency.
const GROUP: usize = 4;

/// Blocks a task where there are this many: no thread should be idle for it.
fn group(blocks: usize) -> usize {
    (blocks / rayon::current_num_threads()).clamp(1, GROUP)
}

/// The most lanes whose states cost little against what is coded. A stored state is four bytes, two of them information (none where a
/// last block is short): lanes take less than .4 % of what is longer than half a kilobyte.
fn lanes(count: usize, frequencies: &Frequencies) -> u8 {
    let coded = (count as f64 * frequencies.entropy() / 8.0) as usize;
    let blocks = count.div_ceil(BLOCK);
    let excess = |lanes: u8| 2 * usize::from(lanes) * (blocks + usize::from(blocks > 1));
    [32, 4].into_iter().find(|&lanes| 256 * excess(lanes) <= coded).unwrap_or(1)
}

/// Codes byte symbols.
pub fn encode_bytes(symbols: &[u8]) -> Vec<u8> {
    encode_counted(symbols, &count(symbols))
}

/// Codes byte symbols that are counted already.
pub(crate) fn encode_counted(symbols: &[u8], counts: &[u64; 256]) -> Vec<u8> {
    if symbols.is_empty() {
        return Vec::new();
    }
    let frequencies = Frequencies::from_counts(counts);
    let mut out = Vec::new();
    frequencies.write(&mut out);
    let lanes = lanes(symbols.len(), &frequencies);
    out.push(lanes);
    let divisors = Divisors::new(&frequencies);
    let blocks: Vec<Vec<u8>> = symbols
        .par_chunks(BLOCK)
        .map(|block| match lanes {
            1 => rans::encode::<1>(block, &divisors),
            4 => rans::encode::<4>(block, &divisors),
            _ => rans::encode::<32>(block, &divisors),
        })
        .collect();
    for block in &blocks {
        out.put_varint(block.len() as u64);
    }
    out.reserve_exact(blocks.iter().map(Vec::len).sum());
    blocks.iter().for_each(|block| out.extend_from_slice(block));
    out
}

/// A coded stream taken apart.
struct Parts<'a> {
    frequencies: Frequencies,
    lanes: u8,
    blocks: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn new(bytes: &'a [u8], count: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let frequencies = Frequencies::read(&mut reader)?;
        let lanes = reader.u8()?;
        if ![1, 4, 32].contains(&lanes) {
            return Err(DecodeError::corrupt("lanes are 1, 4 or 32").at_offset(reader.position() - 1));
        }
        // Every block takes a byte of the jump table: more of them than bytes are not there.
        let block_count = count.div_ceil(BLOCK);
        if block_count > reader.remaining() {
            return Err(DecodeError::truncated(block_count, reader.remaining()));
        }
        let lengths = (0..block_count).map(|_| reader.length()).collect::<Result<Vec<_>, _>>()?;
        let blocks = lengths.into_iter().map(|len| reader.take(len)).collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        Ok(Self { frequencies, lanes, blocks })
    }

    /// Decodes a run of blocks into their symbols.
    fn decode(&self, slots: &Slots, blocks: &[&[u8]], symbols: &mut [u8]) -> Result<(), DecodeError> {
        let mut jobs = blocks.iter().copied().zip(symbols.chunks_mut(BLOCK));
        match self.lanes {
            1 => jobs.try_for_each(|(block, symbols)| rans::decode::<1>(block, slots, symbols)),
            4 => jobs.try_for_each(|(block, symbols)| rans::decode::<4>(block, slots, symbols)),
            _ => rans::decode_wide(&mut jobs.collect::<Vec<_>>(), slots),
        }
    }
}

/// Decodes `count` byte symbols.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub fn decode_bytes(bytes: &[u8], count: usize, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    if count == 0 {
        Reader::new(bytes).finish()?;
        return Ok(Vec::new());
    }
    let mut symbols: Vec<u8> = limits.filled(count, 0)?;
    let parts = Parts::new(bytes, count)?;
    let slots = Slots::new(&parts.frequencies);
    let group = group(parts.blocks.len());
    symbols
        .par_chunks_mut(group * BLOCK)
        .zip(parts.blocks.par_chunks(group))
        .try_for_each(|(symbols, blocks)| parts.decode(&slots, blocks, symbols))?;
    Ok(symbols)
}

/// Decodes `count` symbols straight into LSB-first fields of `width` bits, 1..=8, which never leave the cache unpacked.
///
/// # Errors
/// Truncated, corrupt (also where a symbol is wider than its field), or the limit.
pub fn decode_packed(bytes: &[u8], width: u8, count: usize, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    if count == 0 {
        Reader::new(bytes).finish()?;
        return Ok(Vec::new());
    }
    let needed = packed_len(count, width).ok_or(DecodeError::corrupt("symbol count overflows"))?;
    let mut packed: Vec<u8> = limits.filled(needed, 0)?;
    let group = group(count.div_ceil(BLOCK));
    let scratch = group * BLOCK;
    limits.take(count.min(scratch) as u64)?;
    let parts = Parts::new(bytes, count)?;
    if width < 8 && parts.frequencies.highest() >> width != 0 {
        return Err(DecodeError::corrupt("a symbol is wider than its field"));
    }
    let slots = Slots::new(&parts.frequencies);
    packed
        .par_chunks_mut(scratch / 8 * usize::from(width))
        .zip(parts.blocks.par_chunks(group))
        .enumerate()
        .try_for_each_init(Vec::new, |symbols, (index, (packed, blocks))| {
            symbols.resize((count - index * scratch).min(scratch), 0);
            parts.decode(&slots, blocks, symbols)?;
            pack_into(symbols, width, packed);
            Ok(())
        })?;
    Ok(packed)
}

/// The token of a value and how many raw bits follow it.
fn token(value: u16) -> (u8, u32) {
    if value < 128 {
        return (value as u8, 0);
    }
    let raw = value.ilog2() - 3;
    ((128 + (raw - 4) * 8 + u32::from(value >> raw & 7)) as u8, raw)
}

/// Codes symbols of up to 16 bits; small values should be the frequent ones where the alphabet exceeds 128.
pub fn encode(symbols: &[u16]) -> Vec<u8> {
    let tokens: Vec<u8> = symbols.iter().map(|&value| token(value).0).collect();
    let coded = encode_bytes(&tokens);
    let mut out = Vec::new();
    out.put_varint(coded.len() as u64);
    out.extend(coded);
    let (mut held, mut filled) = (0u64, 0u32);
    for &value in symbols {
        let raw = token(value).1;
        held |= (u64::from(value) & ((1 << raw) - 1)) << filled;
        filled += raw;
        while filled >= 8 {
            out.push(held as u8);
            held >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(held as u8);
    }
    out
}

/// Decodes `count` symbols of up to 16 bits.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub fn decode(bytes: &[u8], count: usize, limits: &mut Limits) -> Result<Vec<u16>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let coded = reader.length()?;
    let tokens = decode_bytes(reader.take(coded)?, count, limits)?;
    let mut symbols = limits.vec(count)?;
    let (mut held, mut filled) = (0u64, 0u32);
    if tokens.iter().all(|&token| token < 128) {
        reader.finish()?;
        symbols.extend(tokens.into_iter().map(u16::from));
        return Ok(symbols);
    }
    for token in tokens {
        let token = u32::from(token);
        if token < 128 {
            symbols.push(token as u16);
            continue;
        }
        let raw = (token - 128) / 8 + 4;
        if raw > 12 {
            return Err(DecodeError::corrupt("a symbol does not fit 16 bits"));
        }
        while filled < raw {
            held |= u64::from(reader.u8()?) << filled;
            filled += 8;
        }
        symbols.push(((8 | token & 7) << raw | (held as u32 & ((1 << raw) - 1))) as u16);
        held >>= raw;
        filled -= raw;
    }
    if held != 0 {
        return Err(DecodeError::corrupt("padding bits are set"));
    }
    reader.finish()?;
    Ok(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bell(count: usize) -> Vec<u8> {
        let mut noise = seedpress_testing::Noise::new(7);
        let mut die = || noise.below(5);
        (0..count).map(|_| (die() + die() + die() + die()) as u8).collect()
    }

    #[test]
    fn size_is_within_half_a_percent_of_the_entropy() {
        let symbols = bell(600_000);
        let mut counts = [0f64; 256];
        symbols.iter().for_each(|&s| counts[usize::from(s)] += 1.0);
        let n = symbols.len() as f64;
        let entropy: f64 = counts.iter().filter(|c| **c > 0.0).map(|c| -c * (c / n).log2()).sum::<f64>() / 8.0;
        let coded = encode_bytes(&symbols);
        assert!((coded.len() as f64) < entropy * 1.005, "{} against {entropy}", coded.len());
        assert!(coded.len() as f64 > entropy);
        assert_eq!(decode_bytes(&coded, symbols.len(), &mut Limits::new(1 << 20)).unwrap(), symbols);
    }

    #[test]
    fn every_value_and_length_round_trips() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for symbols in [&all[..], &all[..0], &all[..1], &all[5..6], &all[100..3000], &[65535; 9]] {
            let coded = encode(symbols);
            assert_eq!(decode(&coded, symbols.len(), &mut Limits::new(1 << 20)).unwrap(), symbols);
        }
        let constant = vec![42u8; 1 << 20];
        let coded = encode_bytes(&constant);
        assert!(coded.len() < 4 * 140, "{}", coded.len());
        assert_eq!(decode_bytes(&coded, constant.len(), &mut Limits::new(1 << 21)).unwrap(), constant);
    }

    #[test]
    fn bytes_do_not_depend_on_threads_and_golden_streams_decode() {
        let symbols = bell(600_000);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(one.install(|| encode_bytes(&symbols)), three.install(|| encode_bytes(&symbols)));
        // By the textbook's update: symbols 0 and 1 with frequency 2048 each, one lane, a state too small to emit a word.
        let mut state = 1u32 << 16;
        for symbol in [1u32, 0, 1] {
            state = (state / 2048) << 12 | (state % 2048 + 2048 * symbol);
        }
        let mut golden = vec![1, 0x80, 0x10, 0x80, 0x10, 1, 4];
        golden.extend(state.to_le_bytes());
        assert_eq!(decode_bytes(&golden, 3, &mut Limits::new(100)).unwrap(), [1, 0, 1]);
    }
}
