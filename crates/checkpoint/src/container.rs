//! The `.sdp` container: a compressed checkpoint as one file that decodes at any prefix.
//!
//! ```text
//! magic     "SDPR"
//! version   u8 = 1
//! coding    u8: 0 the index is stored as it is, 1 it is a zstd frame
//! length    u32, bytes of the index as stored; u32, bytes of it when decoded
//! index     order u8 (0 tensor-major, 1 quality-major)
//!           metadata   varint count; per entry: varint length + key, varint length + value
//!           tensors    varint count; per tensor: varint length + name, kind u8
//!             kind 0   the record's header (see `seedpress_codec::record`), varint length before it
//!             kind 1   varint length + data type, varint rank + dimensions, varint byte count
//! crc32c    of everything above, u32
//! payload   quality-major: layer 0 of every tensor in index order, then layer 1 of those that have one, ...
//!           tensor-major: all layers of the first tensor, then of the second, ...
//!           a layer carries its own checksum; the bytes of a kind 1 tensor stand in place of layer 0, with a crc32c
//! ```
//! The index comes first, so a stream that is cut keeps it: whatever is complete decodes, and the reader says what is missing. A
//! quality-major file cut anywhere after its first layers decodes the whole model. The length of this file is a model's size in
//! every report.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::Path;

use seedpress_codec::error::DecodeErrorKind;
use seedpress_codec::tensor::element_count;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Decoded, Limits, Record, RecordHeader, RecordView, Registry};

use crate::atomic::write_atomic;
use crate::error::CheckpointError;

const MAGIC: &[u8; 4] = b"SDPR";
const VERSION: u8 = 1;
const FIXED: usize = 14;
const CHECKSUM: usize = 4;
/// An index beyond this is no index: 256 bytes a tensor for a million tensors.
const MAX_INDEX: usize = 256 << 20;

/// In which order the payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// One tensor after the other: reading one tensor touches one range of the file.
    TensorMajor,
    /// All base layers first: a stream can stop anywhere.
    #[default]
    QualityMajor,
}

/// A tensor of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Compressed weights.
    Record(Record),
    /// Bytes of a data type no codec handles, kept as they are.
    Opaque {
        /// The data type as safetensors spells it.
        dtype: String,
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

/// A compressed checkpoint ready to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// The source's own metadata.
    pub metadata: BTreeMap<String, String>,
    /// Payload order.
    pub order: Order,
    /// Named tensors in the source's order. Names are unique.
    pub entries: Vec<(String, Entry)>,
}

impl Container {
    fn index(&self) -> Vec<u8> {
        let mut index = vec![match self.order {
            Order::TensorMajor => 0,
            Order::QualityMajor => 1,
        }];
        let text = |index: &mut Vec<u8>, bytes: &[u8]| {
            index.put_varint(bytes.len() as u64);
            index.extend_from_slice(bytes);
        };
        index.put_varint(self.metadata.len() as u64);
        for (key, value) in &self.metadata {
            text(&mut index, key.as_bytes());
            text(&mut index, value.as_bytes());
        }
        index.put_varint(self.entries.len() as u64);
        for (name, entry) in &self.entries {
            text(&mut index, name.as_bytes());
            match entry {
                Entry::Record(record) => {
                    index.push(0);
                    text(&mut index, &record.header.to_bytes());
                }
                Entry::Opaque { dtype, shape, bytes } => {
                    index.push(1);
                    text(&mut index, dtype.as_bytes());
                    index.put_varint(shape.len() as u64);
                    for &dim in shape {
                        index.put_varint(dim as u64);
                    }
                    index.put_varint(bytes.len() as u64);
                }
            }
        }
        index
    }

    /// The whole file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let index = self.index();
        let packed = zstd::bulk::compress(&index, 19).ok().filter(|packed| packed.len() < index.len());
        let stored = packed.as_ref().unwrap_or(&index);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[VERSION, u8::from(packed.is_some())]);
        bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(index.len() as u32).to_le_bytes());
        bytes.extend_from_slice(stored);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let counts: Vec<usize> = self.entries.iter().map(|(_, entry)| part_count(entry)).collect();
        for (entry, part) in payload_order(self.order, &counts) {
            match &self.entries[entry].1 {
                Entry::Record(record) => bytes.extend(record.layer_bytes(part)),
                Entry::Opaque { bytes: content, .. } => {
                    bytes.extend_from_slice(content);
                    bytes.extend_from_slice(&crc32c::crc32c(content).to_le_bytes());
                }
            }
        }
        bytes
    }

    /// Writes the file, atomically; returns its length.
    ///
    /// # Errors
    /// The operating system's.
    pub fn write(&self, path: &Path) -> Result<u64, CheckpointError> {
        let bytes = self.to_bytes();
        write_atomic(path, |file| file.write_all(&bytes))?;
        Ok(bytes.len() as u64)
    }
}

