//! The forward pass in steps: embedding, one block after the other, head.

use std::collections::HashMap;

use rayon::prelude::*;
use seedpress_matrix::{View, multiply};

use crate::attention::{Heads, attend};
use crate::description::{Attention, Block, Description, FeedForward, Linear, NormSpan, Projections, Residual};
use crate::error::TransformerError;
use crate::experts::{mixture, route};
use crate::layers::{Inputs, Tap, add, linear, network, normalise, normalised};
use crate::math::tanh;
use crate::rotary::Turns;
use crate::weights::Weights;

/// Rows of hidden states that go through a block together, at the least one sequence: intermediate values exist for these alone.
pub const ROWS: usize = 4096;
/// Rows of the head's matrix that are widened together.
const HEAD_ROWS: usize = 16_384;

/// Hidden states of the sequences' tokens, one row a token, sequence after sequence.
///
/// # Errors
/// A token number the model does not know, or a sequence longer than its learned positions.
pub fn embed(
    description: &Description,
    weights: &dyn Weights,
    sequences: &[&[u32]],
) -> Result<Vec<f32>, TransformerError> {
    let (embedding, width) = (&description.embedding, description.width);
    let row = |tensor: &str, index: usize| weights.values(tensor, index * width..(index + 1) * width);
    let mut hidden = Vec::with_capacity(sequences.iter().map(|sequence| sequence.len()).sum::<usize>() * width);
    for sequence in sequences {
        for (position, &token) in sequence.iter().enumerate() {
            if token as usize >= description.vocabulary {
                let what = format!("token {token}, but the model knows {}", description.vocabulary);
                return Err(TransformerError::Input(what));
            }
            let start = hidden.len();
            hidden.extend(row(&embedding.tokens, token as usize)?.iter().map(|value| value * embedding.scale));
            let mut more =
                |values: &[f32]| hidden[start..].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            if let Some(positions) = &embedding.positions {
                if position >= description.context {
                    let what = format!("a sequence beyond the model's {} positions", description.context);
                    return Err(TransformerError::Input(what));
                }
                more(&row(positions, position)?);
            }
            if let Some(types) = &embedding.types {
                more(&row(types, 0)?);
            }
        }
    }
    normalised(embedding.norm.as_ref(), weights, hidden, width)
}

/// Moves hidden states of sequences of these lengths through one block. `tap` sees what each weight multiplies, several times for
/// many rows: the same calls whatever the number of threads.
///
/// # Errors
/// Weights that cannot be read, and what `tap` returns.
pub fn block(
    block: &Block,
    weights: &dyn Weights,
    hidden: &mut [f32],
    lengths: &[usize],
    tap: &mut Tap<'_>,
) -> Result<(), TransformerError> {
    part(block, Half::Both, weights, hidden, lengths, tap)
}

/// How much of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Attention.
    Attention,
    /// The feed-forward network.
    FeedForward,
    /// One after the other, or side by side.
    Both,
}

/// As [`block`], of a half of it. Where the halves run side by side there is only `Both`.
///
/// # Errors
/// As [`block`].
///
/// # Panics
/// For a half of a block whose halves run side by side.
pub fn part(
    block: &Block,
    half: Half,
    weights: &dyn Weights,
    hidden: &mut [f32],
    lengths: &[usize],
    tap: &mut Tap<'_>,
) -> Result<(), TransformerError> {
    assert!(half == Half::Both || block.residual != Residual::Parallel, "the halves run side by side");
    let tokens: usize = lengths.iter().sum();
    if tokens == 0 {
        return Ok(());
    }
    let width = hidden.len() / tokens;
    let mut rest = hidden;
    let mut lengths = lengths;
    while !lengths.is_empty() {
        let mut rows = 0;
        let count = lengths.iter().take_while(|&&length| {
            let fits = rows == 0 || rows + length <= ROWS;
            rows += if fits { length } else { 0 };
            fits
        });
        let (group, others) = lengths.split_at(count.count());
        let (own, after) = rest.split_at_mut(rows * width);
        halves(block, half, weights, own, width, group, tap)?;
        (rest, lengths) = (after, others);
    }
    Ok(())
}

fn halves(
    block: &Block,
    half: Half,
    weights: &dyn Weights,
    hidden: &mut [f32],
    width: usize,
    lengths: &[usize],
    tap: &mut Tap<'_>,
) -> Result<(), TransformerError> {
    let attend = |hidden: &[f32], tap: &mut Tap<'_>| {
        let input = normalised(block.attention_input.as_ref(), weights, hidden.to_vec(), width)?;
        attention(&block.attention, weights, &input, width, lengths, tap)
    };
    if block.residual == Residual::Parallel {
        let change = normalised(block.attention_output.as_ref(), weights, attend(hidden, tap)?, width)?;
        let more = feed_forward(block, weights, hidden, width, tap)?;
        let more = normalised(block.feed_forward_output.as_ref(), weights, more, width)?;
        add(hidden, &change);
        add(hidden, &more);
        return Ok(());
    }
    if half != Half::FeedForward {
        let change = attend(hidden, tap)?;
        join(block.residual, block.attention_output.as_ref(), weights, hidden, change, width)?;
    }
    if half != Half::Attention {
        let change = feed_forward(block, weights, hidden, width, tap)?;
        join(block.residual, block.feed_forward_output.as_ref(), weights, hidden, change, width)?;
    }
    Ok(())
}

