//! all-MiniLM-L6-v2: a sentence encoder (BERT of six layers, width 384), and the sentences that measure it.
//!
//! A sentence's embedding is the mean of its tokens' last hidden states, scaled to length one. All sentences are packed into one
//! matrix of tokens, so that every dense layer is one product without padding; attention looks within each sentence.

use std::path::Path;

use candle_core::Tensor as Matrix;
use rayon::prelude::*;
use seedpress_calibration::{Accumulator, InputStatistics};
use seedpress_codec::Tensor;
use tokenizers::Tokenizer;

use crate::architecture::{Architecture, Baseline, Probe, Slot};
use crate::calibrate;
use crate::dense::Dense;
use crate::error::ZooError;
use crate::fetch;
use crate::metric::Metric;
use crate::outputs::Outputs;
use crate::rank;
use crate::sentences;

const WIDTH: usize = 384;
const INNER: usize = 1536;
const LAYERS: usize = 6;
const HEADS: usize = 12;
const VOCABULARY: usize = 30_522;
const POSITIONS: usize = 512;
const EPSILON: f64 = 1e-12;

/// Tensors before the first layer, and tensors of a layer.
const EMBEDDINGS: usize = 5;
const PER_LAYER: usize = 16;

/// The encoder. Its pooler is no part of it: it was never trained, and sentence embeddings do not use it.
pub(crate) struct MiniLm;

