//! A stream as its decoder sees it: borrowed layers of segments, the format number, and the codecs it may nest.

use crate::encoded::Role;
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::packing::exact_len;
use crate::registry::Registry;
use crate::tensor::matrix_shape;

/// Codecs inside codecs: deeper streams are refused, so that hostile bytes cannot exhaust the stack.
const DEEPEST_NESTING: u8 = 4;

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

/// A compressed tensor, or a prefix of one, as a decoder sees it. At least one layer is present; absent ones were not received.
///
/// Decoders read segments through [`single`](Self::single) or [`segments`](Self::segments), which check roles and say in their errors
/// where a fault lies.
#[derive(Debug, Clone)]
pub struct EncodedView<'a> {
    /// The version of the bytes: the codec's `FORMAT` when they were written, at most its `FORMAT` of today.
    pub format: u32,
    /// The tensor's shape.
    pub shape: &'a [usize],
    /// The codec's parameter bytes.
    pub params: &'a [u8],
    /// The complete layers at hand.
    pub layers: Vec<LayerView<'a>>,
    codecs: &'a Registry,
    depth: u8,
}

/// What a view that was not read from a record knows.
static NO_CODECS: Registry = Registry::new();

impl<'a> EncodedView<'a> {
    /// A stream of this format number that nests no codec.
    pub fn new(format: u32, shape: &'a [usize], params: &'a [u8], layers: Vec<LayerView<'a>>) -> Self {
        Self { format, shape, params, layers, codecs: &NO_CODECS, depth: 0 }
    }

    /// The same stream with codecs that it may nest.
    #[must_use]
    pub fn with_codecs(self, codecs: &'a Registry) -> Self {
        Self { codecs, ..self }
    }

    /// Rows of the matrix view of the shape (see [`matrix_shape`]).
    pub fn rows(&self) -> usize {
        matrix_shape(self.shape).0
    }

    /// Columns of the matrix view of the shape (see [`matrix_shape`]).
    pub fn columns(&self) -> usize {
        matrix_shape(self.shape).1
    }

    /// The segments of a stream of one layer: exactly those of the given roles, in this order.
    ///
    /// # Errors
    /// Corrupt where there are more layers, other roles, or more or fewer segments.
    pub fn single<const N: usize>(&self, roles: [Role; N]) -> Result<[&'a [u8]; N], DecodeError> {
        if self.layers.len() != 1 {
            return Err(DecodeError::corrupt("exactly one layer is expected"));
        }
        self.segments(0)?.all(roles)
    }

    /// A reader of the segments of a layer.
    ///
    /// # Errors
    /// Truncated where the layer is not at hand.
    pub fn segments(&self, layer: usize) -> Result<Segments<'_, 'a>, DecodeError> {
        match self.layers.get(layer) {
            Some(view) => Ok(Segments::new(&view.segments, layer)),
            None => Err(DecodeError { layer: Some(layer), ..DecodeError::truncated(layer + 1, self.layers.len()) }),
        }
    }

    /// Decodes what the codec `id` wrote inside this stream into `out`, zeroed and as long as the shape of `nested` says.
    ///
    /// # Errors
    /// An unknown codec, a newer format, nesting too deep, or whatever the codec says of the bytes.
    pub fn decode_nested(
        &self,
        id: &str,
        nested: EncodedView<'_>,
        out: &mut [f32],
        limits: &mut Limits,
    ) -> Result<(), DecodeError> {
        let depth = self.depth + 1;
        if depth > DEEPEST_NESTING {
            return Err(DecodeError::corrupt("codecs are nested too deeply"));
        }
        self.codecs.decode_view(id, &EncodedView { codecs: self.codecs, depth, ..nested }, out, limits)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeErrorKind;

    fn two<'a>() -> LayerView<'a> {
        let segment = |role, bytes| SegmentView { role, bytes };
        LayerView { segments: vec![segment(Role::Scales, &[1, 2][..]), segment(Role::Indices, &[3][..])] }
    }

    #[test]
    fn segments_are_read_in_order_and_faults_are_placed() {
        let view = EncodedView::new(1, &[3], &[], vec![two()]);
        assert_eq!(view.single([Role::Scales, Role::Indices]).unwrap(), [&[1, 2][..], &[3]]);
        let place = |error: DecodeError| (error.layer, error.segment);
        assert_eq!(place(view.single([Role::Scales]).unwrap_err()), (Some(0), Some(1)));
        assert_eq!(place(view.single([Role::Indices, Role::Scales]).unwrap_err()), (Some(0), Some(0)));
        assert_eq!(place(view.single([Role::Scales, Role::Indices, Role::Signs]).unwrap_err()), (Some(0), Some(2)));
        let mut segments = view.segments(0).unwrap();
        let cut = segments.exact(Role::Scales, 4).unwrap_err();
        assert_eq!(cut.kind, DecodeErrorKind::Truncated { needed: 4, have: 2 });
        assert_eq!(place(cut), (Some(0), Some(0)));
        assert!(matches!(view.segments(1).unwrap_err().kind, DecodeErrorKind::Truncated { .. }));
        let layered = EncodedView::new(1, &[3], &[], vec![two(), two()]);
        assert!(layered.single([Role::Scales, Role::Indices]).is_err());
    }
}
