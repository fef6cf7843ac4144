//! What every recipe takes and yields, and the schedule of its rate.

use std::path::PathBuf;

use seedpress_zoo::ZooError;

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

/// What the weights just written achieve. The catalogue's hash does not bind models that anybody can train.
pub(crate) fn report(name: &str, path: PathBuf, seconds: f64) -> Result<TrainReport, ZooError> {
    let model = seedpress_zoo::load_from(name, &path)?;
    let mut metrics = model.evaluate([])?;
    metrics.truncate(1);
    Ok(TrainReport { path, metrics, seconds })
}

/// The cosine schedule (Loshchilov, Hutter 2017) after a linear rise over the first twentieth: a factor for the rate at
/// `progress` in [0, 1].
pub(crate) fn schedule(progress: f64) -> f64 {
    let rise = 0.05;
    if progress < rise {
        progress / rise
    } else {
        0.5 * (1.0 + (std::f64::consts::PI * (progress - rise) / (1.0 - rise)).cos())
    }
}
