//! textgenrnn: a character model (two LSTMs of width 128, attention over 40 characters), and the text that measures it.
//!
//! Each next character is predicted from the 40 before it alone, from a state of zeros: the model was trained on such windows.

use std::collections::HashMap;

use candle_core::Tensor as Matrix;
use rayon::prelude::*;
use seedpress_calibration::{Accumulator, InputStatistics};
use seedpress_codec::Tensor;

use crate::architecture::{Architecture, Baseline, Probe, Slot};
use crate::assets;
use crate::calibrate;
use crate::dense::Dense;
use crate::error::ZooError;
use crate::fetch;
use crate::metric::Metric;
use crate::outputs::Outputs;

const CLASSES: usize = 465;
const EMBEDDING: usize = 100;
const WIDTH: usize = 128;
const GATES: usize = 4 * WIDTH;
/// Embedding and both LSTMs' outputs, side by side.
const SEEN: usize = EMBEDDING + 2 * WIDTH;
const CONTEXT: usize = 40;

/// Stands for characters that the vocabulary lacks, and for what lies before the text.
const UNKNOWN: u32 = 0;

/// Characters that share a resample, and how many such blocks measure.
const BLOCK: usize = 64;
const BLOCKS: usize = 48;

/// Windows that run side by side.
const BATCH: usize = 512;

const NAMES: [(&str, &[usize], &str); 10] = [
    ("embedding.weight", &[CLASSES, EMBEDDING], "embedding"),
    ("rnn_1.weight_ih", &[GATES, EMBEDDING], "recurrent"),
    ("rnn_1.weight_hh", &[GATES, WIDTH], "recurrent"),
    ("rnn_1.bias", &[GATES], "bias"),
    ("rnn_2.weight_ih", &[GATES, WIDTH], "recurrent"),
    ("rnn_2.weight_hh", &[GATES, WIDTH], "recurrent"),
    ("rnn_2.bias", &[GATES], "bias"),
    ("attention.weight", &[1, SEEN], "linear"),
    ("output.weight", &[CLASSES, SEEN], "linear"),
    ("output.bias", &[CLASSES], "bias"),
];

/// The character model.
pub(crate) struct TextGenRnn;

impl Architecture for TextGenRnn {
    fn slots(&self) -> Vec<Slot> {
        NAMES.iter().map(|&(name, shape, layer_type)| Slot::new(name, shape, layer_type)).collect()
    }

    fn baseline(&self, own: &[&Tensor]) -> Result<Box<dyn Baseline>, ZooError> {
        let text = encode(&held_out()?)?;
        let scores = predict(own, &text, CONTEXT..CONTEXT + BLOCK * BLOCKS, &mut |_, _| Ok(()))?;
        Ok(Box::new(HeldOutText { text, scores }))
    }

    fn calibrate(&self, own: &[&Tensor]) -> Result<Vec<Option<InputStatistics>>, ZooError> {
        let text = encode(&calibration()?)?;
        let mut moments: Vec<Option<Accumulator>> = own.iter().map(|_| None).collect();
        predict(own, &text, CONTEXT..CONTEXT + BATCH, &mut |slot, inputs| calibrate::add(&mut moments[slot], inputs))?;
        calibrate::finish(moments, own.iter().map(|tensor| tensor.shape()))
    }

    fn probe(&self) -> Result<Option<Box<dyn Probe>>, ZooError> {
        Ok(Some(Box::new(CalibrationText { text: encode(&calibration()?)? })))
    }
}

/// Text to continue.
#[derive(Debug)]
struct CalibrationText {
    text: Vec<u32>,
}

impl Probe for CalibrationText {
    fn outputs(&self, given: &[&Tensor]) -> Result<Outputs, ZooError> {
        let values = predict(given, &self.text, CONTEXT..CONTEXT + BATCH, &mut |_, _| Ok(()))?;
        Ok(Outputs::Logits { width: CLASSES, values })
    }
}

/// Text with the logarithms of the uncompressed model's probabilities.
#[derive(Debug)]
struct HeldOutText {
    text: Vec<u32>,
    scores: Vec<f32>,
}

