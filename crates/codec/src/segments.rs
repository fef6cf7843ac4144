//! The segments of a layer as a decoder sees them, and a reader that checks their roles.

use crate::error::DecodeError;
use crate::packing::exact_len;
use crate::role::Role;

/// A segment as a decoder sees it.
#[derive(Debug, Clone, Copy)]
pub struct SegmentView<'a> {
    /// What the bytes stand for.
    pub role: Role,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A complete layer as a decoder sees it.
#[derive(Debug, Clone, Default)]
pub struct LayerView<'a> {
    /// In the order the encoder wrote them.
    pub segments: Vec<SegmentView<'a>>,
}

/// Reads the segments of one layer in the order they were written.
#[derive(Debug, Clone)]
pub struct Segments<'l, 'a> {
    segments: &'l [SegmentView<'a>],
    layer: usize,
    next: usize,
}

impl<'l, 'a> Segments<'l, 'a> {
    /// Reads the segments of layer `layer`, which errors name.
    pub fn new(segments: &'l [SegmentView<'a>], layer: usize) -> Self {
        Self { segments, layer, next: 0 }
    }

    /// Segments not yet read.
    pub fn remaining(&self) -> usize {
        self.segments.len() - self.next
    }

    /// The bytes of the next segment, which must be of this role.
    ///
    /// # Errors
    /// Corrupt where it has another role or there is none.
    pub fn take(&mut self, role: Role) -> Result<&'a [u8], DecodeError> {
        let what = match self.segments.get(self.next) {
            Some(segment) if segment.role == role => {
                self.next += 1;
                return Ok(segment.bytes);
            }
            Some(_) => "a segment has another role than this codec writes",
            None => "a segment is missing",
        };
        Err(DecodeError::corrupt(what).at(self.layer, self.next))
    }

    /// As [`take`](Self::take), for a segment whose length the decoder knows.
    ///
    /// # Errors
    /// As [`take`](Self::take); truncated where the segment is shorter, corrupt where it is longer.
    pub fn exact(&mut self, role: Role, len: usize) -> Result<&'a [u8], DecodeError> {
        let at = self.next;
        let bytes = self.take(role)?;
        exact_len(bytes, len).map_err(|error| error.at(self.layer, at))?;
        Ok(bytes)
    }

    /// All segments of the layer: exactly those of the given roles.
    ///
    /// # Errors
    /// Corrupt where they are others.
    pub fn all<const N: usize>(mut self, roles: [Role; N]) -> Result<[&'a [u8]; N], DecodeError> {
        let mut bytes = [&[][..]; N];
        for (slot, role) in bytes.iter_mut().zip(roles) {
            *slot = self.take(role)?;
        }
        self.finish()?;
        Ok(bytes)
    }

    /// Fails where segments are left over.
    ///
    /// # Errors
    /// Corrupt.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            _ => Err(DecodeError::corrupt("more segments than this codec writes").at(self.layer, self.next)),
        }
    }
}
