//! Language models with calibration text, as `compress` and `plan` use them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use seedpress_bench::cache::Cache;
use seedpress_model::Hidden;
use seedpress_transformer::calibration_text::Step;
use seedpress_transformer::spectra::Spectra;
use seedpress_transformer::weighing::Importances;
use seedpress_transformer::{CalibrationText, guide};

use crate::bench::repository_root;
use crate::failure::Failure;
use crate::language::{self, Language};
use crate::print::note;
use crate::stop::stop_flag;

/// The text that calibrates, and how it is used.
#[derive(Args)]
pub(crate) struct Text {
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
pub(crate) struct Calibration {
    /// What is found out from the text.
    pub text: CalibrationText,
    language: Language,
}

/// Between two lines about how far the work is.
const EVERY: Duration = Duration::from_secs(5);

fn cache() -> Cache {
    Cache::new(repository_root().join(".seedpress-cache"))
}

impl Calibration {
    /// Opens a model in any format that is read, and reads and cuts the text.
    pub(crate) fn open(path: &Path, text: &Text, calibration: &Path, quiet: bool) -> Result<Self, Failure> {
        let language = Language::open(path, None)?;
        let model = &language.model;
        let context = language::context(text.context, model.description().context)?;
        let tokens = language::tokens(model.folder(), &[calibration.to_owned()])?;
        let samples = guide::samples(&tokens, context, text.samples as usize);
        if !quiet {
            let rows: usize = samples.iter().map(Hidden::rows).sum();
            note!("calibrating with {} sequences, {rows} tokens", samples.len());
        }
        let text = CalibrationText::new(model.folder(), samples)?;
        Ok(Self { text, language })
    }

    /// Where its weights lie as safetensors.
    pub(crate) fn folder(&self) -> &Path {
        self.language.model.folder()
    }

    /// How much each token counts for each tensor.
    pub(crate) fn weigh(&self, quiet: bool) -> Result<Arc<Importances>, Failure> {
        let mut watch = watch(quiet)?;
        Ok(self.text.importances(&cache(), &mut watch)?)
    }

    /// What errors of each tensor cost, of those that `wanted` takes.
    pub(crate) fn spectra(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Spectra, Failure> {
        let mut watch = watch(false)?;
        Ok(self.text.spectra(wanted, &cache(), &mut watch)?)
    }
}

/// Says every few seconds how far a search is, and stops it on Ctrl-C.
fn watch(quiet: bool) -> Result<impl FnMut(Step<'_>) -> bool, Failure> {
    let stop = stop_flag("the step at work")?;
    let (start, mut shown) = (Instant::now(), Instant::now());
    Ok(move |step: Step<'_>| {
        let last = matches!(step, Step::Weighed(done, count) if done == count);
        if !quiet && (shown.elapsed() >= EVERY || last) {
            shown = Instant::now();
            match step {
                Step::Weighed(done, count) => {
                    let left = start.elapsed().as_secs_f64() / done as f64 * (count - done) as f64;
                    note!("weighed {done} of {count} sequences, {left:.0} s left");
                }
                Step::Priced(done, name) => note!("looked at {done} tensors, {name}"),
            }
        }
        !stop.load(Ordering::Relaxed)
    })
}
