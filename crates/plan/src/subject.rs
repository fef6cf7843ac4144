//! A model as the planner sees it, and what the planner works with.

use std::sync::atomic::{AtomicBool, Ordering};

use seedpress_checkpoint::{Container, Entry};
use seedpress_codec::{InputStatistics, Record, Registry, Tensor};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::PlanError;

/// One tensor of a model.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name in the checkpoint.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Number of weights.
    pub weights: u64,
    /// `linear`, `conv3x3`, `embedding`, `recurrent`, ...
    pub layer_type: String,
    /// Hash of type, shape and values.
    pub hash: String,
    /// Whether the small-tensor policy keeps it as it is.
    pub kept: bool,
}

/// A model that can be planned for.
pub trait Subject: Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Its tensors, in the order of the file.
    fn parts(&self) -> &[Part];

    /// The weights of one of them.
    ///
    /// # Errors
    /// One line that says why not.
    fn load(&self, part: usize) -> Result<Tensor, String>;

    /// The file that these records make, one a part, in order: with whatever else the file carries.
    ///
    /// # Errors
    /// One line that says why not.
    fn file(&self, records: Vec<Record>) -> Result<Container, String> {
        let names = self.parts().iter().map(|part| part.name.clone());
        let entries = names.zip(records.into_iter().map(Entry::Record)).collect();
        Ok(Container { entries, ..Container::default() })
    }

    /// Input statistics of a tensor's layer, for codecs that use them.
    ///
    /// # Errors
    /// One line that says why not.
    fn calibration(&self, part: usize) -> Result<Option<&InputStatistics>, String> {
        let _ = part;
        Ok(None)
    }

    /// Whether [`divergence`](Self::divergence) can be measured.
    fn has_divergence(&self) -> bool;

    /// How far the outputs on calibration data move with `tensors` (one a part, in order) in place of the model's own. Never uses the
    /// data that evaluates the model.
    ///
    /// # Errors
    /// One line that says why not.
    fn divergence(&self, tensors: &[Tensor]) -> Result<f64, String>;
}

/// Where measurements are kept between runs.
pub trait Store: Sync {
    /// What was kept under a key.
    fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// Keeps bytes under a key; failing to is no error.
    fn put(&self, key: &str, bytes: &[u8]);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStore;

impl Store for NoStore {
    fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn put(&self, _: &str, _: &[u8]) {}
}

/// What the planner works with.
pub struct Context<'a> {
    /// Codecs and decoders.
    pub registry: &'a Registry,
    /// Where measurements are kept.
    pub store: &'a dyn Store,
    /// Told what is being worked on: finished and expected measurements, and a word.
    pub progress: &'a (dyn Fn(usize, usize, &str) + Sync),
    /// Set by the user to stop.
    pub stop: &'a AtomicBool,
}

impl Context<'_> {
    pub(crate) fn progress(&self, done: usize, total: usize, what: &str) {
        (self.progress)(done, total, what);
    }

    pub(crate) fn check(&self) -> Result<(), PlanError> {
        if self.stop.load(Ordering::Relaxed) { Err(PlanError::Stopped) } else { Ok(()) }
    }

    /// A stored value, or the value computed now and stored.
    pub(crate) fn remember<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        key: &str,
        compute: impl FnOnce() -> Result<T, PlanError>,
    ) -> Result<T, PlanError> {
        if let Some(value) = self.store.get(key).and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(value);
        }
        self.check()?;
        let value = compute()?;
        if let Ok(bytes) = serde_json::to_vec(&value) {
            self.store.put(key, &bytes);
        }
        Ok(value)
    }
}

/// Changes when what a stored measurement means does.
const SCHEMA: u32 = 1;

/// The key of a measurement: a hash of everything it depends on.
pub(crate) fn key(parts: &serde_json::Value) -> String {
    let text = serde_json::json!([SCHEMA, env!("CARGO_PKG_VERSION"), parts]).to_string();
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// What identifies a model's weights and the policy over them.
pub fn fingerprint(subject: &dyn Subject) -> String {
    let parts: Vec<_> = subject.parts().iter().map(|part| (&part.name, &part.hash, part.kept)).collect();
    key(&serde_json::json!([subject.name(), parts]))
}
