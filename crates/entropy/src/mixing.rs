//! Symbols of a matrix bit by bit, each under the mixed predictions of several contexts.
//!
//! A symbol of `width` bits is a path down a binary tree from its highest bit; a node on the path is one decision. For every node
//! there is an adaptive [`Bit`] in each of these contexts:
//!
//! | context | values |
//! | --- | --- |
//! | none | 1 |
//! | the symbol above | `2^width` |
//! | the symbol to the left | `2^width` |
//! | activity of the row | 16 |
//! | activity of the column | 16 |
//! | both activities | 256 |
//! | above and left, for widths up to 4; above that once more none | `4^width`; 1 |
//!
//! Activity is a running mean of the distance from the mean symbol, over some 16 symbols of the row and 8 of the column, in eighths
//! of the overall mean. Predictions are averaged in the logistic domain with weights that learn online, a set of weights a node
//! (Mahoney, "Adaptive weighing of context models for lossless data compression", 2005). Everything is integer arithmetic but for two
//! tables of logarithms, made in one order of IEEE operations: the same bytes on any machine.
//!
//! # Wire
//!
//! | part | bytes |
//! | --- | --- |
//! | row | `varint`, 0 where rows mean nothing |
//! | centre | `varint`, twice the mean symbol, rounded |
//! | spread | `varint`, sixteen times the mean distance of twice a symbol from the centre, at least 1 |
//! | lengths | for each chunk of 2^20 symbols `varint` |
//! | chunks | [binary decisions](crate::binary) |
//!
//! Chunks start with fresh models and decode in parallel. Their work is bounded by their bytes: once a chunk is read to its end, decisions
//! that all are true are symbols of ones, and others end within 64 bytes of zeros or are corrupt.
//!
//! # Decoding
//!
//! Divisions round down. A chunk knows nothing of what precedes it: its first symbol begins a row, wherever in the matrix it lies.
//!
//! **Contexts.** In the first row (column) of a chunk the symbol above (to the left) is `centre / 2`, or `2^width - 1` if that is less.
//! Where rows mean nothing, the whole chunk is the first row. Every activity starts as the spread; its context is `8 activity /
//! spread`, at most 15. After a symbol at distance `d = 16 |2 symbol - centre|` the activity `a` of the row, which goes on from row to
//! row, grows by `(d - a) / 16`, that of the symbol's column by `(d - a) / 8`; where rows mean nothing that of the column stays.
//!
//! **Decision.** It is true where the symbol's next bit is 1. The counters of the node have the logits `l_c = logit(p_c / 16)` of their
//! [probabilities](crate::binary) `p_c` over `2^16`, with the weights `w_c` of the node. Its own probability is `p = logistic(l)` over
//! `2^16` with `l = (sum of w_c l_c) / 2^16` kept within -2047..=2047. Then `e = 2^16 - p` after true, `-p` after false; each weight
//! grows by `(l_c (e / 4)) / 2^14` and is kept within `-2^20..=2^20`, and the counters learn. Weights start from 19660.
//!
//! **Tables.** `logit(i)` is `256 ln((i + 1/2) / (4095.5 - i))` to the nearest integer, kept within -2047..=2047; `logistic(l)` is
//! `2^16 / (1 + e^(-l / 256))` to the nearest integer, kept within 16..=65520. No value is so near to a half that precision matters.

use std::sync::OnceLock;

use rayon::prelude::*;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Limits};

use crate::binary::{Bit, Decoder, Encoder, Rest, log2};

const CHUNK: usize = 1 << 20;

/// Bytes of the limits that a symbol takes while it is decoded, beside its own: some 100 ns of work count as the memory that other decoders
/// fill in that time, so that a short stream is not decoded for seconds.
const WORK: u64 = 8;
const CONTEXTS: usize = 7;
/// Levels of activity.
const LEVELS: usize = 16;
/// Logits have this many fractional bits and stay within `-LARGEST..=LARGEST`.
const FRACTION: u32 = 8;
const LARGEST: i32 = 2047;
/// Weights have sixteen fractional bits.
const WEIGHT: i32 = 1 << 16;
/// How far an error moves the weights.
const RATE: u32 = 14;

