//! From a `config.json` and the names and shapes of a checkpoint's tensors to a [`Description`].
//!
//! | module | idea |
//! | --- | --- |
//! | `fields` | keys with types; a key nobody read is an error |
//! | `rope` | rotary positions and their scalings |
//! | `shapes` | what the shapes of tensors say, and what they allow |
//! | `families` | the families shaped like Llama, as one table of differences |
//! | `llama` | a model of such a family |
//! | `gpt2`, `gpt_neox`, `bert` | the others, one each |
//! | `check` | every tensor that is named is there, and none is left over |

mod bert;
mod check;
mod families;
mod fields;
mod gpt2;
mod gpt_neox;
mod llama;
mod rope;
mod shapes;

pub use shapes::Shapes;

use serde_json::Value;

use crate::description::Description;
use crate::error::TransformerError;
use fields::Fields;

/// Describes the model of a configuration whose checkpoint holds these tensors.
///
/// # Errors
/// [`TransformerError::Architecture`] for one nobody described, [`TransformerError::Config`] for a key that is missing, unknown or asks
/// for what is not implemented, [`TransformerError::Tensor`] for tensors that are missing, of another shape, or without a use.
pub fn describe(config: &Value, shapes: &Shapes) -> Result<Description, TransformerError> {
    let map = config.as_object().ok_or_else(|| TransformerError::config("config.json", "is no object"))?;
    let kind = map.get("model_type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| TransformerError::config("model_type", "is missing"))?;
    if map.get("quantization_config").is_some_and(|value| !value.is_null()) {
        let why = "the weights are quantised already; models are run from floating-point weights";
        return Err(TransformerError::config("quantization_config", why));
    }
    let read = |defaults| {
        let fields = Fields::new(map, defaults);
        fields.pass_over(&["model_type"]);
        fields
    };
    let description = match kind {
        "gpt2" => gpt2::describe(&read(&[]), shapes)?,
        "gpt_neox" => gpt_neox::describe(&read(&[]), shapes)?,
        "bert" => bert::describe(&read(&[]), shapes)?,
        // A model of pictures and text: its text half is a model of its own.
        "gemma3" if map.contains_key("text_config") => {
            let text = map["text_config"].as_object().cloned().unwrap_or_default();
            let mut text = Value::Object(text);
            text["model_type"] = "gemma3_text".into();
            return describe(&text, shapes);
        }
        _ => {
            let family = families::FAMILIES.iter().find(|family| family.model_type == kind).ok_or_else(|| {
                TransformerError::Architecture { model_type: kind.to_owned(), known: known().join(", ") }
            })?;
            llama::describe(family, &read(family.defaults), shapes)?
        }
    };
    check::check(&description, shapes)?;
    Ok(description)
}

/// Every `model_type` that is known.
pub fn known() -> Vec<&'static str> {
    let mut names: Vec<&str> = families::FAMILIES.iter().map(|family| family.model_type).collect();
    names.extend(["gpt2", "gpt_neox", "bert", "gemma3"]);
    names.sort_unstable();
    names
}
