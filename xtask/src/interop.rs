//! Exports, each run in its own engine: `cargo xtask interop`.
//!
//! Python environments are made once under `target/interop`, with packages from the registry by their names. Small models of every
//! family are exported, loaded by the engine, and its logits compared with those transformers computes, in 32-bit floats, from the
//! weights that the export decodes to. What cannot be installed or loaded is a row that says so.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An engine: its name in `logits.py`, and the packages it takes.
struct Engine {
    name: &'static str,
    environment: &'static str,
    packages: &'static [&'static str],
    /// Largest difference of logits, in standard deviations of the reference, that counts as the same.
    tolerance: f64,
}

const TRANSFORMERS: Engine = Engine {
    name: "transformers",
    environment: "transformers",
    packages: &["torch", "transformers", "accelerate", "compressed-tensors", "numpy"],
    tolerance: 1e-4,
};
const GPTQMODEL: Engine = Engine {
    name: "transformers",
    environment: "gptqmodel",
    packages: &["torch", "transformers", "accelerate", "optimum", "numpy", "gptqmodel"],
    // Its kernels compute in bfloat16.
    tolerance: 5e-2,
};
const LLAMA_CPP: Engine = Engine {
    name: "llama.cpp",
    environment: "llama-cpp",
    packages: &["numpy", "llama-cpp-python"],
    // Activations are rounded to 8 bits before they meet quantised weights, and keys and values to binary16.
    tolerance: 1e-1,
};
const MLX: Engine =
    Engine { name: "mlx", environment: "mlx", packages: &["numpy", "mlx[cpu]", "mlx-lm"], tolerance: 1e-3 };

/// One row of the table.
struct Case {
    engine: &'static Engine,
    model: &'static str,
    /// Arguments of `seedpress export` behind the model.
    export: &'static str,
}

const CASES: &[Case] = &[
    Case { engine: &TRANSFORMERS, model: "llama", export: "--to safetensors --dtype f32 --shard-size 1MB" },
    Case { engine: &TRANSFORMERS, model: "llama", export: "--to compressed-tensors --bits 4 --group 64" },
    Case { engine: &TRANSFORMERS, model: "llama", export: "--to compressed-tensors --bits 3 --group 64" },
    Case { engine: &TRANSFORMERS, model: "llama", export: "--to compressed-tensors --bits 8 --group 128" },
    Case { engine: &TRANSFORMERS, model: "llama", export: "--to compressed-tensors --bits 4 --group 64 --asymmetric" },
    Case { engine: &TRANSFORMERS, model: "qwen2", export: "--to compressed-tensors --bits 4 --group 64" },
    Case { engine: &TRANSFORMERS, model: "qwen3", export: "--to compressed-tensors --bits 5 --group 64" },
    Case { engine: &TRANSFORMERS, model: "gemma2", export: "--to compressed-tensors --bits 4 --group 64" },
    Case { engine: &TRANSFORMERS, model: "phi3", export: "--to compressed-tensors --bits 4 --group 64" },
    Case { engine: &LLAMA_CPP, model: "llama", export: "--to gguf --type f32" },
    Case { engine: &LLAMA_CPP, model: "llama", export: "--to gguf --type q8_0" },
    Case { engine: &LLAMA_CPP, model: "llama", export: "--to gguf --type q6_k" },
    Case { engine: &LLAMA_CPP, model: "llama", export: "--to gguf --type q5_k" },
    Case { engine: &LLAMA_CPP, model: "llama", export: "--to gguf --type q4_k" },
    Case { engine: &LLAMA_CPP, model: "llama", export: "--to gguf --type q4_0" },
    Case { engine: &LLAMA_CPP, model: "llama", export: "--to gguf --type iq4_nl" },
    Case { engine: &LLAMA_CPP, model: "qwen2", export: "--to gguf --type f32" },
    Case { engine: &LLAMA_CPP, model: "qwen2", export: "--to gguf --type q4_k" },
    Case { engine: &LLAMA_CPP, model: "qwen3", export: "--to gguf --type f32" },
    Case { engine: &LLAMA_CPP, model: "qwen3", export: "--to gguf --type q4_k" },
    Case { engine: &LLAMA_CPP, model: "gemma", export: "--to gguf --type f32" },
    Case { engine: &LLAMA_CPP, model: "gemma2", export: "--to gguf --type f32" },
    Case { engine: &LLAMA_CPP, model: "phi3", export: "--to gguf --type f32" },
    Case { engine: &LLAMA_CPP, model: "gpt2", export: "--to gguf --type f32" },
    Case { engine: &MLX, model: "llama", export: "--to mlx --bits 2 --group 64" },
    Case { engine: &MLX, model: "llama", export: "--to mlx --bits 3 --group 64" },
    Case { engine: &MLX, model: "llama", export: "--to mlx --bits 4 --group 64" },
    Case { engine: &MLX, model: "llama", export: "--to mlx --bits 6 --group 128" },
    Case { engine: &MLX, model: "qwen3", export: "--to mlx --bits 4 --group 64" },
    Case { engine: &GPTQMODEL, model: "llama", export: "--to gptq --bits 4 --group 64" },
    Case { engine: &GPTQMODEL, model: "llama", export: "--to gptq-v2 --bits 4 --group 64 --asymmetric" },
    Case { engine: &GPTQMODEL, model: "llama", export: "--to gptq --bits 8 --group 64" },
    Case { engine: &GPTQMODEL, model: "llama", export: "--to awq --group 64" },
];