struct Tables {
    /// Logit of a probability over 4096.
    logit: [i16; 4096],
    /// Probability over 2^16 of a logit, from `-LARGEST` on.
    logistic: [u16; 2 * LARGEST as usize + 1],
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Box<Tables>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let mut tables = Box::new(Tables { logit: [0; 4096], logistic: [0; 2 * LARGEST as usize + 1] });
        let scale = f64::from(1 << FRACTION);
        for (index, logit) in tables.logit.iter_mut().enumerate() {
            let odds = (index as f64 + 0.5) / (4095.5 - index as f64);
            let value = log2(odds) * std::f64::consts::LN_2 * scale;
            *logit = value.round().clamp(f64::from(-LARGEST), f64::from(LARGEST)) as i16;
        }
        // Powers of e^(1/256), one multiplication each.
        let (ratio, mut power) = (1.003_913_889_338_347_6_f64, 1.0f64);
        for distance in 0..=LARGEST as usize {
            let value = 65_536.0 * power / (1.0 + power);
            tables.logistic[LARGEST as usize + distance] = value.round().min(65_535.0) as u16;
            tables.logistic[LARGEST as usize - distance] = (65_536.0 - value).round().max(1.0) as u16;
            power *= ratio;
        }
        tables
    })
}

/// Either end of the channel.
trait Channel {
    /// Passes a decision whose probability of `true` is `probability / 2^16`; a decoder ignores what it is given.
    fn pass(&mut self, probability: u32, decision: bool) -> bool;

    /// What is left to pass.
    fn rest(&self) -> Rest {
        Rest::Coded
    }
}

impl Channel for Encoder {
    #[inline]
    fn pass(&mut self, probability: u32, decision: bool) -> bool {
        self.fixed(probability, decision);
        decision
    }
}

impl Channel for Decoder<'_> {
    #[inline]
    fn pass(&mut self, probability: u32, _: bool) -> bool {
        self.fixed(probability)
    }

    #[inline]
    fn rest(&self) -> Rest {
        Decoder::rest(self)
    }
}

/// What is known before the first symbol.
#[derive(Debug, Clone, Copy)]
struct Setting {
    width: u8,
    row: usize,
    centre: i64,
    spread: i64,
}

impl Setting {
    fn distance(self, symbol: u8) -> i64 {
        (2 * i64::from(symbol) - self.centre).abs()
    }

    /// Activities have four fractional bits, like the spread.
    fn level(self, activity: i64) -> usize {
        ((8 * activity / self.spread) as usize).min(LEVELS - 1)
    }

    /// Counters of each context for one node.
    fn values(self) -> [usize; CONTEXTS] {
        let alphabet = 1usize << self.width;
        let pairs = if self.width <= 4 { alphabet * alphabet } else { 1 };
        [1, alphabet, alphabet, LEVELS, LEVELS, LEVELS * LEVELS, pairs]
    }

    /// Bytes that coding a chunk of `count` symbols keeps.
    fn memory(self, count: usize) -> u64 {
        let counters = self.values().iter().sum::<usize>() << self.width;
        (counters * size_of::<Bit>() + ((CONTEXTS * 4) << self.width) + self.row.min(count) * size_of::<i32>()) as u64
    }

