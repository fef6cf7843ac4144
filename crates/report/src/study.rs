//! A run's rows, ordered and grouped once for every table and chart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use seedpress_results::{ModelRow, PlanRow, Row, Run, Status, TensorRow, read_plans, read_rows, read_run};

use crate::contender::Contender;
use crate::error::ReportError;
use crate::style::Mark;
use crate::sums::Sums;

/// Which weights an aggregate covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Trained weights.
    Real,
    /// Generated weights of the Gaussian source.
    Gaussian,
}

impl Scope {
    /// As it is written in titles.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scope::Real => "real weights",
            Scope::Gaussian => "synthetic Gaussian weights",
        }
    }

    fn holds(self, row: &TensorRow) -> bool {
        match self {
            Scope::Real => !row.synthetic,
            Scope::Gaussian => row.synthetic && row.model.to_lowercase().contains("gauss"),
        }
    }
}

/// A contender's aggregate over a scope.
#[derive(Debug, Clone)]
pub(crate) struct Point<'a> {
    /// Whose.
    pub contender: &'a Contender,
    /// Over which tensors.
    pub sums: Sums,
    /// Whether it lacks tensors that others have: not comparable, drawn but never on the frontier.
    pub partial: bool,
}

/// Everything a report is drawn from.
#[derive(Debug)]
pub(crate) struct Study {
    /// What was run, and where.
    pub run: Run,
    /// Rows of tensors, in file order.
    pub tensors: Vec<TensorRow>,
    /// Rows of models, in file order.
    pub models: Vec<ModelRow>,
    /// What plans were made of and what they chose.
    pub plans: Vec<PlanRow>,
    /// Lossless ones, then the others in the order of the config, then the floor.
    pub contenders: Vec<Contender>,
    /// In the order of the config.
    pub model_names: Vec<String>,
    /// The `summary.csv` of the release before, where there is one.
    pub previous: Option<String>,
    /// Tensors that the small-tensor policy stores, whatever the codec.
    policy: BTreeSet<(String, String)>,
}

impl Study {
    /// What the run in `folder` left.
    pub(crate) fn read(folder: &Path) -> Result<Self, ReportError> {
        let mut rows = read_rows(folder)?;
        rows.extend(seedpress_results::read_foreign(folder)?);
        let mut study = Self::new(read_run(folder)?, rows, read_plans(folder)?);
        study.previous = std::fs::read_to_string(folder.join("previous.csv")).ok();
        Ok(study)
    }

    /// Orders and groups rows.
    pub(crate) fn new(run: Run, rows: Vec<Row>, plans: Vec<PlanRow>) -> Self {
        let mut tensors = Vec::new();
        let mut models = Vec::new();
        for row in rows {
            match row {
                Row::Tensor(row) => tensors.push(row),
                Row::Model(row) => models.push(row),
            }
        }
        let mut contenders = contenders(&run, &tensors, &models);
        // Lossless rows head every table, the floor ends it; between them the config's order holds.
        let lossy: BTreeSet<&str> =
            tensors.iter().filter(|row| row.squared_error != 0.0).map(|row| row.codec.as_str()).collect();
        let measured: BTreeSet<&str> =
            tensors.iter().filter(|row| row.status == Status::Ok).map(|row| row.codec.as_str()).collect();
        contenders.sort_by_key(|contender| {
            let codec = contender.codec.as_str();
            (contender.is_floor(), lossy.contains(codec) || !measured.contains(codec))
        });
        let model_names = in_order(
            &run.models,
            tensors.iter().map(|row| row.model.as_str()).chain(models.iter().map(|row| row.model.as_str())),
        );
        let policy = policy(&tensors);
        Self { run, tensors, models, plans, contenders, model_names, previous: None, policy }
    }

    /// How a contender is drawn.
    pub(crate) fn mark(&self, contender: &Contender) -> Mark {
        Mark::of(contender)
    }

    /// Whether a model's weights are generated.
    pub(crate) fn is_synthetic(&self, model: &str) -> bool {
        self.tensors.iter().any(|row| row.model == model && row.synthetic)
    }

