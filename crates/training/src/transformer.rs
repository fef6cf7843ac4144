//! The byte transformer forward and backward: the zoo's network with what the backward pass needs kept.

use seedpress_zoo::sotu::VOCABULARY;
use seedpress_zoo::sotu::kernel::{
    View, dot, gelu, gelu_gradient, linear, linear_gradients, linear_input_gradient, multiply, normalise,
    normalise_gradients,
};
use seedpress_zoo::sotu::transformer::{
    CONTEXT, FINAL, HEAD, HEADS, INNER, LAYERS, PER_LAYER, TILE, WIDTH, attend, part, rotate, tiles, turns,
};

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
    pub(crate) fn new(windows: usize, length: usize) -> Self {
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
        Self {
            windows,
            length,
            blocks: (0..LAYERS).map(|_| block()).collect(),
            unit: wide(WIDTH),
            scale: wide(1),
            output: wide(WIDTH),
            residual: wide(WIDTH),
            branch: wide(WIDTH),
            scores: wide(VOCABULARY),
            turns: turns(length),
        }
    }
}

/// Scores for the byte after each byte of the windows, left in `tape.scores`.
pub(crate) fn forward(weights: &[&[f32]], bytes: &[u8], tape: &mut Tape) {
    let (windows, length) = (tape.windows, tape.length);
    assert_eq!(bytes.len(), windows * length);
    for (row, &byte) in tape.residual.chunks_exact_mut(WIDTH).zip(bytes) {
        row.copy_from_slice(&weights[0][usize::from(byte) * WIDTH..][..WIDTH]);
    }
    for index in 0..LAYERS {
        let first = 1 + PER_LAYER * index;
        let weight = |at: usize| weights[first + at];
        let block = &mut tape.blocks[index];

        normalise(&mut block.input1, &mut block.unit1, &mut block.scale1, &tape.residual, weight(0), weight(1));
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
        linear(&mut tape.branch, &block.mixed, weight(4), weight(5), WIDTH);
        add(&mut tape.residual, &tape.branch);

        normalise(&mut block.input2, &mut block.unit2, &mut block.scale2, &tape.residual, weight(6), weight(7));
        linear(&mut block.up, &block.input2, weight(8), weight(9), WIDTH);
        gelu(&mut block.inner, &block.up);
        linear(&mut tape.branch, &block.inner, weight(10), weight(11), INNER);
        add(&mut tape.residual, &tape.branch);
    }
    normalise(&mut tape.output, &mut tape.unit, &mut tape.scale, &tape.residual, weights[FINAL], weights[FINAL + 1]);
    let head = View::new(weights[FINAL + 2], WIDTH).t();
    multiply(&mut tape.scores, VOCABULARY, View::new(&tape.output, WIDTH), head, false, 1.0);
}

fn add(sums: &mut [f32], terms: &[f32]) {
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
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

    for index in (0..LAYERS).rev() {
        let first = 1 + PER_LAYER * index;
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
