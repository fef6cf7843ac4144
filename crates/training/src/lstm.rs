//! The recurrent language model over bytes, forward and backward: the zoo's network with what the backward pass needs kept.
//!
//! Rows are ordered by time, then by stream, so that one moment of all streams is one product with the recurrent weights. Products
//! with a layer's inputs are done for all moments at once; those of the first layer once for each byte value there is.

use seedpress_zoo::sotu::VOCABULARY;
use seedpress_zoo::sotu::kernel::{View, linear, linear_gradients, linear_input_gradient, multiply, sigmoid, tanh};
use seedpress_zoo::sotu::lstm::{GATES, HEAD, HIDDEN, LAYERS, WIDTH, layer_place};

/// A layer's course over time.
struct Layer {
    /// Gates after their functions; in the backward pass, gradients before them.
    gates: Vec<f32>,
    /// Hidden states, those before the first moment first.
    hidden: Vec<f32>,
    /// Cell states, likewise.
    cells: Vec<f32>,
    /// Hyperbolic tangents of the cell states, without those before the first moment.
    bent: Vec<f32>,
}

/// Buffers for `streams` streams of `length` bytes, and the state between one stretch and the next.
pub(crate) struct Tape {
    streams: usize,
    length: usize,
    layers: Vec<Layer>,
    /// Gates of the first layer for each byte value, from its inputs alone.
    table: Vec<f32>,
    /// Scores `[length * streams, VOCABULARY]`.
    pub(crate) scores: Vec<f32>,
}

impl Tape {
    /// With states of zero.
    pub(crate) fn new(streams: usize, length: usize) -> Self {
        let rows = streams * length;
        let layer = |_| Layer {
            gates: vec![0.0; rows * GATES],
            hidden: vec![0.0; (rows + streams) * HIDDEN],
            cells: vec![0.0; (rows + streams) * HIDDEN],
            bent: vec![0.0; rows * HIDDEN],
        };
        let table = vec![0.0; VOCABULARY * GATES];
        Self { streams, length, layers: (0..LAYERS).map(layer).collect(), table, scores: vec![0.0; rows * VOCABULARY] }
    }

    /// Lets the next stretch begin where this one ended.
    pub(crate) fn carry(&mut self) {
        let (state, end) = (self.streams * HIDDEN, self.streams * self.length * HIDDEN);
        for layer in &mut self.layers {
            layer.hidden.copy_within(end..end + state, 0);
            layer.cells.copy_within(end..end + state, 0);
        }
    }
}

/// Scores for the byte after each byte, left in `tape.scores`.
pub(crate) fn forward(weights: &[&[f32]], bytes: &[u8], tape: &mut Tape) {
    let (streams, rows) = (tape.streams, tape.streams * tape.length);
    assert_eq!(bytes.len(), rows);
    for index in 0..LAYERS {
        let place = layer_place(index);
        let (below, from) = tape.layers.split_at_mut(index);
        let layer = &mut from[0];
        match below.last() {
            None => {
                linear(&mut tape.table, weights[0], weights[place], weights[place + 2], WIDTH);
                for (gates, &byte) in layer.gates.chunks_exact_mut(GATES).zip(bytes) {
                    gates.copy_from_slice(&tape.table[usize::from(byte) * GATES..][..GATES]);
                }
            }
            Some(below) => {
                let inputs = &below.hidden[streams * HIDDEN..];
                linear(&mut layer.gates, inputs, weights[place], weights[place + 2], HIDDEN);
            }
        }
        for moment in 0..tape.length {
            step(layer, weights[place + 1], moment * streams, streams);
        }
    }
    let hidden = &tape.layers[LAYERS - 1].hidden[streams * HIDDEN..];
    linear(&mut tape.scores, hidden, weights[HEAD], weights[HEAD + 1], HIDDEN);
}

/// One moment of all streams, whose first row is `row`.
fn step(layer: &mut Layer, recurrent: &[f32], row: usize, streams: usize) {
    let gates = &mut layer.gates[row * GATES..(row + streams) * GATES];
    let (old, hidden) = layer.hidden[row * HIDDEN..].split_at_mut(streams * HIDDEN);
    multiply(gates, GATES, View::new(old, HIDDEN), View::new(recurrent, HIDDEN).t(), true, 1.0);
    let (old, cells) = layer.cells[row * HIDDEN..].split_at_mut(streams * HIDDEN);
    let bent = &mut layer.bent[row * HIDDEN..];
    for stream in 0..streams {
        let [input, forget, candidate, output] = quarters(&mut gates[stream * GATES..][..GATES]);
        let span = stream * HIDDEN..(stream + 1) * HIDDEN;
        let (old, cells) = (&old[span.clone()], &mut cells[span.clone()]);
        let (bent, hidden) = (&mut bent[span.clone()], &mut hidden[span]);
        for at in 0..HIDDEN {
            input[at] = sigmoid(input[at]);
            forget[at] = sigmoid(forget[at]);
            candidate[at] = tanh(candidate[at]);
            output[at] = sigmoid(output[at]);
            cells[at] = forget[at] * old[at] + input[at] * candidate[at];
            bent[at] = tanh(cells[at]);
            hidden[at] = output[at] * bent[at];
        }
    }
}

