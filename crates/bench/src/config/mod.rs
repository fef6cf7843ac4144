//! An experiment as a TOML file.
//!
//! | table | keys |
//! | --- | --- |
//! | `[run]` | `name` and the measuring settings of [`RunSettings`] |
//! | `[[codec]]` | `codec`, its options beside it, `then` (a stage), `sequential`, `name` (of the row); `codec = "plan"` lets a plan choose codecs |
//! | `[[model]]` | one of `model`, `path`, `synthetic`; `include`, `exclude`; `shape`, `seed`; `name` |
//!
//! A list as a value expands to one row per element. Everything wrong with a file is reported at once, each problem with its line,
//! its key and what would be legal, before any work starts.

mod codec;
mod model;
mod problems;
mod run;
mod table;

use std::path::Path;

use seedpress_codec::Registry;
use seedpress_plan::options::PlanRow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use codec::CodecRow;
pub use model::{Folder, ModelSpec, Origin, Text};
pub use problems::{Location, Problem, Problems};
pub use run::RunSettings;

use problems::Collector;

/// A checked experiment.
#[derive(Debug, Clone)]
pub struct Config {
    /// How to measure.
    pub run: RunSettings,
    /// Rows, in file order.
    pub codecs: Vec<CodecRow>,
    /// Models, in file order.
    pub models: Vec<ModelSpec>,
    /// The text as given.
    pub text: String,
}

impl Config {
    /// Reads and checks a file. `zoo` are the names `model = ".."` may take.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, registry: &Registry, zoo: &[&str]) -> Result<Self, Problems> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let at = Location { path: path.to_owned(), line: 1, column: 1 };
            Problems(vec![Problem { at, message: format!("cannot be read: {error}") }])
        })?;
        Self::parse(path, &text, registry, zoo)
    }

    /// Checks a text; `path` is what errors call it and where relative paths start.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(path: &Path, text: &str, registry: &Registry, zoo: &[&str]) -> Result<Self, Problems> {
        let mut problems = Collector::new(path, text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            problems.add(&error.span().unwrap_or(0..0), format!("not TOML: {}", table::plain(error.message())));
        }
        if !errors.is_empty() {
            return Err(problems.into_problems());
        }

        // A plan is configured like a codec and is none: nobody else's registry holds it.
        let registry = &registry.clone().with::<PlanRow>();
        let mut run = None;
        let (mut codecs, mut models) = (Vec::new(), Vec::new());
        let (mut codec_tables, mut model_tables) = (0, 0);
        for (key, value) in table::entries(document.get_ref()) {
            match key.get_ref().as_ref() {
                "run" => match value.get_ref() {
                    DeValue::Table(fields) => {
                        let settings: RunSettings = table::read(fields, &value.span(), "[run]", &mut problems);
                        check_name(&settings.name, fields, &value.span(), &mut problems);
                        run = Some(settings);
                    }
                    _ => problems.add(&value.span(), "`run` must be a table: [run]"),
                },
                "codec" => {
                    for fields in tables(value, "[[codec]]", &mut problems) {
                        codec_tables += 1;
                        codec::read(&fields, registry, &mut problems, &mut codecs);
                    }
                }
                "model" => {
                    for fields in tables(value, "[[model]]", &mut problems) {
                        model_tables += 1;
                        model::read(&fields, zoo, &mut problems, &mut models);
                    }
                }
                other => {
                    let message = table::unknown_key(other, "the file", ["run", "codec", "model"].into_iter());
                    problems.add(&key.span(), message);
                }
            }
        }
        let end = text.len()..text.len();
        if run.is_none() && document.get_ref().get("run").is_none() {
            problems.add(&(0..0), "[run] is missing: give the run a `name`");
        }
        if codec_tables == 0 {
            problems.add(&end, "there is no [[codec]]: a run needs at least one");
        }
        if model_tables == 0 {
            problems.add(&end, "there is no [[model]]: a run needs at least one");
        }
        if problems.count() > 0 {
            return Err(problems.into_problems());
        }
        Ok(Self { run: run.unwrap_or_default(), codecs, models, text: text.to_owned() })
    }
}

fn check_name(name: &str, fields: &DeTable<'_>, span: &std::ops::Range<usize>, problems: &mut Collector<'_>) {
    match fields.get("name") {
        None => problems.add(span, "[run] needs `name`: the report's folder under reports/"),
        Some(value) => {
            let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if value.get_ref().is_str() && (name.is_empty() || name.starts_with('.') || !name.chars().all(legal)) {
                problems.add(
                    &value.span(),
                    "`name` in [run] becomes a folder: legal are letters, digits, `-`, `_` and `.`, not starting with `.`",
                );
            }
        }
    }
}

/// The tables a key holds: `[[key]]`, or `[key]` for a single one.
fn tables<'i>(value: &Spanned<DeValue<'i>>, place: &str, problems: &mut Collector<'_>) -> Vec<Spanned<DeTable<'i>>> {
    let mut tables = Vec::new();
    for item in table::alternatives(value) {
        match item.get_ref() {
            DeValue::Table(fields) => tables.push(Spanned::new(item.span(), fields.clone())),
            _ => problems.add(&item.span(), format!("expected a table: {place}")),
        }
    }
    tables
}
