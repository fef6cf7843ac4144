//! Redraws every committed report: `cargo xtask docs`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match seedpress_report::refresh(&root, check) {
        Ok(changed) if check && !changed.is_empty() => {
            for path in changed {
                eprintln!("{}: not what the rows say; `cargo xtask docs` writes it", path.display());
            }
            ExitCode::FAILURE
        }
        Ok(changed) => {
            changed.iter().for_each(|path| println!("{}", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
