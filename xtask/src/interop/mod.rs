//! Exports, each run in its own engine: `cargo xtask interop [--model FOLDER] [ENVIRONMENT...]`.
//!
//! Python environments are made once under `target/interop`, with packages from the registry by their names; nothing is compiled. Each
//! export is loaded by its engine, and the engine's logits are compared with those of our own forward pass, in 32-bit floats, over the
//! weights that the export decodes to. An engine that rounds activations gets these weights once more as floats: there it has to agree. What cannot be installed or loaded is a row that says so. A run of everything puts its table
//! into `docs/interop.md`.

mod cases;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cases::{CASES, CONTINUED, Case, Engine, Model, TOKENS, TRANSFORMERS};

/// Between these lines a page carries its table.
pub(crate) const MARKERS: (&str, &str) = ("<!-- interop -->", "<!-- /interop -->");

/// Where things are.
struct Places {
    root: PathBuf,
    work: PathBuf,
    scripts: PathBuf,
    real: Option<PathBuf>,
}

impl Places {
    /// The folder of a model and what the table calls it.
    fn model(&self, model: Model) -> Result<(PathBuf, String), String> {
        match model {
            Model::Family(name) => {
                Ok((self.root.join("crates/transformer/tests/families").join(name), name.to_owned()))
            }
            Model::Small(name) => Ok((self.work.join("models").join(name), format!("{name}, hidden 256"))),
            Model::Real => {
                let folder = self.real.clone().ok_or("no --model was given")?;
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Ok((folder, name))
            }
        }
    }
}

/// Runs the cases of the environments that are named, or all; prints the table, and a table of all goes into the documentation.
pub(crate) fn run(root: &Path, cargo: impl Fn() -> Command, arguments: &[String]) -> Result<u8, String> {
    let mut only: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut real = None;
    if let Some(at) = only.iter().position(|name| *name == "--model") {
        real = Some(PathBuf::from(only.get(at + 1).ok_or("--model takes a folder")?));
        only.drain(at..at + 2);
    }
    let (work, scripts) = (root.join("target/interop"), root.join("xtask/interop"));
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let places = Places { root: root.to_owned(), work, scripts, real };
    let python = environment(&places.work, &TRANSFORMERS)?;
    checked(Command::new(python).arg(places.scripts.join("models.py")).arg(places.work.join("models")))?;
    // Ordinary builds: they are optimised, and nothing here is timed.
    let build = ["build", "--quiet", "--workspace", "--bin", "seedpress", "--example", "logits"];
    checked(cargo().args(build).current_dir(root))?;
    let mut rows = Vec::new();
    for case in CASES {
        let skip = matches!(case.model, Model::Real) && places.real.is_none();
        if skip || !(only.is_empty() || only.contains(&case.engine.environment)) {
            continue;
        }
        let (folder, name) = places.model(case.model)?;
        eprintln!("{}: {name} {}", case.engine.name, case.export);
        match prepare(case, &places, &folder, rows.len()) {
            Ok((job, exact)) => {
                rows.push(Row { case, name: name.clone(), job: Ok(job), exact: false });
                rows.extend(exact.map(|job| Row { case, name, job: Ok(job), exact: true }));
            }
            Err(why) => rows.push(Row { case, name, job: Err(why), exact: false }),
        }
    }
    let found = run_engines(&rows, &places)?;
    let (table, failed) = table(&rows, found);
    println!("{table}");
    let _ = std::fs::remove_dir_all(places.work.join("cases"));
    if only.is_empty() && places.real.is_some() {
        keep(&root.join("docs/interop.md"), MARKERS, &table)?;
    }
    Ok(u8::from(failed > 0))
}

