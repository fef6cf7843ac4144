//! A `[[model]]` table: a member of the zoo, a file, or a synthetic source.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use seedpress_codec::Int;
use seedpress_zoo::Distribution;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use super::problems::{Collector, Location, did_you_mean};
use super::table;

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A member of the zoo, by name.
    Zoo(String),
    /// A language model of the Hugging Face kind, with text of one's own.
    Language(Folder, Text),
    /// A file or folder of weights in any format that is read.
    File(PathBuf),
    /// Seeded random numbers.
    Synthetic {
        /// The distribution.
        source: Distribution,
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// The generator's seed.
        seed: u64,
    },
}

/// Where a language model lies.
#[derive(Debug, Clone, PartialEq)]
pub enum Folder {
    /// A folder with `config.json`, `tokenizer.json` and weights in any format that is read, or such a file in such a folder.
    Path {
        /// The weights.
        weights: PathBuf,
        /// The folder of the configuration and tokenizer, where it is another one.
        config: Option<PathBuf>,
    },
    /// A member of the zoo that is fetched, by name.
    Fetched(String),
}

/// The text that a language model is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// A plain file, a `.jsonl` file or a folder of these: what codecs learn of the inputs of layers.
    pub calibration: Option<PathBuf>,
    /// Likewise: what measures the model. It shares nothing with the text that calibrates.
    pub evaluation: Option<PathBuf>,
    /// Tokens of a sequence.
    pub context: usize,
    /// Sequences of calibration text, spread over it.
    pub sequences: usize,
    /// Whether tokens of calibration text count by how much the model's answers depend on them.
    pub weighted: bool,
}

/// Tokens of a sequence, unless the table says otherwise.
const CONTEXT: usize = 512;
/// Sequences of calibration text, unless the table says otherwise.
const SEQUENCES: usize = 32;

/// One model of the matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// Its name in rows and charts.
    pub name: String,
    /// Where the weights come from.
    pub origin: Origin,
    /// Patterns (`*`, `?`) of tensors to take; empty takes all.
    pub include: Vec<String>,
    /// Patterns of tensors to leave out.
    pub exclude: Vec<String>,
    /// Further files of each lossy row, instead of what the run says.
    pub draws: Option<u64>,
    /// Where it was configured.
    pub at: Location,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Several<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Several<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Several::One(value) => vec![value],
            Several::Many(values) => values,
        }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ModelTable {
    model: Option<Several<String>>,
    path: Option<Several<PathBuf>>,
    config: Option<PathBuf>,
    synthetic: Option<Several<String>>,
    shape: Option<Several<Several<usize>>>,
    seed: Option<Several<u64>>,
    include: Vec<String>,
    exclude: Vec<String>,
    draws: Option<Int<0, 16>>,
    name: Option<String>,
    calibration: Option<PathBuf>,
    evaluation: Option<PathBuf>,
    context: Option<Int<2, 1_048_576>>,
    sequences: Option<Int<1, 1_000_000>>,
    weighted: Option<bool>,
}

impl ModelTable {
    /// The text, where any of its keys is given.
    fn text(&self, problems: &Collector<'_>) -> Option<Text> {
        let texts = [self.calibration.is_some(), self.evaluation.is_some()];
        let given = [texts[0], texts[1], self.context.is_some(), self.sequences.is_some(), self.weighted.is_some()];
        let beside = |path: &Option<PathBuf>| path.as_ref().map(|path| problems.beside(path));
        given.contains(&true).then(|| Text {
            calibration: beside(&self.calibration),
            evaluation: beside(&self.evaluation),
            context: self.context.map_or(CONTEXT, |context| context.size()),
            sequences: self.sequences.map_or(SEQUENCES, |sequences| sequences.size()),
            weighted: self.weighted.unwrap_or(true),
        })
    }
}