/// Adds a half's answer to the residual stream.
fn join(
    residual: Residual,
    norm: Option<&crate::description::Norm>,
    weights: &dyn Weights,
    hidden: &mut [f32],
    change: Vec<f32>,
    width: usize,
) -> Result<(), TransformerError> {
    match (residual, norm) {
        (Residual::PostNorm, Some(norm)) => {
            add(hidden, &change);
            normalise(norm, weights, hidden, width, [width, 0, 1, width])
        }
        (_, norm) => {
            add(hidden, &normalised(norm, weights, change, width)?);
            Ok(())
        }
    }
}

fn feed_forward(
    block: &Block,
    weights: &dyn Weights,
    hidden: &[f32],
    width: usize,
    tap: &mut Tap<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let input = normalised(block.feed_forward_input.as_ref(), weights, hidden.to_vec(), width)?;
    network_or_experts(&block.feed_forward, weights, &input, width, tap)
}

/// What the feed-forward half makes of normalised rows.
pub(crate) fn network_or_experts(
    feed_forward: &FeedForward,
    weights: &dyn Weights,
    input: &[f32],
    width: usize,
    tap: &mut Tap<'_>,
) -> Result<Vec<f32>, TransformerError> {
    match feed_forward {
        FeedForward::Dense(mlp) => network(mlp, weights, input, width, tap),
        FeedForward::Experts(experts) => mixture(experts, weights, input, width, tap),
    }
}

/// A buffer of rows that hold heads side by side.
#[derive(Debug, Clone)]
pub(crate) struct Buffer {
    pub(crate) values: Vec<f32>,
    pub(crate) stride: usize,
    pub(crate) step: usize,
}

/// Queries, keys and values of rows: three buffers, or one that holds all.
#[derive(Debug, Clone)]
pub(crate) struct Projected {
    pub(crate) parts: Vec<Buffer>,
    offsets: [usize; 3],
}

impl Projected {
    fn place(&self, at: usize) -> usize {
        if self.parts.len() == 1 { 0 } else { at }
    }

    /// The buffer of queries (0), keys (1) or values (2), and where in its rows they begin.
    pub(crate) fn part(&self, at: usize) -> (usize, &Buffer) {
        (self.offsets[at], &self.parts[self.place(at)])
    }

    /// As [`part`](Self::part).
    pub(crate) fn part_mut(&mut self, at: usize) -> (usize, &mut Buffer) {
        let place = self.place(at);
        (self.offsets[at], &mut self.parts[place])
    }

    /// Those of a sequence.
    pub(crate) fn heads(&self, start: usize, length: usize) -> [Heads<'_>; 3] {
        [0, 1, 2].map(|at| {
            let (offset, part) = self.part(at);
            let values = &part.values[start * part.stride..(start + length) * part.stride];
            Heads { values: &values[offset..], stride: part.stride, step: part.step }
        })
    }

    /// As many zeros.
    pub(crate) fn zeros(&self) -> Self {
        let empty = |part: &Buffer| Buffer { values: vec![0.0; part.values.len()], ..*part };
        Self { parts: self.parts.iter().map(empty).collect(), offsets: self.offsets }
    }

    /// Writes the rows of one head.
    pub(crate) fn set(&mut self, at: usize, head: usize, size: usize, rows: &[f32]) {
        let (offset, part) = self.part_mut(at);
        let start = offset + head * part.step;
        for (to, from) in part.values.chunks_exact_mut(part.stride).zip(rows.chunks_exact(size)) {
            to[start..start + size].copy_from_slice(from);
        }
    }
}

/// Queries, keys and values of normalised rows, as the products leave them.
pub(crate) fn project(
    attention: &Attention,
    weights: &dyn Weights,
    input: &[f32],
) -> Result<Projected, TransformerError> {
    let size = attention.head_size;
    let (queries, keys) = (attention.heads * size, attention.key_heads * size);
    let buffer = |linear_: &Linear, stride, step| {
        Ok::<_, TransformerError>(Buffer { values: linear(linear_, weights, input)?, stride, step })
    };
    Ok(match &attention.projections {
        Projections::Separate { query, key, value } => Projected {
            parts: vec![buffer(query, queries, size)?, buffer(key, keys, size)?, buffer(value, keys, size)?],
            offsets: [0; 3],
        },
        Projections::Stacked(all) => {
            Projected { parts: vec![buffer(all, queries + 2 * keys, size)?], offsets: [0, queries, queries + keys] }
        }
        Projections::Interleaved(all) => {
            Projected { parts: vec![buffer(all, 3 * queries, 3 * size)?], offsets: [0, size, 2 * size] }
        }
    })
}

