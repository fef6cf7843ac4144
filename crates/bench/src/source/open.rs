//! From an entry of a configuration to an opened model.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use seedpress_checkpoint::Checkpoint;
use seedpress_exchange::Plain;
use seedpress_model::{Model, guess_layer_type};
use seedpress_transformer::{LanguageModel, Texts};
use seedpress_zoo::ZooError;
use wildmatch::WildMatch;

use super::{Source, TensorInfo, Weights};
use crate::config::{Folder, ModelSpec, Origin, Text};
use crate::key;

/// Why a model cannot be opened, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The config is right but this machine lacks the weights: the models at hand can still be measured.
    Absent(String),
    /// The config, or the file it names, is wrong.
    Wrong(String),
}

impl From<String> for OpenError {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

impl Source {
    /// Opens a model, reads it once and hashes its tensors.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(spec: &ModelSpec) -> Result<Self, OpenError> {
        Self::open_with(spec, &|_| None)
    }

    /// The same, with models of one's own: asked for by name before the zoo is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open_with(spec: &ModelSpec, own: &dyn Fn(&str) -> Option<Model>) -> Result<Self, OpenError> {
        let (weights, synthetic, plain) = weights(spec, own)?;
        let mut opened = Self {
            name: spec.name.clone(),
            synthetic,
            draws: spec.draws,
            plain,
            tensors: Vec::new(),
            opaque: Vec::new(),
            weights,
            calibrations: OnceLock::new(),
            following: Mutex::new(None),
        };
        let patterns = |texts: &[String]| texts.iter().map(|text| WildMatch::new(text)).collect::<Vec<_>>();
        let (include, exclude) = (patterns(&spec.include), patterns(&spec.exclude));
        let wanted = |name: &str| {
            (include.is_empty() || include.iter().any(|pattern| pattern.matches(name)))
                && !exclude.iter().any(|pattern| pattern.matches(name))
        };
        for (place, (name, layer_type)) in opened.listing().into_iter().enumerate() {
            if !wanted(&name) {
                continue;
            }
            if let Some((file, at)) = opened.in_file(place)
                && file.tensors()[at].float().is_none()
            {
                opened.opaque.push(place);
                continue;
            }
            let tensor = opened.read(place)?;
            opened.tensors.push(TensorInfo {
                layer_type: layer_type.unwrap_or_else(|| guess_layer_type(&name, tensor.shape()).to_owned()),
                shape: tensor.shape().to_vec(),
                dtype: tensor.dtype(),
                weights: tensor.values().len(),
                hash: key::content(&tensor),
                name,
                place,
            });
        }
        if opened.tensors.is_empty() {
            return Err(OpenError::Wrong("no tensor is left to measure: see `include` and `exclude`".to_owned()));
        }
        Ok(opened)
    }
}

/// Where the weights of a model are, whether they are generated, and what holds those that come from a file.
fn weights(spec: &ModelSpec, own: &dyn Fn(&str) -> Option<Model>) -> Result<(Weights, bool, Option<Plain>), OpenError> {
    let (mut synthetic, mut plain) = (false, None);
    let weights = match &spec.origin {
        Origin::Zoo(name) => match own(name) {
            Some(model) => Weights::Model(Box::new(model)),
            None => {
                synthetic = seedpress_zoo::info(name).is_some_and(|info| info.synthetic);
                let model = seedpress_zoo::load(name).map_err(|error| match error {
                    ZooError::NotFetched { .. } => OpenError::Absent(error.to_string()),
                    _ => OpenError::Wrong(error.to_string()),
                })?;
                Weights::Model(Box::new(model))
            }
        },
        Origin::Language(folder, text) => {
            let folder = plain.insert(folder_of(folder)?);
            language(&spec.name, folder.path(), text)?
        }
        Origin::File(path) => {
            let file = plain.insert(Plain::weights(path).map_err(|error| error.to_string())?);
            Weights::File(Checkpoint::open(file.path()).map_err(|error| error.to_string())?)
        }
        Origin::Synthetic { source, shape, seed } => {
            synthetic = true;
            Weights::One(seedpress_zoo::synthetic(*source, shape, *seed))
        }
    };
    Ok((weights, synthetic, plain))
}

/// The folder of a language model.
fn folder_of(folder: &Folder) -> Result<Plain, OpenError> {
    let (path, config) = match folder {
        Folder::Path { weights, config } => (weights.clone(), config.as_deref()),
        Folder::Fetched(model) => {
            let here = seedpress_zoo::fetch::package(model).is_some_and(seedpress_zoo::fetch::is_here);
            if !here {
                return Err(OpenError::Absent(format!(
                    "model `{model}` is not here: cargo xtask models fetch {model}"
                )));
            }
            (seedpress_zoo::fetch::folder(model), None)
        }
    };
    Plain::model(&path, config).map_err(|error| OpenError::Wrong(error.to_string()))
}

/// Opens a language model with its text.
fn language(name: &str, folder: &Path, text: &Text) -> Result<Weights, OpenError> {
    let texts = Texts {
        calibration: text.calibration.as_deref(),
        evaluation: text.evaluation.as_deref(),
        context: text.context,
        sequences: text.sequences,
        weighted: text.weighted,
    };
    let language = LanguageModel::open(name, folder, &texts).map_err(|error| error.to_string())?;
    let used: HashSet<&str> = language.model.tensors().iter().map(|info| info.name.as_str()).collect();
    let infos = language.checkpoint.tensors().iter().enumerate();
    let rest = infos.filter(|(_, info)| !used.contains(info.name.as_str())).map(|(at, _)| at).collect();
    Ok(Weights::Language(Box::new(language), rest))
}