    /// Passes symbols through a channel.
    fn run(self, symbols: &mut [u8], channel: &mut impl Channel) {
        let tables = tables();
        let mut counters = self.values().map(|values| vec![Bit::default(); values << self.width]);
        let mut weights = vec![[WEIGHT * 3 / 10; CONTEXTS]; 1 << self.width];
        let row = if self.row == 0 { usize::MAX } else { self.row };
        let middle = (self.centre / 2).clamp(0, (1 << self.width) - 1) as u8;
        let mut columns = vec![self.spread as i32; self.row.min(symbols.len())];
        let (mut of_row, mut column) = (self.spread, 0usize);
        for index in 0..symbols.len() {
            match channel.rest() {
                Rest::Coded => {}
                Rest::AllTrue => return symbols[index..].fill(((1u16 << self.width) - 1) as u8),
                Rest::Nothing => return,
            }
            let above = if index >= row { symbols[index - row] } else { middle };
            let left = if column > 0 { symbols[index - 1] } else { middle };
            let of_column = columns.get(column).map_or(self.spread, |&activity| i64::from(activity));
            let (row_level, column_level) = (self.level(of_row), self.level(of_column));
            let pair = if self.width <= 4 { usize::from(above) << self.width | usize::from(left) } else { 0 };
            let contexts = [
                0,
                usize::from(above),
                usize::from(left),
                row_level,
                column_level,
                row_level * LEVELS + column_level,
                pair,
            ]
            .map(|context| context << self.width);
            let given = symbols[index];
            let mut node = 1usize;
            for bit in (0..self.width).rev() {
                let mut bits: [&mut Bit; CONTEXTS] = {
                    let mut places = contexts.iter();
                    counters.each_mut().map(|of| &mut of[places.next().map_or(0, |place| place + node)])
                };
                let logits = bits.each_ref().map(|bit| i32::from(tables.logit[(bit.probability() >> 4) as usize]));
                let weights = &mut weights[node];
                let sum: i64 = logits.iter().zip(weights.iter()).map(|(&l, &w)| i64::from(l) * i64::from(w)).sum();
                let logit = (sum >> 16).clamp(i64::from(-LARGEST), i64::from(LARGEST)) as i32;
                let probability = u32::from(tables.logistic[(logit + LARGEST) as usize]).clamp(16, 65_520);
                let decision = channel.pass(probability, given >> bit & 1 == 1);
                let error = (i32::from(decision) << 16) - probability as i32;
                for (weight, &logit) in weights.iter_mut().zip(&logits) {
                    // Bounded, so that sums cannot overflow: 7 * 2^11 * 2^20 < 2^63.
                    *weight = (*weight + ((logit * (error >> 2)) >> RATE)).clamp(-(1 << 20), 1 << 20);
                }
                bits.iter_mut().for_each(|bit| bit.update(decision));
                node = node << 1 | usize::from(decision);
            }
            let symbol = (node & ((1 << self.width) - 1)) as u8;
            symbols[index] = symbol;
            let distance = self.distance(symbol) << 4;
            of_row += (distance - of_row) >> 4;
            if let Some(activity) = columns.get_mut(column) {
                *activity += (distance as i32 - *activity) >> 3;
            }
            column = if column + 1 == row { 0 } else { column + 1 };
        }
    }
}

/// Codes symbols below `2^width` (width 1..=8) in rows of `row`, 0 where rows mean nothing.
pub fn encode(symbols: &[u8], width: u8, row: usize) -> Vec<u8> {
    let count = symbols.len().max(1) as u64;
    let twice: u64 = symbols.iter().map(|&symbol| 2 * u64::from(symbol)).sum();
    let mut setting = Setting { width, row, centre: ((twice + count / 2) / count) as i64, spread: 1 };
    let distances: u64 = symbols.iter().map(|&symbol| setting.distance(symbol) as u64).sum();
    setting.spread = ((16 * distances / count) as i64).max(1);
    let mut out = Vec::new();
    out.put_varint(row as u64);
    out.put_varint(setting.centre as u64);
    out.put_varint(setting.spread as u64);
    let chunks: Vec<Vec<u8>> = symbols
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut encoder = Encoder::new();
            setting.run(&mut chunk.to_vec(), &mut encoder);
            encoder.finish()
        })
        .collect();
    chunks.iter().for_each(|chunk| out.put_varint(chunk.len() as u64));
    out.extend(chunks.into_iter().flatten());
    out
}

