//! One weight a token and tensor: how much the answers depend on what the tensor makes of that token.

use std::collections::HashMap;

use super::backward::backward;
use super::seen::{Seen, Targets};
use crate::description::Description;
use crate::error::TransformerError;
use crate::weights::Weights;

/// How much a sequence's answers depend on the outputs of each tensor's product.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Importance {
    /// By tensor: the mean over its outputs of squared gradients, in squared nats, one entry a row of inputs in the order of the forward pass.
    pub rows: HashMap<String, Vec<f32>>,
    /// The same of the embedded tokens.
    pub embedding: Vec<f32>,
}

/// Runs a sequence forwards and backwards, with answers drawn from the model itself.
///
/// # Errors
/// As [`backward`].
pub fn importance(
    description: &Description,
    weights: &dyn Weights,
    tokens: &[u32],
    seed: u64,
) -> Result<Importance, TransformerError> {
    let mut found = Importance::default();
    let mut see = |seen: Seen<'_>| {
        let energy = mean_squares(seen.gradients, seen.linear.outputs);
        found.rows.entry(seen.linear.weight.clone()).or_default().extend(energy);
        Ok(())
    };
    let by_embedding = backward(description, weights, tokens, Targets::Drawn(seed), &mut see)?;
    found.embedding = mean_squares(&by_embedding, description.width).collect();
    Ok(found)
}

fn mean_squares(rows: &[f32], columns: usize) -> impl Iterator<Item = f32> {
    let mean =
        move |row: &[f32]| (row.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>() / columns as f64) as f32;
    rows.chunks_exact(columns).map(mean)
}
