//! Exports, each run in its own engine: `cargo xtask interop [--model FOLDER] [ENVIRONMENT...]`.
//!
//! Python environments are made once under `target/interop`, with packages from the registry by their names; nothing is compiled. Each
//! export is loaded by its engine, and the engine's logits are compared with those of our own forward pass, in 32-bit floats, over the
//! weights that the export decodes to. What cannot be installed or loaded is a row that says so. A run of everything puts its table
//! into `docs/interop.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An engine: its name in `logits.py`, and the packages it takes.
struct Engine {
    name: &'static str,
    environment: &'static str,
    packages: &'static [&'static str],
    /// Packages that are installed without what they ask for: old versions that are not needed.
    alone: &'static [&'static str],
    /// Root mean square of the differences of logits, in standard deviations of ours, that counts as the same.
    tolerance: f64,
}

const TORCH: &[&str] = &["torch", "transformers", "accelerate", "compressed-tensors", "numpy"];
const TRANSFORMERS: Engine =
    Engine { name: "transformers", environment: "transformers", packages: TORCH, alone: &[], tolerance: 1e-4 };
const DEQUANTIZED: Engine = Engine { name: "transformers-dequantized", ..TRANSFORMERS };
const PACKERS: &[&str] = &["auto-gptq", "autoawq"];
const AUTO_GPTQ: Engine = Engine { name: "auto-gptq", environment: "gptq-awq", alone: PACKERS, ..TRANSFORMERS };
const AUTO_AWQ: Engine = Engine { name: "auto-awq", ..AUTO_GPTQ };
const LLAMA_CPP: Engine = Engine {
    name: "llama.cpp",
    environment: "llama-cpp",
    // The second gives declarations for the library of the first: both are of build 11548 or the next.
    packages: &["numpy", "cffi", "xllamacpp==2026.10.11549"],
    alone: &["llama-cpp-py-sync==0.11548"],
    tolerance: 1e-4,
};
/// Activations are rounded to 8 bits before they meet quantised weights.
const LLAMA_CPP_BLOCKS: Engine = Engine { tolerance: 5e-2, ..LLAMA_CPP };
/// Its GELU is a table of binary16.
const LLAMA_CPP_GELU: Engine = Engine { tolerance: 1e-2, ..LLAMA_CPP };
const MLX: Engine =
    Engine { name: "mlx", environment: "mlx", packages: &["numpy", "mlx[cpu]", "mlx-lm"], alone: &[], tolerance: 1e-3 };

/// One row of the table.
struct Case {
    engine: &'static Engine,
    model: Model,
    /// Arguments of `seedpress export` behind the model.
    export: &'static str,
    /// Tokens that are looked at.
    tokens: usize,
}

