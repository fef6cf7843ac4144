//! The header of a record: what it says of the tensor and of the bytes that follow, and how that is written.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::exceptions::Exceptions;
use crate::matrix::MatrixView;
use crate::role::Role;
use crate::tensor::{DType, element_count};
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
/// Bytes of a checksum.
pub(crate) const CHECKSUM: usize = 4;

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
