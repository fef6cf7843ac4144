//! A decoder-only transformer over bytes.
//!
//! The block of the seed report (width 256, feed-forward 1024, 4 heads), three times: normalisation before each half (Xiong et al.
//! 2020), rotary positions (Su et al. 2021), Gaussian error linear units. Embedding and output layer are separate tensors: tied,
//! one tensor would have to be compressed both as a table that is looked up and as a matrix that multiplies.

use seedpress_model::{BlockWeights, Hidden, ModelError, Network, Outputs, Tap, TensorInfo};

use super::kernel::{View, gelu, linear, multiply, normalise, softmax};
use super::language::{VOCABULARY, embed};

/// Width of the residual stream.
pub const WIDTH: usize = 256;
/// Heads of attention.
pub const HEADS: usize = 4;
/// Width of a head.
pub const HEAD: usize = WIDTH / HEADS;
/// Width between the two halves of a feed-forward layer.
pub const INNER: usize = 1024;
/// Layers.
pub const LAYERS: usize = 3;
/// The longest window.
pub const CONTEXT: usize = 256;
/// Rows of attention computed together; what lies wholly in the future is left out.
pub const TILE: usize = 64;

/// Tensors of a layer, in order.
pub const PER_LAYER: usize = 12;

/// Place of the final normalisation; its bias and the output layer follow.
pub const FINAL: usize = 1 + PER_LAYER * LAYERS;

/// The network: the embedding, two halves of each layer, the head.
#[derive(Debug)]
pub struct Transformer(Vec<TensorInfo>);

impl Default for Transformer {
    fn default() -> Self {
        let mut tensors = vec![TensorInfo::new("embedding.weight", &[VOCABULARY, WIDTH], "embedding")];
        for layer in 0..LAYERS {
            let parts: [(&str, &[usize], [&str; 2]); 6] = [
                ("norm1", &[WIDTH], ["norm", "bias"]),
                ("attention.qkv", &[3 * WIDTH, WIDTH], ["linear", "bias"]),
                ("attention.output", &[WIDTH, WIDTH], ["linear", "bias"]),
                ("norm2", &[WIDTH], ["norm", "bias"]),
                ("up", &[INNER, WIDTH], ["linear", "bias"]),
                ("down", &[WIDTH, INNER], ["linear", "bias"]),
            ];
            for (part, shape, [weight, bias]) in parts {
                tensors.push(TensorInfo::new(format!("blocks.{layer}.{part}.weight"), shape, weight));
                tensors.push(TensorInfo::new(format!("blocks.{layer}.{part}.bias"), &shape[..1], bias));
            }
        }
        tensors.push(TensorInfo::new("norm.weight", &[WIDTH], "norm"));
        tensors.push(TensorInfo::new("norm.bias", &[WIDTH], "bias"));
        tensors.push(TensorInfo::new("head.weight", &[VOCABULARY, WIDTH], "linear"));
        Self(tensors)
    }
}

impl Network for Transformer {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn blocks(&self) -> usize {
        2 * LAYERS + 2
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        match block.checked_sub(1) {
            None => vec![0],
            Some(half) if half < 2 * LAYERS => {
                let first = 1 + half * PER_LAYER / 2;
                (first..first + PER_LAYER / 2).collect()
            }
            Some(_) => (FINAL..FINAL + 3).collect(),
        }
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> Result<Hidden, ModelError> {
        match block.checked_sub(1) {
            None => embed(hidden, weights.values(0), WIDTH),
            Some(half) if half >= 2 * LAYERS => {
                let mut output = vec![0f32; hidden.values.len()];
                normalised(&mut output, hidden, weights, FINAL);
                tap.inputs(FINAL + 2, &output)?;
                let mut scores = vec![0f32; hidden.rows() * VOCABULARY];
                let head = View::new(weights.values(FINAL + 2), WIDTH).t();
                multiply(&mut scores, VOCABULARY, View::new(&output, WIDTH), head, false, 1.0);
                Ok(hidden.with(scores, VOCABULARY))
            }
            Some(half) => {
                let first = 1 + half * PER_LAYER / 2;
                let change = if half % 2 == 0 {
                    attention(first, weights, hidden, tap)?
                } else {
                    feed_forward(first, weights, hidden, tap)?
                };
                let sum = hidden.values.iter().zip(change).map(|(value, change)| value + change).collect();
                Ok(hidden.with(sum, WIDTH))
            }
        }
    }

    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
        Ok(Outputs::Logits { width: VOCABULARY, values: hidden.values })
    }
}

fn normalised(result: &mut [f32], hidden: &Hidden, weights: &BlockWeights<'_>, first: usize) {
    let (mut unit, mut scale) = (vec![0f32; hidden.values.len()], vec![0f32; hidden.rows()]);
    let (gain, bias) = (weights.values(first), weights.values(first + 1));
    normalise(result, &mut unit, &mut scale, &hidden.values, gain, bias);
}

