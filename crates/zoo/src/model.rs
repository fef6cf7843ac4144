//! The models by name: network, weights and data put together.

use std::path::Path;

use seedpress_calibration::InputStatistics;
use seedpress_checkpoint::Checkpoint;
use seedpress_codec::Tensor;
use seedpress_model::{BlockWeights, DataSets, Hidden, Model, ModelError, Network, NoData, Outputs, Tap, TensorInfo};

use crate::assets;
use crate::catalogue::{self, ModelInfo};
use crate::crepe::{Crepe, CrepeNetwork, Tones};
use crate::error::ZooError;
use crate::fashion::{Classifier, ClassifierNetwork, Fashion};
use crate::fetch;
use crate::minilm::{MiniLm, Sentences};
use crate::silero::{SileroVad, Speech, fourier};
use crate::sotu::{Language, Lstm, Text, Transformer};
use crate::synthetic;
use crate::textgenrnn::{MobyDick, TextGenRnn};
use crate::weight_file::weight_file;
use crate::wordllama::{Texts, WordLlama};

/// What runs a model, and what it reads.
type Parts = (Box<dyn Network>, Box<dyn DataSets>);

/// The network and the data of a model: a new model is one folder and one line here.
fn parts(name: &str) -> Result<Option<Parts>, ZooError> {
    let classifier = |kind| Box::new(ClassifierNetwork::new(kind));
    Ok(Some(match name {
        "fashion-mlp" => (classifier(Classifier::Mlp), Box::new(Fashion)),
        "fashion-cnn" => (classifier(Classifier::Cnn), Box::new(Fashion)),
        "sotu-transformer" => (Box::new(Transformer::default()), Box::new(Text(Language::Transformer))),
        "sotu-lstm" => (Box::new(Lstm::default()), Box::new(Text(Language::Lstm))),
        "silero-vad" => (Box::new(SileroVad::new(fourier()?)), Box::new(Speech)),
        "minilm" => (Box::new(MiniLm::default()), Box::new(Sentences)),
        "crepe-tiny" => (Box::new(CrepeNetwork::new(Crepe::Tiny)?), Box::new(Tones(Crepe::Tiny))),
        "crepe-full" => (Box::new(CrepeNetwork::new(Crepe::Full)?), Box::new(Tones(Crepe::Full))),
        "wordllama" => (Box::new(WordLlama::default()), Box::new(Texts)),
        "textgenrnn" => (Box::new(TextGenRnn::default()), Box::new(MobyDick)),
        _ => return Ok(None),
    }))
}

/// The data of a model; `None` where nothing runs.
///
/// # Errors
/// [`ZooError::UnknownModel`] for a name the catalogue lacks.
pub fn data(name: &str) -> Result<Option<Box<dyn DataSets>>, ZooError> {
    Ok(parts(catalogue::require(name)?.name)?.map(|(_, data)| data))
}

/// Loads a model by name.
///
/// # Errors
/// [`ZooError::UnknownModel`] for a name the catalogue lacks, [`ZooError::NotFetched`] where the weights are not on this machine,
/// [`ZooError::BadFile`] where the file is not the one the catalogue means.
pub fn load(name: &str) -> Result<Model, ZooError> {
    let info = catalogue::require(name)?;
    if info.synthetic {
        let (infos, tensors): (Vec<TensorInfo>, Vec<Tensor>) = synthetic::report_shapes().into_iter().unzip();
        return Ok(Model::new(name, Box::new(Shapes(infos)), Box::new(tensors), Box::new(NoData)));
    }
    let path = weight_file(info.name);
    if fetch::package(info.name).is_some_and(|package| !fetch::is_here(package)) {
        return Err(ZooError::NotFetched { name: info.name.to_owned() });
    }
    // Weights that anybody can train anew may differ from the committed ones; weights of others may not.
    if !info.trainable && assets::sha256(&assets::read(&path)?) != info.sha256 {
        return Err(ZooError::bad_file(&path, "not the expected file (SHA-256 differs)"));
    }
    load_from(name, &path)
}

/// Loads a model with the weights of another file.
///
/// # Errors
/// [`ZooError::UnknownModel`] for a name the catalogue lacks or a model without a network, [`ZooError::BadFile`] where the file's tensors
/// are not the network's.
pub fn load_from(name: &str, path: &Path) -> Result<Model, ZooError> {
    let info: &ModelInfo = catalogue::require(name)?;
    let (network, data) = match parts(info.name)? {
        Some(parts) => parts,
        None if info.name == "smollm2-135m" => (language_model(path)?, Box::new(NoData) as Box<dyn DataSets>),
        None => return Err(ZooError::Unsupported { name: name.to_owned(), what: "network" }),
    };
    let checkpoint = Checkpoint::open(path)?;
    let read = |info: &TensorInfo| -> Result<Tensor, ZooError> {
        let tensor = checkpoint.load_float(&info.name)?;
        if info.shape != tensor.shape() {
            return Err(ZooError::bad_file(path, format!("{} has shape {:?}", info.name, tensor.shape())));
        }
        Ok(tensor)
    };
    let tensors = network.tensors().iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Model::new(name, network, Box::new(tensors), data))
}

/// The network that the `config.json` beside the weights describes; its data is a user's text.
fn language_model(path: &Path) -> Result<Box<dyn Network>, ZooError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let model = seedpress_transformer::Transformer::open(folder)
        .map_err(|error| ZooError::bad_file(path, error.to_string()))?;
    Ok(Box::new(seedpress_transformer::TransformerNetwork::new(model.description().clone(), model.shapes())))
}

/// Statistics of every tensor's inputs as encoders take them, in the order of the model's tensors; `None` for those that are
/// not a layer's weight. The calibration data is disjoint from what evaluates.
///
/// # Errors
/// [`ModelError::Unsupported`] for models without calibration data, and whatever [`load`] returns.
pub fn calibration(name: &str) -> Result<Vec<Option<InputStatistics>>, ZooError> {
    let found = load(name)?.statistics()?;
    Ok(found.into_iter().map(|statistics| statistics.map(|found| found.inputs().as_ref().clone())).collect())
}

/// Tensors that nothing runs.
struct Shapes(Vec<TensorInfo>);

impl Network for Shapes {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn blocks(&self) -> usize {
        0
    }

    fn block_tensors(&self, _: usize) -> Vec<usize> {
        Vec::new()
    }

    fn step(&self, _: usize, _: &BlockWeights<'_>, _: &Hidden, _: &mut dyn Tap) -> Result<Hidden, ModelError> {
        Err(ModelError::Compute("random tensors are no network".to_owned()))
    }

    fn finish(&self, _: Hidden) -> Result<Outputs, ModelError> {
        Err(ModelError::Compute("random tensors are no network".to_owned()))
    }
}
