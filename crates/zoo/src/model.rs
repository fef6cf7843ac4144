//! Named tensors that can be evaluated and calibrated.

use std::sync::OnceLock;

use seedpress_checkpoint::Checkpoint;
use seedpress_codec::{Calibration, Tensor};

use crate::assets;
use crate::calibrate;
use crate::catalogue;
use crate::classifier::{Classifier, classify, to_candle};
use crate::error::ZooError;
use crate::fashion::Images;
use crate::metric::Metric;
use crate::silero;
use crate::synthetic;

/// One tensor of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Its name in the checkpoint.
    pub name: String,
    /// Shape and values.
    pub tensor: Tensor,
    /// `linear`, `conv3x3`, `conv1x1`, `conv`, `embedding`, `recurrent`, `bias`, `norm` or `other`.
    pub layer_type: &'static str,
}

/// A model: tensors in a fixed order and, where it has one, a task.
#[derive(Debug)]
pub struct Model {
    /// The name it was loaded by.
    pub name: String,
    /// Every tensor worth measuring, in the order `evaluate` wants them.
    pub tensors: Vec<NamedTensor>,
    /// Held-out data with the uncompressed model's answers, made at the first evaluation.
    baseline: OnceLock<Baseline>,
}

#[derive(Debug)]
enum Baseline {
    Images { held_out: Images, classes: Vec<u8> },
    Speech { fourier: Tensor, recordings: Vec<Vec<f32>>, trace: Vec<Vec<f32>> },
}

/// Loads a model by name.
///
/// # Errors
/// [`ZooError::UnknownModel`] for a name the catalogue lacks, [`ZooError::NotFetched`] where the weights are not on this machine,
/// [`ZooError::BadFile`] where the file is not the one the catalogue means.
pub fn load(name: &str) -> Result<Model, ZooError> {
    let info = catalogue::require(name)?;
    let tensors = if info.synthetic { synthetic::report_shapes() } else { read(info)? };
    Ok(Model { name: name.to_owned(), tensors, baseline: OnceLock::new() })
}

fn read(info: &catalogue::ModelInfo) -> Result<Vec<NamedTensor>, ZooError> {
    let path = assets::asset(&format!("{}/model.safetensors", info.name));
    // Weights that anybody can train anew may differ from the committed ones; weights of others may not.
    if !info.trainable && assets::sha256(&assets::read(&path)?) != info.sha256 {
        return Err(ZooError::bad_file(&path, "not the expected file (SHA-256 differs)"));
    }
    let slots: Vec<(&str, &'static str)> = match Classifier::from_name(info.name) {
        Some(classifier) => classifier.slots().iter().map(|slot| (slot.name, slot.layer_type)).collect(),
        None => silero::SLOTS.to_vec(),
    };
    let checkpoint = Checkpoint::open(&path)?;
    let named = |(name, layer_type): (&str, &'static str)| -> Result<NamedTensor, ZooError> {
        Ok(NamedTensor { name: name.to_owned(), tensor: checkpoint.load_float(name)?, layer_type })
    };
    let tensors = slots.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
    if let Some(classifier) = Classifier::from_name(info.name) {
        for (slot, own) in classifier.slots().iter().zip(&tensors) {
            if own.tensor.shape() != slot.shape {
                return Err(ZooError::bad_file(&path, format!("{} has shape {:?}", own.name, own.tensor.shape())));
            }
        }
    }
    Ok(tensors)
}

/// Input statistics of each tensor of the model, in the order of [`Model::tensors`]; `None` for tensors that multiply no inputs.
/// The calibration data is disjoint from what `evaluate` uses.
///
/// # Errors
/// [`ZooError::Unsupported`] for models without calibration data, and whatever [`load`] returns.
pub fn calibration(name: &str) -> Result<Vec<Option<Calibration>>, ZooError> {
    let model = load(name)?;
    if !model.has_metric() {
        return Err(ZooError::Unsupported { name: model.name, what: "calibration data" });
    }
    let tensors: Vec<&Tensor> = model.tensors.iter().map(|named| &named.tensor).collect();
    match Classifier::from_name(name) {
        Some(classifier) => calibrate::collect(classifier, &to_candle(&tensors)?, &Images::calibration()?),
        None => {
            let fourier = fourier(name)?;
            let recordings = silero::recordings(&silero::CALIBRATION_CLIPS)?;
            Ok(calibrate::collect_silero(&silero::Network::new(&fourier, &tensors), &recordings))
        }
    }
}

