//! One compressed tensor as bytes.
//!
//! ```text
//! header   version u8: 3 where bit 3 of the flags is set, else 2 where one above bit 0 is, else 1
//!          codec id, stage id      u8 length + bytes (stage empty where there is none)
//!          codec format, stage format   varint
//!          data type u8
//!          flags u8   bit 0: the last segment of layer 0 holds exceptions; bit 1: in their second layout (with bit 0);
//!                     bit 2: stacked matrices, which codecs see as one tall matrix; bit 3: exceptions in their third layout
//!                     (with bits 0 and 1)
//!          rank varint, dimensions varint each
//!          params   varint length + bytes
//!          layers   varint count; per layer: varint segment count; per segment: role u8, varint length
//!          crc32c of all of the above, u32
//! layer 0  its segments' bytes one after another, crc32c of them, u32
//! layer 1  ...
//! ```
//! A record cut inside layer `k > 0` decodes from the layers before it. Integers are little-endian, varints are LEB128 in their
//! shortest form. The length of these bytes is the size every report quotes.

mod header;

pub use self::header::{MAX_RANK, RecordHeader};

use self::header::CHECKSUM;
use crate::encoded::{Layer, Segment, Symbols};
use crate::error::DecodeError;
use crate::exceptions::Exceptions;
use crate::segments::{LayerView, SegmentView};
use crate::tensor::Tensor;
use crate::view::EncodedView;

/// A compressed tensor ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The header.
    pub header: RecordHeader,
    /// The layers, as the header describes them.
    pub layers: Vec<Layer>,
}

impl Record {
    /// Reads a whole record back from its bytes, to write or join it again; [`Registry::decode`](crate::Registry::decode) needs only a
    /// [`RecordView`]. What segments' symbols were is not on the wire: they come back as opaque.
    ///
    /// # Errors
    /// As [`RecordView::parse`]; truncated where any layer is cut.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let view = RecordView::parse(bytes)?;
        let (header, cut) = (&view.header, view.layers.len());
        if cut < header.layers.len() {
            let needed =
                (0..=cut).fold(header.to_bytes().len(), |sum, layer| sum.saturating_add(header.layer_len(layer)));
            return Err(DecodeError { layer: Some(cut), ..DecodeError::truncated(needed, bytes.len()) });
        }
        let owned = |segment: &SegmentView<'_>| Segment::new(segment.role, Symbols::OPAQUE, segment.bytes.to_vec());
        let layers = view.layers.iter().map(|layer| Layer { segments: layer.segments.iter().map(owned).collect() });
        Ok(Self { layers: layers.collect(), header: view.header })
    }

    /// Bytes of layer `index`, checksum included.
    pub fn layer_bytes(&self, index: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.header.layer_len(index));
        for segment in &self.layers[index].segments {
            bytes.extend_from_slice(&segment.bytes);
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The whole record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_bytes();
        for index in 0..self.layers.len() {
            bytes.extend(self.layer_bytes(index));
        }
        bytes
    }

    /// Bytes by role; `header` (checksums included) is what no role accounts for.
    pub fn bytes_by_role(&self) -> Vec<(&'static str, u64)> {
        let mut roles = std::collections::BTreeMap::new();
        for segment in self.layers.iter().flat_map(|layer| &layer.segments) {
            *roles.entry(segment.role).or_insert(0u64) += segment.bytes.len() as u64;
        }
        let header = self.header.to_bytes().len() + CHECKSUM * self.layers.len();
        let mut parts: Vec<_> = roles.into_iter().map(|(role, bytes)| (role.name(), bytes)).collect();
        parts.push(("header", header as u64));
        parts
    }
}

/// A record, or a prefix of one, whose checksums are verified.
#[derive(Debug, Clone)]
pub struct RecordView<'a> {
    /// The header.
    pub header: RecordHeader,
    /// The shape that codecs are given.
    coded_shape: Vec<usize>,
    /// The complete layers present, without checksums: at least one.
    layers: Vec<LayerView<'a>>,
}

impl<'a> RecordView<'a> {
    /// Reads a record or a prefix of one that holds at least layer 0. Layers that are cut off are left out.
    ///
    /// # Errors
    /// As [`RecordHeader::parse`]; truncated where layer 0 is incomplete; corrupt where a complete layer's checksum differs or bytes
    /// follow the last layer.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, at) = RecordHeader::parse(bytes)?;
        let mut rest = &bytes[at..];
        let mut parts = Vec::new();
        for index in 0..header.layers.len() {
            let len = header.layer_len(index);
            if len > rest.len() {
                if index == 0 {
                    let mut error = DecodeError::truncated(at.saturating_add(len), bytes.len());
                    error.layer = Some(0);
                    return Err(error);
                }
                return Self::assemble(header, &parts);
            }
            let (layer, tail) = rest.split_at(len);
            parts.push(layer);
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(DecodeError::corrupt("trailing bytes").at_offset(bytes.len() - rest.len()));
        }
        Self::assemble(header, &parts)
    }

    /// Joins a header with its first layers, each as [`Record::layer_bytes`] wrote it.
    ///
    /// # Errors
    /// Corrupt where a length or a checksum differs, truncated where there is no layer at all.
    pub fn assemble(header: RecordHeader, parts: &[&'a [u8]]) -> Result<Self, DecodeError> {
        if parts.is_empty() {
            return Err(DecodeError::truncated(header.layer_len(0), 0));
        }
        let mut layers = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let fault = |what| {
                let mut error = DecodeError::corrupt(what);
                error.layer = Some(index);
                error
            };
            if index >= header.layers.len() || part.len() != header.layer_len(index) {
                return Err(fault("a layer's length differs from its header"));
            }
            let (body, stored) = part.split_at(part.len() - CHECKSUM);
            if crc32c::crc32c(body).to_le_bytes() != stored {
                return Err(fault("layer checksum differs"));
            }
            let mut at = 0;
            let segments = header.layers[index]
                .iter()
                .map(|&(role, len)| {
                    let bytes = &body[at..at + len];
                    at += len;
                    SegmentView { role, bytes }
                })
                .collect();
            layers.push(LayerView { segments });
        }
        let coded_shape = header.matrix_view.coded_shape(&header.shape);
        Ok(Self { header, coded_shape, layers })
    }

    /// Layers present.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Keeps the first `count` layers (at least one).
    pub fn truncate(&mut self, count: usize) {
        self.layers.truncate(count.max(1));
    }

    /// The layers as the decoder of the outermost stage or codec sees them, and the exceptions segment.
    pub fn parts(&self) -> (EncodedView<'_>, Option<&'a [u8]>) {
        let mut layers = self.layers.clone();
        let present = self.header.exceptions != Exceptions::None;
        let exceptions = if present { layers[0].segments.pop().map(|s| s.bytes) } else { None };
        let RecordHeader { codec_format, params, .. } = &self.header;
        (EncodedView::new(*codec_format, &self.coded_shape, params, layers), exceptions)
    }
}

/// A decoded tensor and how much of its stream it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The tensor, rounded to its source data type.
    pub tensor: Tensor,
    /// Layers used.
    pub layers: usize,
    /// Layers the whole record has.
    pub layers_total: usize,
}
