//! Keys of rows: a hash of everything a measurement depends on.

use seedpress_codec::{AnyCodec, Tensor};
use seedpress_results::{Code, Recipe};
use xxhash_rust::xxh3::xxh3_128;

/// Changes when the meaning of a stored row does: older rows are then measured anew.
/// 2: keys hold the revisions of encoders; rows without them may be of any age. 3: keys are of recipes, not of names.
const SCHEMA: u32 = 3;

/// Options that codecs got when rows of them had been stored, with the value that means what there was before. Keys leave it out, so that
/// these rows stay current.
const ADDED: [(&str, &str, &str); 4] = [
    ("bitshift", "hessian", "none"),
    ("seedlm-paper", "hessian", "none"),
    ("seedlm-progressive", "hessian", "none"),
    ("trellis", "transform", "none"),
];

/// A recipe as keys hold it.
pub(crate) fn recipe(mut recipe: Recipe) -> Recipe {
    if let Some(options) = recipe.options.as_object_mut() {
        for (_, option, value) in ADDED.into_iter().filter(|added| added.0 == recipe.codec_id) {
            if options.get(option).is_some_and(|own| own == value) {
                options.remove(option);
            }
        }
    }
    recipe
}

/// A row's key from the values it depends on.
pub(crate) fn key(parts: &serde_json::Value) -> String {
    let text = serde_json::json!([SCHEMA, parts]).to_string();
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// The hash of a tensor's type, shape and values as the checkpoint stores them.
pub(crate) fn content(tensor: &Tensor) -> String {
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

#[cfg(test)]
mod tests {
    use seedpress_results::{Mode, Recipe};

    #[test]
    fn options_that_were_added_later_count_where_they_say_something() {
        let key = |options: serde_json::Value| {
            let recipe = Recipe { codec_id: "bitshift".into(), stage: String::new(), options, mode: Mode::Plain };
            super::key(&serde_json::json!(super::recipe(recipe)))
        };
        let before = key(serde_json::json!({"bits": 2}));
        assert_eq!(before, key(serde_json::json!({"bits": 2, "hessian": "none"})));
        assert_ne!(before, key(serde_json::json!({"bits": 2, "hessian": "full"})));
    }
}
