//! A stream as its decoder sees it: borrowed layers of segments, the format number, and the decoders of what it may nest.

use std::collections::BTreeMap;

use crate::error::DecodeError;
use crate::limits::Limits;
use crate::role::Role;
use crate::segments::{LayerView, Segments};
use crate::tensor::matrix_shape;

/// Codecs inside codecs: deeper streams are refused, so that hostile bytes cannot exhaust the stack.
const DEEPEST_NESTING: u8 = 4;

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
    decoders: &'a Decoders,
    depth: u8,
}

/// What a view that was not read from a record knows.
static NO_DECODERS: Decoders = Decoders::new();

impl<'a> EncodedView<'a> {
    /// A stream of this format number that nests no codec.
    pub fn new(format: u32, shape: &'a [usize], params: &'a [u8], layers: Vec<LayerView<'a>>) -> Self {
        Self { format, shape, params, layers, decoders: &NO_DECODERS, depth: 0 }
    }

    /// The same stream with the decoders of what it may nest: [`Registry::decoders`](crate::Registry::decoders).
    #[must_use]
    pub fn with_decoders(self, decoders: &'a Decoders) -> Self {
        Self { decoders, ..self }
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
        self.decoders.decode(id, &EncodedView { decoders: self.decoders, depth, ..nested }, out, limits)
    }
}

/// What a codec's `decode` is.
pub(crate) type Decode = fn(&EncodedView<'_>, &mut [f32], &mut Limits) -> Result<(), DecodeError>;

/// The decoders of every registered codec, by its id: all that a stream which nests others needs of a registry.
#[derive(Debug, Clone, Default)]
pub struct Decoders {
    /// With the newest format that each reads.
    by_id: BTreeMap<&'static str, (u32, Decode)>,
}

impl Decoders {
    const fn new() -> Self {
        Self { by_id: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, id: &'static str, newest_format: u32, decode: Decode) {
        self.by_id.insert(id, (newest_format, decode));
    }

    /// The decoder of a stream of this format.
    ///
    /// # Errors
    /// An unknown codec, a newer format.
    pub(crate) fn find(&self, id: &str, format: u32) -> Result<Decode, DecodeError> {
        let &(newest, decode) = self.by_id.get(id).ok_or_else(|| DecodeError::unknown_codec(id))?;
        DecodeError::check_version(format, newest)?;
        Ok(decode)
    }

    /// The codec's own decoder, without record or stage.
    ///
    /// # Errors
    /// An unknown codec, a newer format, or whatever the codec says of the bytes.
    pub(crate) fn decode(
        &self,
        id: &str,
        view: &EncodedView<'_>,
        out: &mut [f32],
        limits: &mut Limits,
    ) -> Result<(), DecodeError> {
        self.find(id, view.format)?(view, out, limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeErrorKind;
    use crate::segments::SegmentView;

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
