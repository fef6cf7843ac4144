//! A language model with text of one's own: calibrated, measured and planned as every other [`Model`] is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use seedpress_checkpoint::Checkpoint;
use seedpress_model::{
    CheckpointWeights, DataSets, Evaluation, Hidden, Metric, Model, ModelError, Outputs, RowWeights, Samples, Scorer,
};
use xxhash_rust::xxh3::Xxh3;

use crate::calibration_text::CalibrationText;
use crate::error::TransformerError;
use crate::evaluate::{ENOUGH, divergence, top};
use crate::guide::{CAP, identity, samples};
use crate::math::log_sum_exp;
use crate::model::Transformer;
use crate::network::TransformerNetwork;
use crate::overlap::{Overlap, overlap};
use crate::text::{Tokens, Window, read_documents, tokenise, tokenizer, windows};
use crate::weighing;

/// Evaluation text of which more than this share was calibrated with measures memory: it is refused.
pub(crate) const MOST_SHARED: f64 = 0.01;
/// Sequences, and their tokens, whose answers tell how far weights have moved a model: their scores are kept (a word a vocabulary).
const PROBE: (usize, usize) = (4, 128);

/// Which text a model is given.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// What calibrates: a plain file, a `.jsonl` file or a folder of these.
    pub calibration: Option<&'a Path>,
    /// What measures, likewise.
    pub evaluation: Option<&'a Path>,
    /// Tokens of a sequence, in calibration and evaluation; no more than the model was made for.
    pub context: usize,
    /// Sequences of calibration text, spread over it.
    pub sequences: usize,
    /// Whether tokens of it count by how much the model's answers depend on them.
    pub weighted: bool,
}

/// A model of a folder, with its checkpoint.
#[derive(Debug)]
pub struct LanguageModel {
    /// Network, weights and data.
    pub model: Model,
    /// The checkpoint: it may hold tensors that the network does not use.
    pub checkpoint: Arc<Checkpoint>,
    /// What the calibration text is known by: its tokens, how they are cut, how they count.
    pub calibration: String,
    /// The text itself, where there is any.
    pub text: Option<Arc<CalibrationText>>,
    /// Whether its tokens count by how much the model's answers depend on them.
    pub weighted: bool,
    /// What the evaluation text is known by.
    pub evaluation: String,
    /// How much of the evaluation text stands in the calibration text.
    pub overlap: Option<Overlap>,
}

impl LanguageModel {
    /// Opens a folder with `config.json`, `tokenizer.json` and safetensors, and reads its text.
    ///
    /// # Errors
    /// A folder that is no language model, text that cannot be read, evaluation text that calibrates.
    pub fn open(name: &str, folder: &Path, texts: &Texts<'_>) -> Result<Self, TransformerError> {
        let transformer = Transformer::open(folder)?;
        let checkpoint = Checkpoint::open(folder).map_err(|error| TransformerError::file(folder, error))?;
        let checkpoint = Arc::new(checkpoint);
        let context = texts.context.min(transformer.description().context).max(2);
        let [calibration, evaluation] = [texts.calibration, texts.evaluation].map(|path| read(folder, path));
        let (calibration, evaluation) = (calibration?, evaluation?);
        let overlap = (!calibration.is_empty() && !evaluation.is_empty()).then(|| overlap(&calibration, &evaluation));
        if let (Some(found), Some(path)) = (overlap.filter(|found| found.share() > MOST_SHARED), texts.evaluation) {
            let (share, document) = (100.0 * found.share(), found.document.unwrap_or_default() + 1);
            return Err(TransformerError::file(
                path,
                format!(
                    "{share:.1} % of the evaluation text is calibration text, first in document {document}: keep them apart"
                ),
            ));
        }
        let sequences = samples(&calibration, context, texts.sequences);
        let text = match sequences.is_empty() {
            true => None,
            false => Some(Arc::new(CalibrationText::new(folder, sequences)?)),
        };
        let data = TextData {
            text: text.clone(),
            weighted: texts.weighted,
            probe: samples(&calibration, context.min(PROBE.1), PROBE.0),
            bytes: evaluation.iter().map(|document| document.predicted_bytes as f64).collect(),
            // One token of context more than the last window ended with, so that every token but a document's first is predicted.
            windows: windows(&evaluation, context, (context - 1).max(1)),
        };
        let known = |present: bool, text: String| if present { text } else { String::new() };
        let way = if texts.weighted { format!(", {}", weighing::TOKENS) } else { String::new() };
        let calibrated = text.as_ref().map_or_else(String::new, |text| identity(text.samples()) + &way);
        let measured = known(!data.windows.is_empty(), window_identity(&data.windows));
        let network = TransformerNetwork::new(transformer.description().clone(), transformer.shapes());
        let weights = CheckpointWeights::new(checkpoint.clone(), &network);
        let model = Model::new(name, Box::new(network), Box::new(weights), Box::new(data));
        Ok(Self {
            model,
            checkpoint,
            calibration: calibrated,
            text,
            weighted: texts.weighted,
            evaluation: measured,
            overlap,
        })
    }
}

fn read(folder: &Path, path: Option<&Path>) -> Result<Vec<Tokens>, TransformerError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let tokenizer = tokenizer(folder)?;
    read_documents(path)?.iter().map(|document| tokenise(&tokenizer, &document.text)).collect()
}

fn window_identity(windows: &[Window]) -> String {
    let mut hash = Xxh3::new();
    for window in windows {
        hash.update(&(window.document as u64).to_le_bytes());
        hash.update(&(window.first as u64).to_le_bytes());
        window.tokens.iter().for_each(|token| hash.update(&token.to_le_bytes()));
    }
    format!("{} windows {:032x}", windows.len(), hash.digest128())
}

