//! The matrix of a run: models x codecs x tensors, each cell with its key.

use std::collections::{HashMap, HashSet};

use seedpress_codec::{AnyCodec, Registry};
use seedpress_plan::Options;
use seedpress_results::{Code, Mode};

use crate::config::{CodecRow, Config, Problem, Problems, RunSettings};
use crate::filter::Filter;
use crate::key;
use crate::plan_code;
use crate::source::{OpenError, Source, TensorInfo};

/// Raised when what is measured of a whole model changes: model rows are then measured anew, from the records that stay.
const METRICS: u32 = 1;

/// Raised when it changes how a text tells what outputs count: rows whose codecs use it are then measured anew.
const OUTPUTS: u32 = 2;

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
    /// Models whose layers' inputs cannot be followed while others can: sequential rows leave them out, and a note says so.
    unfollowed: HashSet<String>,
    /// The code that makes the bytes of each row, apart from the small-tensor policy's, by name.
    codes: HashMap<String, Code>,
    /// Names of the rows with a codec that uses how much outputs count.
    one_step: HashSet<String>,
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
        let codes = config.codecs.iter().map(|row| (row.name(), code(row, registry))).collect();
        let one_step = config.codecs.iter().filter(|row| is_one_step(row, registry)).map(CodecRow::name).collect();
        let sequential = config.codecs.iter().any(|row| row.sequential);
        let unfollowed = if sequential { unfollowed(&models) } else { HashSet::new() };
        let (run, text, codecs) = (config.run, config.text, config.codecs);
        Ok(Self { run, text, codecs, models, absent, unfollowed, codes, one_step, raw })
    }

    /// Whether a row is measured on a model.
    pub fn applies(&self, row: &CodecRow, model: &Source) -> bool {
        !row.sequential || !self.unfollowed.contains(&model.name)
    }

    /// What sequential rows leave out, in a line.
    pub fn note(&self) -> Option<String> {
        let names: Vec<&str> = self
            .models
            .iter()
            .map(|model| model.name.as_str())
            .filter(|name| self.unfollowed.contains(*name))
            .collect();
        let what = "the inputs of their layers cannot be followed";
        (!names.is_empty()).then(|| format!("note: sequential rows leave out {}: {what}", names.join(", ")))
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

    /// The code that makes the bytes of a row's files.
    pub fn code(&self, row: &CodecRow) -> Code {
        let mut code = self.codes.get(&row.name()).cloned().unwrap_or_default();
        if let Some(raw) = self.raw.as_ref().filter(|_| self.run.keep_below.get() > 0) {
            key::add_code(&mut code, raw);
        }
        code
    }

    /// The code that makes the bytes of one tensor.
    pub fn tensor_code(&self, row: &CodecRow, info: &TensorInfo) -> Code {
        let (stored, kept_by) = self.stored_by(row, info);
        let mut code = match kept_by {
            Some(_) => Code::default(),
            None => self.codes.get(&row.name()).cloned().unwrap_or_default(),
        };
        if Options::of(stored).is_none() {
            key::add_code(&mut code, stored);
        }
        code
    }

    /// What one tensor's bytes depend on, whatever is measured of them.
    fn content(&self, row: &CodecRow, model: &Source, info: &TensorInfo) -> serde_json::Value {
        let (recipe, code) = (key::recipe(row.recipe()), self.tensor_code(row, info));
        let (_, kept_by) = self.stored_by(row, info);
        // A plan's choice for a tensor depends on all of them, and so do inputs behind compressed ones.
        let alone = matches!(recipe.mode, Mode::Plain | Mode::Calibrated);
        let hashes = |info: &TensorInfo| (info.name.clone(), info.hash.clone());
        let others: Vec<_> = if alone { Vec::new() } else { model.tensors.iter().map(hashes).collect() };
        let policy = if alone { 0 } else { self.run.keep_below.get() };
        let inputs = (recipe.mode != Mode::Plain).then(|| self.inputs(row, model));
        serde_json::json!([recipe, code, kept_by, info.name, info.hash, others, policy, inputs])
    }

    /// What tells a calibrated row's codecs of a model's inputs, and of its outputs where they use it.
    fn inputs(&self, row: &CodecRow, model: &Source) -> serde_json::Value {
        let (name, data) = (&model.name, model.calibration_data());
        match self.one_step.contains(&row.name()) && model.weighted_text().is_some() {
            true => serde_json::json!([name, data, OUTPUTS]),
            false => serde_json::json!([name, data]),
        }
    }

    /// The key of one tensor's row.
    pub fn tensor_key(&self, row: &CodecRow, model: &Source, info: &TensorInfo) -> String {
        let content = self.content(row, model, info);
        // Not the threads: bytes and errors do not depend on them, and a row says with how many it was timed.
        let settings = (self.run.encode_runs.get(), self.run.decode_runs.get());
        key::key(&serde_json::json!(["tensor", content, model.name, info.layer_type, settings]))
    }

    /// The key of the record that a codec makes of a tensor: neither the row that asks for it nor what is measured plays a part. The
    /// model does where its inputs do.
    pub fn record_key(&self, row: &CodecRow, model: &Source, info: &TensorInfo) -> String {
        let (stored, _) = self.stored_by(row, info);
        let recipe = key::recipe(CodecRow { codec: stored.clone(), sequential: false, ..row.clone() }.recipe());
        let mut code = Code::default();
        key::add_code(&mut code, stored);
        let inputs = (recipe.mode != Mode::Plain).then(|| self.inputs(row, model));
        let version = (env!("CARGO_PKG_VERSION"), seedpress_model::walk::REVISION);
        key::key(&serde_json::json!(["record", version, recipe, code, info.name, info.hash, inputs]))
    }

    /// The key of a record in a sequential row (not of what a plan chose for the tensor): it depends on all tensors, what is before it
    /// most of all, and on how the row stores them.
    pub fn sequential_record_key(&self, row: &CodecRow, model: &Source, info: &TensorInfo) -> String {
        let version = env!("CARGO_PKG_VERSION");
        key::key(&serde_json::json!(["sequential record", version, self.content(row, model, info)]))
    }

    /// How many further files of each lossy row are measured.
    pub(crate) fn draws(&self, model: &Source) -> u64 {
        model.draws.unwrap_or(self.run.draws.get() as u64)
    }

    /// The key of a model's row.
    pub fn model_key(&self, row: &CodecRow, model: &Source) -> String {
        let tensors: Vec<_> = model.tensors.iter().map(|info| self.tensor_key(row, model, info)).collect();
        let evaluated = self.run.evaluate.then_some((METRICS, model.evaluation_data()));
        match self.draws(model) {
            0 => key::key(&serde_json::json!(["model", tensors, evaluated])),
            draws => key::key(&serde_json::json!(["model", tensors, evaluated, draws])),
        }
    }

    /// The key of the row that says a model is absent.
    pub fn absent_key(&self, row: &CodecRow, model: &str) -> String {
        key::key(&serde_json::json!(["absent", row.name(), row.label, model]))
    }

    /// Rows of the whole matrix: one per tensor and one per model, for every codec.
    pub fn cells(&self) -> u64 {
        let of_row = |row: &CodecRow| -> usize {
            let models = self.models.iter().filter(|model| self.applies(row, model));
            models.map(|model| model.tensors.len() + 1).sum::<usize>() + self.absent.len()
        };
        self.codecs.iter().map(of_row).sum::<usize>() as u64
    }

    /// The codecs a filter admits.
    pub fn codecs<'m>(&'m self, filter: &'m Filter) -> impl Iterator<Item = &'m CodecRow> + Clone {
        self.codecs.iter().filter(|row| {
            let label = row.label.as_deref().unwrap_or_default();
            filter.codec(&[&row.name(), row.codec.id(), label])
        })
    }

    /// Those of them that are measured on a model.
    pub fn codecs_of<'m>(&'m self, model: &'m Source, filter: &'m Filter) -> impl Iterator<Item = &'m CodecRow> {
        self.codecs(filter).filter(|row| self.applies(row, model))
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
            for row in self.codecs_of(model, filter) {
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
        self.note().iter().for_each(|note| text.push_str(&format!("{note}\n")));
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

/// Models whose inputs cannot be followed, unless that is all of them: then the rows themselves say so. Data that cannot be read is said when
/// it is used.
fn unfollowed(models: &[Source]) -> HashSet<String> {
    let (followed, unfollowed): (Vec<_>, Vec<_>) =
        models.iter().partition(|model| model.can_be_followed().unwrap_or(true));
    if followed.is_empty() { HashSet::new() } else { unfollowed.iter().map(|model| model.name.clone()).collect() }
}

/// Whether a row has a codec that uses how much outputs count.
fn is_one_step(row: &CodecRow, registry: &Registry) -> bool {
    let is = |codec: &AnyCodec| codec.capabilities().one_step;
    is(&row.codec) || plan_code::codecs(&row.codec, registry).iter().any(is)
}

/// The code that makes the bytes of a row: codec and stage, or a plan's search and all its codecs, and what tells them of inputs.
fn code(row: &CodecRow, registry: &Registry) -> Code {
    let mut code = Code::default();
    if Options::of(&row.codec).is_none() {
        key::add_code(&mut code, &row.codec);
    }
    plan_code::add_code(&mut code, &row.codec, registry);
    if row.mode() != Mode::Plain {
        code.0.insert("statistics".to_owned(), seedpress_model::walk::REVISION.to_string());
    }
    code
}