/// The part of Silero VAD that is no weight.
fn fourier(name: &str) -> Result<Tensor, ZooError> {
    let path = assets::asset(&format!("{name}/model.safetensors"));
    Ok(Checkpoint::open(&path)?.load_float(silero::FOURIER)?)
}

impl Model {
    /// Whether [`evaluate`](Self::evaluate) has anything to measure.
    pub fn has_metric(&self) -> bool {
        catalogue::info(&self.name).is_some_and(|info| !info.metrics.is_empty())
    }

    /// Number of weights in all tensors.
    pub fn weights(&self) -> u64 {
        self.tensors.iter().map(|named| named.tensor.values().len() as u64).sum()
    }

    /// Runs the model with `tensors` in place of its own (the same number, order and shapes) on held-out data. The first metric is
    /// the task's; the others compare with the uncompressed model's answers.
    ///
    /// # Errors
    /// [`ZooError::TensorMismatch`] where the tensors do not fit, [`ZooError::Unsupported`] for a model without task.
    pub fn evaluate(&self, tensors: &[Tensor]) -> Result<Vec<Metric>, ZooError> {
        if tensors.len() != self.tensors.len() {
            return Err(self.mismatch(format!("{} tensors given, {} needed", tensors.len(), self.tensors.len())));
        }
        for (own, given) in self.tensors.iter().zip(tensors) {
            if own.tensor.shape() != given.shape() {
                let shapes = format!("{} has shape {:?}, not {:?}", own.name, own.tensor.shape(), given.shape());
                return Err(self.mismatch(shapes));
            }
        }
        if !self.has_metric() {
            return Err(ZooError::Unsupported { name: self.name.clone(), what: "metric" });
        }
        let given: Vec<&Tensor> = tensors.iter().collect();
        match (self.baseline()?, Classifier::from_name(&self.name)) {
            (Baseline::Images { held_out, classes }, Some(classifier)) => {
                // Equal weights give equal answers: lossless rows cost nothing.
                let lossless = self.tensors.iter().map(|named| &named.tensor).eq(given.iter().copied());
                let found =
                    if lossless { classes.clone() } else { classify(classifier, &to_candle(&given)?, held_out)? };
                let hits = |truth: &[u8]| -> Vec<f64> {
                    found.iter().zip(truth).map(|(class, label)| f64::from(u8::from(class == label))).collect()
                };
                Ok(vec![
                    Metric::mean("accuracy", true, &hits(&held_out.labels)),
                    Metric::mean("agreement", true, &hits(classes)),
                ])
            }
            (Baseline::Speech { fourier, recordings, trace }, _) => {
                let given = silero::Network::new(fourier, &given).trace(recordings);
                let [alike, differences, frames] = silero::compare(trace, &given);
                let count = frames.iter().sum::<f64>() as u64;
                Ok(vec![
                    Metric::ratio("frame agreement", true, &alike, &frames, count),
                    Metric::ratio("probability error", false, &differences, &frames, count),
                ])
            }
            _ => Err(ZooError::Unsupported { name: self.name.clone(), what: "metric" }),
        }
    }

    fn baseline(&self) -> Result<&Baseline, ZooError> {
        if let Some(baseline) = self.baseline.get() {
            return Ok(baseline);
        }
        let own: Vec<&Tensor> = self.tensors.iter().map(|named| &named.tensor).collect();
        let baseline = match Classifier::from_name(&self.name) {
            Some(classifier) => {
                let held_out = Images::held_out()?;
                let classes = classify(classifier, &to_candle(&own)?, &held_out)?;
                Baseline::Images { held_out, classes }
            }
            None => {
                let fourier = fourier(&self.name)?;
                let recordings = silero::recordings(&silero::HELD_OUT_CLIPS)?;
                let trace = silero::Network::new(&fourier, &own).trace(&recordings);
                Baseline::Speech { fourier, recordings, trace }
            }
        };
        Ok(self.baseline.get_or_init(|| baseline))
    }

    fn mismatch(&self, what: String) -> ZooError {
        ZooError::TensorMismatch { name: self.name.clone(), what }
    }
}
