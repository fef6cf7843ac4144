//! Grids inside the streams of our codecs: codes are taken over as they are, since quantising what they decode to would give the same ones
//! only by luck.

pub mod gptq;
mod held;
pub mod hqq;
pub mod rtn;

pub use held::Held;

use seedpress_codec::{DecodeError, EncodedView};

/// Codecs whose streams hold a grid.
pub const CODECS: &[&str] = &["rtn", "gptq", "awq", "hqq"];

/// The grid of a stream of `codec`; `None` where streams of this codec hold none.
///
/// # Errors
/// A damaged stream.
pub fn held(codec: &str, encoded: &EncodedView<'_>) -> Result<Option<Held>, DecodeError> {
    Ok(Some(match codec {
        "rtn" => Held::Grid(rtn::grid(encoded)?),
        "gptq" | "awq" => gptq::grid(encoded)?,
        "hqq" => Held::Grid(hqq::grid(encoded)?),
        _ => return Ok(None),
    }))
}
