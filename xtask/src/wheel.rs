//! The Python package: `cargo xtask wheel`.

use std::path::{Path, PathBuf};
use std::process::Command;

const HELP: &str = "cargo xtask wheel [--dev] [--test] [--all]

Builds the wheel of python/ into target/wheels, with maturin from the package registry.

  --dev     built quickly: the profile of `cargo test`, and without experiments (seedpress.bench), which are most of what is compiled
  --test    install it in a fresh environment and run its tests, without torch
  --all     with --test: torch, transformers, zarr and ray too, which weigh gigabytes";

/// What the tests need beside the wheel.
const TEST_PACKAGES: &[&str] = &["pytest", "mypy", "safetensors", "ml_dtypes"];
/// What the tests of other packages need.
const MORE_PACKAGES: &[&str] = &["torch", "transformers", "zarr", "numcodecs", "pandas", "ray", "fsspec"];

/// Builds the wheel, and tests it where asked to.
pub fn run(root: &Path, arguments: &[String]) -> Result<u8, String> {
    let (mut dev, mut test, mut all) = (false, false, false);
    for argument in arguments {
        match argument.as_str() {
            "--dev" => dev = true,
            "--test" => test = true,
            "--all" => all = true,
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(0);
            }
            other => return Err(format!("unknown argument `{other}`\n{HELP}")),
        }
    }
    let work = root.join("target/python");
    let wheels = root.join("target/wheels");
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let tools = environment(&work.join("tools"), false)?;
    install(&tools, ["maturin>=1.9,<2"])?;
    // Whatever an earlier version left would be installed in place of this one.
    let _ = std::fs::remove_dir_all(&wheels);
    let profile: &[&str] = if dev { &["--profile", "dev", "--no-default-features"] } else { &["--release"] };
    let mut build = Command::new(tools.join("bin/maturin"));
    build.arg("build").args(profile).arg("--manifest-path").arg(root.join("python/Cargo.toml"));
    build.arg("--interpreter").arg(tools.join("bin/python")).arg("--out").arg(&wheels);
    status(&mut build)?;
    let wheel =
        std::fs::read_dir(&wheels).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path()).next();
    let wheel = wheel.ok_or("maturin made no wheel")?;
    println!("{}", wheel.display());
    if test {
        let fresh = environment(&work.join("test"), true)?;
        install(&fresh, [wheel.as_os_str()])?;
        install(&fresh, TEST_PACKAGES)?;
        if all {
            install(&fresh, MORE_PACKAGES)?;
        }
        let mut tests = Command::new(fresh.join("bin/python"));
        // Outside the sources: what is tested is what was installed.
        status(tests.args(["-m", "pytest", "-p", "no:cacheprovider"]).arg("tests").current_dir(root.join("python")))?;
    }
    Ok(0)
}

/// A virtual environment; a `fresh` one in place of one that is there.
fn environment(folder: &Path, fresh: bool) -> Result<PathBuf, String> {
    if fresh {
        let _ = std::fs::remove_dir_all(folder);
    }
    if !folder.join("bin/python").exists() {
        status(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    }
    Ok(folder.to_owned())
}

fn install<S: AsRef<std::ffi::OsStr>>(environment: &Path, packages: impl IntoIterator<Item = S>) -> Result<(), String> {
    let mut pip = Command::new(environment.join("bin/python"));
    status(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))
}

fn status(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}