    /// A model's name, with a word that keeps generated weights apart from real ones.
    pub(crate) fn model_title(&self, model: &str) -> String {
        let named = model.to_lowercase().contains("synthetic");
        if self.is_synthetic(model) && !named { format!("{model} (synthetic)") } else { model.to_owned() }
    }

    /// Whether a tensor is stored by the small-tensor policy and says nothing about a codec.
    pub(crate) fn is_policy(&self, row: &TensorRow) -> bool {
        self.policy.contains(&(row.model.clone(), row.tensor.clone()))
    }

    /// Measured tensors above the small-tensor policy.
    pub(crate) fn measured(&self) -> impl Iterator<Item = &TensorRow> {
        self.tensors.iter().filter(|row| row.status == Status::Ok && row.weights > 0 && !self.is_policy(row))
    }

    /// All measured tensors of one contender on one model, small ones included.
    pub(crate) fn cell<'a>(&'a self, contender: &'a Contender, model: &'a str) -> impl Iterator<Item = &'a TensorRow> {
        self.tensors.iter().filter(move |row| row.codec == contender.codec && row.model == model)
    }

    /// The rows of one contender's whole model, one for each metric.
    pub(crate) fn whole<'a>(&'a self, contender: &'a Contender, model: &'a str) -> impl Iterator<Item = &'a ModelRow> {
        self.models.iter().filter(move |row| row.codec == contender.codec && row.model == model)
    }

    /// The names of a model's metrics, the headline first.
    pub(crate) fn metrics(&self, model: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in self.models.iter().filter(|row| row.model == model && !row.metric.is_empty()) {
            if !names.contains(&row.metric.as_str()) {
                names.push(&row.metric);
            }
        }
        names
    }

    /// Aggregates of all contenders over a scope.
    pub(crate) fn points(&self, scope: Scope) -> Vec<Point<'_>> {
        self.points_where(|row| scope.holds(row))
    }

    /// Aggregates of all contenders over the measured tensors that satisfy a condition.
    pub(crate) fn points_where(&self, holds: impl Fn(&TensorRow) -> bool) -> Vec<Point<'_>> {
        let mut groups: BTreeMap<&str, Vec<&TensorRow>> = BTreeMap::new();
        let mut universe = BTreeSet::new();
        for row in self.measured().filter(|row| holds(row)) {
            groups.entry(&row.codec).or_default().push(row);
            universe.insert((&row.model, &row.tensor));
        }
        let mut points = Vec::new();
        for contender in &self.contenders {
            if let Some(rows) = groups.get(contender.codec.as_str()) {
                let partial = rows.len() < universe.len();
                points.push(Point { contender, sums: Sums::over(rows.iter().copied()), partial });
            }
        }
        points
    }

    /// The `[[model]]` tables of the config that was run; none where there is no config.
    fn model_tables(&self) -> Vec<toml::Value> {
        let config: toml::Table = self.run.config.parse().unwrap_or_default();
        config.get("model").and_then(toml::Value::as_array).cloned().unwrap_or_default()
    }

    /// Whether a model is a language model with text of its own: its divergences are in nats a token, as `seedpress evaluate` prints them.
    pub(crate) fn has_own_text(&self, model: &str) -> bool {
        let named = |table: &&toml::Value| {
            let is = |key: &str| table.get(key).and_then(toml::Value::as_str);
            is("name").or(is("model")).is_some_and(|name| name == model)
                || is("path").is_some_and(|path| path.ends_with(model))
        };
        self.model_tables().iter().filter(named).any(|table| table.get("evaluation").is_some())
    }

    /// The options that calibrate as the run's language models were, where all its models are such and one text serves them.
    pub(crate) fn calibration_options(&self) -> Option<String> {
        let tables = self.model_tables();
        let [table] = tables.as_slice() else { return None };
        let text = table.get("calibration")?.as_str()?;
        // Paths of a config begin at its folder.
        let mut options = format!("--calibration {}", text.trim_start_matches("../"));
        for (key, option) in [("sequences", "samples"), ("context", "context")] {
            if let Some(number) = table.get(key).and_then(toml::Value::as_integer) {
                options += &format!(" --{option} {number}");
            }
        }
        if table.get("weighted").and_then(toml::Value::as_bool) == Some(false) {
            options += " --unweighted";
        }
        Some(options + " --weights-only")
    }
}

