//! Language models: cross entropy of the next byte, AdamW (Loshchilov, Hutter 2017), gradients clipped by their norm.
//!
//! The transformer sees windows in random order, one pass over the text with random borders after another; the recurrent network
//! reads many stretches of the text in parallel and keeps its state from step to step. Addresses set apart for calibration tell how
//! it goes and decide nothing. Weights are saved every few minutes.
//!
//! Everything runs on one processor core. Where buffers are mapped anew for every step (glibc's default for large ones), setting
//! `MALLOC_MMAP_THRESHOLD_` and `MALLOC_TRIM_THRESHOLD_` high saves the page faults.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use seedpress_model::random::Random;
use seedpress_model::{Network, TensorInfo};
use seedpress_zoo::sotu::kernel::{cross_entropy, sum};
use seedpress_zoo::sotu::lstm::HIDDEN;
use seedpress_zoo::sotu::transformer::CONTEXT;
use seedpress_zoo::sotu::{Language, Lstm, Transformer, VOCABULARY, data};
use seedpress_zoo::{ZooError, assets};

use crate::recipe::{TrainOptions, TrainReport, report, schedule};
use crate::{lstm, transformer};

/// Names, shapes and kinds in the order of the gradients.
pub(crate) fn tensors(language: Language) -> Vec<TensorInfo> {
    match language {
        Language::Transformer => Transformer::default().tensors().to_vec(),
        Language::Lstm => Lstm::default().tensors().to_vec(),
    }
}

struct Recipe {
    seed: u64,
    /// Windows or streams a step.
    batch: usize,
    /// Bytes of each.
    length: usize,
    steps: usize,
    rate: f64,
    decay: f32,
}

fn recipe(language: Language) -> Recipe {
    match language {
        Language::Transformer => Recipe { seed: 1, batch: 8, length: CONTEXT, steps: 3800, rate: 1.5e-3, decay: 0.1 },
        Language::Lstm => Recipe { seed: 1, batch: 32, length: 64, steps: 3200, rate: 2e-3, decay: 0.02 },
    }
}

/// Decay of the means of gradients and of their squares.
const MEMORY: [f32; 2] = [0.9, 0.99];
const CLIP: f64 = 1.0;
const SAVE_EVERY: u64 = 120;

/// Weights with their gradients and the optimiser's moments.
struct Parameters {
    weights: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    means: Vec<Vec<f32>>,
    squares: Vec<Vec<f32>>,
    /// Whether a tensor decays: matrices only.
    decays: Vec<bool>,
}

impl Parameters {
    fn new(language: Language, random: &mut Random) -> Self {
        let tensors = tensors(language);
        let weights: Vec<Vec<f32>> = tensors.iter().map(|info| initial(language, info, random)).collect();
        let zeros = || weights.iter().map(|weight| vec![0f32; weight.len()]).collect::<Vec<_>>();
        let (gradients, means, squares) = (zeros(), zeros(), zeros());
        let decays = tensors.iter().map(|info| info.shape.len() > 1 && info.layer_type != "embedding").collect();
        Self { weights, gradients, means, squares, decays }
    }

    /// One step of AdamW, the `count`-th; empties the gradients and returns their norm.
    fn step(&mut self, count: usize, rate: f32, decay: f32) -> f64 {
        let square: f64 = self.gradients.iter().map(|gradient| squares(gradient)).sum();
        let norm = square.sqrt();
        let factor = (CLIP / norm.max(CLIP)) as f32;
        let [first, second] = MEMORY;
        let bias = |memory: f32| 1.0 - memory.powi(count as i32);
        let (rate_now, root) = (rate / bias(first), 1.0 / bias(second));
        for index in 0..self.weights.len() {
            let kept = if self.decays[index] { 1.0 - rate * decay } else { 1.0 };
            let moments = self.means[index].iter_mut().zip(&mut self.squares[index]);
            let weights = self.weights[index].iter_mut().zip(&mut self.gradients[index]);
            for ((weight, gradient), (mean, square)) in weights.zip(moments) {
                let slope = *gradient * factor;
                *gradient = 0.0;
                *mean = first * *mean + (1.0 - first) * slope;
                *square = second * *square + (1.0 - second) * slope * slope;
                *weight = *weight * kept - rate_now * *mean / ((*square * root).sqrt() + 1e-8);
            }
        }
        norm
    }
}

fn squares(values: &[f32]) -> f64 {
    values.chunks(4096).map(|chunk| f64::from(sum(&chunk.iter().map(|value| value * value).collect::<Vec<_>>()))).sum()
}