/// Reads one `[[model]]` table. Lists expand to one model per element; a list of lists is several shapes.
pub(super) fn read(
    table: &Spanned<DeTable<'_>>,
    known: &[&str],
    problems: &mut Collector<'_>,
    models: &mut Vec<ModelSpec>,
) {
    let before = problems.count();
    let fields: ModelTable = table::read(table.get_ref(), &table.span(), "[[model]]", problems);
    let sources = [fields.model.is_some(), fields.path.is_some(), fields.synthetic.is_some()];
    match sources.iter().filter(|&&given| given).count() {
        1 => {}
        0 if problems.count() > before => return,
        _ => {
            problems.add(&table.span(), "[[model]] needs exactly one of `model`, `path`, `synthetic`");
            return;
        }
    }
    let text = fields.text(problems);
    if text.as_ref().is_some_and(|text| text.calibration.is_none() && text.evaluation.is_none()) {
        problems.add(
            &table.span(),
            "`context`, `sequences` and `weighted` in [[model]] go with `calibration` or `evaluation`",
        );
        return;
    }
    let at_key = |key: &str| key_span(table, key);
    let mut origins = Vec::new();
    for name in fields.model.into_iter().flat_map(Several::into_vec) {
        origins.extend(of_zoo(table, name, text.as_ref(), known, problems));
    }
    let config = fields.config.map(|path| problems.beside(&path));
    if config.is_some() && (text.is_none() || fields.path.is_none()) {
        problems.add(&at_key("config"), "`config` in [[model]] goes with `path` and `calibration` or `evaluation`");
        return;
    }
    for path in fields.path.into_iter().flat_map(Several::into_vec) {
        origins.push(of_path(&path, config.as_deref(), text.as_ref(), problems));
    }
    if let Some(sources) = fields.synthetic {
        if text.is_some() {
            problems.add(&table.span(), "a synthetic [[model]] reads no text");
            return;
        }
        let Some(found) = synthetic(table, sources.into_vec(), fields.shape, fields.seed, problems) else { return };
        origins.extend(found);
    } else {
        for (key, given) in [("shape", fields.shape.is_some()), ("seed", fields.seed.is_some())] {
            if given {
                problems.add(&at_key(key), format!("`{key}` in [[model]] belongs to `synthetic` only"));
            }
        }
    }
    if fields.name.is_some() && origins.len() > 1 {
        problems.add(&at_key("name"), "`name` in [[model]] needs a table that is one model");
        return;
    }
    let draws = fields.draws.map(|draws| draws.get() as u64);
    add_models(table, origins, fields.name.as_deref(), [fields.include, fields.exclude], draws, problems, models);
}

/// Where a key stands, or the whole table.
fn key_span(table: &Spanned<DeTable<'_>>, key: &str) -> std::ops::Range<usize> {
    table.get_ref().get(key).map_or(table.span(), Spanned::span)
}

/// A model by its name.
fn of_zoo(
    table: &Spanned<DeTable<'_>>,
    name: String,
    text: Option<&Text>,
    known: &[&str],
    problems: &mut Collector<'_>,
) -> Option<(String, Origin)> {
    if !known.contains(&name.as_str()) {
        let hint = did_you_mean(&name, known.iter().copied());
        let legal = known.join(", ");
        problems.add(
            &key_span(table, "model"),
            format!("`model` in [[model]]: unknown model `{name}`: legal values are {legal}{hint}"),
        );
        return None;
    }
    match text {
        None => Some((name.clone(), Origin::Zoo(name))),
        Some(text) if seedpress_zoo::fetch::package(&name).is_some() => {
            Some((name.clone(), Origin::Language(Folder::Fetched(name), text.clone())))
        }
        Some(_) => {
            problems.add(
                &key_span(table, "model"),
                format!(
                    "model `{name}` has its own data: `calibration` and `evaluation` are for folders of language models"
                ),
            );
            None
        }
    }
}

