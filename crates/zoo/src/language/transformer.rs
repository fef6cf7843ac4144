//! A decoder-only transformer over bytes, forward and backward.
//!
//! The block of the seed report (width 256, feed-forward 1024, 4 heads), three times: normalisation before each half (Xiong et al.
//! 2020), rotary positions (Su et al. 2021), Gaussian error linear units. Embedding and output layer are separate tensors: tied,
//! one tensor would have to be compressed both as a table that is looked up and as a matrix that multiplies.

use super::VOCABULARY;
use super::kernel::{
    View, dot, gelu, gelu_gradient, linear, linear_gradients, linear_input_gradient, multiply, normalise,
    normalise_gradients, softmax,
};

pub(crate) const WIDTH: usize = 256;
const HEADS: usize = 4;
const HEAD: usize = WIDTH / HEADS;
const INNER: usize = 1024;
const BLOCKS: usize = 3;
/// The longest window.
pub(crate) const CONTEXT: usize = 256;
/// Rows of attention computed together; what lies wholly in the future is left out.
const TILE: usize = 64;

/// Tensors of a block, in order.
const PER_BLOCK: usize = 12;

/// Names, shapes and layer types in the order of execution.
pub(crate) fn slots() -> Vec<(String, Vec<usize>, &'static str)> {
    let mut slots = vec![("embedding.weight".to_owned(), vec![VOCABULARY, WIDTH], "embedding")];
    for block in 0..BLOCKS {
        let layers: [(&str, &[usize], [&str; 2]); 6] = [
            ("norm1", &[WIDTH], ["norm", "bias"]),
            ("attention.qkv", &[3 * WIDTH, WIDTH], ["linear", "bias"]),
            ("attention.output", &[WIDTH, WIDTH], ["linear", "bias"]),
            ("norm2", &[WIDTH], ["norm", "bias"]),
            ("up", &[INNER, WIDTH], ["linear", "bias"]),
            ("down", &[WIDTH, INNER], ["linear", "bias"]),
        ];
        for (layer, shape, [weight, bias]) in layers {
            slots.push((format!("blocks.{block}.{layer}.weight"), shape.to_vec(), weight));
            slots.push((format!("blocks.{block}.{layer}.bias"), shape[..1].to_vec(), bias));
        }
    }
    slots.push(("norm.weight".to_owned(), vec![WIDTH], "norm"));
    slots.push(("norm.bias".to_owned(), vec![WIDTH], "bias"));
    slots.push(("head.weight".to_owned(), vec![VOCABULARY, WIDTH], "linear"));
    slots
}

/// Slot of the final normalisation; its bias and the output layer follow.
const FINAL: usize = 1 + PER_BLOCK * BLOCKS;

/// What the backward pass needs of a block.
struct Block {
    unit1: Vec<f32>,
    scale1: Vec<f32>,
    input1: Vec<f32>,
    /// Queries, keys (both rotated) and values of each byte.
    qkv: Vec<f32>,
    /// Attention of each window, head and byte to every byte.
    attention: Vec<f32>,
    mixed: Vec<f32>,
    unit2: Vec<f32>,
    scale2: Vec<f32>,
    input2: Vec<f32>,
    up: Vec<f32>,
    inner: Vec<f32>,
}

/// Buffers for `windows` windows of `length` bytes.
pub(crate) struct Tape {
    windows: usize,
    length: usize,
    blocks: Vec<Block>,
    unit: Vec<f32>,
    scale: Vec<f32>,
    output: Vec<f32>,
    residual: Vec<f32>,
    branch: Vec<f32>,
    /// Scores `[windows * length, VOCABULARY]`.
    pub(crate) scores: Vec<f32>,
    /// Cosines and sines of each position, for each pair of a head.
    turns: Vec<[f32; 2]>,
}

impl Tape {
    /// With `keep`, every block's activations are kept for the backward pass.
    pub(crate) fn new(windows: usize, length: usize, keep: bool) -> Self {
        assert!(length <= CONTEXT);
        let rows = windows * length;
        let wide = |width: usize| vec![0f32; rows * width];
        let block = || Block {
            unit1: wide(WIDTH),
            scale1: wide(1),
            input1: wide(WIDTH),
            qkv: wide(3 * WIDTH),
            attention: wide(HEADS * length),
            mixed: wide(WIDTH),
            unit2: wide(WIDTH),
            scale2: wide(1),
            input2: wide(WIDTH),
            up: wide(INNER),
            inner: wide(INNER),
        };
        let angle = |position: usize, pair: usize| {
            let frequency = 10_000f64.powf(-(pair as f64) / (HEAD / 2) as f64);
            let (sine, cosine) = (position as f64 * frequency).sin_cos();
            [cosine as f32, sine as f32]
        };
        Self {
            windows,
            length,
            blocks: (0..if keep { BLOCKS } else { 1 }).map(|_| block()).collect(),
            unit: wide(WIDTH),
            scale: wide(1),
            output: wide(WIDTH),
            residual: wide(WIDTH),
            branch: wide(WIDTH),
            scores: wide(VOCABULARY),
            turns: (0..length * HEAD / 2).map(|at| angle(at / (HEAD / 2), at % (HEAD / 2))).collect(),
        }
    }
}

