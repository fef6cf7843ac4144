//! The stages a TOML `then = ".."` names. Each recodes every segment of a layer by itself.

mod ans;
mod context;
mod range;
mod zstd;

pub(crate) use self::ans::{Ans, PlanesAns};
pub(crate) use self::context::Context;
pub(crate) use self::range::Range;
pub(crate) use self::zstd::Zstd;

use seedpress_codec::{DecodeError, LayerView, Limits};

/// Decodes each segment of a layer by `restore`, naming the segment in errors.
fn each(
    layer: &LayerView<'_>,
    mut restore: impl FnMut(&[u8]) -> Result<Vec<u8>, DecodeError>,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    let segments = layer.segments.iter().enumerate();
    segments.map(|(index, segment)| restore(segment.bytes).map_err(|error| error.at(0, index))).collect()
}

/// Bytes kept as they are, within the limits.
fn stored(bytes: &[u8], limits: &mut Limits) -> Result<Vec<u8>, DecodeError> {
    let mut copy = limits.vec(bytes.len())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}