#[derive(Clone, Copy)]
enum Model {
    /// A tiny checkpoint of `crates/transformer/tests/families`.
    Family(&'static str),
    /// A small model of `models.py`, whose rows K-quants fit.
    Small(&'static str),
    /// The folder that was given.
    Real,
}

/// What every sequence begins with; all tokens are below the smallest vocabulary.
const TOKENS: [u32; 16] = [1, 5, 17, 30, 42, 51, 9, 9, 10, 25, 7, 3, 40, 21, 8, 13];
/// Below every window that llama.cpp does not apply.
const SHORT: usize = 6;
/// Tokens by which the real model continues greedily.
const CONTINUED: usize = 32;

const fn family(engine: &'static Engine, name: &'static str, export: &'static str) -> Case {
    Case { engine, model: Model::Family(name), export, tokens: TOKENS.len() }
}

/// A family with a window that llama.cpp does not apply: shorter sequences are the same.
const fn windowed(engine: &'static Engine, name: &'static str) -> Case {
    Case { engine, model: Model::Family(name), export: F32, tokens: SHORT }
}

const fn small(engine: &'static Engine, name: &'static str, export: &'static str) -> Case {
    Case { engine, model: Model::Small(name), export, tokens: TOKENS.len() }
}

const fn real(engine: &'static Engine, export: &'static str) -> Case {
    Case { engine, model: Model::Real, export, tokens: TOKENS.len() }
}

const F32: &str = "--to gguf --type f32";
const F16: &str = "--to gguf --type f16";
const Q8_0: &str = "--to gguf --type q8_0";
const Q4_0: &str = "--to gguf --type q4_0";
const Q4_K: &str = "--to gguf --type q4_k";

const CASES: &[Case] = &[
    family(&LLAMA_CPP, "llama", F32),
    family(&LLAMA_CPP, "llama-linear", F32),
    family(&LLAMA_CPP, "llama-llama3", F32),
    family(&LLAMA_CPP, "llama-yarn", F32),
    family(&LLAMA_CPP, "smollm2", F32),
    windowed(&LLAMA_CPP, "mistral"),
    family(&LLAMA_CPP, "mixtral", F32),
    family(&LLAMA_CPP, "qwen2", F32),
    windowed(&LLAMA_CPP, "qwen2-window"),
    family(&LLAMA_CPP, "qwen2-moe", F32),
    family(&LLAMA_CPP, "qwen3", F32),
    small(&LLAMA_CPP, "qwen3_moe", F32),
    family(&LLAMA_CPP_GELU, "gemma", F32),
    small(&LLAMA_CPP_GELU, "gemma2", F32),
    small(&LLAMA_CPP_GELU, "gemma3", F32),
    windowed(&LLAMA_CPP, "phi3"),
    family(&LLAMA_CPP, "olmo2", F32),
    windowed(&LLAMA_CPP_GELU, "starcoder2"),
    family(&LLAMA_CPP_GELU, "gpt2", F32),
    family(&LLAMA_CPP_BLOCKS, "llama", Q8_0),
    family(&LLAMA_CPP_BLOCKS, "mixtral", Q4_0),
    family(&LLAMA_CPP_BLOCKS, "qwen2-moe", Q8_0),
    small(&LLAMA_CPP_BLOCKS, "llama", Q8_0),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q6_k"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q5_k"),
    small(&LLAMA_CPP_BLOCKS, "llama", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q3_k"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q2_k"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q5_1"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q5_0"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q4_1"),
    small(&LLAMA_CPP_BLOCKS, "llama", Q4_0),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type iq4_nl"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type tq2_0"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type tq1_0"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --size 1MB"),
    small(&LLAMA_CPP_BLOCKS, "qwen2", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "qwen3", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "qwen3_moe", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "gemma2", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "phi3", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "gpt2", Q4_K),
    real(&LLAMA_CPP, F32),
    real(&LLAMA_CPP_BLOCKS, F16),
    real(&LLAMA_CPP_BLOCKS, Q8_0),
    real(&LLAMA_CPP_BLOCKS, Q4_K),
    real(&LLAMA_CPP_BLOCKS, "--to gguf --size 90MB"),
    family(&TRANSFORMERS, "llama", "--to safetensors --dtype f32 --shard-size 10kB"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --bits 2 --group 64"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --bits 3 --group 64"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --bits 8 --group 128"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --size 1800kB"),
    small(&DEQUANTIZED, "llama", "--to compressed-tensors --bits 4 --group 64 --asymmetric"),
    small(&TRANSFORMERS, "qwen2", "--to compressed-tensors --bits 6 --group 64"),
    small(&TRANSFORMERS, "qwen3", "--to compressed-tensors --bits 5 --group 64"),
    small(&TRANSFORMERS, "gemma2", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "phi3", "--to compressed-tensors --bits 4 --group 64"),
    real(&TRANSFORMERS, "--to compressed-tensors --bits 4 --group 64"),
    small(&AUTO_GPTQ, "llama", "--to gptq --bits 2 --group 64"),
    small(&AUTO_GPTQ, "llama", "--to gptq --bits 3 --group 64"),
    small(&AUTO_GPTQ, "llama", "--to gptq --bits 4 --group 64"),
    small(&AUTO_GPTQ, "llama", "--to gptq --bits 8 --group 64"),
    small(&AUTO_GPTQ, "qwen2", "--to gptq --bits 4 --group 64"),
    small(&AUTO_AWQ, "llama", "--to awq --group 64"),
    small(&AUTO_AWQ, "qwen3", "--to awq --group 64"),
    small(&MLX, "llama", "--to mlx --bits 2 --group 64"),
    small(&MLX, "llama", "--to mlx --bits 3 --group 64"),
    small(&MLX, "llama", "--to mlx --bits 4 --group 64"),
    small(&MLX, "llama", "--to mlx --bits 6 --group 128"),
    small(&MLX, "llama", "--to mlx --size 1900kB"),
    small(&MLX, "qwen3", "--to mlx --bits 4 --group 64"),
    real(&MLX, "--to mlx --bits 4 --group 64"),
];

/// Between these lines a page carries its table.
const MARKERS: (&str, &str) = ("<!-- interop -->", "<!-- /interop -->");

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
pub fn run(root: &Path, cargo: impl Fn() -> Command, arguments: &[String]) -> Result<u8, String> {
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
        let job = prepare(case, &places, &folder, rows.len());
        rows.push(Row { case, name, job });
    }
    let found = run_engines(&rows, &places)?;
    let mut table = String::from(
        "| engine | model | export | difference | tolerance | largest | same token | versions |\n| --- | --- | --- | ---: | ---: | ---: | ---: | --- |\n",
    );
    let mut failed = 0;
    for (row, found) in rows.iter().zip(found) {
        let Case { engine, export, .. } = row.case;
        let told = match found {
            Ok(Found { difference, largest, same, versions }) => {
                let fine = difference <= engine.tolerance;
                failed += u8::from(!fine);
                let mark = if fine { "" } else { " **beyond it**" };
                format!("{difference:.1e}{mark} | {:.0e} | {largest:.1e} | {same} | {versions}", engine.tolerance)
            }
            Err(why) => {
                failed += 1;
                let last = why.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                format!("- | - | - | - | **failed**: {}", last.chars().take(160).collect::<String>().replace('|', "/"))
            }
        };
        let _ = writeln!(table, "| {} | {} | `{export}` | {told} |", engine.name, row.name);
    }
    println!("{table}");
    let _ = std::fs::remove_dir_all(places.work.join("cases"));
    if only.is_empty() && places.real.is_some() {
        keep(&root.join("docs/interop.md"), &table)?;
    }
    Ok(u8::from(failed > 0))
}

