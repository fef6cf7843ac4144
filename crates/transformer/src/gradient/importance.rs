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
    /// By tensor: the sum over rows of inputs of squared gradients by each output, experts behind each other as in a stacked tensor. Not of
    /// transposed weights, whose rows are inputs.
    pub outputs: HashMap<String, Vec<f64>>,
    /// The same as `rows` of the embedded tokens.
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
        if !seen.linear.transposed {
            let is_head = description.head.product.as_ref().is_some_and(|head| head.weight == seen.linear.weight);
            let square = if is_head { expected_square } else { |g: f32| g * g };
            let outputs = seen.linear.outputs;
            let sums = found.outputs.entry(seen.linear.weight.clone()).or_default();
            let start = seen.linear.expert.unwrap_or(0) * outputs;
            sums.resize(sums.len().max(start + outputs), 0.0);
            add_rows(&mut sums[start..start + outputs], seen.gradients, square);
        }
        Ok(())
    };
    let by_embedding = backward(description, weights, tokens, Targets::Drawn(seed), &mut see)?;
    found.embedding = mean_squares(&by_embedding, description.width).collect();
    Ok(found)
}

/// What the square of a gradient by a score is on average over the answer that is drawn, from that of one draw: it is `-p`, or `1 - p` of the
/// token that was drawn, and `p (1 - p)` either way. One draw would say nothing of words that were not drawn.
fn expected_square(g: f32) -> f32 {
    g.abs() * (1.0 - g.abs())
}

/// Adds what `square` makes of each gradient of rows to the sums of their columns.
fn add_rows(sums: &mut [f64], rows: &[f32], square: impl Fn(f32) -> f32) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, &g)| *sum += f64::from(square(g)));
    }
}

fn mean_squares(rows: &[f32], columns: usize) -> impl Iterator<Item = f32> {
    let mean =
        move |row: &[f32]| (row.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>() / columns as f64) as f32;
    rows.chunks_exact(columns).map(mean)
}
