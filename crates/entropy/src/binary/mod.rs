//! Adaptive binary range coding: one decision at a time, each with a probability that learns.
//!
//! The coder keeps a 64-bit interval and moves 32 bits at a time, so renormalising is rare and well predicted; probabilities have 16
//! bits. Carries run back into the bytes already written, which keeps the decoder free of any special case. The bytes are a binary
//! fraction inside the final interval, most significant byte first, with trailing zero bytes left off: a decoder reads zeros beyond
//! the end. Hence the *length* of a stream must be known from outside; [`Decoder::finish`] checks that it was needed.
//!
//! [`Bit`] is a counter that starts as the Krichevsky-Trofimov estimator (step `1/(n+2)`) and turns into an exponential window of
//! [`Bit::WINDOW`] decisions: it learns fast, then tracks slowly. All of it is integer arithmetic.
//!
//! # Decoding
//!
//! `value` is the first 8 bytes, most significant first, `range = 2^64 - 1`; beyond the end bytes are 0. A decision of probability `p`
//! over `2^16` has `bound = floor(range / 2^16) p`; it is true where `value < bound`, and then `range = bound`, else both `value` and
//! `range` fall by `bound`. A raw bit halves `range` (rounding down) and is 1 where `value >= range`, which is then subtracted from
//! `value`; the most significant bit comes first. After either, where `range < 2^32`, both are shifted left by 32 bits and the next 4
//! bytes enter `value`. The last byte is not 0, and no byte is left unread.
//!
//! A counter has an estimate `e`, at first `2^21`, and a count `n`, at first 0; `p = floor(e / 64)` kept within 16..=65520. After a
//! decision `e` moves by `floor((target - e) floor(2^16 / (n + 2)) / 2^16)`, where `target` is `2^22 - 1` for true, 0 for false, and `n`
//! grows by 1 up to 638.

mod probability;

use seedpress_codec::DecodeError;

pub use probability::Bit;

/// Writes decisions.
#[derive(Debug, Clone)]
pub struct Encoder {
    bytes: Vec<u8>,
    low: u64,
    range: u64,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { bytes: Vec::new(), low: 0, range: u64::MAX }
    }
}

impl Encoder {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a decision and lets its probability learn.
    #[inline]
    pub fn adaptive(&mut self, bit: &mut Bit, decision: bool) {
        self.fixed(bit.probability(), decision);
        bit.update(decision);
    }

    /// Writes a decision whose probability of `true` is `probability / 2^16`, neither 0 nor 1.
    #[inline]
    pub fn fixed(&mut self, probability: u32, decision: bool) {
        let bound = (self.range >> 16) * u64::from(probability);
        if decision {
            self.range = bound;
        } else {
            self.range -= bound;
            self.advance(bound);
        }
        self.renormalise();
    }

    /// Writes the low `width` bits (at most 32), most significant first, at one bit each.
    #[inline]
    pub fn raw(&mut self, value: u32, width: u32) {
        for shift in (0..width).rev() {
            self.range >>= 1;
            if value >> shift & 1 == 1 {
                self.advance(self.range);
            }
            self.renormalise();
        }
    }

    #[inline]
    fn advance(&mut self, by: u64) {
        let (low, carry) = self.low.overflowing_add(by);
        self.low = low;
        if carry {
            self.carry();
        }
    }

    #[cold]
    fn carry(&mut self) {
        for byte in self.bytes.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }

    #[inline]
    fn renormalise(&mut self) {
        if self.range < 1 << 32 {
            self.bytes.extend_from_slice(&((self.low >> 32) as u32).to_be_bytes());
            self.low <<= 32;
            self.range <<= 32;
        }
    }