/// Puts a table between the markers of a page.
pub fn keep(path: &Path, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parts = text.split_once(MARKERS.0).and_then(|(before, rest)| Some((before, rest.split_once(MARKERS.1)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{} has no {}", path.display(), MARKERS.0))?;
    std::fs::write(path, format!("{before}{}\n{table}{}{after}", MARKERS.0, MARKERS.1))
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
}

/// An export that waits for its engine.
struct Job {
    exported: PathBuf,
    /// Our logits.
    expected: PathBuf,
    /// Where the engine's go.
    found: PathBuf,
    /// As text, with spaces between.
    tokens: String,
}

/// Exports, and computes our own logits of what the export decodes to.
fn prepare(case: &Case, places: &Places, model: &Path, number: usize) -> Result<Job, String> {
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
    std::fs::remove_dir_all(&decoded).map_err(|error| error.to_string())?;
    Ok(Job { exported, expected, found, tokens })
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

/// The Python of an engine's environment, made where it is missing.
fn environment(work: &Path, engine: &Engine) -> Result<PathBuf, String> {
    let folder = work.join(engine.environment);
    let python = folder.join("bin/python");
    let done = folder.join("installed");
    if !done.exists() {
        eprintln!("making the environment {}: {}", engine.environment, engine.packages.join(", "));
        checked(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        // Wheels only: nothing is built from source.
        let install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:"];
        checked(Command::new(&python).args(install).args(engine.packages))?;
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
