//! How the committed weights of the zoo were made: seeded, one recipe per model.
//!
//! The forward passes here keep what their backward passes need; a test compares them with the zoo's.

mod classifier;
mod language;
mod lstm;
mod recipe;
mod transformer;

pub use recipe::{TrainOptions, TrainReport};

use seedpress_zoo::fashion::Classifier;
use seedpress_zoo::sotu::Language;
use seedpress_zoo::{ZooError, catalogue};

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
