//! A `[[codec]]` table: codec, options, stage, and the rows it expands to.

use seedpress_codec::{AnyCodec, ConfigError, Registry};
use seedpress_results::{Mode, Recipe};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problems::{Collector, Location, did_you_mean};
use super::table::{Entry, alternatives, entries, just, plain, property_names, unknown_key};
use crate::plan_code;

/// One row of the matrix.
#[derive(Debug, Clone)]
pub struct CodecRow {
    /// The configured codec.
    pub codec: AnyCodec,
    /// Whether each layer is compressed behind those before it, and to repair what they did wrong: see
    /// [`Walk`](seedpress_model::Walk).
    pub sequential: bool,
    /// Its name in the config, where it was given one.
    pub label: Option<String>,
    /// Where it was configured.
    pub at: Location,
}

impl CodecRow {
    /// The row's canonical name, for display: the codec's name, and whether the row is sequential.
    pub fn name(&self) -> String {
        let name = self.codec.name();
        if self.sequential { format!("{name} sequential") } else { name }
    }

    /// What the encoder is told.
    pub fn mode(&self) -> Mode {
        match (seedpress_plan::Options::of(&self.codec).is_some(), self.sequential) {
            (true, true) => Mode::SequentialPlan,
            (true, false) => Mode::Plan,
            (false, true) => Mode::Sequential,
            (false, false) if self.codec.capabilities().uses_calibration => Mode::Calibrated,
            (false, false) => Mode::Plain,
        }
    }

    /// What the row measures: all that tells it from other rows of a run, apart from how it is named.
    pub fn recipe(&self) -> Recipe {
        Recipe {
            codec_id: self.codec.id().to_owned(),
            stage: self.codec.stage().unwrap_or_default().to_owned(),
            options: self.options(),
            mode: self.mode(),
        }
    }

    /// The codec's options, and whether the row is sequential: what its TOML table holds.
    pub fn options(&self) -> serde_json::Value {
        let mut options = self.codec.options();
        if let (true, Some(fields)) = (self.sequential, options.as_object_mut()) {
            fields.insert("sequential".to_owned(), true.into());
        }
        options
    }
}

type Choice<'e, 'i> = (&'e Spanned<DeString<'i>>, Vec<&'e Spanned<DeValue<'i>>>);

/// Where a codec was named, the codec, and the options that vary, as its label names them.
type Built<'e, 'i> = (&'e Spanned<DeValue<'i>>, AnyCodec, Vec<String>);

/// Keys of a `[[codec]]` table that are not options of the codec.
const RESERVED: [&str; 4] = ["codec", "then", "name", "sequential"];

/// Rows of a run: more are a mistake in a list, and would take weeks.
const MOST_ROWS: usize = 4096;

/// Reads one `[[codec]]` table; lists expand to their cartesian product, the first key of the file varying slowest.
pub(super) fn read(
    table: &Spanned<DeTable<'_>>,
    registry: &Registry,
    problems: &mut Collector<'_>,
    rows: &mut Vec<CodecRow>,
) {
    let fields = table.get_ref();
    let Some(id_value) = fields.get("codec") else {
        problems.add(
            &table.span(),
            format!("[[codec]] needs `codec`: legal values are {}", codec_ids(registry).join(", ")),
        );
        return;
    };
    let label = fields.get("name").and_then(|value| match value.get_ref() {
        DeValue::String(text) if !text.trim().is_empty() => Some(text.to_string()),
        _ => {
            problems.add(&value.span(), "`name` in [[codec]] must be a string that is not empty");
            None
        }
    });
    let sequential = fields.get("sequential").map_or_else(|| vec![false], |value| read_flags(value, problems));
    let stages = fields.get("then").map_or_else(|| vec![None], |value| read_stages(value, registry, problems));

    let mut built = Vec::new();
    let others = stages.len() * sequential.len();
    for id in alternatives(id_value) {
        let Some(id_text) = id.get_ref().as_str() else {
            problems.add(&id.span(), "`codec` in [[codec]] must be a string");
            continue;
        };
        if let Err(error) = registry.codec(id_text) {
            let hint = did_you_mean(id_text, codec_ids(registry));
            problems.add(&id.span(), format!("`codec` in [[codec]]: {}{hint}", error.message));
            continue;
        }
        let values = |(key, value): &Entry<'_, '_>| match RESERVED.contains(&key.get_ref().as_ref()) {
            true => 1,
            false => alternatives(value).len(),
        };
        let count = entries(fields).iter().map(values).fold(others, usize::saturating_mul);
        if count.saturating_add(rows.len()).saturating_add(built.len()) > MOST_ROWS {
            let what =
                format!("the lists of this [[codec]] make {count} rows of `{id_text}`: a run has at most {MOST_ROWS}");
            problems.add(&id.span(), what);
            continue;
        }
        let staged = stages.iter().any(Option::is_some);
        for (codec, varied) in build(table, id_text, id, staged, registry, problems) {
            built.push((id, codec, varied));
        }
    }
    let many_ids = alternatives(id_value).len() > 1;
    add_rows(built, label.as_deref(), many_ids, &stages, &sequential, problems, rows);
}

