//! Fixed-width bit streams (LSB first) and five trits a byte.

use crate::error::DecodeError;
use crate::limits::Limits;

/// Bytes that `count` symbols of `width` bits take.
pub fn packed_len(count: usize, width: u8) -> Option<usize> {
    count.checked_mul(usize::from(width)).map(|bits| bits.div_ceil(8))
}

/// Packs symbols of `width` bits (1..=32), the first in the lowest bits; the last byte is padded with zeros.
pub fn pack_bits(symbols: impl IntoIterator<Item = u32>, width: u8) -> Vec<u8> {
    debug_assert!((1..=32).contains(&width));
    let mut bytes = Vec::new();
    let (mut held, mut filled) = (0u64, 0u32);
    for symbol in symbols {
        debug_assert!(width == 32 || symbol >> width == 0, "symbol {symbol} needs more than {width} bits");
        held |= u64::from(symbol) << filled;
        filled += u32::from(width);
        while filled >= 8 {
            bytes.push(held as u8);
            held >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        bytes.push(held as u8);
    }
    bytes
}

/// A random-access reader of fixed-width symbols.
#[derive(Debug, Clone, Copy)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    width: u32,
}

impl<'a> BitReader<'a> {
    /// Reads `count` symbols of `width` bits from `bytes`.
    ///
    /// # Errors
    /// Truncated where bytes are missing, corrupt where there are too many, the width is illegal or padding bits are set.
    pub fn new(bytes: &'a [u8], width: u8, count: usize) -> Result<Self, DecodeError> {
        if !(1..=32).contains(&width) {
            return Err(DecodeError::corrupt("symbol width outside 1..=32"));
        }
        let needed = packed_len(count, width).ok_or(DecodeError::corrupt("symbol count overflows"))?;
        exact_len(bytes, needed)?;
        let used = count * usize::from(width) % 8;
        if used != 0 && bytes[needed - 1] >> used != 0 {
            return Err(DecodeError::corrupt("padding bits are set").at_offset(needed - 1));
        }
        Ok(Self { bytes, width: u32::from(width) })
    }

    /// The symbol at `index`; bits past the end read as zero.
    #[inline]
    pub fn get(&self, index: usize) -> u32 {
        let bit = index * self.width as usize;
        let byte = bit / 8;
        let word = match self.bytes.get(byte..byte + 8) {
            Some(window) => u64::from_le_bytes([
                window[0], window[1], window[2], window[3], window[4], window[5], window[6], window[7],
            ]),
            None => {
                let mut window = [0u8; 8];
                let tail = self.bytes.get(byte..).unwrap_or(&[]);
                let len = tail.len().min(8);
                window[..len].copy_from_slice(&tail[..len]);
                u64::from_le_bytes(window)
            }
        };
        ((word >> (bit % 8)) & ((1u64 << self.width) - 1)) as u32
    }
}

/// All `count` symbols of a bit stream.
///
/// # Errors
/// As [`BitReader::new`], or the limit.
pub fn unpack_bits(bytes: &[u8], width: u8, count: usize, limits: &mut Limits) -> Result<Vec<u32>, DecodeError> {
    let reader = BitReader::new(bytes, width, count)?;
    let mut symbols = limits.vec(count)?;
    symbols.extend((0..count).map(|index| reader.get(index)));
    Ok(symbols)
}

/// Packs ternary digits (0, 1, 2), five to a byte: `q0 + 3 q1 + 9 q2 + 27 q3 + 81 q4`; missing digits of the last byte are 0.
pub fn pack_trits(digits: &[u8]) -> Vec<u8> {
    digits.chunks(5).map(|five| five.iter().rev().fold(0u8, |byte, &digit| byte * 3 + digit)).collect()
}

/// The five digits of every byte value below 243.
pub static TRITS: [[u8; 5]; 243] = {
    let mut table = [[0u8; 5]; 243];
    let mut byte = 0;
    while byte < 243 {
        let (mut rest, mut digit) = (byte, 0);
        while digit < 5 {
            table[byte][digit] = (rest % 3) as u8;
            rest /= 3;
            digit += 1;
        }
        byte += 1;
    }
    table
};

/// Checks that `bytes` are exactly the trit bytes of `count` digits. After it, every byte indexes [`TRITS`].
///
/// # Errors
/// Truncated or corrupt.
pub fn check_trits(bytes: &[u8], count: usize) -> Result<(), DecodeError> {
    exact_len(bytes, count.div_ceil(5))?;
    if let Some(offset) = bytes.iter().position(|&byte| byte >= 243) {
        return Err(DecodeError::corrupt("a byte of five trits is above 242").at_offset(offset));
    }
    let used = count % 5;
    if used != 0 && TRITS[usize::from(bytes[bytes.len() - 1])][used..].iter().any(|&digit| digit != 0) {
        return Err(DecodeError::corrupt("padding trits are set").at_offset(bytes.len() - 1));
    }
    Ok(())
}

/// Checks that a segment has the length its decoder computes.
///
/// # Errors
/// Truncated where shorter, corrupt where longer.
pub fn exact_len(bytes: &[u8], needed: usize) -> Result<(), DecodeError> {
    match bytes.len().cmp(&needed) {
        std::cmp::Ordering::Less => Err(DecodeError::truncated(needed, bytes.len())),
        std::cmp::Ordering::Greater => Err(DecodeError::corrupt("trailing bytes").at_offset(needed)),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_round_trips() {
        for width in 1..=32u8 {
            let mask = ((1u64 << width) - 1) as u32;
            let symbols: Vec<u32> = (0..101u32).map(|i| i.wrapping_mul(0x9E37_79B9) & mask).collect();
            let bytes = pack_bits(symbols.iter().copied(), width);
            assert_eq!(bytes.len(), packed_len(symbols.len(), width).unwrap());
            assert_eq!(unpack_bits(&bytes, width, symbols.len(), &mut Limits::new(1 << 20)).unwrap(), symbols);
            assert!(unpack_bits(&bytes[1..], width, symbols.len(), &mut Limits::new(1 << 20)).is_err());
        }
    }

    #[test]
    fn trits_round_trip_and_reject_impossible_bytes() {
        let digits: Vec<u8> = (0..23u32).map(|i| (i * 7 % 3) as u8).collect();
        let bytes = pack_trits(&digits);
        check_trits(&bytes, digits.len()).unwrap();
        let back: Vec<u8> = bytes.iter().flat_map(|&b| TRITS[usize::from(b)]).take(digits.len()).collect();
        assert_eq!(back, digits);
        assert!(check_trits(&[243], 5).is_err());
        assert!(check_trits(&[242], 1).is_err(), "padding must be zero");
    }
}
