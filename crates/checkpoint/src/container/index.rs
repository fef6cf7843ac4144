//! The index of a container: what is stored for every tensor, and where. See [the module above](super) for the bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use seedpress_codec::error::DecodeErrorKind;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Limits};

use super::entry::{CHECKSUM, IndexEntry, Stored};
use super::order::{Order, payload_order};
use super::text::{counted, put_text, text};

pub(super) const MAGIC: &[u8; 4] = b"SDPR";
/// Aliases, source forms and filler came with version 2; a file that needs none of them is written as version 1.
const NEWEST: u8 = 2;
/// Bytes before the index.
pub(crate) const FIXED: usize = 14;
/// An index beyond this is no index: 256 bytes a tensor for a million tensors.
pub(crate) const MAX_INDEX: usize = 256 << 20;
/// An index of this many bytes may be coded in any number of bytes: a small file then costs a reader this much, which is little.
const FREE_INDEX: usize = 512 << 10;
/// Beyond that, decoded bytes of index per stored byte: a few bytes must not ask for gigabytes.
const INDEX_EXPANSION: usize = 256;

/// Whether a coded index is read: the rule of reader and writer alike.
fn may_be_coded(stored: usize, decoded: usize) -> bool {
    decoded <= MAX_INDEX && decoded <= FREE_INDEX.max(stored.saturating_mul(INDEX_EXPANSION))
}

/// A range of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From the start of the file.
    pub offset: u64,
    /// Bytes, checksum included.
    pub len: u64,
}

/// A parsed index.
#[derive(Debug, Clone)]
pub struct Index {
    /// The source's own metadata.
    pub metadata: BTreeMap<String, String>,
    /// Payload order.
    pub order: Order,
    /// Every tensor, in the source's order.
    pub entries: Vec<IndexEntry>,
    /// For each entry, where its parts are: the layers of a record, the bytes of a tensor kept as it is, nothing of an alias.
    pub parts: Vec<Vec<Part>>,
    /// Bytes before the payload.
    pub index_len: usize,
    /// Length of the whole file.
    pub whole_len: u64,
    filler: usize,
}

/// Everything before the payload.
pub(crate) fn preamble(
    order: Order,
    metadata: &BTreeMap<String, String>,
    entries: &[IndexEntry],
    filler: u64,
) -> Vec<u8> {
    let index = index_bytes(order, metadata, entries, filler);
    let packed = zstd::bulk::compress(&index, 19)
        .ok()
        .filter(|packed| packed.len() < index.len() && may_be_coded(packed.len(), index.len()));
    let stored = packed.as_ref().unwrap_or(&index);
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[version(entries, filler), u8::from(packed.is_some())]);
    bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(index.len() as u32).to_le_bytes());
    bytes.extend_from_slice(stored);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.resize(bytes.len() + filler as usize, 0);
    bytes
}

fn version(entries: &[IndexEntry], filler: u64) -> u8 {
    let newer = |entry: &IndexEntry| matches!(entry.stored, Stored::Alias(_) | Stored::Narrow { .. });
    if filler > 0 || entries.iter().any(newer) { 2 } else { 1 }
}

fn index_bytes(order: Order, metadata: &BTreeMap<String, String>, entries: &[IndexEntry], filler: u64) -> Vec<u8> {
    let mut index = vec![match order {
        Order::TensorMajor => 0,
        Order::QualityMajor => 1,
    }];
    if version(entries, filler) > 1 {
        index.put_varint(filler);
    }
    index.put_varint(metadata.len() as u64);
    for (key, value) in metadata {
        put_text(&mut index, key.as_bytes());
        put_text(&mut index, value.as_bytes());
    }
    index.put_varint(entries.len() as u64);
    for entry in entries {
        entry.put(&mut index);
    }
    index
}

