//! textgenrnn's forward pass: two LSTMs of width 128, attention over 40 characters.

use candle_core::Result;
use rayon::prelude::*;
use seedpress_model::{BlockWeights, Hidden, ModelError, Network, Outputs, Tap, TensorInfo};

use super::layout::{CLASSES, CONTEXT, EMBEDDING, GATES, NAMES, SEEN, WIDTH};
use crate::dense::{Dense, compute};

/// The network: the embedding with the first LSTM, the second, attention, the output layer. Inputs are characters, a sequence a window
/// of 40.
#[derive(Debug)]
pub(crate) struct TextGenRnn(Vec<TensorInfo>);

impl Default for TextGenRnn {
    fn default() -> Self {
        Self(NAMES.iter().map(|&(name, shape, layer_type)| TensorInfo::new(name, shape, layer_type)).collect())
    }
}

impl Network for TextGenRnn {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn blocks(&self) -> usize {
        4
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        [0..4, 4..7, 7..8, 8..10][block].clone().collect()
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> std::result::Result<Hidden, ModelError> {
        let windows = hidden.lengths.len();
        if block < 3 && hidden.lengths.iter().any(|&length| length != CONTEXT) {
            return Err(ModelError::Shape(format!("windows of {CONTEXT} characters are needed")));
        }
        match block {
            0 => {
                let row = |&class: &f32| weights.values(0).get(class as usize * EMBEDDING..)?.get(..EMBEDDING);
                let rows: Option<Vec<&[f32]>> = hidden.values.iter().map(row).collect();
                let rows = rows.ok_or_else(|| ModelError::Shape("a character outside the vocabulary".to_owned()))?;
                let embedded = rows.concat();
                let outputs = recur(1, weights, &embedded, windows, tap)?;
                Ok(beside(hidden, &embedded, EMBEDDING, &outputs))
            }
            1 => {
                let below: Vec<f32> =
                    hidden.values.chunks_exact(EMBEDDING + WIDTH).flat_map(|row| &row[EMBEDDING..]).copied().collect();
                let outputs = recur(4, weights, &below, windows, tap)?;
                Ok(beside(hidden, &hidden.values, EMBEDDING + WIDTH, &outputs))
            }
            2 => {
                tap.inputs(7, &hidden.values)?;
                let mean = |moments: &[f32]| attend(moments, weights.values(7));
                let values = hidden.values.par_chunks_exact(CONTEXT * SEEN).flat_map_iter(mean).collect();
                Hidden::new(values, SEEN, vec![1; windows])
            }
            _ => {
                tap.inputs(8, &hidden.values)?;
                let apply = || {
                    let output = Dense::new(weights.values(8), CLASSES)?;
                    output.apply_with_bias(&output.rows(hidden.values.clone())?, weights.values(9))
                };
                Ok(hidden.with(apply().map_err(compute)?, CLASSES))
            }
        }
    }

    /// Logarithms of probabilities.
    fn finish(&self, hidden: Hidden) -> std::result::Result<Outputs, ModelError> {
        let mut values = hidden.values;
        for row in values.chunks_exact_mut(CLASSES) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = row.iter().map(|score| f64::from(score - largest).exp()).sum();
            row.iter_mut().for_each(|score| *score = *score - largest - total.ln() as f32);
        }
        Ok(Outputs::Logits { width: CLASSES, values })
    }
}

/// Rows of `left` with those of an LSTM beside them.
fn beside(hidden: &Hidden, left: &[f32], width: usize, outputs: &[f32]) -> Hidden {
    let rows = left.chunks_exact(width).zip(outputs.chunks_exact(WIDTH));
    let values = rows.flat_map(|(left, right)| left.iter().chain(right)).copied().collect();
    hidden.with(values, width + WIDTH)
}

/// An LSTM over the moments of each window, whose first tensor has this place.
fn recur(
    place: usize,
    weights: &BlockWeights<'_>,
    inputs: &[f32],
    windows: usize,
    tap: &mut dyn Tap,
) -> std::result::Result<Vec<f32>, ModelError> {
    tap.inputs(place, inputs)?;
    let width = inputs.len() / (windows * CONTEXT);
    let mut before = Vec::with_capacity(windows * CONTEXT * WIDTH);
    let mut outputs = vec![0f32; windows * CONTEXT * WIDTH];
    let (mut hidden, mut cell) = (vec![0f32; windows * WIDTH], vec![0f32; windows * WIDTH]);
    let mut moments = || -> Result<()> {
        let (own, back) = (Dense::new(weights.values(place), GATES)?, Dense::new(weights.values(place + 1), GATES)?);
        for moment in 0..CONTEXT {
            let row = |window: usize| &inputs[(window * CONTEXT + moment) * width..][..width];
            let input = own.rows((0..windows).flat_map(row).copied().collect())?;
            before.extend_from_slice(&hidden);
            let from_input = own.apply_with_bias(&input, weights.values(place + 2))?;
            let from_state = back.apply(&back.rows(hidden.clone())?)?;
            update(&from_input, &from_state, &mut hidden, &mut cell);
            for (window, state) in hidden.chunks_exact(WIDTH).enumerate() {
                outputs[(window * CONTEXT + moment) * WIDTH..][..WIDTH].copy_from_slice(state);
            }
        }
        Ok(())
    };
    moments().map_err(compute)?;
    tap.inputs(place + 1, &before)?;
    Ok(outputs)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// One moment of an LSTM (Hochreiter, Schmidhuber 1997): gates in the order input, forget, candidate, output.
fn update(from_input: &[f32], from_state: &[f32], hidden: &mut [f32], cell: &mut [f32]) {
    let gates = from_input.par_chunks_exact(GATES).zip(from_state.par_chunks_exact(GATES));
    let state = hidden.par_chunks_exact_mut(WIDTH).zip(cell.par_chunks_exact_mut(WIDTH));
    gates.zip(state).for_each(|((a, b), (hidden, cell))| {
        for unit in 0..WIDTH {
            let [i, f, g, o] = std::array::from_fn(|gate| a[gate * WIDTH + unit] + b[gate * WIDTH + unit]);
            cell[unit] = sigmoid(f) * cell[unit] + sigmoid(i) * g.tanh();
            hidden[unit] = sigmoid(o) * cell[unit].tanh();
        }
    });
}

/// The mean of the moments, weighted by the softmax of what `weight` makes of them.
fn attend(moments: &[f32], weight: &[f32]) -> Vec<f32> {
    let scores: Vec<f32> =
        moments.chunks_exact(SEEN).map(|moment| moment.iter().zip(weight).map(|(a, b)| a * b).sum()).collect();
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f32 = shares.iter().sum();
    let mut mean = vec![0f32; SEEN];
    for (moment, share) in moments.chunks_exact(SEEN).zip(shares) {
        mean.iter_mut().zip(moment).for_each(|(sum, value)| *sum += share / total * value);
    }
    mean
}