/// A file of weights or the folder of a language model.
fn of_path(path: &Path, config: Option<&Path>, text: Option<&Text>, problems: &Collector<'_>) -> (String, Origin) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name =
        [".safetensors.index.json", ".index.json", ".safetensors", ".gguf", ".npz", ".npy", ".pth", ".pt", ".bin"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(&name)
            .to_owned();
    let path = problems.beside(path);
    let origin = match text {
        Some(text) => {
            let config = config.map(Path::to_owned);
            Origin::Language(Folder::Path { weights: path, config }, text.clone())
        }
        // A folder without text is its weights.
        None => Origin::File(path),
    };
    (name, origin)
}

/// A model for every source, shape and seed; `None` where shapes or the number of models are wrong.
fn synthetic(
    table: &Spanned<DeTable<'_>>,
    sources: Vec<String>,
    shape: Option<Several<Several<usize>>>,
    seed: Option<Several<u64>>,
    problems: &mut Collector<'_>,
) -> Option<Vec<(String, Origin)>> {
    let Some(shape) = shape else {
        problems.add(&table.span(), "synthetic [[model]] needs `shape`, such as [512, 1024]");
        return None;
    };
    let shapes = shapes(shape);
    for shape in &shapes {
        if seedpress_codec::tensor::element_count(shape).is_none_or(|count| count == 0 || count > MAX_SYNTHETIC) {
            problems.add(
                &key_span(table, "shape"),
                format!("`shape` in [[model]]: {shape:?} must hold 1 to {MAX_SYNTHETIC} weights"),
            );
            return None;
        }
    }
    let seeds = seed.map_or_else(|| vec![0], Several::into_vec);
    let count = shapes.len().saturating_mul(seeds.len());
    if count > MOST_MODELS {
        let what = format!("the lists of this [[model]] make {count} models: a run has at most {MOST_MODELS}");
        problems.add(&table.span(), what);
        return None;
    }
    let mut origins = Vec::new();
    for word in sources {
        let Some(source) = Distribution::from_name(&word) else {
            let legal = [Distribution::Gaussian, Distribution::Laplace, Distribution::StudentT].map(Distribution::name);
            let hint = did_you_mean(&word, legal);
            let legal = legal.join(", ");
            problems.add(
                &key_span(table, "synthetic"),
                format!("`synthetic` in [[model]]: unknown source `{word}`: legal values are {legal}{hint}"),
            );
            continue;
        };
        for shape in &shapes {
            for &seed in &seeds {
                let dims: Vec<_> = shape.iter().map(usize::to_string).collect();
                let mut name = format!("synthetic-{}-{}", source.name(), dims.join("x"));
                if seed != 0 {
                    name.push_str(&format!("-seed{seed}"));
                }
                origins.push((name, Origin::Synthetic { source, shape: shape.clone(), seed }));
            }
        }
    }
    Some(origins)
}

/// Adds models under their names, the one given before those found.
fn add_models(
    table: &Spanned<DeTable<'_>>,
    origins: Vec<(String, Origin)>,
    given_name: Option<&str>,
    [include, exclude]: [Vec<String>; 2],
    draws: Option<u64>,
    problems: &mut Collector<'_>,
    models: &mut Vec<ModelSpec>,
) {
    for (name, origin) in origins {
        let name = match given_name {
            // A synthetic source never passes for a trained model, whatever its name.
            Some(given) if matches!(origin, Origin::Synthetic { .. }) && !given.starts_with("synthetic-") => {
                format!("synthetic-{given}")
            }
            Some(given) => given.to_owned(),
            None => name,
        };
        if let Some(twin) = models.iter().find(|model| model.name == name) {
            let line = twin.at.line;
            problems.add(
                &table.span(),
                format!("a model named `{name}` stands on line {line}: give one a `name` of its own"),
            );
            continue;
        }
        models.push(ModelSpec {
            name,
            origin,
            include: include.clone(),
            exclude: exclude.clone(),
            draws,
            at: problems.locate(table.span().start),
        });
    }
}

/// Synthetic models of one table: more are a mistake in a list.
const MOST_MODELS: usize = 1024;

const MAX_SYNTHETIC: usize = 1 << 30;

fn shapes(given: Several<Several<usize>>) -> Vec<Vec<usize>> {
    match given {
        Several::One(shape) => vec![shape.into_vec()],
        Several::Many(list) if list.iter().all(|item| matches!(item, Several::One(_))) => {
            vec![list.into_iter().flat_map(Several::into_vec).collect()]
        }
        Several::Many(list) => list.into_iter().map(Several::into_vec).collect(),
    }
}
