//! Gradients of attention within a sequence.

use rayon::prelude::*;
use seedpress_matrix::{View, add_product, product as multiplied};

use super::layers::{norm, norm_of_parts, product};
use super::seen::Sight;
use crate::attention::{Heads, TILE, probabilities, span};
use crate::description::{Attention, Block, NormSpan, Projections};
use crate::error::TransformerError;
use crate::forward::{self, Projected};
use crate::layers::{add, linear, normalised};
use crate::rotary::Turns;
use crate::weights::Weights;

/// Through the attention half of a block for one sequence, without what goes past it.
pub(super) fn half(
    block: &Block,
    weights: &dyn Weights,
    hidden: &[f32],
    width: usize,
    gradient: &[f32],
    sight: &mut Sight<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let attention = &block.attention;
    let tokens = hidden.len() / width;
    let input = normalised(block.attention_input.as_ref(), weights, hidden.to_vec(), width)?;
    let raw = forward::project(attention, weights, &input)?;
    let mut turned = raw.clone();
    forward::turn(attention, weights, &mut turned, &[tokens])?;
    let mut answers = vec![0f32; tokens * attention.heads * attention.head_size];
    crate::attention::attend(attention, turned.heads(0, tokens), tokens, &mut answers);
    let mut gradient = gradient.to_vec();
    if let Some(output) = &block.attention_output {
        gradient = norm(Some(output), weights, &linear(&attention.output, weights, &answers)?, gradient, width)?;
    }
    let by_answers = product(&attention.output, weights, &answers, &gradient, sight)?;
    let mut by = turned.zeros();
    mix(attention, &turned, tokens, &by_answers, &mut by);
    turn_back(attention, weights, &raw, tokens, &mut by)?;
    let buffer = |at: usize| by.parts[at].values.as_slice();
    let by_input = match &attention.projections {
        Projections::Separate { query, key, value } => {
            let mut sum = product(query, weights, &input, buffer(0), sight)?;
            add(&mut sum, &product(key, weights, &input, buffer(1), sight)?);
            add(&mut sum, &product(value, weights, &input, buffer(2), sight)?);
            sum
        }
        Projections::Stacked(all) | Projections::Interleaved(all) => product(all, weights, &input, buffer(0), sight)?,
    };
    norm(block.attention_input.as_ref(), weights, hidden, by_input, width)
}

/// Undoes what [`forward::turn`] did to queries and keys: rotation, then norms.
fn turn_back(
    attention: &Attention,
    weights: &dyn Weights,
    raw: &Projected,
    tokens: usize,
    by: &mut Projected,
) -> Result<(), TransformerError> {
    let counts = [attention.heads, attention.key_heads];
    if let Some(rotary) = &attention.rotary {
        let turns = Turns::new(rotary, tokens);
        for (at, count) in counts.into_iter().enumerate() {
            let (offset, part) = by.part_mut(at);
            turns.undo(&mut part.values, part.stride, offset, count, part.step);
        }
    }
    for (at, norm) in [&attention.query_norm, &attention.key_norm].into_iter().enumerate() {
        let Some(norm) = norm else { continue };
        let (count, size) = match attention.norm_span {
            NormSpan::Head => (counts[at], attention.head_size),
            NormSpan::All => (1, counts[at] * attention.head_size),
        };
        let inputs = &raw.part(at).1.values;
        let (offset, part) = by.part_mut(at);
        let layout = [part.stride, offset, count, part.step];
        norm_of_parts(norm, weights, inputs, &mut part.values, size, layout)?;
    }
    Ok(())
}

/// Gradients of one key head: by its keys and values, and by the queries of its group, `[heads, tokens, size]`.
struct Group {
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Gradients by rotated queries and keys, and values.
fn mix(attention: &Attention, turned: &Projected, tokens: usize, by_answers: &[f32], by: &mut Projected) {
    let size = attention.head_size;
    let group = attention.heads / attention.key_heads;
    let heads = turned.heads(0, tokens);
    let one = |key_head: usize| one_group(attention, heads, tokens, by_answers, key_head);
    let groups: Vec<Group> = (0..attention.key_heads).into_par_iter().map(one).collect();
    for (key_head, found) in groups.iter().enumerate() {
        for (head, queries) in found.queries.chunks_exact(tokens * size).enumerate() {
            by.set(0, key_head * group + head, size, queries);
        }
        by.set(1, key_head, size, &found.keys);
        by.set(2, key_head, size, &found.values);
    }
}

fn one_group(
    attention: &Attention,
    [queries, keys, values]: [Heads<'_>; 3],
    tokens: usize,
    by_answers: &[f32],
    key_head: usize,
) -> Group {
    let (size, width) = (attention.head_size, attention.heads * attention.head_size);
    let group = attention.heads / attention.key_heads;
    let heads = key_head * group..(key_head + 1) * group;
    let by_answers = Heads { values: by_answers, stride: width, step: size };
    let whole = || vec![0f32; tokens * size];
    let mut found = Group { queries: vec![0f32; group * tokens * size], keys: whole(), values: whole() };
    for from in (0..tokens).step_by(TILE) {
        let rows = TILE.min(tokens - from);
        let (first, end) = span(attention, from, rows, tokens);
        let count = end - first;
        let stacked = queries.stack(heads.clone(), from, rows, size);
        let query = View::new(&stacked, size);
        let key = keys.head(key_head, first, count, size);
        let mut capped = Vec::new();
        let p = probabilities(attention, [from, rows, first, tokens], query, key, Some(&mut capped));
        let stacked = by_answers.stack(heads.clone(), from, rows, size);
        let answers = View::new(&stacked, size);
        let mut slopes = multiplied(answers, values.head(key_head, first, count, size).t());
        for (slopes, p) in slopes.chunks_exact_mut(count).zip(p.chunks_exact(count)) {
            let mean: f32 = slopes.iter().zip(p).map(|(slope, p)| slope * p).sum();
            slopes.iter_mut().zip(p).for_each(|(slope, p)| *slope = p * (*slope - mean) * attention.scale);
        }
        if let Some(cap) = attention.soft_cap {
            slopes.iter_mut().zip(&capped).for_each(|(slope, s)| *slope *= 1.0 - (s / cap) * (s / cap));
        }
        let slopes = View::new(&slopes, count);
        let own = multiplied(slopes, key);
        for (head, own) in own.chunks_exact(rows * size).enumerate() {
            found.queries[(head * tokens + from) * size..][..rows * size].copy_from_slice(own);
        }
        add_product(&mut found.keys[first * size..end * size], size, slopes.t(), query);
        add_product(&mut found.values[first * size..end * size], size, View::new(&p, count).t(), answers);
    }
    found
}
