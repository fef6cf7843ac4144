//! The matrix of a run: models x codecs x tensors, each cell with its key.

use std::collections::HashMap;

use seedpress_codec::{AnyCodec, Registry};

use crate::config::{CodecRow, Config, Problem, Problems, RunSettings};
use crate::filter::Filter;
use crate::key;
use crate::planning;
use crate::source::{OpenError, Source, TensorInfo};

/// A codec by name, with the versions of the code that makes its bytes.
type Choice = (String, [u32; 4]);

/// A checked config with its models opened.
#[derive(Debug)]
pub struct Matrix {
    /// How to measure.
    pub run: RunSettings,
    /// The config as given.
    pub text: String,
    /// Rows.
    pub codecs: Vec<CodecRow>,
    /// Models.
    pub models: Vec<Source>,
    /// Models whose weights are not on this machine, each with what to do about it: their cells fail, the others run.
    pub absent: Vec<(String, String)>,
    /// What each row that is a plan may choose: codecs by name, with the versions of their bytes.
    ladders: HashMap<String, Vec<Choice>>,
    /// What stores the tensors that the small-tensor policy keeps; absent where no such codec is registered.
    raw: Option<AnyCodec>,
}

impl Matrix {
    /// Opens every model of a config.
    ///
    /// # Errors
    /// Models that cannot be opened, each with its place in the config; those whose weights are not on this machine only where no
    /// model is left without them.
    pub fn new(config: Config, registry: &Registry) -> Result<Self, Problems> {
        Self::with_models(config, registry, &|_| None)
    }

    /// The same with models of one's own: `own` is asked for every name before the zoo is. A network that implements
    /// [`Network`](seedpress_model::Network) has every kind of row, without a line elsewhere.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_models(
        config: Config,
        registry: &Registry,
        own: &dyn Fn(&str) -> Option<seedpress_model::Model>,
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let (mut models, mut absent, mut unfetched) = (Vec::new(), Vec::new(), Vec::new());
        for spec in &config.models {
            let named = format!("model `{}`", spec.name);
            // Some messages name the model themselves.
            let said =
                |message: String| if message.starts_with(&named) { message } else { format!("{named}: {message}") };
            let problem = |message: String| Problem { at: spec.at.clone(), message };
            match Source::open_with(spec, own) {
                Ok(model) => models.push(model),
                Err(OpenError::Absent(message)) => {
                    let message = said(message);
                    unfetched.push(problem(message.clone()));
                    absent.push((spec.name.clone(), message));
                }
                Err(OpenError::Wrong(message)) => problems.push(problem(said(message))),
            }
        }
        if models.is_empty() {
            problems.append(&mut unfetched);
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let raw = registry.default_codec("raw").ok();
        let ladders = config.codecs.iter().filter_map(|row| Some((row.name(), planning::choices(row, registry)?)));
        let ladders = ladders.collect();
        Ok(Self { run: config.run, text: config.text, codecs: config.codecs, models, absent, ladders, raw })
    }

