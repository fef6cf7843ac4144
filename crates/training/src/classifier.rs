//! Image classifiers: cross entropy, AdamW, cosine rate.
//!
//! The tensor library's thread pool waits actively: on a busy machine `RAYON_NUM_THREADS=1` trains several times faster.

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss::cross_entropy};

use seedpress_model::random::Random;
use seedpress_zoo::fashion::{Classifier, Images, images};
use seedpress_zoo::{ZooError, assets};

use crate::recipe::{TrainOptions, TrainReport, report, schedule};

struct Recipe {
    seed: u64,
    /// Images a step.
    batch: usize,
    epochs: u32,
    rate: f64,
    decay: f64,
}

fn recipe(classifier: Classifier) -> Recipe {
    match classifier {
        Classifier::Mlp => Recipe { seed: 1, batch: 128, epochs: 8, rate: 1.5e-3, decay: 0.02 },
        Classifier::Cnn => Recipe { seed: 1, batch: 64, epochs: 3, rate: 1.5e-3, decay: 0.02 },
    }
}

/// Weights normal with variance 2 / inputs (He et al. 2015), biases zero.
fn initial(classifier: Classifier, random: &mut Random) -> Result<Vec<Var>, ZooError> {
    let make = |shape: &[usize], random: &mut Random| {
        let inputs: usize = shape[1..].iter().product();
        let deviation = if shape.len() == 1 { 0.0 } else { (2.0 / inputs as f64).sqrt() };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| (random.normal() * deviation) as f32).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
    };
    Ok(classifier.tensors().iter().map(|info| make(&info.shape, random)).collect::<Result<_, _>>()?)
}

pub(super) fn train(
    name: &str,
    classifier: Classifier,
    options: &TrainOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<TrainReport, ZooError> {
    let path = options.output.clone().unwrap_or_else(|| assets::asset(&format!("{name}/model.safetensors")));
    let recipe = recipe(classifier);
    let epochs = options.epochs.unwrap_or(recipe.epochs);
    let mut random = Random::new(options.seed.unwrap_or(recipe.seed));
    let data = Images::training(options.data.as_deref())?;
    let start = Instant::now();

    let variables = initial(classifier, &mut random)?;
    let weights: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let settings = ParamsAdamW { lr: recipe.rate, weight_decay: recipe.decay, ..Default::default() };
    let mut optimizer = AdamW::new(variables.clone(), settings)?;
    let mut order: Vec<usize> = (0..data.len()).collect();
    let steps = epochs as usize * (data.len() / recipe.batch);
    let mut step = 0_usize;
    for epoch in 1..=epochs {
        random.shuffle(&mut order);
        let mut sum = 0.0;
        for indices in order.chunks_exact(recipe.batch) {
            optimizer.set_learning_rate(recipe.rate * schedule(step as f64 / steps as f64));
            let input = Tensor::from_vec(
                images(&data, indices.iter().copied()).values,
                (indices.len(), 28, 28, 1),
                &Device::Cpu,
            )?;
            let labels: Vec<u32> = indices.iter().map(|&index| u32::from(data.labels[index])).collect();
            let scores = classifier.forward(&weights, &input)?;
            let loss = cross_entropy(&scores, &Tensor::new(labels, &Device::Cpu)?)?;
            optimizer.backward_step(&loss)?;
            sum += f64::from(loss.to_scalar::<f32>()?);
            step += 1;
            if step.is_multiple_of(100) {
                let mean = f64::from(loss.to_scalar::<f32>()?);
                progress(&format!(
                    "{name}: step {step}/{steps}, loss {mean:.4}, {:.0} s",
                    start.elapsed().as_secs_f64()
                ));
            }
        }
        // An interrupted training leaves something behind.
        save(classifier, &weights, &path)?;
        let mean = sum / (data.len() / recipe.batch) as f64;
        progress(&format!(
            "{name}: epoch {epoch}/{epochs}, training loss {mean:.4}, {:.0} s",
            start.elapsed().as_secs_f64()
        ));
    }

    let seconds = start.elapsed().as_secs_f64();
    report(name, path, seconds)
}

fn save(classifier: Classifier, weights: &[Tensor], path: &std::path::Path) -> Result<(), ZooError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(ZooError::io(folder))?;
    }
    let named = classifier.tensors().into_iter().map(|info| info.name).zip(weights.iter().cloned()).collect();
    Ok(candle_core::safetensors::save::<String, _>(&named, path)?)
}
