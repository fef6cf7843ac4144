//! Lossless recoding of a codec's segments: what `then = ".."` names.

use crate::encoded::Layer;
use crate::error::{DecodeError, EncodeError};
use crate::limits::Limits;
use crate::segments::LayerView;

/// A lossless stage behind any codec. It works layer by layer, so every prefix that decoded without it decodes with it.
pub trait Stage: Send + Sync + 'static {
    /// The name in TOML and on the wire.
    fn id(&self) -> &'static str;

    /// Version of the bytes it writes. Bytes of every older version must stay decodable.
    fn format(&self) -> u32;

    /// Revision of the encoder: raised whenever it writes other bytes for some input than before (see
    /// [`Codec::REVISION`](crate::Codec::REVISION)).
    fn revision(&self) -> u32 {
        1
    }

    /// One line for listings.
    fn summary(&self) -> &'static str;

    /// Recodes one layer: as many byte strings as the layer has segments, in their order. The declared symbols say what the bytes of
    /// a segment mean; the result must carry everything [`decode`](Self::decode) needs to restore the segments' bytes exactly.
    ///
    /// # Errors
    /// Internal faults only: every segment can be coded.
    fn encode(&self, layer: &Layer) -> Result<Vec<Vec<u8>>, EncodeError>;

    /// Restores the bytes of every segment of a layer. `format` is the version of the bytes: what [`format`](Self::format) said when
    /// they were written, and at most what it says today.
    ///
    /// # Errors
    /// Any [`DecodeError`] with the segment set.
    fn decode(&self, format: u32, layer: &LayerView<'_>, limits: &mut Limits) -> Result<Vec<Vec<u8>>, DecodeError>;
}