/// Transformer: deviation 0.02, less for layers that end on the residual stream (Radford et al. 2019). Recurrent network: deviation
/// of one over the root of the hidden width, forget gates open.
fn initial(language: Language, info: &TensorInfo, random: &mut Random) -> Vec<f32> {
    let (name, count) = (&info.name, info.weights());
    let ends = name.ends_with("output.weight") || name.ends_with("down.weight");
    let deviation = match (language, info.layer_type.as_str()) {
        (_, "norm") => return vec![1.0; count],
        (Language::Lstm, "bias") if name.starts_with("lstm") => {
            return (0..count).map(|at| f32::from(u8::from(at / HIDDEN == 1))).collect();
        }
        (_, "bias") => return vec![0.0; count],
        (Language::Transformer, _) if ends => 0.02 / 6f64.sqrt(),
        (Language::Transformer, _) => 0.02,
        (Language::Lstm, "embedding") => 0.5,
        (Language::Lstm, _) => 1.0 / (HIDDEN as f64).sqrt() / 3f64.sqrt(),
    };
    (0..count).map(|_| (random.normal() * deviation) as f32).collect()
}

/// Where each step's bytes come from.
enum Reader {
    Windows { tape: transformer::Tape, order: Vec<usize> },
    Streams { tape: lstm::Tape, places: Vec<usize> },
}

impl Reader {
    fn new(language: Language, recipe: &Recipe, text: &[u8]) -> Self {
        match language {
            Language::Transformer => {
                let tape = transformer::Tape::new(recipe.batch, recipe.length);
                Self::Windows { tape, order: Vec::new() }
            }
            Language::Lstm => {
                let tape = lstm::Tape::new(recipe.batch, recipe.length);
                Self::Streams { tape, places: (0..recipe.batch).map(|i| i * text.len() / recipe.batch).collect() }
            }
        }
    }

    /// Loss in nats of the next step's bytes; adds its gradients.
    fn step(&mut self, parameters: &mut Parameters, recipe: &Recipe, text: &[u8], random: &mut Random) -> f64 {
        let weights: Vec<&[f32]> = parameters.weights.iter().map(Vec::as_slice).collect();
        let length = recipe.length;
        match self {
            Self::Windows { tape, order } => {
                let mut starts = Vec::new();
                while starts.len() < recipe.batch {
                    if order.is_empty() {
                        let border = random.below(length);
                        *order = (border..text.len() - length - 1).step_by(length).collect();
                        random.shuffle(order);
                    }
                    starts.extend(order.pop());
                }
                let pick = |offset: usize| -> Vec<u8> {
                    starts.iter().flat_map(|start| &text[start + offset..][..length]).copied().collect()
                };
                let bytes = pick(0);
                transformer::forward(&weights, &bytes, tape);
                let loss = cross_entropy(&mut tape.scores, &pick(1), VOCABULARY);
                transformer::backward(&weights, &bytes, tape, &mut parameters.gradients);
                loss
            }
            Self::Streams { tape, places } => {
                let pick = |offset: usize| -> Vec<u8> {
                    let moment = |time: usize| places.iter().map(move |place| (place + time + offset) % text.len());
                    (0..length).flat_map(|time| moment(time).collect::<Vec<_>>()).map(|at| text[at]).collect()
                };
                let bytes = pick(0);
                lstm::forward(&weights, &bytes, tape);
                let loss = cross_entropy(&mut tape.scores, &pick(1), VOCABULARY);
                lstm::backward(&weights, &bytes, tape, &mut parameters.gradients);
                tape.carry();
                places.iter_mut().for_each(|place| *place = (*place + length) % text.len());
                loss
            }
        }
    }
}

/// Scores for the byte after each byte of windows of equal length that follow each other.
pub(crate) fn scores(language: Language, weights: &[&[f32]], bytes: &[u8], windows: usize) -> Vec<f32> {
    let length = bytes.len() / windows;
    match language {
        Language::Transformer => {
            let mut tape = transformer::Tape::new(windows, length);
            transformer::forward(weights, bytes, &mut tape);
            tape.scores
        }
        Language::Lstm => {
            let mut tape = lstm::Tape::new(windows, length);
            let by_time: Vec<u8> = (0..bytes.len()).map(|at| bytes[at % windows * length + at / windows]).collect();
            lstm::forward(weights, &by_time, &mut tape);
            let rows = (0..bytes.len()).flat_map(|at| {
                let row = at % length * windows + at / length;
                &tape.scores[row * VOCABULARY..(row + 1) * VOCABULARY]
            });
            rows.copied().collect()
        }
    }
}

