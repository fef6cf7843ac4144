//! How the committed weights were made: seeded, one recipe per model.

use std::path::PathBuf;

use crate::catalogue;
use crate::error::ZooError;

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
    pub metrics: Vec<crate::Metric>,
    /// How long it took.
    pub seconds: f64,
}

/// Trains a model by name; `progress` gets one line at a time.
///
/// # Errors
/// [`ZooError::Unsupported`] for models without a recipe, and whatever reading data and writing weights can fail with.
pub fn train(name: &str, options: &TrainOptions, progress: &mut dyn FnMut(&str)) -> Result<TrainReport, ZooError> {
    let _ = (options, progress);
    match catalogue::info(name) {
        Some(_) => Err(ZooError::Unsupported { name: name.to_owned(), what: "training recipe" }),
        None => Err(ZooError::UnknownModel {
            name: name.to_owned(),
            known: catalogue::models().iter().map(|model| model.name).collect(),
        }),
    }
}
