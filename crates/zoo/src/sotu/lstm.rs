//! A recurrent language model over bytes: two layers of long short-term memory (Hochreiter, Schmidhuber 1997; forget gates by Gers et
//! al. 2000), gates in the order input, forget, candidate, output.
//!
//! Inside a layer rows are ordered by time, then by window, so that one moment of all windows is one product with the recurrent weights.
//! Products with a layer's inputs are done for all moments at once; those of the first layer once for each byte value there is.

use seedpress_model::{BlockWeights, Hidden, ModelError, Network, Outputs, Tap, TensorInfo};

use super::kernel::{View, linear, multiply, sigmoid, tanh};
use super::language::{VOCABULARY, embed};

/// Width of the embedding.
pub const WIDTH: usize = 256;
/// Width of a layer.
pub const HIDDEN: usize = 512;
/// Gates of a layer.
pub const GATES: usize = 4 * HIDDEN;
/// Layers.
pub const LAYERS: usize = 2;

/// Place of a layer's input weights; recurrent weights and bias follow.
pub const fn layer_place(layer: usize) -> usize {
    1 + 3 * layer
}

/// Place of the output layer; its bias follows.
pub const HEAD: usize = layer_place(LAYERS);

/// The network: the embedding with the first layer, the second layer, the head.
#[derive(Debug)]
pub struct Lstm(Vec<TensorInfo>);

impl Default for Lstm {
    fn default() -> Self {
        let mut tensors = vec![TensorInfo::new("embedding.weight", &[VOCABULARY, WIDTH], "embedding")];
        for layer in 0..LAYERS {
            let inputs = if layer == 0 { WIDTH } else { HIDDEN };
            tensors.push(TensorInfo::new(format!("lstm.{layer}.weight_ih"), &[GATES, inputs], "recurrent"));
            tensors.push(TensorInfo::new(format!("lstm.{layer}.weight_hh"), &[GATES, HIDDEN], "recurrent"));
            tensors.push(TensorInfo::new(format!("lstm.{layer}.bias"), &[GATES], "bias"));
        }
        tensors.push(TensorInfo::new("head.weight", &[VOCABULARY, HIDDEN], "linear"));
        tensors.push(TensorInfo::new("head.bias", &[VOCABULARY], "bias"));
        Self(tensors)
    }
}

impl Network for Lstm {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn blocks(&self) -> usize {
        LAYERS + 1
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        match block {
            0 => (0..layer_place(1)).collect(),
            LAYERS => vec![HEAD, HEAD + 1],
            layer => (layer_place(layer)..layer_place(layer + 1)).collect(),
        }
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> Result<Hidden, ModelError> {
        let windows = hidden.lengths.len();
        let length = hidden.lengths.first().copied().unwrap_or(0);
        if hidden.lengths.iter().any(|&other| other != length) {
            return Err(ModelError::Shape("windows of one batch must be equally long".to_owned()));
        }
        if block == LAYERS {
            tap.inputs(HEAD, &hidden.values)?;
            let mut scores = vec![0f32; hidden.rows() * VOCABULARY];
            linear(&mut scores, &hidden.values, weights.values(HEAD), weights.values(HEAD + 1), HIDDEN);
            return Ok(hidden.with(scores, VOCABULARY));
        }
        let place = layer_place(block);
        let mut gates = vec![0f32; hidden.rows() * GATES];
        if block == 0 {
            let inputs = embed(hidden, weights.values(0), WIDTH)?;
            tap.inputs(place, &inputs.values)?;
            let mut table = vec![0f32; VOCABULARY * GATES];
            linear(&mut table, weights.values(0), weights.values(place), weights.values(place + 2), WIDTH);
            let bytes = transposed(&hidden.values, windows, length, 1);
            for (gates, byte) in gates.chunks_exact_mut(GATES).zip(bytes) {
                gates.copy_from_slice(&table[byte as usize * GATES..][..GATES]);
            }
        } else {
            tap.inputs(place, &hidden.values)?;
            let inputs = transposed(&hidden.values, windows, length, HIDDEN);
            linear(&mut gates, &inputs, weights.values(place), weights.values(place + 2), HIDDEN);
        }
        // States before the first moment, zero, come first.
        let mut states = vec![0f32; (hidden.rows() + windows) * HIDDEN];
        let mut cells = vec![0f32; windows * HIDDEN];
        for moment in 0..length {
            let gates = &mut gates[moment * windows * GATES..][..windows * GATES];
            let (old, new) = states[moment * windows * HIDDEN..].split_at_mut(windows * HIDDEN);
            multiply(gates, GATES, View::new(old, HIDDEN), View::new(weights.values(place + 1), HIDDEN).t(), true, 1.0);
            update(gates, &mut cells, &mut new[..windows * HIDDEN]);
        }
        tap.inputs(place + 1, &states[..hidden.rows() * HIDDEN])?;
        let values = transposed(&states[windows * HIDDEN..], length, windows, HIDDEN);
        Ok(hidden.with(values, HIDDEN))
    }

    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
        Ok(Outputs::Logits { width: VOCABULARY, values: hidden.values })
    }
}

/// Rows `[outer, inner]` as rows `[inner, outer]`.
fn transposed(values: &[f32], outer: usize, inner: usize, width: usize) -> Vec<f32> {
    let row = |at: usize| at % outer * inner + at / outer;
    (0..outer * inner).flat_map(|at| &values[row(at) * width..][..width]).copied().collect()
}

/// One moment of all windows: cells and new hidden states from the gates before their functions.
fn update(gates: &[f32], cells: &mut [f32], hidden: &mut [f32]) {
    let rows = gates.chunks_exact(GATES).zip(cells.chunks_exact_mut(HIDDEN)).zip(hidden.chunks_exact_mut(HIDDEN));
    for ((gates, cells), hidden) in rows {
        let (parts, _) = gates.as_chunks::<HIDDEN>();
        let [input, forget, candidate, output] = parts else { unreachable!("a row has four gates") };
        for at in 0..HIDDEN {
            cells[at] = sigmoid(forget[at]) * cells[at] + sigmoid(input[at]) * tanh(candidate[at]);
            hidden[at] = sigmoid(output[at]) * tanh(cells[at]);
        }
    }
}