/// A row of gates by kind.
fn quarters(gates: &mut [f32]) -> [&mut [f32; HIDDEN]; 4] {
    let (parts, _) = gates.as_chunks_mut::<HIDDEN>();
    let [a, b, c, d] = parts else { unreachable!("a row has four gates") };
    [a, b, c, d]
}

/// One moment backwards: gates become the gradients of what goes into them. `flow` is the gradient of the hidden states from above
/// and from the next moment, `cells` that of the cell states.
fn step_gradient(layer: &mut Layer, flow: &[f32], cells: &mut [f32], row: usize, streams: usize) {
    for stream in 0..streams {
        let [input, forget, candidate, output] = quarters(&mut layer.gates[(row + stream) * GATES..][..GATES]);
        let old = &layer.cells[(row + stream) * HIDDEN..][..HIDDEN];
        let bent = &layer.bent[(row + stream) * HIDDEN..][..HIDDEN];
        let (flow, cells) = (&flow[stream * HIDDEN..][..HIDDEN], &mut cells[stream * HIDDEN..][..HIDDEN]);
        for at in 0..HIDDEN {
            let (i, f, g, o) = (input[at], forget[at], candidate[at], output[at]);
            let cell = cells[at] + flow[at] * o * (1.0 - bent[at] * bent[at]);
            output[at] = flow[at] * bent[at] * o * (1.0 - o);
            input[at] = cell * g * i * (1.0 - i);
            forget[at] = cell * old[at] * f * (1.0 - f);
            candidate[at] = cell * i * (1.0 - g * g);
            cells[at] = cell * f;
        }
    }
}

/// Adds the gradients of every weight to `gradients`, given those of the scores in place of the scores. Gradients end at the
/// stretch's first moment (truncated backpropagation through time).
pub(crate) fn backward(weights: &[&[f32]], bytes: &[u8], tape: &mut Tape, gradients: &mut [Vec<f32>]) {
    let (streams, rows) = (tape.streams, tape.streams * tape.length);
    let mut above = vec![0f32; rows * HIDDEN];
    {
        let hidden = &tape.layers[LAYERS - 1].hidden[streams * HIDDEN..];
        let (weight, bias) = gradients.split_at_mut(HEAD + 1);
        linear_gradients(&mut weight[HEAD], &mut bias[0], &tape.scores, hidden, HIDDEN);
        linear_input_gradient(&mut above, &tape.scores, weights[HEAD], HIDDEN);
    }
    for index in (0..LAYERS).rev() {
        let place = layer_place(index);
        let (below, from) = tape.layers.split_at_mut(index);
        let layer = &mut from[0];
        let mut cells = vec![0f32; streams * HIDDEN];
        for moment in (0..tape.length).rev() {
            let row = moment * streams;
            let flow = &mut above[row * HIDDEN..(row + streams) * HIDDEN];
            if moment + 1 < tape.length {
                let next = &layer.gates[(row + streams) * GATES..(row + 2 * streams) * GATES];
                multiply(flow, HIDDEN, View::new(next, GATES), View::new(weights[place + 1], HIDDEN), true, 1.0);
            }
            step_gradient(layer, flow, &mut cells, row, streams);
        }
        let past = View::new(&layer.hidden[..rows * HIDDEN], HIDDEN);
        multiply(&mut gradients[place + 1], HIDDEN, View::new(&layer.gates, GATES).t(), past, true, 1.0);
        let (weight, bias) = gradients.split_at_mut(place + 2);
        match below.last() {
            Some(below) => {
                let inputs = &below.hidden[streams * HIDDEN..];
                linear_gradients(&mut weight[place], &mut bias[0], &layer.gates, inputs, HIDDEN);
                linear_input_gradient(&mut above, &layer.gates, weights[place], HIDDEN);
            }
            None => {
                tape.table.fill(0.0);
                for (gates, &byte) in layer.gates.chunks_exact(GATES).zip(bytes) {
                    let sums = &mut tape.table[usize::from(byte) * GATES..][..GATES];
                    sums.iter_mut().zip(gates).for_each(|(sum, value)| *sum += value);
                }
                linear_gradients(&mut weight[place], &mut bias[0], &tape.table, weights[0], WIDTH);
                let (table, matrix) = (View::new(&tape.table, GATES), View::new(weights[place], WIDTH));
                multiply(&mut weight[0], WIDTH, table, matrix, true, 1.0);
            }
        }
    }
}