/// Bits a byte on windows spread over `text`, the first quarter of each as context only.
fn watch(language: Language, weights: &[Vec<f32>], text: &[u8]) -> f64 {
    const WINDOWS: usize = 48;
    let length = CONTEXT;
    let weights: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
    let starts: Vec<usize> = (0..WINDOWS).map(|i| i * (text.len() - length - 1) / WINDOWS).collect();
    let mut nats = 0.0;
    for starts in starts.chunks(16) {
        let bytes: Vec<u8> = starts.iter().flat_map(|start| &text[*start..][..length]).copied().collect();
        let mut scores = scores(language, &weights, &bytes, starts.len());
        for (start, scores) in starts.iter().zip(scores.chunks_exact_mut(length * VOCABULARY)) {
            let counted = length / 4;
            let (scores, targets) =
                (&mut scores[counted * VOCABULARY..], &text[start + counted + 1..][..length - counted]);
            nats += cross_entropy(scores, targets, VOCABULARY);
        }
    }
    nats / WINDOWS as f64 / std::f64::consts::LN_2
}

pub(super) fn train(
    name: &str,
    language: Language,
    options: &TrainOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<TrainReport, ZooError> {
    let path = options.output.clone().unwrap_or_else(|| assets::asset(&format!("{name}/model.safetensors")));
    let recipe = recipe(language);
    let mut random = Random::new(options.seed.unwrap_or(recipe.seed));
    let text = data::addresses(options.data.as_deref(), data::Part::Training)?.concat();
    let watched = data::addresses(options.data.as_deref(), data::Part::Calibration)?.concat();
    let steps =
        options.epochs.map_or(recipe.steps, |epochs| epochs as usize * text.len() / (recipe.batch * recipe.length));
    let start = Instant::now();
    let mut parameters = Parameters::new(language, &mut random);
    let mut reader = Reader::new(language, &recipe, &text);
    progress(&format!(
        "{name}: {} weights, {} bytes of text, {steps} steps of {} bytes",
        parameters.weights.iter().map(Vec::len).sum::<usize>(),
        text.len(),
        recipe.batch * recipe.length
    ));
    let (mut saved, mut sum, mut count) = (0, 0.0, 0);
    for step in 1..=steps {
        sum += reader.step(&mut parameters, &recipe, &text, &mut random);
        count += 1;
        let rate = recipe.rate * schedule(step as f64 / steps as f64).max(0.02);
        let norm = parameters.step(step, rate as f32, recipe.decay);
        let seconds = start.elapsed().as_secs_f64();
        if step % 50 == 0 {
            let bits = sum / f64::from(count) / std::f64::consts::LN_2;
            (sum, count) = (0.0, 0);
            let speed = (step * recipe.batch * recipe.length) as f64 / seconds;
            progress(&format!(
                "{name}: step {step}/{steps}, {bits:.4} bits per byte, norm {norm:.2}, rate {rate:.2e}, {speed:.0} bytes/s, {seconds:.0} s"
            ));
        }
        if step % 500 == 0 || step == steps {
            let bits = watch(language, &parameters.weights, &watched);
            progress(&format!("{name}: step {step}/{steps}, {bits:.4} bits per byte on addresses set apart"));
        }
        if seconds as u64 / SAVE_EVERY != saved {
            // An interrupted training leaves something behind.
            saved = seconds as u64 / SAVE_EVERY;
            save(language, &parameters.weights, &path)?;
        }
    }
    save(language, &parameters.weights, &path)?;
    let seconds = start.elapsed().as_secs_f64();
    report(name, path, seconds)
}

/// Writes the weights; those of the recurrent network as f16, for half the file.
fn save(language: Language, weights: &[Vec<f32>], path: &Path) -> Result<(), ZooError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(ZooError::io(folder))?;
    }
    let tensors = tensors(language);
    let dtype = match language {
        Language::Transformer => DType::F32,
        Language::Lstm => DType::F16,
    };
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu)?.to_dtype(dtype);
    let named = tensors
        .iter()
        .zip(weights)
        .map(|(info, values)| Ok((info.name.as_str(), tensor(values, &info.shape)?)))
        .collect::<candle_core::Result<std::collections::HashMap<_, _>>>()?;
    let partial = PathBuf::from(format!("{}.partial", path.display()));
    candle_core::safetensors::save(&named, &partial)?;
    std::fs::rename(&partial, path).map_err(ZooError::io(path))
}

#[cfg(test)]
mod tests {
    use seedpress_model::random::Random;
    use seedpress_model::{Hidden, Network, Outputs, run};
    use seedpress_zoo::sotu::{Lstm, Transformer, bytes};

