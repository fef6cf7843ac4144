//! Bounds-checked little-endian reading and writing for headers and parameters.

use crate::error::DecodeError;

/// Appends little-endian values to a byte vector.
pub trait Put {
    /// LEB128 variable-length integer.
    fn put_varint(&mut self, value: u64);
    /// Little-endian `f32`.
    fn put_f32(&mut self, value: f32);
}

impl Put for Vec<u8> {
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn put_f32(&mut self, value: f32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
}

/// Reads little-endian values, reporting truncation with the byte offset.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Truncated.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len()).ok_or_else(|| {
            DecodeError::truncated(self.at.saturating_add(count), self.bytes.len()).at_offset(self.at)
        })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// Truncated.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    /// Little-endian `u16`.
    ///
    /// # Errors
    /// Truncated.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        let b = self.take(2)?;
        Ok(u16::from_le_bytes([b[0], b[1]]))
    }

    /// Little-endian `u32`.
    ///
    /// # Errors
    /// Truncated.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// Little-endian `f32` that must be finite.
    ///
    /// # Errors
    /// Truncated, or corrupt where it is NaN or infinite.
    pub fn finite_f32(&mut self) -> Result<f32, DecodeError> {
        let at = self.at;
        let value = f32::from_bits(self.u32()?);
        if value.is_finite() { Ok(value) } else { Err(DecodeError::corrupt("a scale is not finite").at_offset(at)) }
    }

    /// LEB128 variable-length integer; only the shortest form is legal.
    ///
    /// # Errors
    /// Truncated, or corrupt where it is longer than needed or does not fit 64 bits.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7F);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::corrupt("an integer is longer than needed").at_offset(start));
                }
                return Ok(value);
            }
        }
        Err(DecodeError::corrupt("an integer does not fit 64 bits").at_offset(start))
    }

    /// A [`varint`](Self::varint) that must fit `usize`.
    ///
    /// # Errors
    /// As [`varint`](Self::varint).
    pub fn length(&mut self) -> Result<usize, DecodeError> {
        let start = self.at;
        usize::try_from(self.varint()?)
            .map_err(|_| DecodeError::corrupt("a length does not fit this machine").at_offset(start))
    }

    /// Fails where bytes are left over.
    ///
    /// # Errors
    /// Corrupt.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(DecodeError::corrupt("trailing bytes").at_offset(self.at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_have_one_form() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            bytes.put_varint(value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint().unwrap(), value);
            reader.finish().unwrap();
        }
        assert!(Reader::new(&[0x80, 0]).varint().is_err());
        assert!(Reader::new(&[0xFF; 11]).varint().is_err());
        assert!(Reader::new(&[0x80]).varint().is_err());
    }
}
