//! How the committed weights of the zoo were made: seeded, one recipe per model.
//!
//! The forward passes here keep what their backward passes need; a test compares them with the zoo's.

mod classifier;
mod language;
mod lstm;
mod transformer;

use std::path::PathBuf;

use seedpress_zoo::fashion::Classifier;
use seedpress_zoo::sotu::Language;
use seedpress_zoo::{ZooError, catalogue};

/// How to train.
#[derive(Debug, Clone, Default)]
pub struct TrainOptions {
    /// Folder with the training data; looked for in the usual places, else fetched, where `None`.
    pub data: Option<PathBuf>,
    /// Where the weights go; the model's place under `assets/` where `None`.
    pub output: Option<PathBuf>,
    /// Seed of initial weights, order and augmentation; the recipe's own where `None`.
    pub seed: Option<u64>,
    /// Passes over the data; the recipe's own where `None`.
    pub epochs: Option<u32>,
}

/// What training achieved.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainReport {
    /// Where the weights were written.
    pub path: PathBuf,
    /// The metrics on held-out data.
    pub metrics: Vec<seedpress_model::Metric>,
    /// How long it took.
    pub seconds: f64,
}

/// Trains a model by name; `progress` gets one line at a time.
///
/// # Errors
/// [`ZooError::Unsupported`] for models without a recipe, and whatever reading data and writing weights can fail with.
pub fn train(name: &str, options: &TrainOptions, progress: &mut dyn FnMut(&str)) -> Result<TrainReport, ZooError> {
    if let Some(network) = Language::from_name(name) {
        return language::train(name, network, options, progress);
    }
    catalogue::require(name)?;
    match Classifier::from_name(name) {
        Some(classifier) => classifier::train(name, classifier, options, progress),
        None => Err(ZooError::Unsupported { name: name.to_owned(), what: "training recipe" }),
    }
}

/// What the weights just written achieve. The catalogue's hash does not bind models that anybody can train.
fn report(name: &str, path: PathBuf, seconds: f64) -> Result<TrainReport, ZooError> {
    let model = seedpress_zoo::load_from(name, &path)?;
    let mut metrics = model.evaluate([])?;
    metrics.truncate(1);
    Ok(TrainReport { path, metrics, seconds })
}

/// The cosine schedule (Loshchilov, Hutter 2017) after a linear rise over the first twentieth: a factor for the rate at
/// `progress` in [0, 1].
fn schedule(progress: f64) -> f64 {
    let rise = 0.05;
    if progress < rise {
        progress / rise
    } else {
        0.5 * (1.0 + (std::f64::consts::PI * (progress - rise) / (1.0 - rise)).cos())
    }
}
