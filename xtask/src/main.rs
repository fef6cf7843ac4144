//! Developer commands: `cargo xtask <verb>`. Links nothing, so that it builds in a moment; the work is done by the release build of
//! the `seedpress` binary.

mod interop;
mod page;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

const HELP: &str = "cargo xtask <verb> [arguments]

  bench <config>     run an experiment       (these five pass everything on to the release build of seedpress)
  report <folder>    redraw a report
  compare <a> <b>    what changed between two runs
  codecs [id]        every codec, or the options of one
  models <verb>      list, fetch or train models

  interop [engine]   run exports in their own engines: transformers, llama-cpp, mlx, gptqmodel (needs Python and the network)
  docs [--check]     redraw every committed report, or say which are not what their rows say
  page-test [folder] what a reader does with a report's page, in a headless Chromium (needs chromium and node) [default: reports/full]
  readme <folder>    put the results table of a report into README.md
  ci                 formatting, lints and tests, as continuous integration runs them

Examples:
  cargo xtask bench configs/quick.toml
  cargo xtask compare reports/before reports/after
  cargo xtask readme reports/full

`cargo xtask bench --help`, and so on, explains a verb.";

/// Between these lines README.md carries the results table.
const MARKERS: (&str, &str) = ("<!-- results -->", "<!-- /results -->");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("bench" | "report" | "compare" | "codecs" | "models") => status(seedpress().args(&arguments)),
        Some("readme") if arguments.len() == 2 => readme(Path::new(&arguments[1])),
        Some("docs") if arguments.len() <= 2 => status(
            cargo()
                .args(["run", "--quiet", "--package", "seedpress-report", "--bin", "docs", "--"])
                .args(&arguments[1..])
                .current_dir(root()),
        ),
        Some("page-test") if arguments.len() <= 2 => page::test(&root(), arguments.get(1).map(String::as_str)),
        Some("interop") => interop::run(&root(), seedpress, &arguments[1..]),
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
    Ok(0)
}

fn readme(folder: &Path) -> Result<u8, String> {
    let output = seedpress().arg("report").arg(folder).arg("--table").output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let table = String::from_utf8_lossy(&output.stdout);
    let path = root().join("README.md");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("README.md: {error}"))?;
    let (start, end) = MARKERS;
    let parts = text.split_once(start).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("README.md has no {start} .. {end}"))?;
    std::fs::write(&path, format!("{before}{start}\n{table}{end}{after}")).map_err(|error| error.to_string())?;
    Ok(0)
}