/// Adds a row for every built codec, stage and mode; labels name what varies.
fn add_rows(
    built: Vec<Built<'_, '_>>,
    label: Option<&str>,
    many_ids: bool,
    stages: &[StageChoice],
    sequential: &[bool],
    problems: &mut Collector<'_>,
    rows: &mut Vec<CodecRow>,
) {
    for (id, codec, varied) in built {
        for (stage, &flag) in stages.iter().flat_map(|stage| sequential.iter().map(move |flag| (stage, flag))) {
            let mut words = Vec::new();
            if many_ids {
                words.push(codec.id().to_owned());
            }
            words.extend(varied.iter().cloned());
            if stages.len() > 1 {
                words.push(stage.as_ref().map_or("none", |stage| stage.id()).to_owned());
            }
            if sequential.len() > 1 {
                words.push(if flag { "sequential" } else { "once" }.to_owned());
            }
            let label = label
                .map(|label| if words.is_empty() { label.to_owned() } else { format!("{label} {}", words.join(" ")) });
            let codec = match stage {
                Some(stage) => codec.clone().then(stage.clone()),
                None => codec.clone(),
            };
            let row = CodecRow { codec, sequential: flag, label, at: problems.locate(id.span().start) };
            if let Some(twin) = rows.iter().find(|twin| twin.recipe() == row.recipe()) {
                let at = &twin.at;
                problems.add(&id.span(), format!("`{}` is already a row, from line {}", row.name(), at.line));
                continue;
            }
            rows.push(row);
        }
    }
}

/// A codec for every choice of options, each with the options that vary, as its label names them.
fn build(
    table: &Spanned<DeTable<'_>>,
    id_text: &str,
    id: &Spanned<DeValue<'_>>,
    staged: bool,
    registry: &Registry,
    problems: &mut Collector<'_>,
) -> Vec<(AnyCodec, Vec<String>)> {
    let mut built = Vec::new();
    let choices = read_options(table.get_ref(), id_text, registry, problems);
    for options in product(&choices) {
        let mut option_table = DeTable::new();
        let mut varied = Vec::new();
        for (&(key, ref values), &value) in choices.iter().zip(&options) {
            option_table.insert(key.clone(), value.clone());
            if values.len() > 1 {
                varied.push(format!("{}={}", key.get_ref(), brief(value.get_ref())));
            }
        }
        let whole = Spanned::new(table.span(), DeValue::Table(option_table));
        let checked = |codec: AnyCodec| plan_code::check(&codec, staged, registry).map(|()| codec);
        match registry.build(id_text, whole).and_then(checked) {
            Ok(codec) => built.push((codec, varied)),
            Err(error) => add(problems, &error, &id.span(), id_text),
        }
    }
    built
}

