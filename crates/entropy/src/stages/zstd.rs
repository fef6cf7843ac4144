//! zstd behind any codec, on whichever layout of a segment's symbols it compresses best.
//!
//! | method `u8` | body |
//! | --- | --- |
//! | 0 stored | the bytes |
//! | 1 plain | length `varint`, frame of the bytes |
//! | 2 unpacked | [layout and count](crate::layout), frame of the byte planes: a symbol a byte, wide symbols and records transposed |
//! | 3 grouped | layout (bits of width 3) and count, frame of bytes that hold two whole symbols each, the first in bits 0..=2, the second in bits 3..=5 |
//!
//! Packed symbols straddle bytes, which hides them from a byte-oriented coder; one symbol a byte wastes Huffman codes of less than a
//! bit. Which layout wins depends on width and skew, so all are tried.

use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, EncodeError, Layer, LayerView, Limits, Segment, Stage};

use crate::frame::{compress, decompress};
use crate::layout::Layout;
use crate::stages::{each, stored};

const STORED: u8 = 0;
const PLAIN: u8 = 1;
const UNPACKED: u8 = 2;
const GROUPED: u8 = 3;

/// The stage `zstd`, level 19.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Zstd;

impl Stage for Zstd {
    fn id(&self) -> &'static str {
        "zstd"
    }

    fn format(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "zstd level 19 on the best of several layouts of each segment's symbols"
    }

    fn encode(&self, layer: &Layer) -> Result<Vec<Vec<u8>>, EncodeError> {
        layer.segments.iter().map(encode).collect()
    }

    fn decode(&self, _format: u32, layer: &LayerView<'_>, limits: &mut Limits) -> Result<Vec<Vec<u8>>, DecodeError> {
        each(layer, |bytes| decode(bytes, limits))
    }
}

/// Symbols of this many bits that fit a byte, where grouping differs from both other layouts.
fn group_size(layout: Layout) -> Option<usize> {
    match layout {
        Layout::Bits(3) => Some(2),
        _ => None,
    }
}

fn encode(segment: &Segment) -> Result<Vec<u8>, EncodeError> {
    let bytes = &segment.bytes;
    let mut best = vec![STORED];
    best.extend_from_slice(bytes);
    let mut offer = |mut header: Vec<u8>, content: &[u8]| -> Result<(), EncodeError> {
        header.extend(compress(content)?);
        if header.len() < best.len() {
            best = header;
        }
        Ok(())
    };
    let mut header = vec![PLAIN];
    header.put_varint(bytes.len() as u64);
    offer(header, bytes)?;
    let (layout, count) = Layout::of(segment);
    if layout != Layout::Bytes {
        let symbols = layout.unpack(bytes, count);
        let mut header = vec![UNPACKED];
        layout.write(count, &mut header);
        offer(header, &symbols)?;
        if let (Some(size), Layout::Bits(width)) = (group_size(layout), layout) {
            let mut header = vec![GROUPED];
            layout.write(count, &mut header);
            let join = |group: &[u8]| group.iter().rev().fold(0u8, |byte, &symbol| byte << width | symbol);
            offer(header, &symbols.chunks(size).map(join).collect::<Vec<_>>())?;
        }
    }
    Ok(best)
}

fn decode(bytes: &[u8], limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        STORED => stored(reader.take(reader.remaining())?, limits),
        PLAIN => {
            let len = reader.length()?;
            decompress(reader.take(reader.remaining())?, len, limits)
        }
        UNPACKED => {
            let (layout, count) = Layout::read(&mut reader)?;
            let planes = decompress(reader.take(reader.remaining())?, count * layout.planes(), limits)?;
            layout.pack(planes, count, limits)
        }
        GROUPED => {
            let (layout, count) = Layout::read(&mut reader)?;
            let (Some(size), Layout::Bits(width)) = (group_size(layout), layout) else {
                return Err(DecodeError::corrupt("this layout has no groups").at_offset(1));
            };
            let groups = decompress(reader.take(reader.remaining())?, count.div_ceil(size), limits)?;
            let mut symbols = limits.vec(groups.len().saturating_mul(size))?;
            for group in groups {
                symbols.extend((0..size).map(|k| group >> (k * usize::from(width)) & ((1 << width) - 1)));
            }
            symbols.truncate(count);
            layout.pack(symbols, count, limits)
        }
        _ => Err(DecodeError::corrupt("unknown method").at_offset(0)),
    }
}
