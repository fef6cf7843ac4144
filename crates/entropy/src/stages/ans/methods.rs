//! The methods of a coded segment, and restoring it: see [the table](super).

use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, Limits};

use crate::floats;
use crate::layout::Layout;
use crate::stages::stored;
use crate::{ans, frame, plane};

pub(super) const STORED: u8 = 0;
pub(super) const PLANES: u8 = 1;
pub(super) const ROTATED: u8 = 2;
pub(super) const FIELDS: u8 = 3;
pub(super) const FRAME: u8 = 4;

/// What was found, or the bytes as they are.
pub(super) fn or_stored(found: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    if found.is_empty() { [&[STORED], bytes].concat() } else { found }
}

/// Restores a segment.
pub(in crate::stages) fn decode(bytes: &[u8], limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let method = reader.u8()?;
    let restored = match method {
        STORED => return stored(reader.take(reader.remaining())?, limits),
        FIELDS => floats::decode(&mut reader, limits)?,
        FRAME => {
            let len = reader.length()?;
            frame::decompress(reader.take(reader.remaining())?, len, limits)?
        }
        PLANES | ROTATED => {
            let (layout, count) = Layout::read(&mut reader)?;
            match layout {
                Layout::Records(size @ (2 | 4)) if method == ROTATED => {
                    let rotated = read_planes(&mut reader, layout, count, limits)?;
                    limits.take(rotated.len() as u64)?;
                    rotate(&rotated, usize::from(size), 8 * u32::from(size) - 1)
                }
                _ if method == ROTATED => {
                    return Err(DecodeError::corrupt("floats are records of 2 or 4 bytes").at_offset(1));
                }
                Layout::Bits(width @ 1..8) if count > 0 => {
                    let opened = plane::open(&mut reader)?;
                    if plane::is_ans(opened.0) {
                        ans::decode_packed(opened.1, width, count, limits)?
                    } else {
                        layout.pack(plane::symbols(opened, 8, count, limits)?, count, limits)?
                    }
                }
                _ => read_planes(&mut reader, layout, count, limits)?,
            }
        }
        _ => return Err(DecodeError::corrupt("unknown method").at_offset(0)),
    };
    reader.finish()?;
    Ok(restored)
}

fn read_planes(
    reader: &mut Reader<'_>,
    layout: Layout,
    count: usize,
    limits: &mut Limits,
) -> Result<Vec<u8>, DecodeError> {
    if let 0 | 1 = layout.planes() {
        let symbols = plane::read(reader, 8, count, limits)?;
        return layout.pack(symbols, count, limits);
    }
    let mut planes: Vec<u8> = limits.vec(count * layout.planes())?;
    for _ in 0..layout.planes() {
        planes.extend(plane::read(reader, 8, count, limits)?);
    }
    layout.pack(planes, count, limits)
}

/// Rotates each little-endian record of 2 or 4 bytes to the left.
pub(super) fn rotate(bytes: &[u8], size: usize, by: u32) -> Vec<u8> {
    let mut rotated = bytes.to_vec();
    if size == 2 {
        for b in rotated.chunks_exact_mut(2) {
            b.copy_from_slice(&u16::from_le_bytes([b[0], b[1]]).rotate_left(by).to_le_bytes());
        }
    } else {
        for b in rotated.chunks_exact_mut(4) {
            b.copy_from_slice(&u32::from_le_bytes([b[0], b[1], b[2], b[3]]).rotate_left(by).to_le_bytes());
        }
    }
    rotated
}