    use super::*;

    /// Mean loss of a stretch and, where asked for, its gradients.
    fn loss(language: Language, weights: &[Vec<f32>], text: &[u8], gradients: Option<&mut [Vec<f32>]>) -> f64 {
        let (windows, length) = (2, text.len() / 2 - 1);
        let weights: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
        let at = |offset: usize| (0..windows * length).map(move |row| (row / length, row % length + offset));
        let pick = |offset: usize| -> Vec<u8> {
            at(offset).map(|(window, place)| text[window * (length + 1) + place]).collect()
        };
        match language {
            Language::Transformer => {
                let mut tape = transformer::Tape::new(windows, length);
                transformer::forward(&weights, &pick(0), &mut tape);
                let loss = cross_entropy(&mut tape.scores, &pick(1), VOCABULARY);
                if let Some(gradients) = gradients {
                    transformer::backward(&weights, &pick(0), &mut tape, gradients);
                }
                loss
            }
            Language::Lstm => {
                let mut tape = lstm::Tape::new(windows, length);
                lstm::forward(&weights, &pick(0), &mut tape);
                let loss = cross_entropy(&mut tape.scores, &pick(1), VOCABULARY);
                if let Some(gradients) = gradients {
                    lstm::backward(&weights, &pick(0), &mut tape, gradients);
                }
                loss
            }
        }
    }

    fn random_weights(language: Language, random: &mut Random) -> Vec<Vec<f32>> {
        let weight = |info: TensorInfo| -> Vec<f32> {
            let centre = if info.layer_type == "norm" { 1.0 } else { 0.0 };
            let spread = if info.layer_type == "embedding" { 1.0 } else { 0.05 };
            (0..info.weights()).map(|_| (centre + spread * random.normal()) as f32).collect()
        };
        tensors(language).into_iter().map(weight).collect()
    }

    /// What is trained is what the zoo runs.
    #[test]
    fn forward_passes_are_those_of_the_zoo() {
        let mut random = Random::new(9);
        let text: Vec<u8> = (0..2 * 130).map(|_| random.below(VOCABULARY) as u8).collect();
        let networks: [(Language, Box<dyn Network>); 2] =
            [(Language::Transformer, Box::new(Transformer::default())), (Language::Lstm, Box::new(Lstm::default()))];
        for (language, network) in networks {
            let weights = random_weights(language, &mut random);
            let plain: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
            let ours = scores(language, &plain, &text, 2);
            let tensor = |(info, values): (&TensorInfo, &Vec<f32>)| {
                seedpress_codec::Tensor::new(info.shape.clone(), values.clone(), seedpress_codec::DType::F32).unwrap()
            };
            let tensors: Vec<_> = network.tensors().iter().zip(&weights).map(tensor).collect();
            let samples: Vec<Hidden> = vec![bytes(text.chunks(130))];
            run(network.as_ref(), &tensors, &samples, &mut |_, outputs| {
                let Outputs::Logits { values, .. } = outputs else { unreachable!("a language model") };
                let largest = ours.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                assert!(ours.len() == values.len() && largest < 1e-4, "{language:?}: {largest}");
                Ok(())
            })
            .unwrap();
        }
    }

    /// Gradients against differences of the loss along a random direction, one tensor at a time.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let mut random = Random::new(7);
        let text: Vec<u8> = (0..2 * 81).map(|_| b'a' + random.below(20) as u8).collect();
        for language in [Language::Transformer, Language::Lstm] {
            let mut weights = random_weights(language, &mut random);
            let mut gradients: Vec<Vec<f32>> = weights.iter().map(|weight| vec![0.0; weight.len()]).collect();
            loss(language, &weights, &text, Some(&mut gradients));
            for (index, TensorInfo { name, .. }) in tensors(language).iter().enumerate() {
                // Along the gradient itself the change is largest against rounding.
                let square: f64 = gradients[index].iter().map(|&g| f64::from(g) * f64::from(g)).sum();
                let step = 2e-2 / square.sqrt();
                let own = weights[index].clone();
                let mut moved = |sign: f64| {
                    let shift = |(w, g): (&f32, &f32)| (f64::from(*w) + sign * step * f64::from(*g)) as f32;
                    weights[index] = own.iter().zip(&gradients[index]).map(shift).collect();
                    loss(language, &weights, &text, None)
                };
                let measured = (moved(1.0) - moved(-1.0)) / (2.0 * step);
                weights[index] = own;
                assert!((measured / square - 1.0).abs() < 2e-2, "{name}: {measured} {square}");
            }
        }
    }
}
