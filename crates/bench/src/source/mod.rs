//! The models of a run: names, shapes and hashes up front, weights one tensor at a time.
//!
//! | module | idea |
//! | --- | --- |
//! | `open` | from an entry of a configuration to an opened model |
//! | `follow` | statistics behind compressed tensors |

mod follow;
mod following;
mod open;

use std::sync::{Mutex, OnceLock};

use seedpress_checkpoint::{Checkpoint, Container, Content, Entry, Order};
use seedpress_codec::{DType, InputStatistics, Record, Tensor};
use seedpress_exchange::Plain;
use seedpress_model::{Metric, Model, Statistics};
use seedpress_results::TensorRow;
use seedpress_transformer::{CalibrationText, LanguageModel};

use following::Following;

pub use following::Hashed;
pub use open::OpenError;

/// What is known of a tensor before it is read again.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Name in the checkpoint.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Source data type.
    pub dtype: DType,
    /// `linear`, `conv3x3`, ...
    pub layer_type: String,
    /// Number of weights.
    pub weights: usize,
    /// Hash of type, shape and values.
    pub hash: String,
    /// Place in the model.
    place: usize,
}

/// An opened model.
#[derive(Debug)]
pub struct Source {
    /// Its name in rows.
    pub name: String,
    /// Whether its weights are generated.
    pub synthetic: bool,
    /// The tensors to measure.
    pub tensors: Vec<TensorInfo>,
    /// Tensors that hold no weights (integers, booleans): places in the file. They count in the model's bytes.
    opaque: Vec<usize>,
    weights: Weights,
    /// Further files of each lossy row, where the model has a number of its own.
    pub(crate) draws: Option<u64>,
    /// Holds the files that `weights` reads, where the model came in another format.
    plain: Option<Plain>,
    /// Input statistics of every tensor in the listing, collected when a codec first asks for them.
    calibrations: OnceLock<Result<Vec<Option<Statistics>>, String>>,
    /// The walk of the sequential row at work.
    following: Mutex<Option<Following>>,
}

#[derive(Debug)]
enum Weights {
    Model(Box<Model>),
    /// With the places in its checkpoint of tensors that the network does not use: they come behind those that it does.
    Language(Box<LanguageModel>, Vec<usize>),
    File(Checkpoint),
    One(Tensor),
}

impl Source {
    /// The model that runs, where there is one.
    fn model(&self) -> Option<&Model> {
        match &self.weights {
            Weights::Model(model) => Some(model),
            Weights::Language(language, _) => Some(&language.model),
            Weights::File(_) | Weights::One(_) => None,
        }
    }

    /// Where a tensor stands that is read from a file and not by a model.
    fn in_file(&self, place: usize) -> Option<(&Checkpoint, usize)> {
        match &self.weights {
            Weights::File(file) => Some((file, place)),
            Weights::Language(language, rest) => {
                let at = place.checked_sub(language.model.tensors().len())?;
                Some((language.checkpoint.as_ref(), *rest.get(at)?))
            }
            Weights::Model(_) | Weights::One(_) => None,
        }
    }

    fn listing(&self) -> Vec<(String, Option<String>)> {
        let of_model = |model: &Model| -> Vec<_> {
            model.tensors().iter().map(|info| (info.name.clone(), Some(info.layer_type.clone()))).collect()
        };
        match &self.weights {
            Weights::Model(model) => of_model(model),
            Weights::Language(language, rest) => {
                let mut listing = of_model(&language.model);
                let infos = language.checkpoint.tensors();
                listing.extend(rest.iter().map(|&at| (infos[at].name.clone(), None)));
                listing
            }
            Weights::File(file) => file.tensors().iter().map(|info| (info.name.clone(), None)).collect(),
            Weights::One(_) => vec![("weight".to_owned(), None)],
        }
    }

    fn read(&self, place: usize) -> Result<Tensor, String> {
        if let Some((file, at)) = self.in_file(place) {
            return match file.load(at).map_err(|error| error.to_string())? {
                Content::Float(tensor) => Ok(tensor),
                Content::Opaque(_) => Err(format!("`{}` holds no weights", file.tensors()[at].name)),
            };
        }
        match (&self.weights, self.model()) {
            (Weights::One(tensor), _) => Ok(tensor.clone()),
            (_, Some(model)) => model.load(place).map_err(|error| error.to_string()),
            _ => Err(format!("`{}` has no tensor {place}", self.name)),
        }
    }

    /// What a row says of a tensor whatever codec it is of.
    pub(crate) fn row(&self, info: &TensorInfo) -> TensorRow {
        TensorRow {
            model: self.name.clone(),
            synthetic: self.synthetic,
            tensor: info.name.clone(),
            layer_type: info.layer_type.clone(),
            shape: info.shape.clone(),
            dtype: info.dtype.name().to_owned(),
            weights: info.weights as u64,
            ..TensorRow::default()
        }
    }

    /// The weights of a tensor.
    ///
    /// # Errors
    /// A file that changed since it was opened.
    pub fn load(&self, info: &TensorInfo) -> Result<Tensor, String> {
        self.read(info.place)
    }

    /// Statistics of what a tensor multiplies, over calibration data disjoint from the held-out data; `None` where the model has no
    /// such data or the tensor no inputs.
    ///
    /// # Errors
    /// Calibration data that cannot be read.
    pub fn calibration(&self, info: &TensorInfo) -> Result<Option<&InputStatistics>, String> {
        Ok(self.statistics(info)?.map(|statistics| statistics.inputs().as_ref()))
    }

