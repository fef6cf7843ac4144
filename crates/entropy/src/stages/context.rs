//! The stage `context`: indices by mixed contexts, everything else as `planes+ans` does it.
//!
//! | method `u8` | body |
//! | --- | --- |
//! | 0..=4 | as in `planes+ans` |
//! | 16 mixed | [layout and count](crate::layout) (bits of width 1..=8, or trits), [coded symbols](crate::mixing) |

use rayon::prelude::*;
use seedpress_codec::wire::Reader;
use seedpress_codec::{DecodeError, EncodeError, Layer, LayerView, Limits, Segment, Stage};

use crate::layout::Layout;
use crate::mixing;
use crate::stages::{ans, each};

const MIXED: u8 = 16;

/// The stage `context`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context;

impl Stage for Context {
    fn id(&self) -> &'static str {
        "context"
    }

    fn format(&self) -> u32 {
        1
    }

    fn summary(&self) -> &'static str {
        "indices under mixed predictions from neighbours, row and column, bit by bit; slow, smallest"
    }

    fn encode(&self, layer: &Layer) -> Result<Vec<Vec<u8>>, EncodeError> {
        layer.segments.par_iter().map(encode).collect()
    }

    fn decode(&self, _format: u32, layer: &LayerView<'_>, limits: &mut Limits) -> Result<Vec<Vec<u8>>, DecodeError> {
        each(layer, |bytes| decode(bytes, limits))
    }
}

fn encode(segment: &Segment) -> Result<Vec<u8>, EncodeError> {
    let best = ans::encode(segment, true, true)?;
    let (layout, count) = Layout::of(segment);
    let Some(width) = width(layout) else { return Ok(best) };
    if count == 0 {
        return Ok(best);
    }
    let mut mixed = vec![MIXED];
    layout.write(count, &mut mixed);
    let symbols = layout.unpack(&segment.bytes, count);
    mixed.extend(mixing::encode(&symbols, width, segment.symbols.row as usize));
    Ok(if mixed.len() < best.len() { mixed } else { best })
}

fn decode(bytes: &[u8], limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    if bytes.first() != Some(&MIXED) {
        return ans::decode(bytes, limits);
    }
    let mut reader = Reader::new(bytes);
    reader.u8()?;
    let (layout, count) = Layout::read(&mut reader)?;
    let Some(width) = width(layout) else {
        return Err(DecodeError::corrupt("this layout is not coded by contexts").at_offset(1));
    };
    let symbols = mixing::decode(&mut reader, width, count, limits)?;
    reader.finish()?;
    layout.pack(symbols, count, limits)
}

/// Bits of a symbol that is coded by contexts.
fn width(layout: Layout) -> Option<u8> {
    match layout {
        Layout::Bits(width @ 1..=8) => Some(width),
        Layout::Trits => Some(2),
        _ => None,
    }
}
