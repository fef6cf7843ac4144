//! Named tensors that can be evaluated and calibrated.

use std::path::PathBuf;
use std::sync::OnceLock;

use seedpress_checkpoint::Checkpoint;
use seedpress_codec::{InputStatistics, Tensor};

use crate::architecture::{self, Baseline, Probe};
use crate::assets;
use crate::behind::{Behind, Inputs};
use crate::catalogue::{self, ModelInfo};
use crate::error::ZooError;
use crate::fetch;
use crate::metric::Metric;
use crate::outputs::Outputs;
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
    baseline: OnceLock<Box<dyn Baseline>>,
    /// What the uncompressed model achieves.
    own: OnceLock<Vec<Metric>>,
    /// Calibration data with the uncompressed model's answers, where its kind has any.
    probe: OnceLock<Option<Asked>>,
    /// The same data as inputs of each layer, where somebody follows them.
    inputs: OnceLock<Option<Box<dyn Inputs>>>,
}

/// Calibration data with what the uncompressed model says of it.
type Asked = (Box<dyn Probe>, Outputs);

/// Loads a model by name.
///
/// # Errors
/// [`ZooError::UnknownModel`] for a name the catalogue lacks, [`ZooError::NotFetched`] where the weights are not on this machine,
/// [`ZooError::BadFile`] where the file is not the one the catalogue means.
pub fn load(name: &str) -> Result<Model, ZooError> {
    let info = catalogue::require(name)?;
    let tensors = if info.synthetic { synthetic::report_shapes() } else { read(info)? };
    Ok(Model {
        name: name.to_owned(),
        tensors,
        baseline: OnceLock::new(),
        own: OnceLock::new(),
        probe: OnceLock::new(),
        inputs: OnceLock::new(),
    })
}

/// The file that holds a model's weights.
pub(crate) fn weight_file(name: &str) -> PathBuf {
    match fetch::package(name) {
        Some(_) => fetch::folder(name).join("model.safetensors"),
        None => assets::asset(&format!("{name}/model.safetensors")),
    }
}

fn read(info: &ModelInfo) -> Result<Vec<NamedTensor>, ZooError> {
    let path = weight_file(info.name);
    if fetch::package(info.name).is_some_and(|package| !fetch::is_here(package)) {
        return Err(ZooError::NotFetched { name: info.name.to_owned() });
    }
    // Weights that anybody can train anew may differ from the committed ones; weights of others may not.
    if !info.trainable && assets::sha256(&assets::read(&path)?) != info.sha256 {
        return Err(ZooError::bad_file(&path, "not the expected file (SHA-256 differs)"));
    }
    let checkpoint = Checkpoint::open(&path)?;
    let slots = architecture::of(info.name).map(|architecture| architecture.slots()).unwrap_or_default();
    let named = |slot: architecture::Slot| -> Result<NamedTensor, ZooError> {
        let tensor = checkpoint.load_float(&slot.name)?;
        if slot.shape.is_some_and(|shape| shape != tensor.shape()) {
            return Err(ZooError::bad_file(&path, format!("{} has shape {:?}", slot.name, tensor.shape())));
        }
        Ok(NamedTensor { name: slot.name, tensor, layer_type: slot.layer_type })
    };
    slots.into_iter().map(named).collect()
}

