//! Keys of rows: a hash of everything a measurement depends on.

use seedpress_codec::{AnyCodec, Tensor};
use seedpress_results::Code;
use xxhash_rust::xxh3::xxh3_128;

/// Changes when the meaning of a stored row does: older rows are then measured anew.
/// 2: keys hold the revisions of encoders; rows without them may be of any age. 3: keys are of recipes, not of names.
const SCHEMA: u32 = 3;

/// A row's key from the values it depends on.
pub fn key(parts: &serde_json::Value) -> String {
    let text = serde_json::json!([SCHEMA, parts]).to_string();
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// The hash of a tensor's type, shape and values as the checkpoint stores them.
pub fn content(tensor: &Tensor) -> String {
    let values = xxh3_128(&tensor.to_le_bytes());
    key(&serde_json::json!([tensor.dtype(), tensor.shape(), format!("{values:032x}")]))
}

/// Adds the versions of a codec and of its stage.
pub(crate) fn add_code(code: &mut Code, codec: &AnyCodec) {
    let [format, revision, stage_format, stage_revision] = codec.code();
    code.0.insert(codec.id().to_owned(), format!("{format}.{revision}"));
    if let Some(stage) = codec.stage() {
        code.0.insert(stage.to_owned(), format!("{stage_format}.{stage_revision}"));
    }
}