fn part_count(entry: &Entry) -> usize {
    match entry {
        Entry::Record(record) => record.layers.len(),
        Entry::Opaque { .. } => 1,
    }
}

/// `(entry, layer)` in the order of the payload.
fn payload_order(order: Order, counts: &[usize]) -> Vec<(usize, usize)> {
    match order {
        Order::TensorMajor => {
            counts.iter().enumerate().flat_map(|(entry, &count)| (0..count).map(move |part| (entry, part))).collect()
        }
        Order::QualityMajor => {
            let deepest = counts.iter().copied().max().unwrap_or(0);
            let mut live: Vec<usize> = (0..counts.len()).collect();
            let mut places = Vec::with_capacity(counts.iter().sum());
            for part in 0..deepest {
                live.retain(|&entry| counts[entry] > part);
                places.extend(live.iter().map(|&entry| (entry, part)));
            }
            places
        }
    }
}

/// What is stored for a tensor, as far as the file reaches.
#[derive(Debug, Clone)]
pub enum StoredView<'a> {
    /// Compressed weights and the complete layers at hand.
    Record {
        /// The record's header.
        header: RecordHeader,
        /// Layers at hand, each with its checksum.
        layers: Vec<&'a [u8]>,
    },
    /// Bytes kept as they are, `None` where the file ends before them.
    Opaque {
        /// The data type as safetensors spells it.
        dtype: String,
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// The bytes with their checksum.
        bytes: Option<&'a [u8]>,
    },
}

/// A tensor of a parsed container.
#[derive(Debug, Clone)]
pub struct EntryView<'a> {
    /// Its name.
    pub name: String,
    /// What is stored for it.
    pub stored: StoredView<'a>,
}

impl EntryView<'_> {
    /// Layers at hand and layers in the whole file.
    pub fn layers(&self) -> (usize, usize) {
        match &self.stored {
            StoredView::Record { header, layers } => (layers.len(), header.layers.len()),
            StoredView::Opaque { bytes, .. } => (usize::from(bytes.is_some()), 1),
        }
    }

    /// Decodes the weights from the first `layers` layers, or all at hand.
    ///
    /// # Errors
    /// Truncated where layer 0 is not at hand; whatever decoding returns; corrupt for tensors that hold no weights.
    pub fn decode(
        &self,
        registry: &Registry,
        layers: Option<usize>,
        limits: &mut Limits,
    ) -> Result<Decoded, DecodeError> {
        let StoredView::Record { header, layers: parts } = &self.stored else {
            return Err(DecodeError::corrupt("this tensor holds no weights").in_tensor(&self.name));
        };
        let count = layers.unwrap_or(parts.len()).clamp(1, parts.len().max(1)).min(parts.len());
        RecordView::assemble(header.clone(), &parts[..count])
            .and_then(|record| registry.decode(&record, limits))
            .map_err(|error| error.in_tensor(&self.name))
    }

    /// The bytes of a tensor that holds no weights, verified.
    ///
    /// # Errors
    /// Truncated where they are not at hand, corrupt where the checksum differs.
    pub fn opaque_bytes(&self) -> Result<&[u8], DecodeError> {
        let StoredView::Opaque { bytes, .. } = &self.stored else {
            return Err(DecodeError::corrupt("this tensor is compressed").in_tensor(&self.name));
        };
        let bytes = bytes.ok_or_else(|| DecodeError::truncated(CHECKSUM, 0).in_tensor(&self.name))?;
        let (content, stored) = bytes.split_at(bytes.len() - CHECKSUM);
        if crc32c::crc32c(content).to_le_bytes() == stored {
            Ok(content)
        } else {
            Err(DecodeError::corrupt("checksum differs").in_tensor(&self.name))
        }
    }
}

/// A container, or a prefix of one that holds the whole index.
#[derive(Debug, Clone)]
pub struct ContainerView<'a> {
    /// The source's own metadata.
    pub metadata: BTreeMap<String, String>,
    /// Payload order.
    pub order: Order,
    /// Every tensor of the index.
    pub entries: Vec<EntryView<'a>>,
    /// Length of the whole file according to the index.
    pub whole_len: u64,
    /// Whether all of it is at hand.
    pub complete: bool,
    /// Bytes before the payload.
    pub index_len: usize,
}

