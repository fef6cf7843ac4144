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

use crate::encoded::{Layer, Role, Segment, Symbols};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::exceptions::Exceptions;
use crate::matrix::MatrixView;
use crate::tensor::{DType, Tensor, element_count};
use crate::view::{EncodedView, LayerView, SegmentView};
use crate::wire::{Put, Reader};

/// The newest version, and the oldest.
const VERSION: u8 = 3;
const PLAIN_VERSION: u8 = 1;

/// Flags of the header.
const HAS_EXCEPTIONS: u8 = 1;
const SECOND_LAYOUT: u8 = 2;
const STACKED: u8 = 4;
const THIRD_LAYOUT: u8 = 8;
const ALL: u8 = HAS_EXCEPTIONS | SECOND_LAYOUT;
const AND_LOUD_ROWS: u8 = ALL | THIRD_LAYOUT;

/// Highest rank of a tensor that a record holds: more axes are no tensor but an attack on the reader.
pub const MAX_RANK: usize = 64;
const CHECKSUM: usize = 4;

/// What a record says of its tensor and of the bytes that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeader {
    /// Codec id.
    pub codec: String,
    /// Version of the codec's bytes.
    pub codec_format: u32,
    /// Stage id, empty where there is none.
    pub stage: String,
    /// Version of the stage's bytes, 0 where there is none.
    pub stage_format: u32,
    /// Source data type.
    pub dtype: DType,
    /// The tensor's shape.
    pub shape: Vec<usize>,
    /// Which axes are outputs.
    pub matrix_view: MatrixView,
    /// The codec's parameter bytes.
    pub params: Vec<u8>,
    /// What the last segment of layer 0 holds, where it holds exceptions.
    pub exceptions: Exceptions,
    /// Role and length of every segment of every layer.
    pub layers: Vec<Vec<(Role, usize)>>,
}

impl RecordHeader {
    /// Number of weights.
    pub fn weights(&self) -> usize {
        element_count(&self.shape).unwrap_or(usize::MAX)
    }

    /// Bytes of layer `index` as stored, checksum included.
    pub fn layer_len(&self, index: usize) -> usize {
        self.layers[index].iter().fold(CHECKSUM, |sum, &(_, len)| sum.saturating_add(len))
    }

    /// Serialises the header with its checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let flags = match self.exceptions {
            Exceptions::None => 0,
            Exceptions::NonFinite => HAS_EXCEPTIONS,
            Exceptions::All => ALL,
            Exceptions::AndLoudRows => AND_LOUD_ROWS,
        };
        let flags = flags | if self.matrix_view == MatrixView::Stacked { STACKED } else { 0 };
        let mut bytes = vec![version_of(flags)];
        for name in [&self.codec, &self.stage] {
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.put_varint(u64::from(self.codec_format));
        bytes.put_varint(u64::from(self.stage_format));
        bytes.push(match self.dtype {
            DType::F32 => 0,
            DType::F16 => 1,
            DType::BF16 => 2,
        });
        bytes.push(flags);
        bytes.put_varint(self.shape.len() as u64);
        for &dim in &self.shape {
            bytes.put_varint(dim as u64);
        }
        bytes.put_varint(self.params.len() as u64);
        bytes.extend_from_slice(&self.params);
        bytes.put_varint(self.layers.len() as u64);
        for layer in &self.layers {
            bytes.put_varint(layer.len() as u64);
            for &(role, len) in layer {
                bytes.push(role as u8);
                bytes.put_varint(len as u64);
            }
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header from the start of `bytes`; also returns its length.
    ///
    /// # Errors
    /// Truncated, corrupt (checksum, illegal values) or of a newer version.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if !(PLAIN_VERSION..=VERSION).contains(&version) {
            return Err(DecodeError::new(DecodeErrorKind::UnsupportedVersion {
                found: u32::from(version),
                newest: u32::from(VERSION),
            }));
        }
        let codec = name(&mut reader)?;
        let stage = name(&mut reader)?;
        let codec_format = narrow(reader.varint()?)?;
        let stage_format = narrow(reader.varint()?)?;
        let dtype = match reader.u8()? {
            0 => DType::F32,
            1 => DType::F16,
            2 => DType::BF16,
            _ => return Err(DecodeError::corrupt("unknown data type").at_offset(reader.position() - 1)),
        };
        let (exceptions, matrix_view) = flags(&mut reader, version)?;
        let rank = reader.length()?;
        if rank > MAX_RANK {
            return Err(DecodeError::corrupt("rank above 64").at_offset(reader.position()));
        }
        let shape = (0..rank).map(|_| reader.length()).collect::<Result<Vec<_>, _>>()?;
        if element_count(&shape).is_none() {
            return Err(DecodeError::corrupt("the shape overflows").at_offset(reader.position()));
        }
        let params_len = reader.length()?;
        let params = reader.take(params_len)?.to_vec();
        let layers = layers(&mut reader)?;
        let body = reader.position();
        let stored = reader.u32()?;
        if crc32c::crc32c(&bytes[..body]) != stored {
            return Err(DecodeError::corrupt("header checksum differs").at_offset(body));
        }
        if layers.is_empty() {
            return Err(DecodeError::corrupt("a record has at least one layer"));
        }
        if exceptions != Exceptions::None && layers[0].last().is_none_or(|&(role, _)| role != Role::Exceptions) {
            return Err(DecodeError::corrupt("the exceptions segment is missing"));
        }
        let header =
            Self { codec, codec_format, stage, stage_format, dtype, shape, matrix_view, params, exceptions, layers };
        Ok((header, reader.position()))
    }
}