    /// The codec that really stores a tensor: the row's own, or `raw` by the small-tensor policy.
    pub fn stored_by<'m>(&'m self, row: &'m CodecRow, info: &TensorInfo) -> (&'m AnyCodec, Option<String>) {
        match &self.raw {
            Some(raw) if self.run.keeps(&info.shape, info.weights) && row.codec.id() != raw.id() => {
                (raw, Some(raw.id().to_owned()))
            }
            _ => (&row.codec, None),
        }
    }

    /// The key of one tensor's row.
    pub fn tensor_key(&self, row: &CodecRow, model: &Source, info: &TensorInfo) -> String {
        let (stored, _) = self.stored_by(row, info);
        // Not the threads: bytes and errors do not depend on them, and a row says with how many it was timed.
        let settings = (self.run.encode_runs.get(), self.run.decode_runs.get());
        // A plan's choice for one tensor depends on all of them, and on every codec it may choose.
        if let Some(choices) = self.ladders.get(&row.name()) {
            let hashes: Vec<_> = model.tensors.iter().map(|info| (&info.name, &info.hash)).collect();
            let policy = self.run.keep_below.get();
            let plan = (row.name(), row.codec.code(), &row.label, choices, policy, hashes);
            return key::key(&serde_json::json!(["planned", plan, model.name, info.name, info.layer_type, settings]));
        }
        if row.sequential {
            let record = self.sequential_record_key(row, model, info);
            return key::key(&serde_json::json!(["sequential", record, &row.label, info.layer_type, settings]));
        }
        let parts = (row.codec.name(), row.codec.code(), &row.label, stored.name(), stored.code());
        key::key(&serde_json::json!(["tensor", parts, model.name, info.name, info.layer_type, info.hash, settings]))
    }

    /// The key of the record a tensor compresses to: what it is measured with plays no part. The model does where its inputs do.
    pub fn record_key(&self, row: &CodecRow, model: &Source, info: &TensorInfo) -> String {
        let (stored, _) = self.stored_by(row, info);
        let version = env!("CARGO_PKG_VERSION");
        let inputs = stored.capabilities().uses_calibration.then_some(&model.name);
        key::key(&serde_json::json!(["record", version, stored.name(), stored.code(), info.name, info.hash, inputs]))
    }

    /// The key of a record in a sequential row (not of what a plan chose for the tensor): it depends on all tensors, what is before it
    /// most of all, and on how the row stores them.
    pub fn sequential_record_key(&self, row: &CodecRow, model: &Source, info: &TensorInfo) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let hashes: Vec<_> = model.tensors.iter().map(|info| (&info.name, &info.hash)).collect();
        let choices = self.ladders.get(&row.name());
        let row = (row.name(), row.codec.code(), choices, self.run.keep_below.get());
        key::key(&serde_json::json!(["sequential record", version, row, model.name, hashes, info.name]))
    }

    /// The key of a model's row.
    pub fn model_key(&self, row: &CodecRow, model: &Source) -> String {
        let tensors: Vec<_> = model.tensors.iter().map(|info| self.tensor_key(row, model, info)).collect();
        key::key(&serde_json::json!(["model", tensors, self.run.evaluate]))
    }

    /// The key of the row that says a model is absent.
    pub fn absent_key(&self, row: &CodecRow, model: &str) -> String {
        key::key(&serde_json::json!(["absent", row.name(), row.label, model]))
    }

    /// Rows of the whole matrix: one per tensor and one per model, for every codec.
    pub fn cells(&self) -> u64 {
        let per_codec: usize = self.models.iter().map(|model| model.tensors.len() + 1).sum();
        ((per_codec + self.absent.len()) * self.codecs.len()) as u64
    }

    /// The codecs a filter admits.
    pub fn codecs<'m>(&'m self, filter: &'m Filter) -> impl Iterator<Item = &'m CodecRow> + Clone {
        self.codecs.iter().filter(|row| {
            let label = row.label.as_deref().unwrap_or_default();
            filter.codec(&[&row.name(), row.codec.id(), label])
        })
    }

    /// The models a filter admits.
    pub fn models<'m>(&'m self, filter: &'m Filter) -> impl Iterator<Item = &'m Source> + Clone {
        self.models.iter().filter(|model| filter.model(&model.name))
    }

    /// The tensors of a model a filter admits.
    pub fn tensors<'m>(&self, model: &'m Source, filter: &'m Filter) -> impl Iterator<Item = &'m TensorInfo> + Clone {
        model.tensors.iter().filter(|info| filter.tensor(&info.name))
    }

    /// The matrix as text, with counts: what `--dry-run` prints.
    pub fn listing(&self, filter: &Filter) -> String {
        let mut text = String::new();
        let (mut cells, mut weights) = (0, 0);
        for model in self.models(filter) {
            let tensors: Vec<_> = self.tensors(model, filter).collect();
            let count: usize = tensors.iter().map(|info| info.weights).sum();
            text.push_str(&format!("model {}: {} tensors, {count} weights\n", model.name, tensors.len()));
            for row in self.codecs(filter) {
                let kept = tensors.iter().filter(|info| self.stored_by(row, info).1.is_some()).count();
                let label = row.label.as_ref().map(|label| format!(" \"{label}\"")).unwrap_or_default();
                text.push_str(&format!("  {}{label}", row.name()));
                text.push_str(&if kept > 0 {
                    format!(" ({kept} small tensors kept by raw)\n")
                } else {
                    "\n".to_owned()
                });
                cells += tensors.len();
                weights += count;
            }
        }
        for (_, message) in &self.absent {
            text.push_str(&format!("not measured: {message}\n"));
        }
        let (codecs, models) = (self.codecs(filter).count(), self.models(filter).count());
        text.push_str(&format!(
            "{codecs} codecs x {models} models: {cells} tensor cells, {weights} weights to encode\n"
        ));
        text
    }
}