/// A line for every export, and how many are beyond their tolerance or failed.
fn table(rows: &[Row], found: Vec<Result<Found, String>>) -> (String, u8) {
    let mut table = String::from(
        "| engine | model | export | difference | as F32 | tolerance | largest | same token | versions |\n| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n",
    );
    let mut failed = 0;
    let mut rows = rows.iter().zip(found).peekable();
    while let Some((row, found)) = rows.next() {
        let Case { engine, export, .. } = row.case;
        let exact = rows.next_if(|(row, _)| row.exact).map(|(_, found)| found);
        let held = engine.exact.unwrap_or(engine);
        let told = match (found, exact.transpose()) {
            (Ok(found), Ok(exact)) => {
                let fine = exact.as_ref().unwrap_or(&found).difference <= held.tolerance;
                failed += u8::from(!fine);
                let mark = if fine { "" } else { " **beyond it**" };
                let exact = exact.map_or_else(|| "-".to_owned(), |exact| format!("{:.1e}", exact.difference));
                let Found { difference, largest, same, versions } = found;
                format!(
                    "{difference:.1e} | {exact} | {:.0e}{mark} | {largest:.1e} | {same} | {versions}",
                    held.tolerance
                )
            }
            (Err(why), _) | (_, Err(why)) => {
                failed += 1;
                let last = why.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                let last: String = last.chars().take(160).collect();
                format!("- | - | - | - | - | **failed**: {}", last.replace('|', "/"))
            }
        };
        let _ = writeln!(table, "| {} | {} | `{export}` | {told} |", engine.name, row.name);
    }
    (table, failed)
}