/// The points no other point beats in both bits and error, from few bits to many.
pub(crate) fn frontier<'a, 'b>(points: &'b [Point<'a>]) -> Vec<&'b Point<'a>> {
    let mut sorted: Vec<&Point> =
        points.iter().filter(|point| !point.partial && point.sums.relative_mse().is_finite()).collect();
    sorted.sort_by(|a, b| {
        let bits = a.sums.bits_per_weight().total_cmp(&b.sums.bits_per_weight());
        bits.then(a.sums.relative_mse().total_cmp(&b.sums.relative_mse()))
    });
    let mut best = f64::INFINITY;
    sorted.retain(|point| {
        let keep = point.sums.relative_mse() < best && !point.contender.is_floor();
        if keep {
            best = point.sums.relative_mse();
        }
        keep
    });
    sorted
}

/// `first` and then whatever else occurs, without repetition and without what does not occur.
fn in_order<'a>(first: &[String], occurring: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for name in occurring {
        if seen.insert(name.to_owned()) {
            order.push(name.to_owned());
        }
    }
    let place = |name: &String| first.iter().position(|other| other == name).unwrap_or(first.len());
    order.sort_by_key(place);
    order
}

fn contenders(run: &Run, tensors: &[TensorRow], models: &[ModelRow]) -> Vec<Contender> {
    let mut known: BTreeMap<&str, Contender> = BTreeMap::new();
    for row in tensors {
        let label = row.label.as_ref().unwrap_or(&row.codec);
        known.entry(&row.codec).or_insert_with(|| Contender {
            codec: row.codec.clone(),
            label: label.clone(),
            codec_id: if row.codec_id.is_empty() { split(&row.codec).0 } else { row.codec_id.clone() },
            stage: row.stage.clone(),
            options: row.options.clone(),
            calibrated: false,
            told: None,
            foreign: row.foreign.clone(),
            code: BTreeSet::new(),
        });
        if let Some(contender) = known.get_mut(row.codec.as_str()) {
            contender.calibrated |= row.calibrated;
            // A tensor that the statistics had nothing for says less than the others do.
            contender.told = contender.told.max(row.mode);
            contender.code.insert(row.foreign.clone().unwrap_or_else(|| row.code.to_string()));
        }
    }
    // A model whose tensors were all lost still has a name, from which id and stage follow.
    for row in models {
        let recipe = row.recipe();
        let label = row.label.as_ref().unwrap_or(&row.codec);
        known.entry(&row.codec).or_insert_with(|| Contender {
            codec: row.codec.clone(),
            label: label.clone(),
            codec_id: recipe.codec_id,
            stage: recipe.stage,
            options: recipe.options,
            calibrated: false,
            told: row.mode,
            foreign: row.foreign.clone(),
            code: BTreeSet::from([row.foreign.clone().unwrap_or_else(|| row.code.to_string())]),
        });
    }
    let occurring = tensors.iter().map(|row| row.codec.as_str()).chain(models.iter().map(|row| row.codec.as_str()));
    in_order(&run.codecs, occurring).iter().filter_map(|codec| known.get(codec.as_str()).cloned()).collect()
}

/// `id:options+stage`.
fn split(codec: &str) -> (String, String) {
    let (name, stage) = codec.split_once('+').unwrap_or((codec, ""));
    (name.split(':').next().unwrap_or(name).to_owned(), stage.to_owned())
}

/// Tensors that most contenders left to the small-tensor policy. Most, not all: a codec that stores raw values keeps even the
/// smallest tensor itself.
fn policy(tensors: &[TensorRow]) -> BTreeSet<(String, String)> {
    let mut votes: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for row in tensors.iter().filter(|row| row.status == Status::Ok) {
        let (stored, all) = votes.entry((&row.model, &row.tensor)).or_default();
        // A plan names the codec of every tensor; what it hands to a codec is not the policy's.
        let planned = row.codec_id == "plan" && row.stored_by.as_deref() != Some("raw");
        *stored += usize::from(row.stored_by.is_some() && !planned);
        *all += 1;
    }
    votes
        .into_iter()
        .filter(|(_, (stored, all))| stored * 2 > *all)
        .map(|((model, tensor), _)| (model.to_owned(), tensor.to_owned()))
        .collect()
}
