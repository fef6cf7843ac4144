//! From packed segments to symbols and back, exactly.
//!
//! Entropy coders see symbols, files hold packed bytes. A [`Layout`] is the part of a segment's declared
//! [`Symbols`](seedpress_codec::Symbols) that restoring its bytes takes; it travels in front of the coded symbols:
//!
//! | tag `u8` | parameter | symbols |
//! | --- | --- | --- |
//! | 0 bytes | | the bytes themselves |
//! | 1 bits | width `u8`, 1..=32 | LSB-first fields, zero padding |
//! | 2 trits | | five a byte, zero padding |
//! | 3 records | length `varint`, 2..=65535 | fixed records of bytes |
//!
//! followed by the number of symbols, `varint`. A segment whose bytes would not come back from its declared symbols (padding that
//! is not zero, a wrong count) is treated as plain bytes.

use seedpress_codec::packing::{TRITS, check_trits, packed_len};
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Limits, Packing, Segment};

use crate::narrow::{pack_narrow, unpack_narrow};

/// How symbols are packed into the bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One symbol a byte.
    Bytes,
    /// An LSB-first stream of fields of this many bits.
    Bits(u8),
    /// Five base-3 digits a byte.
    Trits,
    /// Fixed records of this many bytes.
    Records(u16),
}

impl Layout {
    /// The layout a segment declares and its symbol count, where its bytes bear the declaration out; plain bytes otherwise.
    pub(crate) fn of(segment: &Segment) -> (Self, usize) {
        let bytes = &segment.bytes;
        let plain = (Self::Bytes, bytes.len());
        let Ok(declared) = usize::try_from(segment.symbols.count) else { return plain };
        let records = |len: u16| match usize::from(len) {
            0 | 1 => plain,
            len if !bytes.len().is_multiple_of(len) => plain,
            size => (Self::Records(len), bytes.len() / size),
        };
        match segment.symbols.packing {
            Packing::Opaque => plain,
            Packing::Bits(8) => plain,
            Packing::Bits(width) if bits_are_exact(bytes, width, declared) => (Self::Bits(width), declared),
            Packing::Trits if check_trits(bytes, declared).is_ok() => (Self::Trits, declared),
            Packing::Bits(_) | Packing::Trits => plain,
            Packing::F16 | Packing::BF16 => records(2),
            Packing::F32 => records(4),
            Packing::Records(len) => records(len),
        }
    }

    /// Byte planes that [`unpack`](Self::unpack) makes.
    pub(crate) fn planes(self) -> usize {
        match self {
            Self::Bytes | Self::Trits => 1,
            Self::Bits(width) => usize::from(width).div_ceil(8),
            Self::Records(len) => usize::from(len),
        }
    }

    /// Bytes that `count` symbols take when packed; `None` on overflow.
    pub(crate) fn packed_len(self, count: usize) -> Option<usize> {
        match self {
            Self::Bytes => Some(count),
            Self::Bits(width) => packed_len(count, width),
            Self::Trits => Some(count.div_ceil(5)),
            Self::Records(len) => count.checked_mul(usize::from(len)),
        }
    }

    /// Writes layout and count.
    pub(crate) fn write(self, count: usize, out: &mut Vec<u8>) {
        match self {
            Self::Bytes => out.push(0),
            Self::Bits(width) => out.extend([1, width]),
            Self::Trits => out.push(2),
            Self::Records(len) => {
                out.push(3);
                out.put_varint(u64::from(len));
            }
        }
        out.put_varint(count as u64);
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// Truncated, or corrupt where a parameter is illegal.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<(Self, usize), DecodeError> {
        let at = reader.position();
        let illegal = |what| DecodeError::corrupt(what).at_offset(at);
        let layout = match reader.u8()? {
            0 => Self::Bytes,
            1 => match reader.u8()? {
                width @ 1..=32 => Self::Bits(width),
                _ => return Err(illegal("symbol width outside 1..=32")),
            },
            2 => Self::Trits,
            3 => match u16::try_from(reader.varint()?) {
                Ok(len) if len >= 2 => Self::Records(len),
                _ => return Err(illegal("record length outside 2..=65535")),
            },
            _ => return Err(illegal("unknown layout")),
        };
        let count = reader.length()?;
        if layout.packed_len(count).is_none() || count.checked_mul(layout.planes()).is_none() {
            return Err(illegal("symbol count overflows"));
        }
        Ok((layout, count))
    }

