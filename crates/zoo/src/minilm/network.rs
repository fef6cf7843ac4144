//! The forward pass of all-MiniLM-L6-v2: BERT of six layers, width 384.
//!
//! A sentence's embedding is the mean of its tokens' last hidden states, scaled to length one. The sentences of a batch are packed into
//! one matrix of tokens, so that every dense layer is one product without padding; attention looks within each sentence.

use rayon::prelude::*;
use seedpress_model::{BlockWeights, Hidden, ModelError, Network, Outputs, Tap, TensorInfo};

use crate::dense::{Dense, compute};
use crate::rank;

pub(super) const WIDTH: usize = 384;
pub(super) const VOCABULARY: usize = 30_522;
pub(super) const POSITIONS: usize = 512;

const INNER: usize = 1536;
const LAYERS: usize = 6;
const HEADS: usize = 12;
const EPSILON: f64 = 1e-12;

/// Tensors before the first layer, of a layer, and of its attention.
const EMBEDDINGS: usize = 5;
const PER_LAYER: usize = 16;
const ATTENTION: usize = 10;

/// The encoder: embeddings, attention and feed-forward half of each layer. Its pooler is no part of it: it was never trained, and
/// sentence embeddings do not use it. Inputs are tokens, a sequence a sentence.
#[derive(Debug)]
pub(crate) struct MiniLm(Vec<TensorInfo>);

impl Default for MiniLm {
    fn default() -> Self {
        let mut tensors = vec![
            TensorInfo::new("embeddings.word_embeddings.weight", &[VOCABULARY, WIDTH], "embedding"),
            TensorInfo::new("embeddings.position_embeddings.weight", &[POSITIONS, WIDTH], "embedding"),
            TensorInfo::new("embeddings.token_type_embeddings.weight", &[2, WIDTH], "embedding"),
            TensorInfo::new("embeddings.LayerNorm.weight", &[WIDTH], "norm"),
            TensorInfo::new("embeddings.LayerNorm.bias", &[WIDTH], "norm"),
        ];
        for layer in 0..LAYERS {
            let mut part = |part: &str, outputs: usize, inputs: usize| {
                let name = format!("encoder.layer.{layer}.{part}");
                let (shape, kinds): (&[usize], _) =
                    if inputs == 0 { (&[outputs], ["norm"; 2]) } else { (&[outputs, inputs], ["linear", "bias"]) };
                tensors.push(TensorInfo::new(format!("{name}.weight"), shape, kinds[0]));
                tensors.push(TensorInfo::new(format!("{name}.bias"), &[outputs], kinds[1]));
            };
            part("attention.self.query", WIDTH, WIDTH);
            part("attention.self.key", WIDTH, WIDTH);
            part("attention.self.value", WIDTH, WIDTH);
            part("attention.output.dense", WIDTH, WIDTH);
            part("attention.output.LayerNorm", WIDTH, 0);
            part("intermediate.dense", INNER, WIDTH);
            part("output.dense", WIDTH, INNER);
            part("output.LayerNorm", WIDTH, 0);
        }
        Self(tensors)
    }
}

impl Network for MiniLm {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn blocks(&self) -> usize {
        1 + 2 * LAYERS
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        let Some(half) = block.checked_sub(1) else { return (0..EMBEDDINGS).collect() };
        let first = EMBEDDINGS + half / 2 * PER_LAYER;
        if half % 2 == 0 {
            (first..first + ATTENTION).collect()
        } else {
            (first + ATTENTION..first + PER_LAYER).collect()
        }
    }

    fn groups(&self, block: usize) -> Vec<Vec<usize>> {
        let tensors = self.block_tensors(block);
        match block.checked_sub(1) {
            None => Vec::new(),
            // Query, key and value; the output.
            Some(half) if half % 2 == 0 => vec![vec![tensors[0], tensors[2], tensors[4]], vec![tensors[6]]],
            Some(_) => vec![vec![tensors[0]], vec![tensors[2]]],
        }
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> Result<Hidden, ModelError> {
        let Some(half) = block.checked_sub(1) else { return embed(weights, hidden) };
        let first = self.block_tensors(block)[0];
        // Weight and bias of the half's part number `part`.
        let mut dense = |part: usize, input: Vec<f32>, outputs: usize| -> Result<Vec<f32>, ModelError> {
            let place = first + 2 * part;
            tap.inputs(place, &input)?;
            let apply = || {
                let weight = Dense::new(weights.values(place), outputs)?;
                weight.apply_with_bias(&weight.rows(input)?, weights.values(place + 1))
            };
            apply().map_err(compute)
        };
        let (change, norm) = if half % 2 == 0 {
            let queries = dense(0, hidden.values.clone(), WIDTH)?;
            let keys = dense(1, hidden.values.clone(), WIDTH)?;
            let contents = dense(2, hidden.values.clone(), WIDTH)?;
            (dense(3, attend(&hidden.lengths, &queries, &keys, &contents), WIDTH)?, first + 8)
        } else {
            let mut inner = dense(0, hidden.values.clone(), INNER)?;
            inner.par_iter_mut().for_each(|value| *value = gelu(*value));
            (dense(1, inner, WIDTH)?, first + 4)
        };
        let mut values: Vec<f32> = hidden.values.iter().zip(change).map(|(value, change)| value + change).collect();
        normalise_layer(&mut values, weights.values(norm), weights.values(norm + 1));
        Ok(hidden.with(values, WIDTH))
    }

    /// The mean of each sentence, of length one.
    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
        let mut tokens = hidden.values.chunks_exact(WIDTH);
        let pool = |&length: &usize| {
            let mut mean = vec![0f32; WIDTH];
            for token in tokens.by_ref().take(length) {
                mean.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
            }
            rank::normalise(&mut mean);
            mean
        };
        let values = hidden.lengths.iter().flat_map(pool).collect();
        Ok(Outputs::Vectors { width: WIDTH, values })
    }
}

