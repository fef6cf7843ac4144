//! What is stored for one tensor.

use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Record, RecordHeader};

use super::text::{put_text, shape, text};

/// Bytes of a checksum.
pub(crate) const CHECKSUM: usize = 4;

/// A tensor of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Compressed weights.
    Record(Record),
    /// Compressed weights of a type that records do not know, with what restores it.
    Narrow {
        /// The weights as numbers.
        record: Record,
        /// How the source wrote them.
        form: SourceForm,
    },
    /// Bytes of a data type no codec handles, kept as they are.
    Opaque {
        /// The data type as safetensors spells it.
        dtype: String,
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The same tensor as the entry at this place, which is no alias itself.
    Alias(usize),
}

/// How a source wrote weights in fewer bits than a record's data types have: each is an element of `dtype` times a scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceForm {
    /// The data type as safetensors spells it, e.g. `F8_E4M3`.
    pub dtype: String,
    /// The place of the tensor of scales among the entries; `None` where elements are the weights.
    pub scale: Option<usize>,
    /// Along each axis of the weights, how many share a scale. Empty without scales.
    pub block: Vec<usize>,
    /// Whether the record holds products of elements and scales; otherwise it holds elements.
    pub applied: bool,
}

/// What the index says of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its name.
    pub name: String,
    /// What is stored for it.
    pub stored: Stored,
}

/// What is stored for a tensor, without the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Compressed weights.
    Record(Box<RecordHeader>),
    /// Compressed weights of a type that records do not know.
    Narrow {
        /// Of the weights as numbers.
        header: Box<RecordHeader>,
        /// How the source wrote them.
        form: Box<SourceForm>,
    },
    /// Bytes kept as they are.
    Opaque {
        /// The data type as safetensors spells it.
        dtype: String,
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// How many bytes, without checksum.
        len: u64,
    },
    /// The same as the entry at this place.
    Alias(usize),
}

impl From<&Entry> for Stored {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Record(record) => Self::Record(Box::new(record.header.clone())),
            Entry::Narrow { record, form } => {
                Self::Narrow { header: Box::new(record.header.clone()), form: Box::new(form.clone()) }
            }
            Entry::Opaque { dtype, shape, bytes } => {
                Self::Opaque { dtype: dtype.clone(), shape: shape.clone(), len: bytes.len() as u64 }
            }
            Entry::Alias(other) => Self::Alias(*other),
        }
    }
}

impl Entry {
    /// The bytes of part `part`, checksum included.
    pub(crate) fn part(&self, part: usize) -> Vec<u8> {
        match self {
            Self::Record(record) | Self::Narrow { record, .. } => record.layer_bytes(part),
            Self::Opaque { bytes, .. } => {
                let mut part = bytes.clone();
                part.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
                part
            }
            Self::Alias(_) => Vec::new(),
        }
    }
}

impl Stored {
    /// The header of compressed weights.
    pub fn record(&self) -> Option<&RecordHeader> {
        match self {
            Self::Record(header) | Self::Narrow { header, .. } => Some(header),
            Self::Opaque { .. } | Self::Alias(_) => None,
        }
    }

    /// Puts another place for the tensor that this one refers to.
    pub(crate) fn refer(&mut self, place: impl FnOnce(usize) -> usize) {
        match self {
            Self::Alias(other) => *other = place(*other),
            Self::Narrow { form, .. } => form.scale = form.scale.map(place),
            Self::Record(_) | Self::Opaque { .. } => {}
        }
    }

    /// Bytes of each part in the file, checksums included.
    pub(crate) fn part_lens(&self) -> Vec<u64> {
        match self {
            Self::Record(header) | Self::Narrow { header, .. } => {
                (0..header.layers.len()).map(|layer| header.layer_len(layer) as u64).collect()
            }
            Self::Opaque { len, .. } => vec![len.saturating_add(CHECKSUM as u64)],
            Self::Alias(_) => Vec::new(),
        }
    }
}

impl IndexEntry {
    /// Appends the entry as the index has it.
    pub(crate) fn put(&self, index: &mut Vec<u8>) {
        put_text(index, self.name.as_bytes());
        match &self.stored {
            Stored::Record(header) => {
                index.push(0);
                put_text(index, &header.to_bytes());
            }
            Stored::Opaque { dtype, shape, len } => {
                index.push(1);
                put_text(index, dtype.as_bytes());
                put_shape(index, shape);
                index.put_varint(*len);
            }
            Stored::Alias(other) => {
                index.push(2);
                index.put_varint(*other as u64);
            }
            Stored::Narrow { header, form } => {
                index.push(3);
                put_text(index, form.dtype.as_bytes());
                index.put_varint(form.scale.map_or(0, |scale| scale as u64 + 1));
                index.push(u8::from(form.applied));
                put_shape(index, &form.block);
                put_text(index, &header.to_bytes());
            }
        }
    }

    /// Reads an entry of an index of this version.
    pub(crate) fn read(reader: &mut Reader<'_>, version: u8) -> Result<Self, DecodeError> {
        let name = text(reader)?;
        let stored = match (reader.u8()?, version) {
            (0, _) => Ok(Stored::Record(header(reader, &name)?)),
            (1, _) => opaque(reader),
            (2, 2..) => reader.length().map(Stored::Alias),
            (3, 2..) => narrow(reader, &name),
            _ => Err(DecodeError::corrupt("unknown kind of tensor")),
        };
        let stored = stored.map_err(|error| error.in_tensor(&name))?;
        Ok(Self { name, stored })
    }
}

fn opaque(reader: &mut Reader<'_>) -> Result<Stored, DecodeError> {
    Ok(Stored::Opaque { dtype: text(reader)?, shape: shape(reader)?, len: reader.varint()? })
}

fn narrow(reader: &mut Reader<'_>, name: &str) -> Result<Stored, DecodeError> {
    let dtype = text(reader)?;
    let scale = reader.length()?.checked_sub(1);
    let applied = match reader.u8()? {
        0 => false,
        1 if scale.is_some() => true,
        _ => return Err(DecodeError::corrupt("unknown use of scales")),
    };
    let block = shape(reader)?;
    let header = header(reader, name)?;
    let axes = if scale.is_some() { header.shape.len() } else { 0 };
    if block.len() != axes || block.contains(&0) {
        return Err(DecodeError::corrupt("blocks of scales do not fit the shape"));
    }
    Ok(Stored::Narrow { header, form: Box::new(SourceForm { dtype, scale, block, applied }) })
}

fn header(reader: &mut Reader<'_>, name: &str) -> Result<Box<RecordHeader>, DecodeError> {
    let len = reader.length()?;
    let body = reader.take(len)?;
    let (header, used) = RecordHeader::parse(body).map_err(|error| error.in_tensor(name))?;
    if used != len {
        return Err(DecodeError::corrupt("trailing bytes after a record header"));
    }
    Ok(Box::new(header))
}

fn put_shape(index: &mut Vec<u8>, shape: &[usize]) {
    index.put_varint(shape.len() as u64);
    for &dim in shape {
        index.put_varint(dim as u64);
    }
}

/// The content of a part, its checksum verified.
pub(crate) fn unchecked(part: &[u8]) -> Result<&[u8], DecodeError> {
    let Some((content, stored)) = part.split_last_chunk::<CHECKSUM>() else {
        return Err(DecodeError::truncated(CHECKSUM, part.len()));
    };
    if crc32c::crc32c(content).to_le_bytes() == *stored {
        Ok(content)
    } else {
        Err(DecodeError::corrupt("checksum differs"))
    }
}