impl<'a> ContainerView<'a> {
    /// Reads a container or a prefix of one. Layers' checksums are verified when they are decoded.
    ///
    /// # Errors
    /// Truncated where the index is not complete; corrupt where it lies or bytes follow the payload.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (index, index_len) = read_index(bytes)?;
        let mut reader = Reader::new(&index);
        let order = match reader.u8()? {
            0 => Order::TensorMajor,
            1 => Order::QualityMajor,
            _ => return Err(DecodeError::corrupt("unknown payload order")),
        };
        let mut metadata = BTreeMap::new();
        for _ in 0..counted(&mut reader, 2)? {
            let key = text(&mut reader)?;
            metadata.insert(key, text(&mut reader)?);
        }
        let count = counted(&mut reader, 3)?;
        let mut entries = Vec::with_capacity(count);
        let mut lengths: Vec<Vec<usize>> = Vec::with_capacity(count);
        let mut names = HashSet::with_capacity(count);
        for _ in 0..count {
            let name = text(&mut reader)?;
            if !names.insert(name.clone()) {
                return Err(DecodeError::corrupt("two tensors have the same name").in_tensor(&name));
            }
            let stored = match reader.u8()? {
                0 => {
                    let len = reader.length()?;
                    let body = reader.take(len)?;
                    let (header, used) = RecordHeader::parse(body).map_err(|error| error.in_tensor(&name))?;
                    if used != len {
                        return Err(DecodeError::corrupt("trailing bytes after a record header").in_tensor(&name));
                    }
                    lengths.push((0..header.layers.len()).map(|layer| header.layer_len(layer)).collect());
                    StoredView::Record { header, layers: Vec::new() }
                }
                1 => {
                    let dtype = text(&mut reader)?;
                    let rank = counted(&mut reader, 1)?;
                    let shape = (0..rank).map(|_| reader.length()).collect::<Result<Vec<_>, _>>()?;
                    if element_count(&shape).is_none() {
                        return Err(DecodeError::corrupt("the shape overflows").in_tensor(&name));
                    }
                    lengths.push(vec![reader.length()?.saturating_add(CHECKSUM)]);
                    StoredView::Opaque { dtype, shape, bytes: None }
                }
                _ => return Err(DecodeError::corrupt("unknown kind of tensor").in_tensor(&name)),
            };
            entries.push(EntryView { name, stored });
        }
        reader.finish()?;

        let counts: Vec<usize> = lengths.iter().map(Vec::len).collect();
        let mut rest = &bytes[index_len..];
        let mut whole_len = index_len as u64;
        let mut complete = true;
        for (entry, part) in payload_order(order, &counts) {
            let len = lengths[entry][part];
            whole_len = whole_len.saturating_add(len as u64);
            // Once one part is cut, nothing behind it is at its place.
            complete &= len <= rest.len();
            if complete {
                let (head, tail) = rest.split_at(len);
                match &mut entries[entry].stored {
                    StoredView::Record { layers, .. } => layers.push(head),
                    StoredView::Opaque { bytes, .. } => *bytes = Some(head),
                }
                rest = tail;
            }
        }
        if complete && !rest.is_empty() {
            return Err(DecodeError::corrupt("trailing bytes").at_offset(bytes.len() - rest.len()));
        }
        Ok(Self { metadata, order, entries, whole_len, complete, index_len })
    }
}

/// The decoded index and the number of bytes before the payload.
fn read_index(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, usize), DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.take(4)? != MAGIC {
        return Err(DecodeError::corrupt("not a seedpress container (the file does not start with `SDPR`)"));
    }
    let version = reader.u8()?;
    if version != VERSION {
        let (found, newest) = (u32::from(version), u32::from(VERSION));
        return Err(DecodeError::new(DecodeErrorKind::UnsupportedVersion { found, newest }));
    }
    let coding = reader.u8()?;
    let stored_len = reader.u32()? as usize;
    let decoded_len = reader.u32()? as usize;
    let stored = reader.take(stored_len)?;
    if crc32c::crc32c(&bytes[..FIXED + stored_len]) != reader.u32()? {
        return Err(DecodeError::corrupt("index checksum differs").at_offset(FIXED + stored_len));
    }
    let index = match coding {
        0 if decoded_len == stored_len => Cow::Borrowed(stored),
        // An honest index repeats itself, but not more than this: a few bytes must not ask for gigabytes.
        1 if decoded_len <= MAX_INDEX.min(stored_len.saturating_mul(256)) => {
            match zstd::bulk::decompress(stored, decoded_len) {
                Ok(index) if index.len() == decoded_len => Cow::Owned(index),
                _ => return Err(DecodeError::corrupt("the index does not decompress").at_offset(FIXED)),
            }
        }
        _ => return Err(DecodeError::corrupt("unknown index coding").at_offset(5)),
    };
    Ok((index, reader.position()))
}

/// A count whose elements take at least `least` bytes each: more than the input can hold is refused before anything is allocated.
fn counted(reader: &mut Reader<'_>, least: usize) -> Result<usize, DecodeError> {
    let count = reader.length()?;
    if count > reader.remaining() / least {
        return Err(
            DecodeError::truncated(count.saturating_mul(least), reader.remaining()).at_offset(reader.position())
        );
    }
    Ok(count)
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let at = reader.position();
    let len = reader.length()?;
    let bytes = reader.take(len)?;
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::corrupt("a name is not UTF-8").at_offset(at))?;
    Ok(text.to_owned())
}
