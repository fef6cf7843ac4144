//! The Python package: `cargo xtask wheel`, and its tests with everything it works with, `cargo xtask interop python`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::interop;

const HELP: &str = "cargo xtask wheel [--dev] [--test]

Builds the wheel of python/ into target/wheels, with maturin from the package registry.

  --dev     built quickly: the profile of `cargo test`, and without experiments (seedpress.bench), which are most of what is compiled
  --test    install it in a fresh environment and run its tests; those with torch, transformers, zarr and Ray, which weigh gigabytes,
            are run by `cargo xtask interop python`";

/// What the tests need beside the wheel.
const TEST_PACKAGES: &[&str] = &["pytest", "mypy", "safetensors", "ml_dtypes"];
/// What the tests of other packages need.
const MORE_PACKAGES: &[&str] = &[
    "torch",
    "transformers",
    "tokenizers",
    "zarr>=3",
    "numcodecs",
    "pandas",
    "polars",
    "ray",
    "fsspec",
    "nbclient",
    "ipykernel",
];

/// How a wheel is built.
#[derive(Clone, Copy)]
enum Build {
    /// For users.
    Release,
    /// Quickly, without experiments.
    Dev,
    /// Quickly, with everything.
    DevWhole,
}

/// Builds the wheel, and tests it where asked to.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<u8, String> {
    let (mut build, mut test) = (Build::Release, false);
    for argument in arguments {
        match argument.as_str() {
            "--dev" => build = Build::Dev,
            "--test" => test = true,
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(0);
            }
            other => return Err(format!("unknown argument `{other}`\n{HELP}")),
        }
    }
    let wheel = wheel(root, build)?;
    if test {
        let place = root.join("target/python/test");
        // What an earlier version left would be tested in place of this one.
        let _ = std::fs::remove_dir_all(&place);
        let fresh = environment(&place)?;
        install(&fresh, [wheel.as_os_str()])?;
        install(&fresh, TEST_PACKAGES)?;
        tests(root, &fresh, &[])?;
    }
    Ok(0)
}

/// Runs all tests, with every package there is, in an environment that is kept; their table goes into `docs/python.md`.
pub(crate) fn interop(root: &Path, cargo: impl Fn() -> Command) -> Result<u8, String> {
    // What files and statistics are compared with.
    let with = ["build", "--quiet", "--workspace", "--bin", "seedpress", "--example", "statistics"];
    status(cargo().args(with).current_dir(root))?;
    let wheel = wheel(root, Build::DevWhole)?;
    let kept = environment(&root.join("target/interop/python"))?;
    install(&kept, TEST_PACKAGES.iter().chain(MORE_PACKAGES))?;
    install(&kept, ["--no-deps".as_ref(), "--force-reinstall".as_ref(), wheel.as_os_str()])?;
    let table = root.join("target/interop/python.md");
    tests(root, &kept, &["--table".as_ref(), table.as_os_str()])?;
    let table = std::fs::read_to_string(&table).map_err(|error| error.to_string())?;
    println!("{table}");
    interop::keep(&root.join("docs/python.md"), interop::MARKERS, &table)?;
    Ok(0)
}

/// Builds a wheel; where it is.
fn wheel(root: &Path, build: Build) -> Result<PathBuf, String> {
    let wheels = root.join("target/wheels");
    let tools = environment(&root.join("target/python/tools"))?;
    install(&tools, ["maturin>=1.9,<2"])?;
    // Whatever an earlier version left would be installed in place of this one.
    let _ = std::fs::remove_dir_all(&wheels);
    let profile: &[&str] = match build {
        Build::Release => &["--release"],
        Build::Dev => &["--profile", "dev", "--no-default-features"],
        Build::DevWhole => &["--profile", "dev"],
    };
    let mut maturin = Command::new(tools.join("bin/maturin"));
    maturin.arg("build").args(profile).arg("--manifest-path").arg(root.join("python/Cargo.toml"));
    maturin.arg("--interpreter").arg(tools.join("bin/python")).arg("--out").arg(&wheels);
    status(&mut maturin)?;
    let mut made = std::fs::read_dir(&wheels).map_err(|error| error.to_string())?.flatten();
    let made = made.next().ok_or("maturin made no wheel")?.path();
    println!("{}", made.display());
    Ok(made)
}

/// Runs the tests outside the sources: what is tested is what was installed.
fn tests(root: &Path, environment: &Path, arguments: &[&OsStr]) -> Result<(), String> {
    let mut tests = Command::new(environment.join("bin/python"));
    tests.args(["-m", "pytest", "-p", "no:cacheprovider"]).args(arguments).arg("tests");
    status(tests.current_dir(root.join("python")))
}

/// A virtual environment, made where it is missing.
fn environment(folder: &Path) -> Result<PathBuf, String> {
    if !folder.join("bin/python").exists() {
        status(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    }
    Ok(folder.to_owned())
}

fn install<S: AsRef<OsStr>>(environment: &Path, packages: impl IntoIterator<Item = S>) -> Result<(), String> {
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