/// Tokenised once.
#[derive(Debug)]
struct TextData {
    text: Option<Arc<CalibrationText>>,
    weighted: bool,
    probe: Vec<Hidden>,
    windows: Vec<Window>,
    /// Predicted bytes of each document of the evaluation text.
    bytes: Vec<f64>,
}

impl DataSets for TextData {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(self.text.as_ref().map(|text| Box::new(text.samples().clone()) as Box<dyn Samples>))
    }

    fn probe(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok((!self.probe.is_empty()).then(|| Box::new(self.probe.clone()) as Box<dyn Samples>))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        let text = HeldOut { windows: Windows(self.windows.clone()), bytes: self.bytes.clone() };
        Ok((!self.windows.is_empty()).then(|| Box::new(text) as Box<dyn Evaluation>))
    }

    fn loudest(&self) -> Option<f32> {
        Some(CAP)
    }

    fn row_weights(&self) -> Result<Option<Arc<dyn RowWeights>>, ModelError> {
        self.text.as_ref().filter(|_| self.weighted).map(|text| text.row_weights()).transpose()
    }
}

/// A window a batch.
#[derive(Debug)]
struct Windows(Vec<Window>);

impl Samples for Windows {
    fn batches(&self) -> usize {
        self.0.len()
    }

    fn batch(&self, index: usize) -> Result<Hidden, ModelError> {
        let window =
            self.0.get(index).ok_or_else(|| ModelError::Data(format!("window {index} of {}", self.0.len())))?;
        Ok(Hidden::tokens(&[&window.tokens]))
    }

    /// Behind each token stands what the model says of the next: those count whose next token was not counted by an earlier window.
    fn counted(&self, index: usize, outputs: Outputs) -> Outputs {
        let Window { tokens, first, .. } = &self.0[index];
        match outputs {
            Outputs::Logits { width, values } => {
                Outputs::Logits { width, values: values[(first - 1) * width..(tokens.len() - 1) * width].to_vec() }
            }
            other => other,
        }
    }
}

#[derive(Debug)]
struct HeldOut {
    windows: Windows,
    bytes: Vec<f64>,
}

impl Evaluation for HeldOut {
    fn samples(&self) -> &dyn Samples {
        &self.windows
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(TextScorer { text: self, sums: Vec::new() })
    }
}

/// Of a window.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    bits: f64,
    divergence: f64,
    alike: f64,
    tokens: f64,
}

struct TextScorer<'a> {
    text: &'a HeldOut,
    sums: Vec<Sums>,
}

impl Scorer for TextScorer<'_> {
    fn add(&mut self, batch: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        let (Outputs::Logits { width, values }, Outputs::Logits { values: others, .. }) = (original, given) else {
            return Err(ModelError::Data("a model without a head predicts no text".to_owned()));
        };
        let Window { tokens, first, .. } = &self.text.windows.0[batch];
        let rows = values.par_chunks_exact(*width).zip(others.par_chunks_exact(*width)).zip(&tokens[*first..]);
        let sums: Vec<Sums> = rows
            .map(|((original, given), &token)| {
                let (own, other) = (log_sum_exp(original), log_sum_exp(given));
                let target = given.get(token as usize).map_or(f64::INFINITY, |&score| other - f64::from(score));
                let divergence = f64::from(divergence(original, own, given, other));
                let alike = f64::from(u8::from(top(original) == top(given)));
                Sums { bits: target / std::f64::consts::LN_2, divergence, alike, tokens: 1.0 }
            })
            .collect();
        // In order: the same sums on any number of threads.
        self.sums.push(sums.into_iter().fold(Sums::default(), add));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        let units = self.units();
        let samples = units.iter().map(|(sums, _)| sums.tokens).sum::<f64>() as u64;
        let list = |of: fn(&Sums) -> f64| units.iter().map(|(sums, _)| of(sums)).collect::<Vec<f64>>();
        let bytes: Vec<f64> = units.iter().map(|(_, bytes)| *bytes).collect();
        let tokens = list(|sums| sums.tokens);
        Ok(vec![
            Metric::ratio("bits per byte", false, &list(|sums| sums.bits), &bytes, samples),
            Metric::ratio("KL divergence", false, &list(|sums| sums.divergence), &tokens, samples),
            Metric::ratio("top-1 agreement", true, &list(|sums| sums.alike), &tokens, samples),
        ])
    }
}

impl TextScorer<'_> {
    /// Sums and bytes of each independent unit: documents, or windows where there are few of them. Bytes of a window are its document's
    /// by tokens.
    fn units(&self) -> Vec<(Sums, f64)> {
        let windows = &self.text.windows.0;
        let mut documents: HashMap<usize, Sums> = HashMap::new();
        for (window, sums) in windows.iter().zip(&self.sums) {
            let sum = documents.entry(window.document).or_default();
            *sum = add(*sum, *sums);
        }
        if documents.len() >= ENOUGH {
            let own = (0..self.text.bytes.len()).filter_map(|at| Some((*documents.get(&at)?, self.text.bytes[at])));
            return own.collect();
        }
        let own = windows.iter().zip(&self.sums).map(|(window, sums)| {
            let share = sums.tokens / documents[&window.document].tokens;
            (*sums, self.text.bytes[window.document] * share)
        });
        own.collect()
    }
}

fn add(a: Sums, b: Sums) -> Sums {
    Sums {
        bits: a.bits + b.bits,
        divergence: a.divergence + b.divergence,
        alike: a.alike + b.alike,
        tokens: a.tokens + b.tokens,
    }
}