impl Index {
    /// Reads what comes before the payload from the start of `bytes`, which may be a part of the file.
    ///
    /// # Errors
    /// Truncated where the index is not complete; corrupt where it lies; of a newer version.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, index, end) = unpack(bytes)?;
        let mut reader = Reader::new(&index);
        let order = match reader.u8()? {
            0 => Order::TensorMajor,
            1 => Order::QualityMajor,
            _ => return Err(DecodeError::corrupt("unknown payload order")),
        };
        let filler = if version > 1 { reader.length()? } else { 0 };
        let index_len = end.checked_add(filler).ok_or(DecodeError::corrupt("the filler is too long"))?;
        let mut metadata: BTreeMap<String, String> = BTreeMap::new();
        for _ in 0..counted(&mut reader, 2)? {
            let key = text(&mut reader)?;
            if metadata.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(DecodeError::corrupt("metadata is not in order"));
            }
            metadata.insert(key, text(&mut reader)?);
        }
        let count = counted(&mut reader, 3)?;
        // An entry in memory is many times longer than the three bytes that may declare it: no room ahead of what is read.
        let mut entries: Vec<IndexEntry> = Vec::new();
        for _ in 0..count {
            entries.push(IndexEntry::read(&mut reader, version)?);
        }
        reader.finish()?;
        check_names(&entries)?;
        check_references(&entries)?;
        let (parts, whole_len) = place(order, &entries, index_len as u64)?;
        Ok(Self { metadata, order, entries, parts, index_len, whole_len, filler })
    }

    /// The index of several containers as if their files followed each other: entries and parts in that order.
    ///
    /// # Errors
    /// Corrupt where two have a tensor or a key of metadata in common, differ in their payload order, or lengths overflow.
    pub(crate) fn joined(indices: Vec<Self>) -> Result<Self, DecodeError> {
        let order = indices.first().map_or(Order::default(), |index| index.order);
        let mut all = Self {
            metadata: BTreeMap::new(),
            order,
            entries: Vec::new(),
            parts: Vec::new(),
            index_len: 0,
            whole_len: 0,
            filler: 0,
        };
        for index in indices {
            if index.order != order {
                return Err(DecodeError::corrupt("shards differ in the order of their payload"));
            }
            for (key, value) in index.metadata {
                if all.metadata.insert(key, value).is_some() {
                    return Err(DecodeError::corrupt("two shards have the same key of metadata"));
                }
            }
            let (first, start) = (all.entries.len(), all.whole_len);
            all.whole_len =
                start.checked_add(index.whole_len).ok_or(DecodeError::corrupt("the lengths of shards overflow"))?;
            all.index_len += index.index_len;
            all.entries.extend(index.entries.into_iter().map(|mut entry| {
                entry.stored.refer(|place| place + first);
                entry
            }));
            let moved = |part: Part| Part { offset: part.offset + start, len: part.len };
            all.parts.extend(index.parts.into_iter().map(|parts| parts.into_iter().map(moved).collect::<Vec<_>>()));
        }
        check_names(&all.entries)?;
        Ok(all)
    }

    /// Bytes to read to know where the index ends, given the first [`FIXED`] bytes of a file.
    pub(crate) fn stored_len(fixed: &[u8; FIXED]) -> Result<usize, DecodeError> {
        let mut reader = Reader::new(fixed);
        check_start(&mut reader)?;
        reader.u8()?;
        Ok(FIXED + reader.u32()? as usize + CHECKSUM)
    }

    /// The tensor whose bytes stand for tensor `entry`: itself, unless it is an alias.
    pub fn target(&self, entry: usize) -> usize {
        match self.entries[entry].stored {
            Stored::Alias(other) => other,
            _ => entry,
        }
    }

    /// Bytes of decoded values that the index declares: four for every weight, whatever is kept as it is once more for every alias.
    pub fn declared(&self) -> u64 {
        declared(&self.entries)
    }

    /// Bytes of the tensors at the source.
    pub fn source_bytes(&self) -> u64 {
        let one = |entry: usize| match &self.entries[self.target(entry)].stored {
            Stored::Record(header) => (header.weights() as u64).saturating_mul(header.dtype.size() as u64),
            Stored::Narrow { header, .. } => header.weights() as u64,
            Stored::Opaque { len, .. } => *len,
            Stored::Alias(_) => 0,
        };
        (0..self.entries.len()).fold(0, |sum, entry| one(entry).saturating_add(sum))
    }

    /// Fails where the index declares more than `at_hand` bytes of file justify.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Limit`].
    pub fn check_declared(&self, at_hand: u64) -> Result<(), DecodeError> {
        let (asked, allowed) = (self.declared(), Limits::justified(at_hand));
        if asked <= allowed {
            return Ok(());
        }
        Err(DecodeError::new(DecodeErrorKind::Limit { asked, allowed }))
    }

    /// Fails where more bytes are at hand than the file has.
    ///
    /// # Errors
    /// Corrupt.
    pub fn check_length(&self, at_hand: u64) -> Result<(), DecodeError> {
        if at_hand <= self.whole_len {
            return Ok(());
        }
        Err(DecodeError::corrupt("trailing bytes").at_offset(self.whole_len as usize))
    }

    /// Where the filler begins.
    pub(crate) fn filler_start(&self) -> usize {
        self.index_len - self.filler
    }

    /// Complete parts of an entry in the first `at_hand` bytes of the file.
    pub fn present(&self, entry: usize, at_hand: u64) -> usize {
        let ends = self.parts[self.target(entry)].iter().map(|part| part.offset + part.len);
        ends.take_while(|&end| end <= at_hand).count()
    }
}

