//! A container in memory: for models that fit it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use seedpress_codec::{DecodeError, Decoded, Limits, RecordHeader, RecordView, Registry};

use super::entry::{Entry, IndexEntry, Stored, unchecked};
use super::index::{Index, filler, preamble};
use super::order::{Order, payload_order};
use crate::error::CheckpointError;
use crate::output::write_atomic;

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
    /// The whole file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_for(0)
    }

    /// The whole file, long enough to justify `memory` bytes while a tensor is decoded.
    pub fn to_bytes_for(&self, memory: u64) -> Vec<u8> {
        let entries: Vec<IndexEntry> = self
            .entries
            .iter()
            .map(|(name, entry)| IndexEntry { name: name.clone(), stored: Stored::from(entry) })
            .collect();
        let lens: Vec<Vec<u64>> = entries.iter().map(|entry| entry.stored.part_lens()).collect();
        let payload: u64 = lens.iter().flatten().sum();
        let mut bytes = preamble(self.order, &self.metadata, &entries, 0);
        let missing = filler(bytes.len() as u64 + payload, &entries, memory);
        if missing > 0 {
            bytes = preamble(self.order, &self.metadata, &entries, missing);
        }
        bytes.reserve_exact(payload as usize);
        let counts: Vec<usize> = lens.iter().map(Vec::len).collect();
        for (entry, part) in payload_order(self.order, &counts) {
            bytes.extend(self.entries[entry].1.part(part));
        }
        bytes
    }

    /// Writes the file, whole or not at all; returns its length.
    ///
    /// # Errors
    /// The operating system's.
    pub fn write(&self, path: &Path) -> Result<u64, CheckpointError> {
        let bytes = self.to_bytes();
        write_atomic(path, |file| file.write_all(&bytes))?;
        Ok(bytes.len() as u64)
    }
}

/// A tensor of a parsed container.
#[derive(Debug, Clone)]
pub struct EntryView<'a> {
    /// Its name.
    pub name: String,
    /// What is stored for it; of an alias, what is stored for the tensor it stands for.
    pub stored: Stored,
    parts: Vec<&'a [u8]>,
    total: usize,
}

impl EntryView<'_> {
    /// Layers at hand and layers in the whole file.
    pub fn layers(&self) -> (usize, usize) {
        (self.parts.len(), self.total)
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
        let header = self.stored.record();
        header
            .ok_or_else(|| DecodeError::corrupt("this tensor holds no weights"))
            .and_then(|header| decode(header, &self.parts, registry, layers, limits))
            .map_err(|error| error.in_tensor(&self.name))
    }

    /// The bytes of a tensor that holds no weights, verified.
    ///
    /// # Errors
    /// Truncated where they are not at hand, corrupt where the checksum differs.
    pub fn opaque_bytes(&self) -> Result<&[u8], DecodeError> {
        let content = match (&self.stored, self.parts.first()) {
            (Stored::Opaque { .. }, Some(part)) => unchecked(part),
            (Stored::Opaque { len, .. }, None) => Err(DecodeError::truncated(*len as usize, 0)),
            _ => Err(DecodeError::corrupt("this tensor is compressed")),
        };
        content.map_err(|error| error.in_tensor(&self.name))
    }
}

/// Decodes a record from the first of its parts.
pub(crate) fn decode(
    header: &RecordHeader,
    parts: &[&[u8]],
    registry: &Registry,
    layers: Option<usize>,
    limits: &mut Limits,
) -> Result<Decoded, DecodeError> {
    let count = layers.unwrap_or(parts.len()).clamp(1, parts.len().max(1)).min(parts.len());
    let record = RecordView::assemble(header.clone(), &parts[..count])?;
    registry.decode(&record, limits)
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
        let index = Index::parse(bytes)?;
        let at_hand = bytes.len() as u64;
        index.check_length(at_hand)?;
        check_filler(bytes, &index)?;
        let view = |entry: usize| {
            let target = index.target(entry);
            let parts = index.parts[target].iter().take(index.present(entry, at_hand));
            EntryView {
                name: index.entries[entry].name.clone(),
                stored: index.entries[target].stored.clone(),
                parts: parts.map(|part| &bytes[part.offset as usize..][..part.len as usize]).collect(),
                total: index.parts[target].len(),
            }
        };
        let entries = (0..index.entries.len()).map(view).collect();
        let (order, whole_len, index_len) = (index.order, index.whole_len, index.index_len);
        Ok(Self { entries, metadata: index.metadata, order, whole_len, complete: at_hand == whole_len, index_len })
    }
}

/// Filler holds nothing: whatever is in it would escape every checksum.
fn check_filler(bytes: &[u8], index: &Index) -> Result<(), DecodeError> {
    let end = index.index_len.min(bytes.len());
    match bytes[index.filler_start().min(end)..end].iter().all(|&byte| byte == 0) {
        true => Ok(()),
        false => Err(DecodeError::corrupt("the filler is not zero").at_offset(index.filler_start())),
    }
}