impl Architecture for MiniLm {
    fn slots(&self) -> Vec<Slot> {
        let vector = |name: String, size: usize, layer_type| Slot::new(name, &[size], layer_type);
        let mut slots = vec![
            Slot::new("embeddings.word_embeddings.weight", &[VOCABULARY, WIDTH], "embedding"),
            Slot::new("embeddings.position_embeddings.weight", &[POSITIONS, WIDTH], "embedding"),
            Slot::new("embeddings.token_type_embeddings.weight", &[2, WIDTH], "embedding"),
            vector("embeddings.LayerNorm.weight".to_owned(), WIDTH, "norm"),
            vector("embeddings.LayerNorm.bias".to_owned(), WIDTH, "norm"),
        ];
        for layer in 0..LAYERS {
            let mut part = |part: &str, outputs: usize, inputs: usize| {
                let name = format!("encoder.layer.{layer}.{part}");
                if inputs == 0 {
                    slots.push(vector(format!("{name}.weight"), outputs, "norm"));
                    slots.push(vector(format!("{name}.bias"), outputs, "norm"));
                } else {
                    slots.push(Slot::new(format!("{name}.weight"), &[outputs, inputs], "linear"));
                    slots.push(vector(format!("{name}.bias"), outputs, "bias"));
                }
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
        slots
    }

    fn baseline(&self, own: &[&Tensor]) -> Result<Box<dyn Baseline>, ZooError> {
        let tokenizer = tokenizer(&fetch::folder("minilm"))?;
        let pairs = sentences::labelled_pairs()?;
        let singles = sentences::held_out()?;
        let texts = singles.iter().chain(pairs.iter().flat_map(|pair| &pair.sentences));
        let tokens = texts.map(|text| tokenize(&tokenizer, text)).collect::<Result<Vec<_>, _>>()?;
        let labels = pairs.iter().map(|pair| pair.label).collect();
        let vectors = embed(own, &tokens, &mut |_, _| Ok(()))?;
        let cosines = rank::cosines(&vectors[..singles.len()]);
        Ok(Box::new(HeldOutSentences { tokens, singles: singles.len(), labels, vectors, cosines }))
    }

    fn calibrate(&self, own: &[&Tensor]) -> Result<Vec<Option<InputStatistics>>, ZooError> {
        let tokens = calibration_tokens()?;
        let mut moments: Vec<Option<Accumulator>> = own.iter().map(|_| None).collect();
        embed(own, &tokens, &mut |slot, inputs| calibrate::add(&mut moments[slot], inputs))?;
        calibrate::finish(moments, own.iter().map(|tensor| tensor.shape()))
    }

    fn probe(&self) -> Result<Option<Box<dyn Probe>>, ZooError> {
        Ok(Some(Box::new(CalibrationSentences { tokens: calibration_tokens()? })))
    }
}

fn calibration_tokens() -> Result<Vec<Vec<u32>>, ZooError> {
    let tokenizer = tokenizer(&fetch::folder("minilm"))?;
    sentences::calibration()?.iter().map(|text| tokenize(&tokenizer, text)).collect()
}

/// Calibration sentences to embed.
#[derive(Debug)]
struct CalibrationSentences {
    tokens: Vec<Vec<u32>>,
}

impl Probe for CalibrationSentences {
    fn outputs(&self, given: &[&Tensor]) -> Result<Outputs, ZooError> {
        let vectors = embed(given, &self.tokens, &mut |_, _| Ok(()))?;
        Ok(Outputs::Vectors { width: WIDTH, values: vectors.concat() })
    }
}

/// Sentences with the uncompressed model's embeddings: those whose similarities are ranked, then the labelled pairs.
#[derive(Debug)]
struct HeldOutSentences {
    tokens: Vec<Vec<u32>>,
    singles: usize,
    labels: Vec<f64>,
    vectors: Vec<Vec<f32>>,
    cosines: Vec<f64>,
}

impl Baseline for HeldOutSentences {
    fn evaluate(&self, given: &[&Tensor]) -> Result<Vec<Metric>, ZooError> {
        let vectors = embed(given, &self.tokens, &mut |_, _| Ok(()))?;
        let (singles, paired) = vectors.split_at(self.singles);
        let alike: Vec<f64> = paired.chunks_exact(2).map(|pair| rank::dot(&pair[0], &pair[1])).collect();
        let kept: Vec<f64> = singles.iter().zip(&self.vectors).map(|(a, b)| rank::dot(a, b)).collect();
        Ok(vec![
            rank::spearman("labelled similarity", &alike, &self.labels),
            rank::spearman_of_pairs("similarity rank", self.singles, &rank::cosines(singles), &self.cosines),
            Metric::mean("cosine to original", true, &kept),
        ])
    }
}

/// The tokenizer that came with the weights.
pub(crate) fn tokenizer(folder: &Path) -> Result<Tokenizer, ZooError> {
    let path = folder.join("tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| ZooError::bad_file(&path, error.to_string()))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fn tokenize(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ZooError> {
    let encoding = tokenizer.encode(text, true);
    let bad = |what: String| ZooError::bad_file(&fetch::folder("minilm").join("tokenizer.json"), what);
    let encoding = encoding.map_err(|error| bad(error.to_string()))?;
    if encoding.get_ids().iter().any(|&id| id as usize >= VOCABULARY) || encoding.len() > POSITIONS {
        return Err(bad(format!("makes tokens that the model does not know: {text}")));
    }
    Ok(encoding.get_ids().to_vec())
}

/// Unit vectors of the sentences. `tap(i, x)` sees the inputs that tensor `i` multiplies, one vector a row.
fn embed(
    tensors: &[&Tensor],
    sentences: &[Vec<u32>],
    tap: &mut dyn FnMut(usize, &Matrix) -> candle_core::Result<()>,
) -> Result<Vec<Vec<f32>>, ZooError> {
    let values = |slot: usize| tensors[slot].values();
    let row = |slot: usize, index: usize| &values(slot)[index * WIDTH..(index + 1) * WIDTH];
    let mut hidden = Vec::new();
    for sentence in sentences {
        for (position, &token) in sentence.iter().enumerate() {
            let parts = row(0, token as usize).iter().zip(row(1, position)).zip(row(2, 0));
            hidden.extend(parts.map(|((word, position), kind)| word + kind + position));
        }
    }
    normalise_layer(&mut hidden, values(3), values(4));
    for layer in 0..LAYERS {
        let first = EMBEDDINGS + layer * PER_LAYER;
        // Weight and bias of the layer's part number `part`.
        let mut dense = |part: usize, input: Vec<f32>, outputs: usize| -> candle_core::Result<Vec<f32>> {
            let slot = first + 2 * part;
            let weight = Dense::new(values(slot), outputs)?;
            let input = weight.rows(input)?;
            tap(slot, &input)?;
            weight.apply_with_bias(&input, values(slot + 1))
        };
        let queries = dense(0, hidden.clone(), WIDTH)?;
        let keys = dense(1, hidden.clone(), WIDTH)?;
        let contents = dense(2, hidden.clone(), WIDTH)?;
        let seen = attend(sentences, &queries, &keys, &contents);
        let change = dense(3, seen, WIDTH)?;
        hidden.iter_mut().zip(change).for_each(|(value, change)| *value += change);
        normalise_layer(&mut hidden, values(first + 8), values(first + 9));
        let mut inner = dense(5, hidden.clone(), INNER)?;
        inner.par_iter_mut().for_each(|value| *value = gelu(*value));
        let change = dense(6, inner, WIDTH)?;
        hidden.iter_mut().zip(change).for_each(|(value, change)| *value += change);
        normalise_layer(&mut hidden, values(first + 14), values(first + 15));
    }
    let mut rest = hidden.as_slice();
    let pool = |sentence: &Vec<u32>| {
        let (own, others) = rest.split_at(sentence.len() * WIDTH);
        rest = others;
        let mut mean = vec![0f32; WIDTH];
        for token in own.chunks_exact(WIDTH) {
            mean.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
        }
        rank::normalise(&mut mean);
        mean
    };
    Ok(sentences.iter().map(pool).collect())
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
fn attend(sentences: &[Vec<u32>], queries: &[f32], keys: &[f32], contents: &[f32]) -> Vec<f32> {
    const HEAD: usize = WIDTH / HEADS;
    let mut starts = Vec::with_capacity(sentences.len());
    let mut start = 0;
    for sentence in sentences {
        starts.push((start, sentence.len()));
        start += sentence.len();
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

    /// Token numbers, first eight values of the embeddings and their cosines by another implementation on the same weights: slow
    /// BERT tokenizer and `TFBertModel` of transformers 4.40.2 on TensorFlow 2.15.1, mean over tokens, unit length.
    #[test]
    fn embeddings_are_those_of_another_implementation() {
        let Ok(model) = crate::load("minilm") else {
            eprintln!("skipped: minilm is not fetched");
            return;
        };
        let texts = [
            "A man is playing a guitar.",
            "The soup is too hot to eat.",
            "What ho, Tashtego! let me hear thy hammer.",
            "Pôle-Nord: naïve café, 1890!",
        ];
        let tokenizer = tokenizer(&fetch::folder("minilm")).unwrap();
        let tokens: Vec<_> = texts.iter().map(|text| tokenize(&tokenizer, text).unwrap()).collect();
        assert_eq!(
            tokens[2],
            [101, 2054, 7570, 1010, 11937, 4095, 2618, 3995, 999, 2292, 2033, 2963, 15177, 8691, 1012, 102]
        );
        assert_eq!(tokens[3], [101, 6536, 1011, 13926, 1024, 15743, 7668, 1010, 6193, 999, 102]);
        let own: Vec<&Tensor> = model.tensors.iter().map(|named| &named.tensor).collect();
        let vectors = embed(&own, &tokens, &mut |_, _| Ok(())).unwrap();
        let expected = [
            [0.021664, -0.004864, -0.009649, -0.063401, -0.167493, 0.004676, 0.0806, -0.024142],
            [-0.052927, -0.028737, 0.009495, 0.069364, -0.04899, -0.050283, -0.051855, -0.129106],
            [-0.037799, 0.064601, 0.02719, -0.076305, -0.065876, -0.061481, 0.118097, -0.076747],
            [0.015673, 0.112521, -0.020522, 0.01524, 0.045437, 0.016866, 0.01928, 0.026337],
        ];
        for (ours, theirs) in vectors.iter().zip(expected) {
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!((ours - theirs).abs() < 5e-6, "{ours}, not {theirs}");
            }
        }
        let cosines = [-0.050694, 0.071663, 0.08188, -0.126637, 0.119655, 0.102447];
        for (ours, theirs) in rank::cosines(&vectors).into_iter().zip(cosines) {
            assert!((ours - theirs).abs() < 5e-6, "{ours}, not {theirs}");
        }
    }

    #[test]
    fn error_function_is_accurate() {
        // Tables: erf(0.5), erf(1), erf(2).
        for (x, value) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (6.0, 1.0)] {
            assert!((erf(x) - value).abs() < 5e-7 && (erf(-x) + value).abs() < 5e-7, "{x}: {}", erf(x));
        }
    }
}