pub(crate) fn declared(entries: &[IndexEntry]) -> u64 {
    (0..entries.len()).fold(0u64, |sum, place| sum.saturating_add(declared_one(entries, place)))
}

/// Bytes of decoded values that one of the entries declares.
pub(crate) fn declared_one(entries: &[IndexEntry], place: usize) -> u64 {
    let values = |stored: &Stored| match stored {
        Stored::Record(header) | Stored::Narrow { header, .. } => (header.weights() as u64).saturating_mul(4),
        Stored::Opaque { .. } | Stored::Alias(_) => 0,
    };
    match &entries[place].stored {
        Stored::Alias(other) => match &entries[*other].stored {
            Stored::Opaque { len, .. } => *len,
            stored => values(stored),
        },
        stored => values(stored),
    }
}

/// Filler that makes a file of `len` bytes long enough for its own contents to be justified.
pub(crate) fn filler(len: u64, entries: &[IndexEntry], memory: u64) -> u64 {
    Limits::least_input(declared(entries), memory).saturating_sub(len)
}

fn check_names(entries: &[IndexEntry]) -> Result<(), DecodeError> {
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(DecodeError::corrupt("two tensors have the same name").in_tensor(pair[0])),
        None => Ok(()),
    }
}

/// Aliases name an entry that is none, scales a tensor that is no alias and has no scales itself.
fn check_references(entries: &[IndexEntry]) -> Result<(), DecodeError> {
    for entry in entries {
        let fault = |what| Err(DecodeError::corrupt(what).in_tensor(&entry.name));
        match &entry.stored {
            Stored::Alias(other) => match entries.get(*other).map(|other| &other.stored) {
                None | Some(Stored::Alias(_)) => return fault("an alias of no stored tensor"),
                Some(_) => {}
            },
            Stored::Narrow { form, .. } => {
                let scale = form.scale.map(|scale| entries.get(scale).map(|other| &other.stored));
                if matches!(scale, Some(None | Some(Stored::Narrow { .. } | Stored::Alias(_)))) {
                    return fault("its scales are no stored tensor");
                }
            }
            Stored::Record(_) | Stored::Opaque { .. } => {}
        }
    }
    Ok(())
}

/// Where every part lies, and where the file ends.
fn place(order: Order, entries: &[IndexEntry], start: u64) -> Result<(Vec<Vec<Part>>, u64), DecodeError> {
    let lengths: Vec<Vec<u64>> = entries.iter().map(|entry| entry.stored.part_lens()).collect();
    let counts: Vec<usize> = lengths.iter().map(Vec::len).collect();
    let mut parts: Vec<Vec<Part>> = counts.iter().map(|&count| Vec::with_capacity(count)).collect();
    let mut at = start;
    for (entry, part) in payload_order(order, &counts) {
        let len = lengths[entry][part];
        parts[entry].push(Part { offset: at, len });
        at = at.checked_add(len).ok_or(DecodeError::corrupt("the lengths overflow"))?;
    }
    Ok((parts, at))
}

fn check_start(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    if reader.take(4)? != MAGIC {
        return Err(DecodeError::corrupt("not a seedpress container (the file does not start with `SDPR`)"));
    }
    match reader.u8()? {
        version @ 1..=NEWEST => Ok(version),
        version => {
            let (found, newest) = (u32::from(version), u32::from(NEWEST));
            Err(DecodeError::new(DecodeErrorKind::UnsupportedVersion { found, newest }))
        }
    }
}

/// The version, the decoded index and the number of bytes it takes in the file with everything around it.
fn unpack(bytes: &[u8]) -> Result<(u8, Cow<'_, [u8]>, usize), DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = check_start(&mut reader)?;
    let coding = reader.u8()?;
    let stored_len = reader.u32()? as usize;
    let decoded_len = reader.u32()? as usize;
    let stored = reader.take(stored_len)?;
    if crc32c::crc32c(&bytes[..FIXED + stored_len]) != reader.u32()? {
        return Err(DecodeError::corrupt("index checksum differs").at_offset(FIXED + stored_len));
    }
    let index = match coding {
        0 if decoded_len == stored_len => Cow::Borrowed(stored),
        1 if may_be_coded(stored_len, decoded_len) => match zstd::bulk::decompress(stored, decoded_len) {
            Ok(index) if index.len() == decoded_len => Cow::Owned(index),
            _ => return Err(DecodeError::corrupt("the index does not decompress").at_offset(FIXED)),
        },
        1 => return Err(DecodeError::corrupt("the index is longer than its bytes justify").at_offset(5)),
        _ => return Err(DecodeError::corrupt("unknown index coding").at_offset(5)),
    };
    Ok((version, index, reader.position()))
}
