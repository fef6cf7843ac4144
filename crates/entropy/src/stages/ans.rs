//! Range-ANS behind any codec: `ans` models the declared symbols, `planes+ans` also splits floats by their fields.
//!
//! | method `u8` | body |
//! | --- | --- |
//! | 0 stored | the bytes |
//! | 1 planes | [layout and count](crate::layout), then the byte planes |
//! | 2 floats | the same, each record rotated left by a bit first: the sign leaves the exponent's byte |
//!
//! A plane is its method `u8` (0 stored, 1 [ANS](crate::ans), 2 zstd), its length `varint`, its bytes. Every plane has its own
//! table, so the position within a record or a float is the context. Mantissas of trained floats are noise and are stored;
//! exponents carry 2.5 to 3 bits (ZipNN, arXiv 2411.05239).

use rayon::prelude::*;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, EncodeError, Layer, LayerView, Limits, Packing, Segment, Stage};

use crate::ans;
use crate::frame;
use crate::layout::Layout;
use crate::stages::{each, stored};

const STORED: u8 = 0;
const PLANES: u8 = 1;
const FLOATS: u8 = 2;

const PLANE_STORED: u8 = 0;
const PLANE_ANS: u8 = 1;
const PLANE_ZSTD: u8 = 2;

/// The stage `ans`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ans;

/// The stage `planes+ans`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanesAns;

impl Stage for Ans {
    fn id(&self) -> &'static str {
        "ans"
    }

    fn format(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "interleaved range-ANS with a static table for each symbol position"
    }

    fn encode(&self, layer: &Layer) -> Result<Vec<Vec<u8>>, EncodeError> {
        layer.segments.par_iter().map(|segment| encode(segment, false)).collect()
    }

    fn decode(&self, layer: &LayerView<'_>, limits: &mut Limits) -> Result<Vec<Vec<u8>>, DecodeError> {
        each(layer, |bytes| decode(bytes, limits))
    }
}

impl Stage for PlanesAns {
    fn id(&self) -> &'static str {
        "planes+ans"
    }

    fn format(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "floats split into exponent and mantissa planes, each plane the smallest of stored, range-ANS and zstd"
    }

    fn encode(&self, layer: &Layer) -> Result<Vec<Vec<u8>>, EncodeError> {
        layer.segments.par_iter().map(|segment| encode(segment, true)).collect()
    }

    fn decode(&self, layer: &LayerView<'_>, limits: &mut Limits) -> Result<Vec<Vec<u8>>, DecodeError> {
        each(layer, |bytes| decode(bytes, limits))
    }
}

fn encode(segment: &Segment, split: bool) -> Result<Vec<u8>, EncodeError> {
    let mut plain = vec![STORED];
    plain.extend_from_slice(&segment.bytes);
    let (layout, count) = Layout::of(segment);
    let floats = split
        && matches!(layout, Layout::Records(_))
        && matches!(segment.symbols.packing, Packing::F32 | Packing::F16 | Packing::BF16);
    let planes = if floats {
        layout.unpack(&rotate(&segment.bytes, layout.planes(), 1), count)
    } else {
        layout.unpack(&segment.bytes, count)
    };
    let mut out = vec![if floats { FLOATS } else { PLANES }];
    layout.write(count, &mut out);
    for plane in planes.chunks_exact(count.max(1)) {
        let (mut method, mut body) = (PLANE_STORED, plane.to_vec());
        let coded = ans::encode_bytes(plane);
        if coded.len() < body.len() {
            (method, body) = (PLANE_ANS, coded);
        }
        if split {
            let coded = frame::compress(plane)?;
            if coded.len() < body.len() {
                (method, body) = (PLANE_ZSTD, coded);
            }
        }
        out.push(method);
        out.put_varint(body.len() as u64);
        out.extend(body);
    }
    Ok(if out.len() < plain.len() { out } else { plain })
}

fn decode(bytes: &[u8], limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let method = reader.u8()?;
    match method {
        STORED => return stored(reader.take(reader.remaining())?, limits),
        PLANES | FLOATS => {}
        _ => return Err(DecodeError::corrupt("unknown method").at_offset(0)),
    }
    let (layout, count) = Layout::read(&mut reader)?;
    if method == FLOATS && !matches!(layout, Layout::Records(2 | 4)) {
        return Err(DecodeError::corrupt("floats are records of 2 or 4 bytes").at_offset(1));
    }
    let mut planes: Vec<u8> = limits.vec(count * layout.planes())?;
    for _ in 0..if count == 0 { 0 } else { layout.planes() } {
        let at = reader.position();
        let plane_method = reader.u8()?;
        let len = reader.length()?;
        let body = reader.take(len)?;
        match plane_method {
            PLANE_STORED if len == count => planes.extend_from_slice(body),
            PLANE_ANS => planes.extend(ans::decode_bytes(body, count, limits)?),
            PLANE_ZSTD => planes.extend(frame::decompress(body, count, limits)?),
            _ => return Err(DecodeError::corrupt("unknown plane method or wrong length").at_offset(at)),
        }
    }
    reader.finish()?;
    let restored = layout.pack(planes, count, limits)?;
    if method == FLOATS {
        let size = layout.planes();
        limits.take(restored.len() as u64)?;
        return Ok(rotate(&restored, size, 8 * size as u32 - 1));
    }
    Ok(restored)
}

/// Rotates each little-endian record of 2 or 4 bytes to the left.
fn rotate(bytes: &[u8], size: usize, by: u32) -> Vec<u8> {
    if size == 2 {
        let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]).rotate_left(by).to_le_bytes();
        bytes.chunks_exact(2).flat_map(half).collect()
    } else {
        let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]).rotate_left(by).to_le_bytes();
        bytes.chunks_exact(4).flat_map(word).collect()
    }
}