impl Baseline for HeldOutText {
    fn evaluate(&self, given: &[&Tensor]) -> Result<Vec<Metric>, ZooError> {
        let scores = predict(given, &self.text, CONTEXT..CONTEXT + BLOCK * BLOCKS, &mut |_, _| Ok(()))?;
        // Blocks, not characters, are resampled: neighbours are not independent.
        let mut sums = [const { Vec::new() }; 4];
        let rows = scores.chunks_exact(BLOCK * CLASSES).zip(self.scores.chunks_exact(BLOCK * CLASSES));
        for (block, (given, own)) in rows.enumerate() {
            let mut block_sums = [0.0; 4];
            for (at, (given, own)) in given.chunks_exact(CLASSES).zip(own.chunks_exact(CLASSES)).enumerate() {
                let next = self.text[CONTEXT + block * BLOCK + at];
                // A character outside the vocabulary has no probability.
                if next == UNKNOWN {
                    continue;
                }
                let bits = -f64::from(given[next as usize]) / std::f64::consts::LN_2;
                let divergence: f64 = own.iter().zip(given).map(|(p, q)| f64::from(p.exp()) * f64::from(p - q)).sum();
                let alike = f64::from(u8::from(likeliest(own) == likeliest(given)));
                for (sum, term) in block_sums.iter_mut().zip([bits, divergence, alike, 1.0]) {
                    *sum += term;
                }
            }
            sums.iter_mut().zip(block_sums).for_each(|(sums, sum)| sums.push(sum));
        }
        let [bits, divergence, alike, counts] = sums;
        let count = counts.iter().sum::<f64>() as u64;
        Ok(vec![
            Metric::ratio("bits per character", false, &bits, &counts, count),
            Metric::ratio("KL divergence", false, &divergence, &counts, count),
            Metric::ratio("agreement", true, &alike, &counts, count),
        ])
    }
}

fn likeliest(scores: &[f32]) -> usize {
    (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
}

/// The text that measures: chapter 132 of *Moby-Dick*.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn held_out() -> Result<String, ZooError> {
    read("chapter-132.txt")
}

/// The text that calibrates: chapter 51 of *Moby-Dick*.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn calibration() -> Result<String, ZooError> {
    read("chapter-51.txt")
}

fn read(name: &str) -> Result<String, ZooError> {
    let path = assets::asset(&format!("moby-dick/{name}"));
    std::fs::read_to_string(&path).map_err(ZooError::io(&path))
}