/// Puts a table between the markers of a page.
pub(crate) fn keep(path: &Path, markers: (&str, &str), table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parts = text.split_once(markers.0).and_then(|(before, rest)| Some((before, rest.split_once(markers.1)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{} has no {}", path.display(), markers.0))?;
    std::fs::write(path, format!("{before}{}\n{table}{}{after}", markers.0, markers.1))
        .map_err(|error| error.to_string())
}

struct Found {
    /// Root mean square, in standard deviations of our logits.
    difference: f64,
    /// The largest, in the same unit.
    largest: f64,
    /// Positions with the same likeliest token, of how many.
    same: String,
    versions: String,
}

/// A row of the table in the making.
struct Row {
    case: &'static Case,
    name: String,
    job: Result<Job, String>,
    /// Whether it is the row before with the same weights in 32-bit floats.
    exact: bool,
}

/// An export that waits for its engine.
#[derive(Clone)]
struct Job {
    exported: PathBuf,
    /// Our logits.
    expected: PathBuf,
    /// Where the engine's go.
    found: PathBuf,
    /// As text, with spaces between.
    tokens: String,
}

/// Exports, and computes our own logits of what the export decodes to; the second job is the latter as floats, where the engine needs it.
fn prepare(case: &Case, places: &Places, model: &Path, number: usize) -> Result<(Job, Option<Job>), String> {
    let built = places.root.join("target/debug");
    let folder = places.work.join("cases").join(number.to_string());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let exported = folder.join(if case.export.starts_with("--to gguf") { "model.gguf" } else { "model" });
    let seedpress = || Command::new(built.join("seedpress"));
    checked(seedpress().arg("export").arg(model).args(case.export.split(' ')).arg("-o").arg(&exported))?;
    // What the export decodes to, as plain weights.
    let decoded = folder.join("decoded");
    let config = ["--to", "safetensors", "--dtype", "f32", "--config"];
    checked(seedpress().arg("export").arg(&exported).args(config).arg(model).arg("-o").arg(&decoded))?;
    let (expected, found) = (folder.join("expected"), folder.join("found"));
    let count = if matches!(case.model, Model::Real) { CONTINUED } else { 0 };
    let mut ours = Command::new(built.join("examples/logits"));
    ours.arg(&decoded).arg(&expected).arg(count.to_string());
    let tokens = checked(ours.args(TOKENS[..case.tokens].iter().map(u32::to_string)))?;
    let tokens = String::from_utf8_lossy(&tokens.stdout).trim().to_owned();
    let job = Job { exported, expected, found, tokens };
    let mut exact = None;
    if case.engine.exact.is_some() {
        let exported = folder.join("exact.gguf");
        let floats = ["--to", "gguf", "--type", "f32", "-o"];
        checked(seedpress().arg("export").arg(&decoded).args(floats).arg(&exported))?;
        exact = Some(Job { exported, found: folder.join("exact"), ..job.clone() });
    }
    std::fs::remove_dir_all(&decoded).map_err(|error| error.to_string())?;
    Ok((job, exact))
}

/// Runs every engine once for all of its exports.
fn run_engines(rows: &[Row], places: &Places) -> Result<Vec<Result<Found, String>>, String> {
    let mut found: Vec<Result<Found, String>> =
        rows.iter().map(|row| Err(row.job.as_ref().err().cloned().unwrap_or_default())).collect();
    let mut environments: Vec<&Engine> = Vec::new();
    for row in rows {
        if !environments.iter().any(|engine| engine.environment == row.case.engine.environment) {
            environments.push(row.case.engine);
        }
    }
    for engine in environments {
        let its = |at: &usize| rows[*at].case.engine.environment == engine.environment && rows[*at].job.is_ok();
        let numbers: Vec<usize> = (0..rows.len()).filter(its).collect();
        let jobs: Vec<(&Row, &Job)> =
            numbers.iter().filter_map(|&at| Some((&rows[at], rows[at].job.as_ref().ok()?))).collect();
        let line = |(row, job): &(&Row, &Job)| {
            let (exported, found) = (job.exported.display(), job.found.display());
            format!("{}\t{exported}\t{found}\t{}\n", row.case.engine.name, job.tokens)
        };
        let list = places.work.join("jobs");
        std::fs::write(&list, jobs.iter().map(line).collect::<String>()).map_err(|error| error.to_string())?;
        let python = environment(&places.work, engine)?;
        let output = Command::new(python).arg(places.scripts.join("logits.py")).arg(&list).output();
        let output = output.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut lines = said.lines().filter(|line| line.starts_with("ok ") || line.starts_with("failed "));
        for (number, (_, job)) in numbers.iter().zip(&jobs) {
            found[*number] = match lines.next().map(|line| line.split_once(' ').unwrap_or_default()) {
                Some(("ok", versions)) => judge(job, versions),
                Some((_, why)) => Err(why.to_owned()),
                None => Err(format!("the engine ended: {errors}")),
            };
        }
    }
    Ok(found)
}

fn judge(job: &Job, versions: &str) -> Result<Found, String> {
    let tokens = job.tokens.split(' ').count();
    let (difference, largest, same) = difference(&floats(&job.expected)?, &floats(&job.found)?, tokens)?;
    Ok(Found { difference, largest, same, versions: versions.to_owned() })
}

fn floats(path: &Path) -> Result<Vec<f32>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The mean and the largest difference in standard deviations of `ours`, and at how many of the tokens the likeliest next one is the same.
fn difference(ours: &[f32], theirs: &[f32], tokens: usize) -> Result<(f64, f64, String), String> {
    if ours.len() != theirs.len() || ours.is_empty() {
        return Err(format!("{} scores, ours are {}", theirs.len(), ours.len()));
    }
    let mean = ours.iter().map(|&score| f64::from(score)).sum::<f64>() / ours.len() as f64;
    let variance = ours.iter().map(|&score| (f64::from(score) - mean).powi(2)).sum::<f64>() / ours.len() as f64;
    let largest = ours.iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    let squares: f64 = ours.iter().zip(theirs).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let mean_square = squares / ours.len() as f64;
    let width = ours.len() / tokens;
    let top = |scores: &[f32]| (1..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best });
    let same = ours.chunks(width).zip(theirs.chunks(width)).filter(|(a, b)| top(a) == top(b)).count();
    Ok(((mean_square / variance).sqrt(), largest / variance.sqrt(), format!("{same} of {tokens}")))
}

/// The Python of the environment with this name, made where it is missing.
pub(crate) fn environment_of(name: &str, root: &Path) -> Result<PathBuf, String> {
    let work = root.join("target/interop");
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let case =
        CASES.iter().find(|case| case.engine.environment == name).ok_or_else(|| format!("no engine has `{name}`"))?;
    environment(&work, case.engine)
}

/// The Python of an engine's environment, made where it is missing.
fn environment(work: &Path, engine: &Engine) -> Result<PathBuf, String> {
    let folder = work.join(engine.environment);
    let python = folder.join("bin/python");
    let done = folder.join("installed");
    if !done.exists() {
        eprintln!("making the environment {}: {}", engine.environment, engine.packages.join(", "));
        checked(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        // Wheels only: nothing is built from source but what has no wheel.
        let install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:"];
        let sources = engine.sources.iter().flat_map(|package| ["--no-binary", package]);
        checked(Command::new(&python).args(install).args(sources).args(engine.packages))?;
        if !engine.alone.is_empty() {
            checked(Command::new(&python).args(install).arg("--no-deps").args(engine.alone))?;
        }
        std::fs::write(done, engine.packages.join("\n")).map_err(|error| error.to_string())?;
    }
    Ok(python)
}

fn checked(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