/// Input statistics of each tensor of the model, in the order of [`Model::tensors`]; `None` for tensors that multiply no inputs.
/// The calibration data is disjoint from what `evaluate` uses.
///
/// # Errors
/// [`ZooError::Unsupported`] for models without calibration data, and whatever [`load`] returns.
pub fn calibration(name: &str) -> Result<Vec<Option<InputStatistics>>, ZooError> {
    load(name)?.calibrate()
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

    /// See [`calibration`].
    ///
    /// # Errors
    /// [`ZooError::Unsupported`] for models without calibration data.
    pub fn calibrate(&self) -> Result<Vec<Option<InputStatistics>>, ZooError> {
        match architecture::of(&self.name) {
            Some(architecture) => architecture.calibrate(&self.own_tensors()),
            None => Err(ZooError::Unsupported { name: self.name.clone(), what: "calibration data" }),
        }
    }

    /// Statistics of what the next tensor multiplies where `before` stand in place of the model's first tensors; `None` for a tensor that
    /// multiplies nothing, and for models whose calibration data nobody follows layer by layer.
    ///
    /// # Errors
    /// [`ZooError::TensorMismatch`] where the tensors do not fit, and calibration data that cannot be read.
    pub fn behind(&self, before: &[&Tensor]) -> Result<Option<Behind>, ZooError> {
        let own = self.own_tensors();
        let slot = before.len();
        if slot >= own.len() || before.iter().zip(&own).any(|(given, own)| given.shape() != own.shape()) {
            return Err(self.mismatch(format!("{slot} tensors given that are not its first")));
        }
        if self.inputs.get().is_none() {
            let architecture = architecture::of(&self.name);
            let inputs = architecture.map(|architecture| architecture.inputs()).transpose()?.flatten();
            self.inputs.get_or_init(|| inputs);
        }
        let Some(Some(inputs)) = self.inputs.get() else { return Ok(None) };
        let given: Vec<&Tensor> = before.iter().chain(&own[slot..]).copied().collect();
        Behind::collect(inputs.as_ref(), &own, &given, slot)
    }

    /// Runs the model with `tensors` in place of its own (the same number, order and shapes) on held-out data. The first metric is
    /// the task's; the others compare with the uncompressed model's answers.
    ///
    /// # Errors
    /// [`ZooError::TensorMismatch`] where the tensors do not fit, [`ZooError::Unsupported`] for a model without task.
    pub fn evaluate(&self, tensors: &[Tensor]) -> Result<Vec<Metric>, ZooError> {
        self.check(tensors)?;
        let baseline = self.baseline()?;
        let given: Vec<&Tensor> = tensors.iter().collect();
        let own = self.own_tensors();
        if own != given {
            return baseline.evaluate(&given);
        }
        // Equal weights give equal answers: lossless rows cost nothing.
        if let Some(metrics) = self.own.get() {
            return Ok(metrics.clone());
        }
        let metrics = baseline.evaluate(&own)?;
        Ok(self.own.get_or_init(|| metrics).clone())
    }

    /// Whether [`divergence`](Self::divergence) can be measured.
    ///
    /// # Errors
    /// Calibration data that cannot be read.
    pub fn has_divergence(&self) -> Result<bool, ZooError> {
        Ok(self.probe()?.is_some())
    }

    /// How far the model's answers move with `tensors` in place of its own: the mean of [`Outputs::divergences`] over calibration data,
    /// never over what `evaluate` uses. For decisions that must not be tuned on held-out data.
    ///
    /// # Errors
    /// [`ZooError::TensorMismatch`] where the tensors do not fit, [`ZooError::Unsupported`] for a model whose answers nobody described.
    pub fn divergence(&self, tensors: &[Tensor]) -> Result<f64, ZooError> {
        self.check(tensors)?;
        let (probe, own) = self
            .probe()?
            .as_ref()
            .ok_or_else(|| ZooError::Unsupported { name: self.name.clone(), what: "answers on calibration data" })?;
        Ok(own.divergence(&probe.outputs(&tensors.iter().collect::<Vec<_>>())?))
    }

    fn probe(&self) -> Result<&Option<Asked>, ZooError> {
        if let Some(probe) = self.probe.get() {
            return Ok(probe);
        }
        let probe = match architecture::of(&self.name).map(|architecture| architecture.probe()).transpose()?.flatten() {
            Some(probe) => {
                let own = probe.outputs(&self.own_tensors())?;
                Some((probe, own))
            }
            None => None,
        };
        Ok(self.probe.get_or_init(|| probe))
    }

    /// Whether these tensors can stand in place of the model's own.
    fn check(&self, tensors: &[Tensor]) -> Result<(), ZooError> {
        if tensors.len() != self.tensors.len() {
            return Err(self.mismatch(format!("{} tensors given, {} needed", tensors.len(), self.tensors.len())));
        }
        for (own, given) in self.tensors.iter().zip(tensors) {
            if own.tensor.shape() != given.shape() {
                let shapes = format!("{} has shape {:?}, not {:?}", own.name, own.tensor.shape(), given.shape());
                return Err(self.mismatch(shapes));
            }
        }
        Ok(())
    }

    fn own_tensors(&self) -> Vec<&Tensor> {
        self.tensors.iter().map(|named| &named.tensor).collect()
    }

    fn baseline(&self) -> Result<&dyn Baseline, ZooError> {
        if let Some(baseline) = self.baseline.get() {
            return Ok(baseline.as_ref());
        }
        let architecture = architecture::of(&self.name)
            .ok_or_else(|| ZooError::Unsupported { name: self.name.clone(), what: "metric" })?;
        let baseline = architecture.baseline(&self.own_tensors())?;
        Ok(self.baseline.get_or_init(|| baseline).as_ref())
    }

    fn mismatch(&self, what: String) -> ZooError {
        ZooError::TensorMismatch { name: self.name.clone(), what }
    }
}