/// Rotates queries and keys by their positions; `direction` -1 turns them back.
fn rotate(qkv: &mut [f32], turns: &[[f32; 2]], length: usize, direction: f32) {
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

/// Scores for the byte after each byte of the windows, left in `tape.scores`. `tap(i, x)` sees the inputs that weight `i` multiplies.
pub(crate) fn forward(weights: &[&[f32]], bytes: &[u8], tape: &mut Tape, tap: &mut dyn FnMut(usize, &[f32])) {
    let (windows, length) = (tape.windows, tape.length);
    assert_eq!(bytes.len(), windows * length);
    for (row, &byte) in tape.residual.chunks_exact_mut(WIDTH).zip(bytes) {
        row.copy_from_slice(&weights[0][usize::from(byte) * WIDTH..][..WIDTH]);
    }
    for index in 0..BLOCKS {
        let first = 1 + PER_BLOCK * index;
        let weight = |at: usize| weights[first + at];
        let kept = index % tape.blocks.len();
        let block = &mut tape.blocks[kept];

        normalise(&mut block.input1, &mut block.unit1, &mut block.scale1, &tape.residual, weight(0), weight(1));
        tap(first + 2, &block.input1);
        linear(&mut block.qkv, &block.input1, weight(2), weight(3), WIDTH);
        rotate(&mut block.qkv, &tape.turns, length, 1.0);
        for window in 0..windows {
            let qkv = &block.qkv[window * length * 3 * WIDTH..][..length * 3 * WIDTH];
            let mixed = &mut block.mixed[window * length * WIDTH..][..length * WIDTH];
            for head in 0..HEADS {
                let attention = &mut block.attention[(window * HEADS + head) * length * length..][..length * length];
                attend(qkv, attention, mixed, length, head);
            }
        }
        tap(first + 4, &block.mixed);
        linear(&mut tape.branch, &block.mixed, weight(4), weight(5), WIDTH);
        add(&mut tape.residual, &tape.branch);

        normalise(&mut block.input2, &mut block.unit2, &mut block.scale2, &tape.residual, weight(6), weight(7));
        tap(first + 8, &block.input2);
        linear(&mut block.up, &block.input2, weight(8), weight(9), WIDTH);
        gelu(&mut block.inner, &block.up);
        tap(first + 10, &block.inner);
        linear(&mut tape.branch, &block.inner, weight(10), weight(11), INNER);
        add(&mut tape.residual, &tape.branch);
    }
    normalise(&mut tape.output, &mut tape.unit, &mut tape.scale, &tape.residual, weights[FINAL], weights[FINAL + 1]);
    tap(FINAL + 2, &tape.output);
    let head = View::new(weights[FINAL + 2], WIDTH).t();
    multiply(&mut tape.scores, VOCABULARY, View::new(&tape.output, WIDTH), head, false, 1.0);
}

fn add(sums: &mut [f32], terms: &[f32]) {
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}

/// The part of a head's queries (0), keys (1) or values (2) from `row` on.
fn part(qkv: &[f32], role: usize, head: usize, row: usize, rows: usize) -> View<'_> {
    View::strided(&qkv[row * 3 * WIDTH + role * WIDTH + head * HEAD..], rows, HEAD, 3 * WIDTH)
}

/// First row, number of rows and number of visible bytes of each tile.
fn tiles(length: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..length).step_by(TILE).map(move |row| (row, TILE.min(length - row), (row + TILE).min(length)))
}

