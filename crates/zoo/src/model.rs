//! Named tensors that can be evaluated and calibrated.

use seedpress_codec::{Calibration, Tensor};

use crate::catalogue;
use crate::error::ZooError;
use crate::metric::Metric;
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
}

/// Loads a model by name.
///
/// # Errors
/// [`ZooError::UnknownModel`] for a name the catalogue lacks, [`ZooError::NotFetched`] where the weights are not on this machine,
/// [`ZooError::BadFile`] where the file is not the one the catalogue means.
pub fn load(name: &str) -> Result<Model, ZooError> {
    let known = || catalogue::models().iter().map(|model| model.name).collect();
    catalogue::info(name).ok_or_else(|| ZooError::UnknownModel { name: name.to_owned(), known: known() })?;
    match name {
        "report-shapes" => Ok(Model { name: name.to_owned(), tensors: synthetic::report_shapes() }),
        _ => Err(ZooError::NotFetched { name: name.to_owned() }),
    }
}

/// Input statistics of each tensor of the model, in the order of [`Model::tensors`]; `None` for tensors that multiply no inputs.
/// The calibration data is disjoint from what `evaluate` uses.
///
/// # Errors
/// [`ZooError::Unsupported`] for models without calibration data, and whatever [`load`] returns.
pub fn calibration(name: &str) -> Result<Vec<Option<Calibration>>, ZooError> {
    let model = load(name)?;
    Err(ZooError::Unsupported { name: model.name, what: "calibration data" })
}

impl Model {
    /// Whether [`evaluate`](Self::evaluate) has anything to measure.
    pub fn has_metric(&self) -> bool {
        catalogue::info(&self.name).is_some_and(|info| !info.metrics.is_empty())
    }

    /// Runs the model with `tensors` in place of its own (the same number, order and shapes) on held-out data.
    ///
    /// # Errors
    /// [`ZooError::TensorMismatch`] where the tensors do not fit, [`ZooError::Unsupported`] for a model without task.
    pub fn evaluate(&self, tensors: &[Tensor]) -> Result<Vec<Metric>, ZooError> {
        if tensors.len() != self.tensors.len() {
            let what = format!("{} tensors given, {} needed", tensors.len(), self.tensors.len());
            return Err(ZooError::TensorMismatch { name: self.name.clone(), what });
        }
        for (own, given) in self.tensors.iter().zip(tensors) {
            if own.tensor.shape() != given.shape() {
                let what = format!("{} has shape {:?}, not {:?}", own.name, own.tensor.shape(), given.shape());
                return Err(ZooError::TensorMismatch { name: self.name.clone(), what });
            }
        }
        Err(ZooError::Unsupported { name: self.name.clone(), what: "metric" })
    }
}