/// Norms of queries and keys, then their rotation, in sequences of these lengths.
pub(crate) fn turn(
    attention: &Attention,
    weights: &dyn Weights,
    projected: &mut Projected,
    lengths: &[usize],
) -> Result<(), TransformerError> {
    let size = attention.head_size;
    let heads = [attention.heads, attention.key_heads];
    for (at, norm) in [&attention.query_norm, &attention.key_norm].into_iter().enumerate() {
        let (count, size) = match attention.norm_span {
            NormSpan::Head => (heads[at], size),
            NormSpan::All => (1, heads[at] * size),
        };
        if let Some(norm) = norm {
            let (offset, part) = projected.part_mut(at);
            let layout = [part.stride, offset, count, part.step];
            normalise(norm, weights, &mut part.values, size, layout)?;
        }
    }
    let Some(rotary) = &attention.rotary else { return Ok(()) };
    let mut turns: HashMap<usize, Turns> = HashMap::new();
    let mut start = 0;
    for &length in lengths {
        let turns = turns.entry(length).or_insert_with(|| Turns::new(rotary, length));
        for (at, count) in heads.into_iter().enumerate() {
            let (offset, part) = projected.part_mut(at);
            let rows = &mut part.values[start * part.stride..(start + length) * part.stride];
            turns.apply(rows, part.stride, offset, count, part.step);
        }
        start += length;
    }
    Ok(())
}

fn attention(
    attention: &Attention,
    weights: &dyn Weights,
    input: &[f32],
    width: usize,
    lengths: &[usize],
    tap: &mut Tap<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let queries = attention.heads * attention.head_size;
    let products = match &attention.projections {
        Projections::Separate { query, key, value } => vec![query, key, value],
        Projections::Stacked(all) | Projections::Interleaved(all) => vec![all],
    };
    tap(Inputs { weights: &products, rows: input, columns: width })?;
    let mut projected = project(attention, weights, input)?;
    turn(attention, weights, &mut projected, lengths)?;
    let mut seen = vec![0f32; input.len() / width * queries];
    let mut sequences = Vec::with_capacity(lengths.len());
    let (mut start, mut rest) = (0, seen.as_mut_slice());
    for &length in lengths {
        let (own, after) = rest.split_at_mut(length * queries);
        sequences.push((start, length, own));
        (start, rest) = (start + length, after);
    }
    sequences.into_par_iter().filter(|(_, length, _)| *length > 0).for_each(|(start, length, result)| {
        attend(attention, projected.heads(start, length), length, result);
    });
    tap(Inputs { weights: &[&attention.output], rows: &seen, columns: queries })?;
    linear(&attention.output, weights, &seen)
}

/// The experts that a block's router would choose for these rows of its inputs, `chosen` a row, best first; `None` for a block without.
///
/// # Errors
/// Weights that cannot be read.
pub fn routes(block: &Block, weights: &dyn Weights, inputs: &[f32]) -> Result<Option<Vec<usize>>, TransformerError> {
    match &block.feed_forward {
        FeedForward::Dense(_) => Ok(None),
        FeedForward::Experts(experts) => {
            Ok(Some(route(experts, weights, inputs)?.into_iter().map(|(expert, _)| expert).collect()))
        }
    }
}

/// Scores `[rows, vocabulary]` of the next token for each row of hidden states; for encoders the normed rows themselves. The matrix is
/// widened part by part: hand in a few hundred rows at a time.
///
/// # Errors
/// Weights that cannot be read, and what `tap` returns.
pub fn head(
    description: &Description,
    weights: &dyn Weights,
    hidden: &[f32],
    tap: &mut Tap<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let width = description.width;
    let input = normalised(description.head.norm.as_ref(), weights, hidden.to_vec(), width)?;
    let Some(product) = &description.head.product else { return Ok(input) };
    tap(Inputs { weights: &[product], rows: &input, columns: width })?;
    let mut scores = vec![0f32; hidden.len() / width * product.outputs];
    if scores.is_empty() {
        return Ok(scores);
    }
    for from in (0..product.outputs).step_by(HEAD_ROWS) {
        let rows = HEAD_ROWS.min(product.outputs - from);
        let weight = weights.values(&product.weight, from * width..(from + rows) * width)?;
        multiply(&mut scores[from..], product.outputs, View::new(&input, width), View::new(&weight, width).t());
    }
    if let Some(cap) = description.head.soft_cap {
        scores.par_chunks_mut(description.vocabulary).for_each(|row| {
            row.iter_mut().for_each(|score| *score = cap * tanh(*score / cap));
        });
    }
    Ok(scores)
}