/// One head of one window.
fn attend(qkv: &[f32], attention: &mut [f32], mixed: &mut [f32], length: usize, head: usize) {
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

/// The gradients of one head of one window, from those of `mixed`; added to `gradient`, laid out as queries, keys and values are.
fn attend_gradient(
    gradient: &mut [f32],
    mixed: &[f32],
    qkv: &[f32],
    attention: &[f32],
    changes: &mut [f32],
    length: usize,
    head: usize,
) {
    let factor = 1.0 / (HEAD as f32).sqrt();
    let place = |role: usize, row: usize| row * 3 * WIDTH + role * WIDTH + head * HEAD;
    for (row, rows, seen) in tiles(length) {
        let outer = View::strided(&mixed[row * WIDTH + head * HEAD..], rows, HEAD, WIDTH);
        let tile = &attention[row * length..];
        multiply(changes, length, outer, part(qkv, 2, head, 0, seen).t(), false, 1.0);
        for (change, chance) in changes.chunks_mut(length).zip(tile.chunks(length)).take(rows) {
            let (change, chance) = (&mut change[..seen], &chance[..seen]);
            let mean = dot(change, chance);
            change.iter_mut().zip(chance).for_each(|(change, chance)| *change = chance * (*change - mean));
        }
        let (chances, changes) = (View::strided(tile, rows, seen, length), View::strided(changes, rows, seen, length));
        let stride = 3 * WIDTH;
        multiply(&mut gradient[place(2, 0)..], stride, chances.t(), outer, true, 1.0);
        multiply(&mut gradient[place(0, row)..], stride, changes, part(qkv, 1, head, 0, seen), true, factor);
        multiply(&mut gradient[place(1, 0)..], stride, changes.t(), part(qkv, 0, head, row, rows), true, factor);
    }
}

/// Adds the gradients of every weight to `gradients`, given those of the scores in place of the scores. The tape must keep.
pub(crate) fn backward(weights: &[&[f32]], bytes: &[u8], tape: &mut Tape, gradients: &mut [Vec<f32>]) {
    let (windows, length) = (tape.windows, tape.length);
    let rows = windows * length;
    let mut narrow = vec![0f32; rows * WIDTH];
    let mut flow = vec![0f32; rows * WIDTH];
    let mut wide = vec![0f32; rows * INNER];
    let mut triple = vec![0f32; rows * 3 * WIDTH];
    let mut changes = vec![0f32; TILE * length];

    let scores = View::new(&tape.scores, VOCABULARY);
    multiply(&mut gradients[FINAL + 2], WIDTH, scores.t(), View::new(&tape.output, WIDTH), true, 1.0);
    linear_input_gradient(&mut narrow, &tape.scores, weights[FINAL + 2], WIDTH);
    let [gain, bias] = pair(gradients, FINAL);
    normalise_gradients([&mut flow, gain, bias], &narrow, &tape.unit, &tape.scale, weights[FINAL]);

    for index in (0..BLOCKS).rev() {
        let first = 1 + PER_BLOCK * index;
        let block = &tape.blocks[index];

        let [weight, bias] = pair(gradients, first + 10);
        linear_gradients(weight, bias, &flow, &block.inner, INNER);
        linear_input_gradient(&mut wide, &flow, weights[first + 10], INNER);
        gelu_gradient(&mut wide, &block.up);
        let [weight, bias] = pair(gradients, first + 8);
        linear_gradients(weight, bias, &wide, &block.input2, WIDTH);
        linear_input_gradient(&mut narrow, &wide, weights[first + 8], WIDTH);
        let [gain, bias] = pair(gradients, first + 6);
        normalise_gradients([&mut flow, gain, bias], &narrow, &block.unit2, &block.scale2, weights[first + 6]);

        let [weight, bias] = pair(gradients, first + 4);
        linear_gradients(weight, bias, &flow, &block.mixed, WIDTH);
        linear_input_gradient(&mut narrow, &flow, weights[first + 4], WIDTH);
        triple.fill(0.0);
        for window in 0..windows {
            let span = window * length * 3 * WIDTH..(window + 1) * length * 3 * WIDTH;
            let mixed = &narrow[window * length * WIDTH..][..length * WIDTH];
            for head in 0..HEADS {
                let attention = &block.attention[(window * HEADS + head) * length * length..][..length * length];
                let qkv = &block.qkv[span.clone()];
                attend_gradient(&mut triple[span.clone()], mixed, qkv, attention, &mut changes, length, head);
            }
        }
        rotate(&mut triple, &tape.turns, length, -1.0);
        let [weight, bias] = pair(gradients, first + 2);
        linear_gradients(weight, bias, &triple, &block.input1, WIDTH);
        linear_input_gradient(&mut narrow, &triple, weights[first + 2], WIDTH);
        let [gain, bias] = pair(gradients, first);
        normalise_gradients([&mut flow, gain, bias], &narrow, &block.unit1, &block.scale1, weights[first]);
    }
    for (row, &byte) in flow.chunks_exact(WIDTH).zip(bytes) {
        add(&mut gradients[0][usize::from(byte) * WIDTH..][..WIDTH], row);
    }
}

/// The gradients of a weight and its bias, which follows it.
fn pair(gradients: &mut [Vec<f32>], at: usize) -> [&mut [f32]; 2] {
    let (head, tail) = gradients.split_at_mut(at + 1);
    [&mut head[at], &mut tail[0]]
}
