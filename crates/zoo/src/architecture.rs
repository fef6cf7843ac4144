//! What the zoo needs to know of a kind of model: its tensors, its task, its inputs.

use std::fmt::Debug;

use seedpress_codec::{InputStatistics, Tensor};

use crate::behind::Inputs;
use crate::classifier::Classifier;
use crate::crepe::Crepe;
use crate::error::ZooError;
use crate::language::Language;
use crate::metric::Metric;
use crate::minilm::MiniLm;
use crate::outputs::Outputs;
use crate::silero::SileroVad;
use crate::textgenrnn::TextGenRnn;
use crate::wordllama::WordLlama;

/// A tensor of an architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape, outputs first; `None` where the checkpoint alone decides.
    pub shape: Option<Vec<usize>>,
    /// See [`crate::NamedTensor::layer_type`].
    pub layer_type: &'static str,
}

impl Slot {
    /// A tensor of known shape.
    pub fn new(name: impl Into<String>, shape: &[usize], layer_type: &'static str) -> Self {
        Self { name: name.into(), shape: Some(shape.to_vec()), layer_type }
    }

    /// A tensor whose shape the checkpoint decides.
    pub fn of_any_shape(name: impl Into<String>, layer_type: &'static str) -> Self {
        Self { name: name.into(), shape: None, layer_type }
    }
}

/// A kind of model. Tensors are always handed over in the order of [`slots`](Self::slots).
pub(crate) trait Architecture: Send + Sync {
    /// The tensors worth measuring, in the order of execution.
    fn slots(&self) -> Vec<Slot>;

    /// Reads the held-out data and asks the uncompressed model.
    fn baseline(&self, own: &[&Tensor]) -> Result<Box<dyn Baseline>, ZooError>;

    /// Input statistics of each tensor, `None` for tensors that multiply no inputs, over data that no baseline uses.
    fn calibrate(&self, own: &[&Tensor]) -> Result<Vec<Option<InputStatistics>>, ZooError>;

    /// The calibration data as inputs of each layer; `None` where nobody has said how to follow them.
    fn inputs(&self) -> Result<Option<Box<dyn Inputs>>, ZooError> {
        Ok(None)
    }

    /// Something that asks the model about the calibration data; `None` where nobody has said what its answers are.
    fn probe(&self) -> Result<Option<Box<dyn Probe>>, ZooError> {
        Ok(None)
    }
}

/// Calibration data to ask a model about: how far its answers move decides which tensor deserves how many bits.
pub(crate) trait Probe: Debug + Send + Sync {
    /// What the model says with the given tensors.
    fn outputs(&self, given: &[&Tensor]) -> Result<Outputs, ZooError>;
}

/// Held-out data with the uncompressed model's answers.
pub(crate) trait Baseline: Debug + Send + Sync {
    /// What the model achieves with the given tensors. The first metric is the task's; the others compare with the uncompressed model.
    fn evaluate(&self, given: &[&Tensor]) -> Result<Vec<Metric>, ZooError>;
}

/// The architecture of a model of the catalogue; `None` where nothing is known but weights.
pub(crate) fn of(name: &str) -> Option<Box<dyn Architecture>> {
    match name {
        "fashion-mlp" => Some(Box::new(Classifier::Mlp)),
        "fashion-cnn" => Some(Box::new(Classifier::Cnn)),
        "sotu-transformer" => Some(Box::new(Language::Transformer)),
        "sotu-lstm" => Some(Box::new(Language::Lstm)),
        "silero-vad" => Some(Box::new(SileroVad)),
        "minilm" => Some(Box::new(MiniLm)),
        "crepe-tiny" => Some(Box::new(Crepe::Tiny)),
        "crepe-full" => Some(Box::new(Crepe::Full)),
        "wordllama" => Some(Box::new(WordLlama)),
        "textgenrnn" => Some(Box::new(TextGenRnn)),
        _ => None,
    }
}