/// Decodes `count` symbols.
///
/// # Errors
/// Truncated, corrupt, or the limit.
pub fn decode(reader: &mut Reader<'_>, width: u8, count: usize, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let at = reader.position();
    let row = reader.length()?;
    let mut small = |most: u64| match reader.varint() {
        Ok(value) if value <= most => Ok(value as i64),
        Ok(_) => Err(DecodeError::corrupt("a statistic is beyond its symbols").at_offset(at)),
        Err(error) => Err(error),
    };
    let setting = Setting { width, row, centre: small(2 << width)?, spread: small(64 << width)?.max(1) };
    limits.take(WORK.saturating_mul(count as u64))?;
    let mut symbols: Vec<u8> = limits.filled(count, 0)?;
    let chunks = count.div_ceil(CHUNK);
    if chunks > reader.remaining() {
        return Err(DecodeError::truncated(chunks, reader.remaining()));
    }
    for _ in 0..chunks {
        limits.take(setting.memory(CHUNK.min(count)))?;
    }
    let lengths = (0..chunks).map(|_| reader.length()).collect::<Result<Vec<_>, _>>()?;
    let streams = lengths.into_iter().map(|len| reader.take(len)).collect::<Result<Vec<_>, _>>()?;
    symbols.par_chunks_mut(CHUNK).zip(streams).try_for_each(|(symbols, stream)| {
        let mut decoder = Decoder::new(stream);
        setting.run(symbols, &mut decoder);
        if decoder.rest() == Rest::Nothing {
            return Err(DecodeError::corrupt("a coded stream is shorter than its symbols"));
        }
        decoder.finish()
    })?;
    Ok(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64) -> impl FnMut(u64) -> u8 {
        let mut noise = seedpress_testing::Noise::new(seed);
        move |sides| noise.below(sides) as u8
    }

    fn round_trip(symbols: &[u8], width: u8, row: usize) -> usize {
        let coded = encode(symbols, width, row);
        let mut reader = Reader::new(&coded);
        assert!(decode(&mut reader, width, symbols.len(), &mut Limits::new(1 << 24)).unwrap() == symbols);
        reader.finish().unwrap();
        coded.len()
    }

    #[test]
    fn every_width_and_row_comes_back() {
        for width in 1..=8u8 {
            let mut die = noise(u64::from(width));
            for (count, row) in [(1, 0), (2, 1), (100, 7), (3000, 50), (3000, 10_000), (2000, 0)] {
                let symbols: Vec<u8> = (0..count).map(|_| die(1 << width)).collect();
                round_trip(&symbols, width, row);
            }
        }
        round_trip(&vec![1; CHUNK + 100], 1, 1000);
    }

    /// Neither takes a decision for each of its symbols.
    #[test]
    fn streams_that_end_before_their_symbols() {
        // All decisions are true: zeros, which are left out.
        let ones = vec![255u8; 3 * CHUNK / 2];
        let coded = encode(&ones, 8, 100);
        assert!(coded.len() < 12, "{}", coded.len());
        let mut reader = Reader::new(&coded);
        assert!(decode(&mut reader, 8, ones.len(), &mut Limits::new(1 << 24)).unwrap() == ones);
        let mut half = ones.clone();
        half[..1000].fill(7);
        round_trip(&half[..CHUNK], 8, 100);
        // Twenty bytes for a million of symbols that are not all alike.
        for byte in [0x55u8, 0xFF, 1] {
            let mut bytes = vec![0, 0, 1, 20];
            bytes.extend([byte; 20]);
            assert!(decode(&mut Reader::new(&bytes), 4, CHUNK, &mut Limits::new(1 << 24)).is_err(), "{byte}");
        }
    }

    #[test]
    fn contexts_are_worth_bits() {
        // Columns of two scales, which a static table cannot see.
        let mut die = noise(4);
        let symbols: Vec<u8> = (0..200_000).map(|i| if i % 100 < 50 { die(16) } else { 7 + die(2) }).collect();
        let mixed = round_trip(&symbols, 4, 100);
        let ideal = 200_000.0 * (4.0 + 1.0) / 2.0 / 8.0;
        assert!((mixed as f64) < 1.03 * ideal, "{mixed} against {ideal}");
        assert!(crate::ans::encode_bytes(&symbols).len() as f64 > 1.2 * ideal);
    }

    #[test]
    fn what_contexts_cannot_tell_costs_little() {
        let mut die = noise(8);
        let symbols: Vec<u8> = (0..200_000).map(|_| die(3) + die(3)).collect();
        let (mixed, order0) = (round_trip(&symbols, 3, 500), crate::ans::encode_bytes(&symbols).len());
        assert!((mixed as f64) < 1.01 * order0 as f64, "{mixed} against {order0}");
    }

    #[test]
    fn tables_are_frozen() {
        let tables = tables();
        let sum = |values: &mut dyn Iterator<Item = i64>| values.zip(1i64..).map(|(value, k)| value * k).sum::<i64>();
        let sums = [
            sum(&mut tables.logit.iter().map(|&value| i64::from(value))),
            sum(&mut tables.logistic.iter().map(|&value| i64::from(value))),
        ];
        assert_eq!((tables.logit[0], tables.logit[2048], tables.logistic[LARGEST as usize]), (-2047, 0, 32768));
        assert_eq!(sums, [2_146_020_313, 405_143_682_336]);
    }
}