    /// The symbols as byte planes, one after another, `count` bytes each: plane 0 holds the lowest byte of every symbol (or the
    /// first byte of every record).
    pub(crate) fn unpack(self, bytes: &[u8], count: usize) -> Vec<u8> {
        match self {
            Self::Bytes => bytes.to_vec(),
            Self::Bits(width) if width <= 8 => unpack_narrow(bytes, width, count),
            Self::Bits(width) => {
                let mut planes = vec![0; count * self.planes()];
                for index in 0..count {
                    let field = field(bytes, index, usize::from(width));
                    for plane in 0..self.planes() {
                        planes[plane * count + index] = (field >> (8 * plane)) as u8;
                    }
                }
                planes
            }
            Self::Trits => {
                let mut digits = Vec::with_capacity(5 * bytes.len());
                bytes.iter().for_each(|&byte| digits.extend_from_slice(&TRITS[usize::from(byte)]));
                digits.truncate(count);
                digits
            }
            Self::Records(len) => transpose(bytes, count, usize::from(len)),
        }
    }

    /// The packed bytes of the planes that [`unpack`](Self::unpack) makes.
    ///
    /// # Errors
    /// Corrupt where a symbol is outside the layout's range; the limit.
    pub(crate) fn pack(self, planes: Vec<u8>, count: usize, limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
        debug_assert_eq!(planes.len(), count * self.planes());
        let needed = self.packed_len(count).ok_or(DecodeError::corrupt("symbol count overflows"))?;
        match self {
            Self::Bytes => Ok(planes),
            Self::Bits(width) if width <= 8 => {
                if width < 8 && planes.iter().fold(0, |all, &symbol| all | symbol) >> width != 0 {
                    return Err(DecodeError::corrupt("a symbol is wider than its field"));
                }
                limits.take(needed as u64)?;
                Ok(pack_narrow(&planes, width))
            }
            Self::Bits(width) => {
                let mut bytes: Vec<u8> = limits.vec(needed)?;
                let (mut held, mut filled) = (0u64, 0u32);
                for index in 0..count {
                    let field =
                        (0..self.planes()).fold(0u64, |f, p| f | u64::from(planes[p * count + index]) << (8 * p));
                    if field >> width != 0 {
                        return Err(DecodeError::corrupt("a symbol is wider than its field"));
                    }
                    held |= field << filled;
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
                Ok(bytes)
            }
            Self::Trits => {
                if planes.iter().fold(0, |most, &digit| most.max(digit)) > 2 {
                    return Err(DecodeError::corrupt("a ternary digit is above 2"));
                }
                let mut bytes: Vec<u8> = limits.vec(needed)?;
                let fives = planes.chunks_exact(5);
                let rest = fives.remainder();
                bytes.extend(fives.map(|d| d[0] + 3 * d[1] + 9 * d[2] + 27 * d[3] + 81 * d[4]));
                if !rest.is_empty() {
                    bytes.push(rest.iter().rev().fold(0u8, |byte, &digit| byte * 3 + digit));
                }
                Ok(bytes)
            }
            Self::Records(len) => {
                limits.take(needed as u64)?;
                Ok(transpose(&planes, usize::from(len), count))
            }
        }
    }
}

fn bits_are_exact(bytes: &[u8], width: u8, count: usize) -> bool {
    if !(1..=32).contains(&width) || packed_len(count, width) != Some(bytes.len()) {
        return false;
    }
    let used = count * usize::from(width) % 8;
    used == 0 || bytes[bytes.len() - 1] >> used == 0
}

fn field(bytes: &[u8], index: usize, width: usize) -> u64 {
    let bit = index * width;
    let mut window = [0u8; 8];
    let tail = &bytes[bit / 8..];
    let len = tail.len().min(8);
    window[..len].copy_from_slice(&tail[..len]);
    (u64::from_le_bytes(window) >> (bit % 8)) & ((1 << width) - 1)
}

/// `bytes` is `rows x columns`; the result is `columns x rows`.
fn transpose(bytes: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    let mut turned = vec![0; bytes.len()];
    if rows == 0 || columns == 0 {
        return turned;
    }
    if rows < columns {
        for (row, source) in bytes.chunks_exact(columns).enumerate() {
            for (target, &byte) in turned[row..].iter_mut().step_by(rows).zip(source) {
                *target = byte;
            }
        }
    } else {
        for (column, target) in turned.chunks_exact_mut(rows).enumerate() {
            for (byte, &source) in target.iter_mut().zip(bytes[column..].iter().step_by(columns)) {
                *byte = source;
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedpress_codec::packing::{pack_bits, pack_trits};
    use seedpress_codec::{Role, Symbols};

    fn round_trip(segment: &Segment) -> Layout {
        let (layout, count) = Layout::of(segment);
        let planes = layout.unpack(&segment.bytes, count);
        assert_eq!(planes.len(), count * layout.planes());
        let mut limits = Limits::new(1 << 20);
        assert_eq!(layout.pack(planes, count, &mut limits).unwrap(), segment.bytes, "{layout:?}");
        let mut header = Vec::new();
        layout.write(count, &mut header);
        let mut reader = Reader::new(&header);
        assert_eq!(Layout::read(&mut reader).unwrap(), (layout, count));
        reader.finish().unwrap();
        layout
    }

    #[test]
    fn every_width_and_length_comes_back() {
        for width in 1..=32u8 {
            for count in [0usize, 1, 7, 8, 9, 64, 101] {
                let mask = ((1u64 << width) - 1) as u32;
                let symbols = (0..count as u32).map(|i| i.wrapping_mul(0x9E37_79B9) & mask);
                let bytes = pack_bits(symbols.clone(), width);
                let layout = round_trip(&Segment::new(Role::Indices, Symbols::bits(width, count, 8), bytes.clone()));
                if width != 8 {
                    assert_eq!(layout, Layout::Bits(width));
                }
                if width <= 8 {
                    let expected: Vec<u8> = symbols.map(|s| s as u8).collect();
                    assert_eq!(layout.unpack(&bytes, count), expected);
                }
            }
        }
    }

    #[test]
    fn trits_floats_and_records_come_back() {
        for count in [0usize, 1, 4, 5, 23] {
            let digits: Vec<u8> = (0..count).map(|i| (i * 7 % 3) as u8).collect();
            let segment = Segment::new(Role::Indices, Symbols::trits(count, 0), pack_trits(&digits));
            assert_eq!(round_trip(&segment), Layout::Trits);
        }
        let bytes: Vec<u8> = (0..36).collect();
        let floats = Segment::new(Role::Raw, Symbols::floats(Packing::F32, 9), bytes.clone());
        assert_eq!(round_trip(&floats), Layout::Records(4));
        assert_eq!(Layout::Records(4).unpack(&bytes, 9)[..3], [0, 4, 8]);
        let wide = Symbols { packing: Packing::Records(18), count: 2, row: 0 };
        assert_eq!(round_trip(&Segment::new(Role::Blocks, wide, bytes)), Layout::Records(18));
    }

    #[test]
    fn declarations_the_bytes_do_not_bear_out_fall_back_to_bytes() {
        let cases = [
            (Symbols::bits(3, 1, 0), vec![0xFF]),
            (Symbols::bits(3, 9, 0), vec![0]),
            (Symbols::bits(0, 4, 0), vec![0]),
            (Symbols::bits(40, 1, 0), vec![0; 5]),
            (Symbols::trits(5, 0), vec![250]),
            (Symbols::trits(2, 0), vec![242]),
            (Symbols::floats(Packing::F32, 1), vec![0; 5]),
            (Symbols { packing: Packing::Bits(5), count: u64::MAX, row: 0 }, vec![1]),
            (Symbols { packing: Packing::Records(0), count: 1, row: 0 }, vec![1]),
        ];
        for (symbols, bytes) in cases {
            assert_eq!(round_trip(&Segment::new(Role::Indices, symbols, bytes)), Layout::Bytes, "{symbols:?}");
        }
    }
}
