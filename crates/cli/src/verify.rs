//! `seedpress verify`.

use std::path::PathBuf;

use clap::Args;
use seedpress::codec::text::printable;
use seedpress_press::{Bounds, Finding, verify};
use serde_json::json;

use crate::common::{Common, MemoryLimit, checkpoint, container};
use crate::decompress::Trust;
use crate::failure::{Failure, Outcome};
use crate::print::line;

/// The file to check.
#[derive(Args)]
#[command(
    after_help = "An error is ||original - decoded|| / ||original||: 0 for a faithful copy, 1 for zeros, 2 for the negative.
A file made by `seedpress compress --max-error E` passes --against the same checkpoint with --max-error E.
Exit status 1 where a tensor does not decode, is missing, surplus, of another type or shape, has NaN where numbers were, holds no
weights and differs, or is further off than allowed.
  seedpress verify model.sdp
  seedpress verify model.sdp --against model.safetensors
  seedpress verify model.sdp --against model.safetensors --max-error 0.1 --max-row-error 0.5"
)]
pub(crate) struct Arguments {
    /// The .sdp file, or - for standard input
    input: PathBuf,
    /// The checkpoint it was made from
    #[arg(long, value_name = "SAFETENSORS")]
    against: Option<PathBuf>,
    /// Largest relative error of a tensor, and of its middle row
    #[arg(long, value_name = "E", default_value_t = Bounds::default().error, requires = "against", value_parser = error)]
    max_error: f64,
    /// Largest relative error of any row [default: any]
    #[arg(long, value_name = "E", requires = "against", value_parser = error)]
    max_row_error: Option<f64>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    work: MemoryLimit,
    #[command(flatten)]
    common: Common,
}

/// An error, or a bound of one.
pub(crate) fn error(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 => Ok(value),
        _ => Err("an error is a number of 0 or more".to_owned()),
    }
}

/// Decodes everything.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.common.reporting.begin();
    let file = container(&arguments.input, None)?;
    let name = arguments.input.display();
    if !file.is_complete() {
        let (have, whole) = (file.at_hand(), file.index().whole_len);
        return Err(Failure::data(format!("{name}: cut short: {have} of {whole} bytes")));
    }
    let registry = seedpress::registry();
    let original = arguments.against.as_deref().map(checkpoint).transpose()?;
    let bounds = Bounds { error: arguments.max_error, row_error: arguments.max_row_error.unwrap_or(f64::INFINITY) };
    let common = &arguments.common;
    let mut found = Vec::new();
    let mut tell = |finding: &Finding| match common.reporting.json {
        true => found.push(finding.clone()),
        false => {
            if !common.reporting.quiet || finding.problem.is_some() {
                show(finding, common.verbose);
            }
        }
    };
    let verdict = common.run(file.at_hand(), arguments.work.max_memory, "this tensor", |control| {
        verify(&file, &registry, original.as_ref(), bounds, arguments.trust.memory(), &control, &mut tell)
    })?;
    if common.reporting.json {
        let tensors: Vec<_> = found.iter().map(to_json).collect();
        line!("{}", json!({ "passed": verdict.problems == 0, "problems": verdict.problems, "tensors": tensors }));
    }
    if verdict.problems > 0 {
        let count = verdict.problems;
        let what = if count == 1 { "1 tensor is" } else { &format!("{count} tensors are") };
        return Err(Failure::data(format!("{name}: {what} not as the original has it")));
    }
    if !common.reporting.json && !common.reporting.quiet {
        line!("{name}: {} tensors decode, every checksum fits", verdict.tensors);
    }
    Ok(())
}

fn show(finding: &Finding, verbose: bool) {
    let name = printable(&finding.name);
    if let Some(errors) = finding.errors {
        let lost = 100.0 * errors.no_better_than_zeros;
        let worst = if verbose { format!(", worst row {:.6}", errors.worst_row) } else { String::new() };
        line!(
            "{name}: relative error {:.6}, middle row {:.6}{worst}, rows no better than zeros {lost:.1} %",
            errors.relative,
            errors.median_row
        );
    } else if verbose && finding.problem.is_none() {
        line!("{name}: as it should be");
    }
    if let Some(problem) = &finding.problem {
        line!("{name}: WRONG: {problem}");
    }
}

fn to_json(finding: &Finding) -> serde_json::Value {
    json!({
        "name": finding.name, "problem": finding.problem,
        "relative_error": finding.errors.map(|errors| errors.relative),
        "median_row_error": finding.errors.map(|errors| errors.median_row),
        "worst_row_error": finding.errors.map(|errors| errors.worst_row),
        "rows_no_better_than_zeros": finding.errors.map(|errors| errors.no_better_than_zeros),
    })
}