/// Runs every case whose engine's environment has a name that is among `only`, or all; writes the table.
pub fn run(root: &Path, seedpress: impl Fn() -> Command, only: &[String]) -> Result<u8, String> {
    let work = root.join("target/interop");
    let scripts = root.join("xtask/interop");
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let reference = environment(&work, &TRANSFORMERS)?;
    let models = work.join("models");
    checked(Command::new(&reference).arg(scripts.join("models.py")).arg(&models))?;
    let mut table = String::from(
        "| engine | model | export | largest difference | same token | versions |\n| --- | --- | --- | ---: | ---: | --- |\n",
    );
    let mut failed = 0;
    for (number, case) in CASES.iter().enumerate() {
        if !only.is_empty() && !only.iter().any(|name| name == case.engine.environment) {
            continue;
        }
        eprintln!("{}: {} {}", case.engine.environment, case.model, case.export);
        let folder = work.join(format!("case-{number}"));
        let row = match compare(case, &work, &scripts, &models, &reference, &folder, &seedpress) {
            Ok((difference, same, versions)) => {
                let fine = difference <= case.engine.tolerance;
                failed += u8::from(!fine);
                let mark = if fine { "" } else { " **beyond the tolerance**" };
                format!("{difference:.1e}{mark} | {same} | {versions}")
            }
            Err(why) => {
                failed += 1;
                let last = why.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                format!("- | - | **failed**: {}", last.chars().take(160).collect::<String>().replace('|', "/"))
            }
        };
        eprintln!("  {row}");
        let _ = writeln!(table, "| {} | {} | `{}` | {row} |", case.engine.environment, case.model, case.export);
        let _ = std::fs::remove_dir_all(&folder);
    }
    println!("{table}");
    Ok(u8::from(failed > 0))
}

fn compare(
    case: &Case,
    work: &Path,
    scripts: &Path,
    models: &Path,
    reference: &Path,
    folder: &Path,
    seedpress: &impl Fn() -> Command,
) -> Result<(f64, String, String), String> {
    let engine = environment(work, case.engine)?;
    let model = models.join(case.model);
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let to_file = case.export.starts_with("--to gguf");
    let exported = folder.join(if to_file { "model.gguf" } else { "model" });
    checked(seedpress().arg("export").arg(&model).args(case.export.split(' ')).arg("-o").arg(&exported))?;
    // What the export decodes to, as plain weights.
    let decoded = folder.join("decoded");
    let config = ["--to", "safetensors", "--dtype", "f32", "--config"];
    checked(seedpress().arg("export").arg(&exported).args(config).arg(&model).arg("-o").arg(&decoded))?;
    let (expected, found) = (folder.join("expected.npy"), folder.join("found.npy"));
    let logits = scripts.join("logits.py");
    checked(Command::new(reference).arg(&logits).arg("transformers").arg(&decoded).arg(&expected))?;
    let output = checked(Command::new(&engine).arg(&logits).arg(case.engine.name).arg(&exported).arg(&found))?;
    let versions = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    let output = checked(Command::new(reference).arg(scripts.join("compare.py")).arg(&expected).arg(&found))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (difference, same) = text.split_once(' ').ok_or("no difference")?;
    let difference = difference.parse().map_err(|_| format!("`{text}` is no difference"))?;
    Ok((difference, same.to_owned(), versions))
}

/// The Python of an engine's environment, made where it is missing.
fn environment(work: &Path, engine: &Engine) -> Result<PathBuf, String> {
    let folder = work.join(engine.environment);
    let python = folder.join("bin/python");
    let done = folder.join("installed");
    if !done.exists() {
        eprintln!("making the environment {}: {}", engine.environment, engine.packages.join(", "));
        checked(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        checked(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(engine.packages))?;
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
