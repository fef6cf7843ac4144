//! From the head back through every block.

use rayon::prelude::*;
use seedpress_matrix::{View, multiply};
use seedpress_model::random::SplitMix;

use super::seen::{Seen, Sight, Targets};
use super::{attention, layers};
use crate::description::{Block, Description, FeedForward, Residual};
use crate::error::TransformerError;
use crate::forward;
use crate::layers::{add, normalised};
use crate::math::{exp, log_sum_exp};
use crate::weights::Weights;

/// Rows whose scores are held together.
const SCORED: usize = 256;

/// Probabilities that count as none.
const RARE: f32 = 1e-12;

/// Derives the sum over a sequence of `log p(y_t)`, last block first. Returns the gradient by the embedded tokens `[tokens, width]`.
///
/// # Errors
/// An encoder, tokens the model does not know, weights that cannot be read, and what `sight` returns.
pub fn backward(
    description: &Description,
    weights: &dyn Weights,
    tokens: &[u32],
    targets: Targets<'_>,
    sight: &mut Sight<'_>,
) -> Result<Vec<f32>, TransformerError> {
    if description.head.product.is_none() || description.blocks.iter().any(|block| block.residual == Residual::PostNorm)
    {
        return Err(TransformerError::Input("an encoder predicts no text".to_owned()));
    }
    let mut states = vec![forward::embed(description, weights, &[tokens])?];
    for block in &description.blocks {
        let mut hidden = states[states.len() - 1].clone();
        forward::block(block, weights, &mut hidden, &[tokens.len()], &mut |_| Ok(()))?;
        states.push(hidden);
    }
    let last = states.pop().unwrap_or_default();
    let mut gradient = head(description, weights, &last, targets, sight)?;
    for (block, hidden) in description.blocks.iter().zip(&states).rev() {
        gradient = whole_block(block, weights, hidden, tokens.len(), gradient, sight)?;
    }
    Ok(gradient)
}

/// Through the head: the gradient by the hidden states behind the last block.
fn head(
    description: &Description,
    weights: &dyn Weights,
    hidden: &[f32],
    targets: Targets<'_>,
    sight: &mut Sight<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let (width, vocabulary) = (description.width, description.vocabulary);
    let product = description.head.product.as_ref().filter(|head| head.outputs == vocabulary);
    let product = product.ok_or_else(|| TransformerError::Input("the head is no score a token".to_owned()))?;
    let weight = weights.values(&product.weight, 0..product.outputs * width)?;
    let mut gradient = Vec::with_capacity(hidden.len());
    for (part, rows) in hidden.chunks(SCORED * width).enumerate() {
        let mut inputs = Vec::new();
        let mut scores = forward::head(description, weights, rows, &mut |seen| {
            inputs = seen.rows.to_vec();
            Ok(())
        })?;
        scores.par_chunks_exact_mut(vocabulary).enumerate().for_each(|(row, scores)| {
            let position = part * SCORED + row;
            let total = log_sum_exp(scores);
            let target = match targets {
                Targets::Given(given) => given[position] as usize,
                Targets::Drawn(seed) => draw(scores, total, seed, position as u64),
            };
            for (at, score) in scores.iter_mut().enumerate() {
                let probability = exp((f64::from(*score) - total) as f32);
                // What is too rare to matter would fill the products with denormal numbers, which are slow.
                let own = f32::from(u8::from(at == target)) - if probability > RARE { probability } else { 0.0 };
                let slope = description.head.soft_cap.map_or(1.0, |cap| 1.0 - (*score / cap) * (*score / cap));
                *score = own * slope;
            }
        });
        sight(Seen { linear: product, inputs: &inputs, gradients: &scores })?;
        let mut by_inputs = vec![0f32; rows.len()];
        multiply(&mut by_inputs, width, View::new(&scores, vocabulary), View::new(&weight, width));
        gradient.extend(layers::norm(description.head.norm.as_ref(), weights, rows, by_inputs, width)?);
    }
    Ok(gradient)
}

/// A token drawn from the distribution with these scores.
fn draw(scores: &[f32], total: f64, seed: u64, position: u64) -> usize {
    let mut left = (SplitMix::behind(seed, position).bits() >> 11) as f64 / (1u64 << 53) as f64;
    for (at, &score) in scores.iter().enumerate() {
        left -= libm::exp(f64::from(score) - total);
        if left < 0.0 {
            return at;
        }
    }
    scores.len() - 1
}

/// Through a block: the gradient by its inputs.
fn whole_block(
    block: &Block,
    weights: &dyn Weights,
    hidden: &[f32],
    tokens: usize,
    gradient: Vec<f32>,
    sight: &mut Sight<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let width = hidden.len() / tokens;
    if block.residual == Residual::Parallel {
        let by_network = feed_forward(block, weights, hidden, width, &gradient, sight)?;
        let mut sum = attention::half(block, weights, hidden, width, &gradient, sight)?;
        add(&mut sum, &by_network);
        add(&mut sum, &gradient);
        return Ok(sum);
    }
    let mut between = hidden.to_vec();
    forward::part(block, forward::Half::Attention, weights, &mut between, &[tokens], &mut |_| Ok(()))?;
    let mut gradient = gradient;
    let by_network = feed_forward(block, weights, &between, width, &gradient, sight)?;
    add(&mut gradient, &by_network);
    let by_attention = attention::half(block, weights, hidden, width, &gradient, sight)?;
    add(&mut gradient, &by_attention);
    Ok(gradient)
}

/// Through the feed-forward half, without what goes past it.
fn feed_forward(
    block: &Block,
    weights: &dyn Weights,
    hidden: &[f32],
    width: usize,
    gradient: &[f32],
    sight: &mut Sight<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let input = normalised(block.feed_forward_input.as_ref(), weights, hidden.to_vec(), width)?;
    let mut gradient = gradient.to_vec();
    if let Some(norm) = &block.feed_forward_output {
        let answers = forward::network_or_experts(&block.feed_forward, weights, &input, width, &mut |_| Ok(()))?;
        gradient = layers::norm(Some(norm), weights, &answers, gradient, width)?;
    }
    let by_input = match &block.feed_forward {
        FeedForward::Dense(mlp) => layers::network(mlp, weights, &input, &gradient, sight)?,
        FeedForward::Experts(experts) => layers::mixture(experts, weights, &input, width, &gradient, sight)?,
    };
    layers::norm(block.feed_forward_input.as_ref(), weights, hidden, by_input, width)
}
