//! What a codec produces: a few parameter bytes and layers of segments.
//!
//! Layer 0 decodes alone; each further layer refines it. A segment says which *role* its bytes play (so a report can say where the
//! bits go and nothing can be left out of the count) and how its *symbols* are packed (so an entropy stage can model symbols
//! instead of anonymous bytes).

use crate::role::Role;
use crate::segments::{LayerView, SegmentView};
use crate::view::EncodedView;

/// How symbols became bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// No structure a stage could use; already coded.
    Opaque,
    /// An LSB-first stream of symbols of this many bits (1..=32), padded with zeros to a byte.
    Bits(u8),
    /// Five base-3 digits a byte, `q0 + 3 q1 + 9 q2 + 27 q3 + 81 q4`.
    Trits,
    /// Little-endian binary16.
    F16,
    /// Little-endian bfloat16.
    BF16,
    /// Little-endian binary32.
    F32,
    /// Fixed records of this many bytes: position modulo the length is the context.
    Records(u16),
}

/// The symbols of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbols {
    /// How they are packed.
    pub packing: Packing,
    /// How many there are.
    pub count: u64,
    /// Symbols in a row of the tensor: the symbol `row` places back is the neighbour above. 0 where rows mean nothing.
    pub row: u32,
}

impl Symbols {
    /// Bytes without declared structure.
    pub const OPAQUE: Symbols = Symbols { packing: Packing::Opaque, count: 0, row: 0 };

    /// `count` symbols of `width` bits, `row` of them to a tensor row.
    pub fn bits(width: u8, count: usize, row: usize) -> Self {
        Self { packing: Packing::Bits(width), count: count as u64, row: u32::try_from(row).unwrap_or(0) }
    }

    /// `count` ternary symbols, `row` of them to a tensor row.
    pub fn trits(count: usize, row: usize) -> Self {
        Self { packing: Packing::Trits, count: count as u64, row: u32::try_from(row).unwrap_or(0) }
    }

    /// `count` little-endian floats of `packing` (`F16`, `BF16` or `F32`).
    pub fn floats(packing: Packing, count: usize) -> Self {
        Self { packing, count: count as u64, row: 0 }
    }

    /// The same with `row` symbols to a tensor row.
    #[must_use]
    pub fn in_rows(self, row: usize) -> Self {
        Self { row: u32::try_from(row).unwrap_or(0), ..self }
    }
}

/// Bytes of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What they stand for.
    pub role: Role,
    /// How they are packed. Not on the wire: a decoder knows its own layout; a stage writes what it needs.
    pub symbols: Symbols,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Segment {
    /// A segment.
    pub fn new(role: Role, symbols: Symbols, bytes: Vec<u8>) -> Self {
        Self { role, symbols, bytes }
    }
}

/// One step of quality.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// In the order the decoder reads them.
    pub segments: Vec<Segment>,
}

impl Layer {
    /// Borrows every segment, as a decoder sees them.
    pub fn view(&self) -> LayerView<'_> {
        LayerView { segments: self.segments.iter().map(|s| SegmentView { role: s.role, bytes: &s.bytes }).collect() }
    }
}

/// A compressed tensor before serialisation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Everything a decoder must know beside shape and data type (block sizes, widths, tensor scale...), as the codec lays it out.
    pub params: Vec<u8>,
    /// Layer 0 decodes alone, each further layer refines.
    pub layers: Vec<Layer>,
}

impl Encoded {
    /// The common case: one layer.
    pub fn single(params: Vec<u8>, segments: Vec<Segment>) -> Self {
        Self { params, layers: vec![Layer { segments }] }
    }

    /// Bytes of parameters and segments: what the codec writes, without what the record adds around it.
    pub fn payload_bytes(&self) -> usize {
        let segments = self.layers.iter().flat_map(|layer| &layer.segments);
        self.params.len() + segments.map(|segment| segment.bytes.len()).sum::<usize>()
    }

    /// Borrows every layer, as a decoder of this format number sees them.
    pub fn view<'a>(&'a self, format: u32, shape: &'a [usize]) -> EncodedView<'a> {
        EncodedView::new(format, shape, &self.params, self.layers.iter().map(Layer::view).collect())
    }
}