fn attention(
    first: usize,
    weights: &BlockWeights<'_>,
    hidden: &Hidden,
    tap: &mut dyn Tap,
) -> Result<Vec<f32>, ModelError> {
    let rows = hidden.rows();
    let mut input = vec![0f32; rows * WIDTH];
    normalised(&mut input, hidden, weights, first);
    tap.inputs(first + 2, &input)?;
    let mut qkv = vec![0f32; rows * 3 * WIDTH];
    linear(&mut qkv, &input, weights.values(first + 2), weights.values(first + 3), WIDTH);
    let longest = hidden.lengths.iter().copied().max().unwrap_or(0);
    let turns = turns(longest);
    let (mut mixed, mut scores) = (input, vec![0f32; longest * longest]);
    let (mut qkv_rest, mut mixed_rest) = (qkv.as_mut_slice(), mixed.as_mut_slice());
    for &length in &hidden.lengths {
        let (qkv, mixed);
        (qkv, qkv_rest) = qkv_rest.split_at_mut(length * 3 * WIDTH);
        (mixed, mixed_rest) = mixed_rest.split_at_mut(length * WIDTH);
        rotate(qkv, &turns, length, 1.0);
        (0..HEADS).for_each(|head| attend(qkv, &mut scores, mixed, length, head));
    }
    tap.inputs(first + 4, &mixed)?;
    let mut change = vec![0f32; rows * WIDTH];
    linear(&mut change, &mixed, weights.values(first + 4), weights.values(first + 5), WIDTH);
    Ok(change)
}

fn feed_forward(
    first: usize,
    weights: &BlockWeights<'_>,
    hidden: &Hidden,
    tap: &mut dyn Tap,
) -> Result<Vec<f32>, ModelError> {
    let rows = hidden.rows();
    let mut input = vec![0f32; rows * WIDTH];
    normalised(&mut input, hidden, weights, first);
    tap.inputs(first + 2, &input)?;
    let (mut up, mut inner) = (vec![0f32; rows * INNER], vec![0f32; rows * INNER]);
    linear(&mut up, &input, weights.values(first + 2), weights.values(first + 3), WIDTH);
    gelu(&mut inner, &up);
    tap.inputs(first + 4, &inner)?;
    let mut change = input;
    linear(&mut change, &inner, weights.values(first + 4), weights.values(first + 5), INNER);
    Ok(change)
}

/// Cosines and sines of each position, for each pair of a head.
pub fn turns(length: usize) -> Vec<[f32; 2]> {
    let angle = |position: usize, pair: usize| {
        let frequency = 10_000f64.powf(-(pair as f64) / (HEAD / 2) as f64);
        let (sine, cosine) = (position as f64 * frequency).sin_cos();
        [cosine as f32, sine as f32]
    };
    (0..length * HEAD / 2).map(|at| angle(at / (HEAD / 2), at % (HEAD / 2))).collect()
}

/// Rotates queries and keys by their positions; `direction` -1 turns them back.
pub fn rotate(qkv: &mut [f32], turns: &[[f32; 2]], length: usize, direction: f32) {
    for (row, values) in qkv.chunks_exact_mut(3 * WIDTH).enumerate() {
        let turns = &turns[row % length * HEAD / 2..][..HEAD / 2];
        for head in values[..2 * WIDTH].chunks_exact_mut(HEAD) {
            let (first, second) = head.split_at_mut(HEAD / 2);
            for ((a, b), [cosine, sine]) in first.iter_mut().zip(second).zip(turns) {
                let sine = direction * sine;
                (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
            }
        }
    }
}

/// The part of a head's queries (0), keys (1) or values (2) from `row` on.
pub fn part(qkv: &[f32], role: usize, head: usize, row: usize, rows: usize) -> View<'_> {
    View::strided(&qkv[row * 3 * WIDTH + role * WIDTH + head * HEAD..], rows, HEAD, 3 * WIDTH)
}

/// First row, number of rows and number of visible bytes of each tile.
pub fn tiles(length: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..length).step_by(TILE).map(move |row| (row, TILE.min(length - row), (row + TILE).min(length)))
}

/// One head of one window; `attention` takes a row of chances for each byte.
pub fn attend(qkv: &[f32], attention: &mut [f32], mixed: &mut [f32], length: usize, head: usize) {
    let factor = 1.0 / (HEAD as f32).sqrt();
    for (row, rows, seen) in tiles(length) {
        let tile = &mut attention[row * length..];
        multiply(tile, length, part(qkv, 0, head, row, rows), part(qkv, 1, head, 0, seen).t(), false, 1.0);
        for (at, scores) in tile.chunks_mut(length).take(rows).enumerate() {
            let (past, future) = scores[..seen].split_at_mut(row + at + 1);
            softmax(past, factor);
            future.fill(0.0);
        }
        let result = &mut mixed[row * WIDTH + head * HEAD..];
        multiply(result, WIDTH, View::strided(tile, rows, seen, length), part(qkv, 2, head, 0, seen), false, 1.0);
    }
}
