//! Models for other people's programs, and rows of what they made of them: `cargo xtask rivals` runs both.
//!
//! ```text
//! foreign export CONFIG FOLDER     FOLDER/<model>/weights.safetensors and inputs.safetensors of the config's models
//! foreign rows CONFIG FOLDER OUT   OUT/foreign.jsonl of the files that programs left there
//! ```

use std::path::Path;
use std::process::ExitCode;

use seedpress_bench::config::Config;
use seedpress_bench::foreign;
use seedpress_bench::matrix::Matrix;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["export", config, folder] => {
            for model in matrix(config)?.models {
                foreign::export(&model, &Path::new(folder).join(&model.name))?;
            }
            Ok(())
        }
        ["rows", config, folder, out] => {
            let (mut baselines, mut rows) = (Default::default(), Vec::new());
            for model in matrix(config)?.models {
                eprintln!("rows of other programs on {}", model.name);
                rows.extend(foreign::rows(&model, &mut baselines, &Path::new(folder).join(&model.name))?);
            }
            seedpress_results::write_foreign(Path::new(out), &rows).map_err(|error| error.to_string())
        }
        _ => Err("usage: foreign export CONFIG FOLDER, or foreign rows CONFIG FOLDER OUT".to_owned()),
    }
}

fn matrix(config: &str) -> Result<Matrix, String> {
    let registry = seedpress::registry();
    let zoo: Vec<&str> = seedpress_zoo::models().iter().map(|model| model.name).collect();
    let config = Config::load(Path::new(config), &registry, &zoo).map_err(|problems| problems.to_string())?;
    Matrix::new(config, &registry).map_err(|problems| problems.to_string())
}
