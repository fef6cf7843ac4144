//! What the shapes of a checkpoint's tensors say and allow, and names of activations.

use std::collections::BTreeMap;

use crate::description::Activation;
use crate::error::TransformerError;

/// Shapes of a checkpoint's tensors by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The activation of this name.
pub(super) fn activation(key: &str, name: &str) -> Result<Activation, TransformerError> {
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
pub(super) fn prefix<'a>(shapes: &Shapes, prefixes: &[&'a str], tensor: &str) -> Result<&'a str, TransformerError> {
    let found = prefixes.iter().find(|prefix| shapes.contains_key(&format!("{prefix}{tensor}")));
    found.copied().ok_or_else(|| TransformerError::tensor(&format!("{}{tensor}", prefixes[0]), "is missing"))
}

/// As many blocks or experts as the configuration says; more than the checkpoint has tensors cannot be.
pub(super) fn at_most_tensors(key: &str, count: usize, shapes: &Shapes) -> Result<usize, TransformerError> {
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
pub(super) fn divided(key: &str, whole: usize, count: usize) -> Result<usize, TransformerError> {
    match whole.is_multiple_of(count) {
        true => Ok(whole / count),
        false => Err(TransformerError::config(key, format!("{count} does not divide {whole}"))),
    }
}
