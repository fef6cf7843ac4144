//! Developer commands: `cargo xtask <verb>`. Links nothing, so that it builds in a moment; the work is done by the release build of
//! the `seedpress` binary.

mod book;
mod interop;
mod machines;
mod page;
mod release;
mod rivals;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

const HELP: &str = "cargo xtask <verb> [arguments]

  bench <config>     run an experiment       (these five pass everything on to the release build of seedpress)
  report <folder>    redraw a report
  compare <a> <b>    what changed between two runs
  codecs [id]        every codec, or the options of one
  models <verb>      list, fetch or train models

  interop [--model FOLDER] [environment]
                     run exports in their own engines: transformers, gptq-awq, llama-cpp, mlx; or the Python package with
                     torch, transformers, zarr and ray: python (needs Python and the network)
  rivals [folder]    run other people's quantisers on our models, and draw reports/rivals; the folder is that of their Python
                     environment [default: target/rivals/environment] (needs Python and, the first time, the network)
  rivals llama.cpp --model FOLDER
                     llama.cpp's quantisers with an importance matrix beside ours at the same bytes, on a real model in its own
                     engine; half an hour on two cores
  machines           golden encodings of every codec on an emulated aarch64 and on a big-endian s390x (needs qemu-user and C
                     compilers for both)
  wheel              build the Python package; --help for its tests
  docs [--check]     render README.md, docs and every committed report from their rows, or say what is stale
  release-run [--minutes N] [name..]
                     measure full, seedlm, 30x, 30x-language and plan anew, in this order, as many as fit [default: 60 minutes]
  book               the documentation as a site in target/site, with its links checked (needs mdbook)
  page-test [folder] what a reader does with a report's page, in a headless Chromium (needs chromium and node) [default: reports/full]
  ci                 formatting, lints and tests, Python's too, as continuous integration runs them

Examples:
  cargo xtask bench configs/quick.toml
  cargo xtask compare reports/before reports/after
  cargo xtask docs --check

`cargo xtask bench --help`, and so on, explains a verb.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("bench" | "report" | "compare" | "codecs" | "models") => status(seedpress().args(&arguments)),
        Some("docs") if arguments.len() <= 2 => status(docs(&root()).args(&arguments[1..])),
        Some("release-run") => release::run(&root(), &arguments[1..]),
        Some("page-test") if arguments.len() <= 2 => page::test(&root(), arguments.get(1).map(String::as_str)),
        Some("interop") if arguments[1..] == ["python"] => wheel::interop(&root(), cargo),
        Some("interop") => interop::run(&root(), cargo, &arguments[1..]),
        Some("machines") if arguments.len() == 1 => machines::run(&root()),
        Some("rivals") => rivals::run(&root(), &arguments[1..]),
        Some("book") if arguments.len() == 1 => book::build(&root()),
        Some("wheel") => wheel::run(&root(), &arguments[1..]),
        Some("ci") if arguments.len() == 1 => ci(),
        Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            Ok(0)
        }
        _ => {
            eprintln!("{HELP}");
            Ok(2)
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The release build of the tool, in the caller's directory.
fn seedpress() -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "seedpress-cli", "--manifest-path"]);
    command.arg(root().join("Cargo.toml")).arg("--");
    command
}

/// What draws README.md, docs and reports from committed rows.
fn docs(root: &Path) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "seedpress-report", "--bin", "docs", "--"]).current_dir(root);
    command
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

fn status(command: &mut Command) -> Result<u8, String> {
    command.status().map(code).map_err(|error| format!("cargo: {error}"))
}

fn code(status: ExitStatus) -> u8 {
    // Killed by a signal: on Ctrl-C the tool itself has said everything.
    status.code().map_or(130, |code| u8::try_from(code).unwrap_or(1))
}

fn ci() -> Result<u8, String> {
    let steps: [&[&str]; 3] = [
        &["fmt", "--all", "--check"],
        &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
        &["test", "--workspace", "--quiet"],
    ];
    for step in steps {
        eprintln!("cargo {}", step.join(" "));
        match status(cargo().args(step).current_dir(root()))? {
            0 => {}
            code => return Ok(code),
        }
    }
    wheel::run(&root(), &["--dev", "--test"].map(str::to_owned))
}
