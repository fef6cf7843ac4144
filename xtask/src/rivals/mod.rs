//! `rivals`: other people's quantisers on the same tensors and models, in a throw-away Python environment.

mod llama;

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the script needs; nncodec and hqq bring torch.
const PACKAGES: [&str; 7] = ["numpy<2", "safetensors", "gguf", "scikit-learn", "zipnn", "nncodec", "termcolor"];
/// Installed without what they ask for: their quantisers need torch alone.
const ALONE: [&str; 3] = ["hqq", "xllamacpp", "auto_gptq"];

/// Measures `configs/rivals.toml` with our codecs, lets every rival loose on the same models, and draws `reports/rivals`.
///
/// With `llama.cpp --model FOLDER` it is llama.cpp's turn, on a real model.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<u8, String> {
    match arguments {
        [engine, rest @ ..] if engine == "llama.cpp" => return llama::run(root, &llama::model_of(rest)?),
        [] | [_] => {}
        _ => return Err("`rivals` takes the folder of its environment, or llama.cpp --model FOLDER".to_owned()),
    }
    let work = root.join("target/rivals");
    let (config, out) = (root.join("configs/rivals.toml"), root.join("reports/rivals"));
    let python = environment(&arguments.first().map_or_else(|| work.join("environment"), PathBuf::from))?;
    let build = ["build", "--quiet", "--release", "--workspace", "--bin", "seedpress", "--example", "foreign"];
    checked(crate::cargo().args(build).current_dir(root))?;
    let foreign = || Command::new(root.join("target/release/examples/foreign"));
    let models = work.join("models");
    let _ = std::fs::remove_dir_all(&models);
    checked(foreign().arg("export").arg(&config).arg(&models))?;
    checked(Command::new(&python).arg(root.join("xtask/rivals/rivals.py")).arg(&models))?;
    std::fs::create_dir_all(&out).map_err(|error| error.to_string())?;
    checked(foreign().arg("rows").arg(&config).arg(&models).arg(&out))?;
    std::fs::copy(models.join("missing.json"), out.join("missing.json")).map_err(|error| error.to_string())?;
    // Ours last: it draws the report.
    checked(Command::new(root.join("target/release/seedpress")).arg("bench").arg(&config).current_dir(root))?;
    Ok(0)
}

/// The Python of an environment, made where it is missing.
fn environment(folder: &Path) -> Result<PathBuf, String> {
    let (python, done) = (folder.join("bin/python"), folder.join("installed"));
    if !done.exists() {
        eprintln!("making the environment: {}, {}", PACKAGES.join(", "), ALONE.join(", "));
        checked(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let install = ["-m", "pip", "install", "--quiet"];
        checked(Command::new(&python).args(install).args(PACKAGES))?;
        checked(Command::new(&python).args(install).arg("--no-deps").args(ALONE))?;
        std::fs::write(done, "").map_err(|error| error.to_string())?;
    }
    Ok(python)
}

/// Runs a step with its output in sight.
fn checked(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed")) }
}