/// Class of each character.
fn encode(text: &str) -> Result<Vec<u32>, ZooError> {
    let path = fetch::folder("textgenrnn").join("vocabulary.json");
    let bad = |what: String| ZooError::bad_file(&path, what);
    let vocabulary: HashMap<String, u32> =
        serde_json::from_slice(&assets::read(&path)?).map_err(|error| bad(error.to_string()))?;
    if vocabulary.values().any(|&class| class as usize >= CLASSES) {
        return Err(bad("has classes that the model does not know".to_owned()));
    }
    let mut buffer = [0; 4];
    let class = |character: char| vocabulary.get(&*character.encode_utf8(&mut buffer)).copied();
    Ok(text.chars().map(class).map(|class| class.unwrap_or(UNKNOWN)).collect())
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Logarithms of the probabilities of each class at `positions` of the text, one row a position. `tap(i, x)` sees the inputs that
/// tensor `i` multiplies, one vector a row.
fn predict(
    tensors: &[&Tensor],
    text: &[u32],
    positions: std::ops::Range<usize>,
    tap: &mut dyn FnMut(usize, &Matrix) -> candle_core::Result<()>,
) -> Result<Vec<f32>, ZooError> {
    let values = |slot: usize| tensors[slot].values();
    let gates = [1, 2, 4, 5].map(|slot| Dense::new(values(slot), GATES));
    let [in_1, back_1, in_2, back_2] = gates;
    let (in_1, back_1, in_2, back_2) = (in_1?, back_1?, in_2?, back_2?);
    let output = Dense::new(values(8), CLASSES)?;
    let mut scores = Vec::with_capacity(positions.len() * CLASSES);
    let positions: Vec<usize> = positions.collect();
    for positions in positions.chunks(BATCH) {
        let count = positions.len();
        let mut state = [const { Vec::new() }; 4];
        state.iter_mut().for_each(|part| part.resize(count * WIDTH, 0f32));
        let [mut hidden_1, mut cell_1, mut hidden_2, mut cell_2] = state;
        // Per window and moment: embedding, both outputs.
        let mut seen = vec![0f32; count * CONTEXT * SEEN];
        for moment in 0..CONTEXT {
            let token = |position: usize| (position + moment).checked_sub(CONTEXT).map_or(UNKNOWN, |at| text[at]);
            let row = |position: &usize| &values(0)[token(*position) as usize * EMBEDDING..][..EMBEDDING];
            let embedded: Vec<f32> = positions.iter().flat_map(row).copied().collect();
            let mut step =
                |slot: usize, own: [&Dense; 2], input: Vec<f32>, hidden: &mut Vec<f32>, cell: &mut Vec<f32>| {
                    let (input, before) = (own[0].rows(input)?, own[1].rows(hidden.clone())?);
                    tap(slot, &input)?;
                    tap(slot + 1, &before)?;
                    let from_input = own[0].apply_with_bias(&input, values(slot + 2))?;
                    let from_state = own[1].apply(&before)?;
                    update(&from_input, &from_state, hidden, cell);
                    candle_core::Result::Ok(())
                };
            step(1, [&in_1, &back_1], embedded.clone(), &mut hidden_1, &mut cell_1)?;
            step(4, [&in_2, &back_2], hidden_1.clone(), &mut hidden_2, &mut cell_2)?;
            for window in 0..count {
                let to = &mut seen[(window * CONTEXT + moment) * SEEN..][..SEEN];
                to[..EMBEDDING].copy_from_slice(&embedded[window * EMBEDDING..][..EMBEDDING]);
                to[EMBEDDING..][..WIDTH].copy_from_slice(&hidden_1[window * WIDTH..][..WIDTH]);
                to[EMBEDDING + WIDTH..].copy_from_slice(&hidden_2[window * WIDTH..][..WIDTH]);
            }
        }
        let summary: Vec<f32> = seen.par_chunks_exact(CONTEXT * SEEN).flat_map_iter(|s| attend(s, values(7))).collect();
        let moments = Matrix::from_vec(seen, (count * CONTEXT, SEEN), &candle_core::Device::Cpu)?;
        tap(7, &moments)?;
        let summary = output.rows(summary)?;
        tap(8, &summary)?;
        for row in output.apply_with_bias(&summary, values(9))?.chunks_exact(CLASSES) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = row.iter().map(|score| f64::from(score - largest).exp()).sum();
            scores.extend(row.iter().map(|score| score - largest - total.ln() as f32));
        }
    }
    Ok(scores)
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

/// Shape and values of the data set at a path.
pub(crate) type Read<'a> = dyn Fn(&str) -> Result<(Vec<usize>, Vec<f32>), ZooError> + 'a;

/// The tensors of the package's Keras file, outputs first. The LSTMs were stored in the layout of cuDNN: of each gate's block of
/// `kernel`, the numbers in order of storage are the transposed matrix row by row; of `recurrent_kernel` the block is that matrix; two
/// biases add up.
pub(crate) fn from_keras(read: &Read<'_>) -> Result<fetch::Tensors, ZooError> {
    let mut tensors = fetch::Tensors::new();
    let mut values = Vec::new();
    for (name, shape, _) in NAMES {
        let layer = name.split('.').next().unwrap_or(name);
        let part = match name.rsplit('.').next() {
            Some("weight_ih") => "kernel:0",
            Some("weight_hh") => "recurrent_kernel:0",
            Some("bias") => "bias:0",
            _ if layer == "embedding" => "embeddings:0",
            _ if layer == "attention" => "attention_W:0",
            _ => "kernel:0",
        };
        let (_, stored) = read(&format!("{layer}/{layer}/{part}"))?;
        let columns = *shape.last().unwrap_or(&1);
        values.clear();
        match part {
            "kernel:0" | "recurrent_kernel:0" if layer != "output" => {
                // The four gates stand side by side in each row.
                for gate in 0..4 {
                    values.extend(stored.chunks(GATES).flat_map(|row| row.iter().skip(gate * WIDTH).take(WIDTH)));
                }
            }
            "bias:0" if layer != "output" => {
                let (first, second) = stored.split_at(stored.len() / 2);
                values.extend(first.iter().zip(second).map(|(a, b)| a + b));
            }
            "kernel:0" => {
                let at = |row: usize, column: usize| stored.get(column * CLASSES + row).copied().unwrap_or(f32::NAN);
                values.extend(
                    (0..CLASSES).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|(r, c)| at(r, c)),
                );
            }
            _ => values.extend(&stored),
        }
        if values.len() != shape.iter().product::<usize>() {
            return Err(ZooError::bad_file(
                std::path::Path::new("textgenrnn_weights.hdf5"),
                format!("{layer} {part} holds {} numbers", stored.len()),
            ));
        }
        tensors.insert(name.to_owned(), (shape.to_vec(), values.clone()));
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logarithms of the probabilities of ` etao.` after the first 5, 41 and 82 characters, by the package's own model
    /// (textgenrnn 2.0.0 on TensorFlow 2.15.1).
    #[test]
    fn probabilities_are_those_of_the_package() {
        let Ok(model) = crate::load("textgenrnn") else {
            eprintln!("skipped: textgenrnn is not fetched");
            return;
        };
        let own: Vec<&Tensor> = model.tensors.iter().map(|named| &named.tensor).collect();
        let text = "It was a clear steel-blue day. The firmaments of air and sea were hardly separable";
        let expected = [
            (5, [-6.75454, -14.96119, -4.86301, -13.72708, -11.62343, -10.91134]),
            (41, [-5.94187, -0.40796, -13.19437, -2.85197, -7.38526, -11.16414]),
            (82, [-0.36835, -6.70185, -8.23537, -10.02076, -13.14725, -2.52212]),
        ];
        let classes = encode(" etao.").unwrap();
        for (length, expected) in expected {
            let scores = predict(&own, &encode(text).unwrap(), length..length + 1, &mut |_, _| Ok(())).unwrap();
            for (class, theirs) in classes.iter().zip(expected) {
                let ours = scores[*class as usize];
                assert!((ours - theirs).abs() < 1e-3, "after {length}: {ours}, not {theirs}");
            }
        }
    }
}
