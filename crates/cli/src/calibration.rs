//! Language models with calibration text, as `compress` and `plan` use them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use seedpress_bench::cache::Cache;
use seedpress_checkpoint::Checkpoint;
use seedpress_model::{CheckpointWeights, Hidden, Weights};
use seedpress_press::Source;
use seedpress_transformer::weighing::Importances;
use seedpress_transformer::{TransformerNetwork, guide};

use crate::bench::{repository_root, stop_flag};
use crate::failure::Failure;
use crate::language::{self, Language};
use crate::print::note;

/// The text that calibrates, and how it is used.
#[derive(Args)]
pub struct Text {
    /// Text to calibrate with, for the folder of a language model: a plain file, .jsonl, or a folder of these
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Sequences of calibration text, spread over it
    #[arg(long, value_name = "N", default_value_t = 32, requires = "calibration", value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Tokens of a calibration sequence
    #[arg(long, value_name = "N", default_value_t = 1024, requires = "calibration", value_parser = clap::value_parser!(u32).range(1..))]
    context: u32,
    /// Let all tokens of the calibration text count alike, instead of by how much the model's answers depend on them
    #[arg(long, requires = "calibration")]
    pub unweighted: bool,
}

/// A language model with the sequences that calibrate it.
pub struct Calibration {
    language: Language,
    /// The same as blocks.
    pub network: Arc<TransformerNetwork>,
    /// The sequences.
    pub samples: Vec<Hidden>,
}

/// What importances are kept as; changes with how they are made.
const IMPORTANCES: &str = "importances-2";
/// Between two lines about how far the backward pass is.
const EVERY: Duration = Duration::from_secs(5);

fn cache() -> Cache {
    Cache::new(repository_root().join(".seedpress-cache"))
}

impl Calibration {
    /// Opens a model in any format that is read, and reads and cuts the text.
    pub fn open(path: &Path, text: &Text, calibration: &Path, quiet: bool) -> Result<Self, Failure> {
        let language = Language::open(path, None)?;
        let model = &language.model;
        let context = language::context(text.context, model.description().context)?;
        let tokens = language::tokens(model.folder(), &[calibration.to_owned()])?;
        let samples = guide::samples(&tokens, context, text.samples as usize);
        if !quiet {
            let rows: usize = samples.iter().map(Hidden::rows).sum();
            note!("calibrating with {} sequences, {rows} tokens", samples.len());
        }
        let network = Arc::new(TransformerNetwork::new(model.description().clone(), model.shapes()));
        Ok(Self { language, network, samples })
    }

    /// Where its weights lie as safetensors.
    pub fn folder(&self) -> &Path {
        self.language.model.folder()
    }

    /// Its weights, read tensor by tensor.
    pub fn weights(&self) -> Result<Arc<dyn Weights>, Failure> {
        let checkpoint = Checkpoint::open(self.folder()).map_err(Failure::data)?;
        Ok(Arc::new(CheckpointWeights::new(checkpoint, self.network.as_ref())))
    }

    /// How much each token counts for each tensor: the backward pass over the text, or what is kept of an earlier one.
    pub fn weigh(&self, quiet: bool) -> Result<Arc<Importances>, Failure> {
        if let Some(kept) = self.kept(IMPORTANCES).and_then(|kept| Importances::from_bytes(&kept)) {
            return Ok(Arc::new(kept));
        }
        let found = self.derive(quiet)?;
        self.keep(IMPORTANCES, &found.to_bytes());
        Ok(Arc::new(found))
    }

    /// What was kept under a name for this model and text.
    pub fn kept(&self, what: &str) -> Option<Vec<u8>> {
        cache().get(&self.key(what)?)
    }

    /// Keeps something for the next command on this model and text.
    pub fn keep(&self, what: &str, bytes: &[u8]) {
        if let Some(key) = self.key(what) {
            cache().put(&key, bytes);
        }
    }

    fn key(&self, what: &str) -> Option<String> {
        let checkpoint = Checkpoint::open(self.folder()).ok()?;
        let source: &dyn Source = &checkpoint;
        let (model, text) = (source.identity()?, guide::identity(&self.samples).replace(' ', "-"));
        Some(format!("{what}-{model:032x}-{text}"))
    }

    fn derive(&self, quiet: bool) -> Result<Importances, Failure> {
        let stop = stop_flag("the sequence at work")?;
        let (start, mut told) = (Instant::now(), Instant::now());
        let count = self.samples.len();
        let mut progress = |done: usize| {
            if !quiet && (told.elapsed() >= EVERY || done == count) {
                told = Instant::now();
                let left = start.elapsed().as_secs_f64() / done as f64 * (count - done) as f64;
                note!("weighed {done} of {count} sequences, {left:.0} s left");
            }
            !stop.load(Ordering::Relaxed)
        };
        Ok(Importances::new(&self.network, self.language.model.weights(), &self.samples, &mut progress)?)
    }
}