fn embed(weights: &BlockWeights<'_>, tokens: &Hidden) -> Result<Hidden, ModelError> {
    let row = |place: usize, index: usize| &weights.values(place)[index * WIDTH..(index + 1) * WIDTH];
    let positions = tokens.lengths.iter().flat_map(|&length| 0..length);
    let mut values = Vec::with_capacity(tokens.rows() * WIDTH);
    for (position, &token) in positions.zip(&tokens.values) {
        if token as usize >= VOCABULARY || position >= POSITIONS {
            return Err(ModelError::Shape(format!("token {token} at {position} is beyond the model's tables")));
        }
        let parts = row(0, token as usize).iter().zip(row(1, position)).zip(row(2, 0));
        values.extend(parts.map(|((word, position), kind)| word + kind + position));
    }
    normalise_layer(&mut values, weights.values(3), weights.values(4));
    Ok(tokens.with(values, WIDTH))
}

/// Layer normalisation (Ba, Kiros, Hinton 2016) of each token.
fn normalise_layer(hidden: &mut [f32], scale: &[f32], shift: &[f32]) {
    hidden.par_chunks_exact_mut(WIDTH).for_each(|token| {
        let mean = token.iter().map(|&value| f64::from(value)).sum::<f64>() / WIDTH as f64;
        let variance = token.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / WIDTH as f64;
        let factor = 1.0 / (variance + EPSILON).sqrt();
        for ((value, scale), shift) in token.iter_mut().zip(scale).zip(shift) {
            *value = ((f64::from(*value) - mean) * factor) as f32 * scale + shift;
        }
    });
}

/// Attention within each sentence, every head on its own columns.
fn attend(sentences: &[usize], queries: &[f32], keys: &[f32], contents: &[f32]) -> Vec<f32> {
    const HEAD: usize = WIDTH / HEADS;
    let mut starts = Vec::with_capacity(sentences.len());
    let mut start = 0;
    for &length in sentences {
        starts.push((start, length));
        start += length;
    }
    let one = |&(start, length): &(usize, usize)| {
        let mut result = vec![0f32; length * WIDTH];
        let mut weights = vec![0f32; length];
        for head in 0..HEADS {
            let part = |of: &'_ [f32], token: usize| -> [f32; HEAD] {
                let at = (start + token) * WIDTH + head * HEAD;
                std::array::from_fn(|column| of[at + column])
            };
            for token in 0..length {
                let query = part(queries, token);
                for (other, weight) in weights.iter_mut().enumerate() {
                    let product: f32 = query.iter().zip(part(keys, other)).map(|(a, b)| a * b).sum();
                    *weight = product / (HEAD as f32).sqrt();
                }
                let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                weights.iter_mut().for_each(|weight| *weight = (*weight - largest).exp());
                let total: f32 = weights.iter().sum();
                let out = &mut result[token * WIDTH + head * HEAD..][..HEAD];
                for (other, weight) in weights.iter().enumerate() {
                    let share = weight / total;
                    out.iter_mut().zip(part(contents, other)).for_each(|(sum, value)| *sum += share * value);
                }
            }
        }
        result
    };
    starts.par_iter().flat_map_iter(one).collect()
}

/// `x Phi(x)` (Hendrycks, Gimpel 2016).
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function, within 1.5e-7 (Abramowitz, Stegun 7.1.26).
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = [1.061_405_4, -1.453_152, 1.421_413_8, -0.284_496_75, 0.254_829_6];
    let polynomial = series.into_iter().fold(0f32, |sum, term| (sum + term) * t);
    (1.0 - polynomial * (-x * x).exp()).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_function_is_accurate() {
        // Tables: erf(0.5), erf(1), erf(2).
        for (x, value) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (6.0, 1.0)] {
            assert!((erf(x) - value).abs() < 5e-7 && (erf(-x) + value).abs() < 5e-7, "{x}: {}", erf(x));
        }
    }
}