/// The lowest version that has these flags.
fn version_of(flags: u8) -> u8 {
    match flags {
        0 | HAS_EXCEPTIONS => PLAIN_VERSION,
        _ if flags & THIRD_LAYOUT == 0 => 2,
        _ => VERSION,
    }
}

/// The flags of a header of this version.
fn flags(reader: &mut Reader<'_>, version: u8) -> Result<(Exceptions, MatrixView), DecodeError> {
    let at = reader.position();
    let flags = reader.u8()?;
    let exceptions = match flags & !STACKED {
        0 => Exceptions::None,
        HAS_EXCEPTIONS => Exceptions::NonFinite,
        ALL => Exceptions::All,
        AND_LOUD_ROWS => Exceptions::AndLoudRows,
        _ => return Err(DecodeError::corrupt("unknown flags").at_offset(at)),
    };
    if version_of(flags) != version {
        return Err(DecodeError::corrupt("flags of another version").at_offset(at));
    }
    let matrix_view = if flags & STACKED != 0 { MatrixView::Stacked } else { MatrixView::FirstAxis };
    Ok((exceptions, matrix_view))
}

/// Role and length of every segment, layer by layer.
fn layers(reader: &mut Reader<'_>) -> Result<Vec<Vec<(Role, usize)>>, DecodeError> {
    let layer_count = reader.length()?;
    // A layer takes at least one byte of header, a segment two: counts beyond that are not backed by input.
    if layer_count > reader.remaining() {
        return Err(DecodeError::truncated(layer_count, reader.remaining()).at_offset(reader.position()));
    }
    let mut layers = Vec::with_capacity(layer_count);
    for _ in 0..layer_count {
        let count = reader.length()?;
        if count > reader.remaining() / 2 {
            return Err(
                DecodeError::truncated(count.saturating_mul(2), reader.remaining()).at_offset(reader.position())
            );
        }
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            let at = reader.position();
            let role = Role::from_wire(reader.u8()?).ok_or(DecodeError::corrupt("unknown role").at_offset(at))?;
            segments.push((role, reader.length()?));
        }
        layers.push(segments);
    }
    Ok(layers)
}

fn name(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let at = reader.position();
    let len = usize::from(reader.u8()?);
    let bytes = reader.take(len)?;
    match std::str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err(DecodeError::corrupt("a codec or stage name is not printable ASCII").at_offset(at)),
    }
}

fn narrow(value: u64) -> Result<u32, DecodeError> {
    u32::try_from(value).map_err(|_| DecodeError::corrupt("a format version does not fit 32 bits"))
}

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
