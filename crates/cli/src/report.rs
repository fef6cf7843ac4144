//! `seedpress report` and `seedpress compare`.

use std::path::{Path, PathBuf};

use clap::Args;
use seedpress_bench::compare::{Comparison, Verdict};
use seedpress_results::Row;
use serde_json::json;

use crate::common::Reporting;
use crate::failure::{Failure, Outcome};
use crate::print::{line, note, text};

/// A folder of results.
#[derive(Args)]
#[command(after_help = "  seedpress report reports/full
  seedpress report reports/full --table")]
pub(crate) struct Arguments {
    /// The folder with results.jsonl
    folder: PathBuf,
    /// Print the results table as Markdown and draw nothing
    #[arg(long, conflicts_with = "json")]
    table: bool,
    #[command(flatten)]
    reporting: Reporting,
}

/// Redraws a report.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.reporting.begin();
    if arguments.table {
        text!("{}", seedpress_report::results_table(&arguments.folder).map_err(Failure::data)?);
        return Ok(());
    }
    draw(&arguments.folder)?;
    let folder = arguments.folder.display().to_string();
    if arguments.reporting.json {
        line!("{}", json!({ "report": folder }));
    } else if !arguments.reporting.quiet {
        line!("{folder}");
    }
    Ok(())
}

/// Draws tables and charts.
pub(crate) fn draw(folder: &Path) -> Outcome {
    seedpress_report::render(folder).map(|_| ()).map_err(Failure::data)
}

/// What a run prints at its end: every row, synthetic sources too, where [`seedpress_report::results_table`] picks rows for readers.
pub(crate) fn table(folder: &Path) -> Result<String, Failure> {
    let run = seedpress_results::read_run(folder).map_err(Failure::data)?;
    let rows = seedpress_results::read_rows(folder).map_err(Failure::data)?;
    Ok(seedpress_bench::summary::table(&run, &rows))
}

/// Two folders of results.
#[derive(Args)]
#[command(
    after_help = "Exit status 1 where a size or error got worse by more than the threshold, or a metric detectably: by the paired test over the
same held-out samples, adjusted for all metrics (by intervals in runs that kept no outcomes); also where nothing is comparable. Speeds
are summed up, not judged.
  seedpress compare reports/before reports/after --threshold 0.02"
)]
pub(crate) struct CompareArguments {
    /// The run to compare with
    before: PathBuf,
    /// The run to judge
    after: PathBuf,
    /// Relative change of sizes, errors and speeds worth showing
    #[arg(long, default_value_t = 0.05)]
    threshold: f64,
    #[command(flatten)]
    reporting: Reporting,
}

/// Compares two runs.
pub(crate) fn compare(arguments: &CompareArguments) -> Outcome {
    arguments.reporting.begin();
    if !(arguments.threshold >= 0.0 && arguments.threshold.is_finite()) {
        return Err(Failure::usage("--threshold must be a number of 0 or more"));
    }
    let read = |folder: &Path| -> Result<Vec<Row>, Failure> {
        let stored = seedpress_results::read_stored(folder).map_err(Failure::data)?;
        if let Some(complaint) = stored.complaint() {
            note!("note: {}: {complaint}", folder.display());
        }
        Ok(stored.rows)
    };
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    let comparison = seedpress_bench::compare::compare(&before, &after, arguments.threshold);
    let (before, after) = (arguments.before.display(), arguments.after.display());
    if comparison.shared == 0 {
        return Err(Failure::data(format!("{before} and {after} have no cell in common: there is nothing to compare")));
    }
    match arguments.reporting.json {
        true => line!("{}", to_json(&comparison)),
        false => text!("{comparison}"),
    }
    if comparison.is_empty() {
        return Err(Failure::data(format!(
            "{before} and {after} have no figure in common: there is nothing to compare"
        )));
    }
    if comparison.is_worse() {
        return Err(Failure::data("the second run is worse"));
    }
    Ok(())
}

fn to_json(comparison: &Comparison) -> serde_json::Value {
    let changes = comparison.changes.iter().map(|change| {
        let verdict = match change.verdict {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Open => "open",
        };
        json!({
            "cell": change.cell, "figure": change.figure, "before": change.before, "after": change.after, "verdict": verdict,
            "p": change.paired.map(|paired| paired.p), "interval": change.paired.map(|paired| paired.interval),
        })
    });
    let speeds = comparison.speeds.iter().map(
        |speeds| json!({ "what": speeds.what, "cells": speeds.cells, "mean": speeds.mean, "range": speeds.range }),
    );
    json!({
        "shared": comparison.shared, "only_before": comparison.only_before, "only_after": comparison.only_after,
        "figures": comparison.figures, "tested": comparison.tested, "other_code": comparison.other_code,
        "changes": changes.collect::<Vec<_>>(), "speeds": speeds.collect::<Vec<_>>(), "worse": comparison.is_worse(),
    })
}