    /// Ends the stream with as few bytes as name a point of the interval.
    pub fn finish(mut self) -> Vec<u8> {
        for count in 0..=8u32 {
            let mask = u64::MAX.checked_shr(8 * count).unwrap_or(0);
            let (rounded, carry) = self.low.overflowing_add(mask);
            let point = rounded & !mask;
            if point.wrapping_sub(self.low) < self.range {
                if carry {
                    self.carry();
                }
                self.bytes.extend_from_slice(&point.to_be_bytes()[..count as usize]);
                break;
            }
        }
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

/// Bytes of zeros after which a stream that is not over by itself is taken for corrupt: an encoder writes one with a probability of 2^-512.
const BEYOND: usize = 64;

/// What is left of a stream, see [`Decoder::rest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Decisions that have to be decoded.
    Coded,
    /// Nothing but `true`, whatever the probabilities.
    AllTrue,
    /// Nothing that an encoder wrote.
    Nothing,
}

/// Reads decisions. Every byte string decodes to something; it never fails midway, costs constant time a decision and reads zeros
/// beyond its end.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    value: u64,
    range: u64,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte of a stream.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, at: 0, value: 0, range: u64::MAX };
        decoder.value = u64::from(decoder.word()) << 32 | u64::from(decoder.word());
        decoder
    }

    #[inline]
    fn word(&mut self) -> u32 {
        let word = match self.bytes.get(self.at..self.at + 4) {
            Some(four) => u32::from_be_bytes([four[0], four[1], four[2], four[3]]),
            None => self.last_word(),
        };
        self.at += 4;
        word
    }

    #[cold]
    fn last_word(&self) -> u32 {
        let tail = self.bytes.get(self.at..).unwrap_or(&[]);
        (0..4).fold(0, |word, index| word << 8 | u32::from(tail.get(index).copied().unwrap_or(0)))
    }

    /// Reads a decision and lets its probability learn.
    #[inline]
    pub fn adaptive(&mut self, bit: &mut Bit) -> bool {
        let decision = self.fixed(bit.probability());
        bit.update(decision);
        decision
    }

    /// Reads a decision whose probability of `true` is `probability / 2^16`.
    #[inline]
    pub fn fixed(&mut self, probability: u32) -> bool {
        let bound = (self.range >> 16) * u64::from(probability);
        let decision = self.value < bound;
        if decision {
            self.range = bound;
        } else {
            self.value -= bound;
            self.range -= bound;
        }
        self.renormalise();
        decision
    }

    /// Reads `width` bits (at most 32) written by [`Encoder::raw`].
    #[inline]
    pub fn raw(&mut self, width: u32) -> u32 {
        let mut value = 0;
        for _ in 0..width {
            self.range >>= 1;
            let set = self.value >= self.range;
            self.value -= if set { self.range } else { 0 };
            value = value << 1 | u32::from(set);
            self.renormalise();
        }
        value
    }

    #[inline]
    fn renormalise(&mut self) {
        if self.range < 1 << 32 {
            self.value = self.value << 32 | u64::from(self.word());
            self.range <<= 32;
        }
    }

    /// What is left of the stream. Encoders leave zeros at the end out, so that decisions may go on beyond it, even for ever where all of them
    /// are `true`; but no other decisions need 64 zeros more than there are.
    #[inline]
    pub fn rest(&self) -> Rest {
        if self.at >= self.bytes.len() && self.value == 0 {
            Rest::AllTrue
        } else if self.at > self.bytes.len() + BEYOND {
            Rest::Nothing
        } else {
            Rest::Coded
        }
    }

    /// Checks that the stream ended where its decisions did.
    ///
    /// # Errors
    /// Corrupt where bytes were left over or the last byte is zero, which no encoder writes.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.at < self.bytes.len() || self.bytes.last() == Some(&0) {
            return Err(DecodeError::corrupt("a coded stream is longer than its symbols").at_offset(self.at));
        }
        Ok(())
    }
}

