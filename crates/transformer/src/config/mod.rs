//! From a `config.json` and the names and shapes of a checkpoint's tensors to a [`Description`].
//!
//! | module | idea |
//! | --- | --- |
//! | `fields` | keys with types; a key nobody read is an error |
//! | `rope` | rotary positions and their scalings |
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

use std::collections::BTreeMap;

use serde_json::Value;

use crate::description::{Activation, Description};
use crate::error::TransformerError;
use fields::Fields;

/// Shapes of a checkpoint's tensors by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

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

/// The activation of this name.
fn activation(key: &str, name: &str) -> Result<Activation, TransformerError> {
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        "relu2" => Ok(Activation::ReluSquared),
        other => Err(TransformerError::config(key, format!("activation `{other}` is not implemented"))),
    }
}

/// The first of these prefixes under which the checkpoint holds a tensor of this name.
fn prefix<'a>(shapes: &Shapes, prefixes: &[&'a str], tensor: &str) -> Result<&'a str, TransformerError> {
    let found = prefixes.iter().find(|prefix| shapes.contains_key(&format!("{prefix}{tensor}")));
    found.copied().ok_or_else(|| TransformerError::tensor(&format!("{}{tensor}", prefixes[0]), "is missing"))
}

/// As many blocks or experts as the configuration says; more than the checkpoint has tensors cannot be.
fn at_most_tensors(key: &str, count: usize, shapes: &Shapes) -> Result<usize, TransformerError> {
    match count <= shapes.len().max(1) * MOST_PER_TENSOR {
        true => Ok(count),
        false => {
            Err(TransformerError::config(key, format!("{count}, but the checkpoint holds {} tensors", shapes.len())))
        }
    }
}

/// Experts in one three-dimensional tensor: the largest models of today have 512.
const MOST_PER_TENSOR: usize = 4096;

/// `count` parts of equal size.
fn divided(key: &str, whole: usize, count: usize) -> Result<usize, TransformerError> {
    match whole.is_multiple_of(count) {
        true => Ok(whole / count),
        false => Err(TransformerError::config(key, format!("{count} does not divide {whole}"))),
    }
}