fn read_flags(value: &Spanned<DeValue<'_>>, problems: &mut Collector<'_>) -> Vec<bool> {
    let mut flags = Vec::new();
    for choice in alternatives(value) {
        match choice.get_ref() {
            DeValue::Boolean(flag) => flags.push(*flag),
            _ => problems.add(&choice.span(), "`sequential` in [[codec]] must be true or false"),
        }
    }
    flags
}

type StageChoice = Option<std::sync::Arc<dyn seedpress_codec::Stage>>;

fn read_stages(value: &Spanned<DeValue<'_>>, registry: &Registry, problems: &mut Collector<'_>) -> Vec<StageChoice> {
    let mut stages = Vec::new();
    for choice in alternatives(value) {
        match choice.get_ref().as_str() {
            Some("none") => stages.push(None),
            Some(id) => match registry.stage(id) {
                Ok(stage) => stages.push(Some(stage)),
                Err(error) => {
                    let hint = did_you_mean(id, registry.stages().map(|stage| stage.id()));
                    problems.add(&choice.span(), format!("`then` in [[codec]]: {}, none{hint}", error.message));
                }
            },
            None => problems.add(&choice.span(), "`then` in [[codec]] must be a string"),
        }
    }
    stages
}

/// The options beside `codec`, each with the values it takes; wrong ones become problems and are left out.
fn read_options<'e, 'i>(
    table: &'e DeTable<'i>,
    id: &str,
    registry: &Registry,
    problems: &mut Collector<'_>,
) -> Vec<Choice<'e, 'i>> {
    let schema = registry.codec(id).map(|entry| entry.schema()).unwrap_or_default();
    let legal = property_names(&schema);
    let mut choices = Vec::new();
    for (key, value) in entries(table) {
        let name = key.get_ref().as_ref();
        if RESERVED.contains(&name) {
            continue;
        }
        if !legal.contains(name) {
            let keys = RESERVED.into_iter().chain(legal.iter().map(String::as_str));
            problems.add(&key.span(), unknown_key(name, &format!("[[codec]] `{id}`"), keys));
            continue;
        }
        let values = alternatives(value);
        if values.is_empty() {
            problems.add(&value.span(), format!("`{name}` of codec `{id}`: an empty list makes no row"));
            continue;
        }
        let mut sound = Vec::new();
        for choice in values {
            match registry.build(id, just(key, choice)) {
                Ok(_) => sound.push(choice),
                Err(error) => {
                    let error = ConfigError {
                        message: with_range(&error.message, &schema["properties"][name]),
                        span: error.span,
                    };
                    add(problems, &error, &choice.span(), &format!("{id}` option `{name}"));
                }
            }
        }
        choices.push((key, sound));
    }
    choices
}

/// Adds the legal range from the schema where the parser's message does not give one.
fn with_range(message: &str, schema: &serde_json::Value) -> String {
    match (&schema["minimum"], &schema["maximum"]) {
        (serde_json::Value::Number(low), serde_json::Value::Number(high)) if !message.contains("legal values") => {
            format!("{message}: legal values are {low} to {high}")
        }
        _ => message.to_owned(),
    }
}

fn add(problems: &mut Collector<'_>, error: &ConfigError, fallback: &std::ops::Range<usize>, what: &str) {
    let span = error.span.as_ref().unwrap_or(fallback);
    problems.add(span, format!("codec `{what}`: {}", plain(&error.message)));
}

/// Every way to take one value of each choice, the last varying fastest.
fn product<'e, 'i>(choices: &[Choice<'e, 'i>]) -> Vec<Vec<&'e Spanned<DeValue<'i>>>> {
    choices.iter().fold(vec![Vec::new()], |rows, (_, values)| {
        rows.iter()
            .flat_map(|row| values.iter().map(move |&value| row.iter().copied().chain([value]).collect()))
            .collect()
    })
}

/// A value as a label shows it.
fn brief(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        _ => "..".to_owned(),
    }
}

fn codec_ids(registry: &Registry) -> Vec<&'static str> {
    registry.codecs().map(|entry| entry.id).collect()
}