    /// The same with how they came about.
    ///
    /// # Errors
    /// As [`calibration`](Self::calibration).
    pub(crate) fn statistics(&self, info: &TensorInfo) -> Result<Option<&Statistics>, String> {
        let Some(model) = self.model() else { return Ok(None) };
        let collect = || -> Result<Vec<Option<Statistics>>, String> {
            if !model.can_be_calibrated().map_err(|error| error.to_string())? {
                return Ok(Vec::new());
            }
            model.statistics().map_err(|error| error.to_string())
        };
        let collected = self.calibrations.get_or_init(collect).as_ref().map_err(String::clone)?;
        Ok(collected.get(info.place).and_then(Option::as_ref))
    }

    /// What the calibration data is known by; a model of a name has one data set.
    pub fn calibration_data(&self) -> &str {
        if let Weights::Language(language, _) = &self.weights { &language.calibration } else { "" }
    }

    /// What the held-out data is known by.
    pub fn evaluation_data(&self) -> &str {
        if let Weights::Language(language, _) = &self.weights { &language.evaluation } else { "" }
    }

    /// The text that calibrates a language model, where its tokens count by the answers that depend on them.
    pub(crate) fn weighted_text(&self) -> Option<&CalibrationText> {
        match &self.weights {
            Weights::Language(language, _) if language.weighted => language.text.as_deref(),
            _ => None,
        }
    }

    /// What should be known of a model's file and data, a line each.
    pub fn notes(&self) -> Vec<String> {
        let name = &self.name;
        let left_out = self.plain.iter().flat_map(Plain::notes);
        let mut notes: Vec<_> = left_out.map(|note| format!("note: model `{name}`: {note}")).collect();
        if let Weights::Language(language, _) = &self.weights
            && let Some(overlap) = language.overlap.filter(|overlap| overlap.shared > 0)
        {
            let share = 100.0 * overlap.share();
            notes.push(format!(
                "note: model `{name}`: {share:.2} % of the evaluation text also stands in the calibration text"
            ));
        }
        notes
    }

    /// The tensors without weights, as a container keeps them.
    ///
    /// # Errors
    /// A file that changed since it was opened.
    pub fn opaque_entries(&self) -> Result<Vec<(String, Entry)>, String> {
        let entry = |&place: &usize| {
            let (file, at) = self.in_file(place).ok_or_else(|| format!("`{}` has no tensor {place}", self.name))?;
            let info = &file.tensors()[at];
            match file.load(at).map_err(|error| error.to_string())? {
                Content::Opaque(bytes) => {
                    let entry = Entry::Opaque { dtype: info.dtype.clone(), shape: info.shape.clone(), bytes };
                    Ok((info.name.clone(), entry))
                }
                Content::Float(_) => Err(format!("`{}` changed its type", info.name)),
            }
        };
        self.opaque.iter().map(entry).collect()
    }

    /// The file that these records make, one for each of [`tensors`](Self::tensors) in order: what `seedpress compress` writes.
    ///
    /// # Errors
    /// A file that changed since it was opened.
    pub fn container(&self, records: Vec<Record>) -> Result<Container, String> {
        let places = self.tensors.iter().map(|info| info.place).chain(self.opaque.iter().copied());
        let named = self.tensors.iter().map(|info| info.name.clone());
        let records = named.zip(records.into_iter().map(Entry::Record));
        let mut entries: Vec<_> = places.zip(records.chain(self.opaque_entries()?)).collect();
        entries.sort_by_key(|(place, _)| *place);
        let metadata = match &self.weights {
            Weights::File(file) => file.metadata().clone(),
            Weights::Language(language, _) => language.checkpoint.metadata().clone(),
            _ => Default::default(),
        };
        let entries = entries.into_iter().map(|(_, entry)| entry).collect();
        Ok(Container { metadata, order: Order::QualityMajor, entries })
    }

    /// Whether [`divergence`](Self::divergence) can be measured.
    ///
    /// # Errors
    /// Calibration data that cannot be read.
    pub fn has_divergence(&self) -> Result<bool, String> {
        self.model().map_or(Ok(false), |model| model.has_divergence().map_err(|error| error.to_string()))
    }

    /// How far the model's answers on calibration data move with `tensors` in place of the measured ones (in their order).
    ///
    /// # Errors
    /// Whatever the model says.
    pub fn divergence(&self, tensors: &[Tensor]) -> Result<f64, String> {
        let Some(model) = self.model() else { return Err(format!("`{}` is no model that runs", self.name)) };
        let given = self.tensors.iter().map(|info| info.place).zip(tensors);
        model.divergence(given.filter(|(place, _)| self.in_file(*place).is_none())).map_err(|error| error.to_string())
    }

    /// Weights of all tensors.
    pub fn weight_count(&self) -> u64 {
        self.tensors.iter().map(|info| info.weights as u64).sum()
    }

    /// Bytes of the weights at the source.
    pub fn source_bytes(&self) -> u64 {
        self.tensors.iter().map(|info| (info.weights * info.dtype.size()) as u64).sum()
    }

    /// Whether there is a task to evaluate on.
    pub fn has_metric(&self) -> bool {
        // Data that cannot be read is said when it is evaluated.
        self.model().is_some_and(|model| model.has_task().unwrap_or(true))
    }

    /// The task metrics with `tensors` in place of the measured ones (in their order); `None` takes the model as it is.
    ///
    /// # Errors
    /// Whatever the model says.
    pub fn evaluate(&self, tensors: Option<Vec<Tensor>>) -> Result<Vec<Metric>, String> {
        let Some(model) = self.model() else { return Ok(Vec::new()) };
        let tensors = tensors.unwrap_or_default();
        let given = self.tensors.iter().map(|info| info.place).zip(&tensors);
        model.evaluate(given.filter(|(place, _)| self.in_file(*place).is_none())).map_err(|error| error.to_string())
    }
}