/// Base-2 logarithm of a positive normal number from additions, multiplications and one division in a fixed order: the same bits on
/// every machine, which library logarithms do not promise. Error below 1e-12.
pub fn log2(value: f64) -> f64 {
    let bits = value.to_bits();
    let mut exponent = ((bits >> 52) & 0x7FF) as i32 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000F_FFFF_FFFF_FFFF | 0x3FF0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh t, t = (m - 1) / (m + 1), |t| < 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let mut series = 0.0;
    for odd in (1..=15).rev() {
        series = series * square + 1.0 / f64::from(2 * odd - 1);
    }
    f64::from(exponent) + series * t * 2.0 * std::f64::consts::LOG2_E
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64) -> impl FnMut() -> u32 {
        let mut noise = seedpress_testing::Noise::new(seed);
        move || (noise.bits() >> 32) as u32
    }

    #[test]
    fn decisions_round_trip_at_every_skew_and_length() {
        for skew in [1u32, 3, 40, 600, 20_000, 32_768, 65_000, 65_530] {
            for length in (0..80).chain([5000]) {
                let mut next = noise(u64::from(skew) * 977 + length);
                let decisions: Vec<(bool, u32)> = (0..length).map(|_| (next() >> 16 < skew, next() & 7)).collect();
                let (mut encoder, mut bit) = (Encoder::new(), Bit::default());
                for &(decision, raw) in &decisions {
                    encoder.adaptive(&mut bit, decision);
                    encoder.raw(raw, 3);
                    encoder.fixed(skew, decision);
                }
                let bytes = encoder.finish();
                let (mut decoder, mut bit) = (Decoder::new(&bytes), Bit::default());
                for &(decision, raw) in &decisions {
                    assert_eq!(decoder.adaptive(&mut bit), decision);
                    assert_eq!(decoder.raw(3), raw);
                    assert_eq!(decoder.fixed(skew), decision);
                }
                decoder.finish().unwrap();
            }
        }
    }

    #[test]
    fn a_long_run_of_carries_propagates() {
        // The unlikely outcome of extreme probabilities keeps the interval at the top of its range, where carries happen.
        let (mut encoder, mut expected) = (Encoder::new(), Vec::new());
        let mut next = noise(5);
        for _ in 0..20_000 {
            let probability = 1 + (next() & 3);
            let decision = next() & 255 == 0;
            expected.push((probability, decision));
            encoder.fixed(probability, decision);
        }
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        assert!(expected.iter().all(|&(probability, decision)| decoder.fixed(probability) == decision));
    }

    #[test]
    fn the_size_is_near_the_entropy() {
        let mut next = noise(11);
        let count = 200_000;
        let (mut encoder, mut bit) = (Encoder::new(), Bit::default());
        let mut ones = 0;
        for _ in 0..count {
            let decision = next() >> 16 < 8000;
            ones += u32::from(decision);
            encoder.adaptive(&mut bit, decision);
        }
        let p = f64::from(ones) / f64::from(count);
        let entropy = f64::from(count) * (-p * p.log2() - (1.0 - p) * (1.0 - p).log2()) / 8.0;
        let size = encoder.finish().len() as f64;
        assert!(size < entropy * 1.003 + 4.0, "{size} against {entropy}");
        assert!(size > entropy * 0.999);
    }

    #[test]
    fn garbage_and_cut_streams_decode_to_something() {
        let mut next = noise(3);
        let bytes: Vec<u8> = (0..100).map(|_| next() as u8).collect();
        for end in 0..bytes.len() {
            let (mut decoder, mut bit) = (Decoder::new(&bytes[..end]), Bit::default());
            for _ in 0..2000 {
                decoder.adaptive(&mut bit);
                decoder.raw(5);
            }
        }
    }

    #[test]
    fn the_logarithm_is_accurate() {
        for value in [1e-300, 1e-5, 0.3, 0.5, 0.999, 1.0, 1.5, 2.0, 3.0, 1e10, 1e300] {
            assert!((log2(value) - value.log2()).abs() < 1e-12 * value.log2().abs().max(1.0), "{value}");
        }
    }

    /// Made by this coder at format 1 and frozen: streams already written must stay readable.
    #[test]
    fn golden_stream() {
        let (mut encoder, mut bit) = (Encoder::new(), Bit::default());
        for index in 0..64u32 {
            encoder.adaptive(&mut bit, index % 3 == 0);
            encoder.raw(index, 2);
        }
        assert_eq!(encoder.finish(), GOLDEN);
    }

    const GOLDEN: &[u8] =
        &[27, 149, 97, 161, 50, 145, 198, 233, 237, 136, 224, 33, 96, 106, 239, 2, 39, 241, 155, 85, 205, 97, 76, 215];
}
