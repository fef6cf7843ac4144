//! `seedpress bench`.

use std::path::{Path, PathBuf};

use clap::Args;
use seedpress_bench::cache::Cache;
use seedpress_bench::config::Config;
use seedpress_bench::filter::{Filter, Only};
use seedpress_bench::matrix::Matrix;
use seedpress_bench::runner::{self, Options};
use serde_json::json;

use crate::common::Reporting;
use crate::failure::{Failure, Outcome};
use crate::print::{line, text};
use crate::report;
use crate::run_meter::RunMeter;
use crate::stop::stop_flag;

/// The experiment and what to do of it.
#[derive(Args)]
#[command(after_help = "Running the same command again resumes: finished cells are not measured twice.
  seedpress bench configs/full.toml --dry-run
  seedpress bench configs/full.toml --only codec=seedlm* --only tensor=fc1")]
pub(crate) struct Arguments {
    /// The experiment
    config: PathBuf,
    /// Run a part of the matrix: codec=.., model=.. or tensor=.. (a part of the name, or a pattern with * and ?); repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    only: Vec<Only>,
    /// Where the report goes [default: reports/RUN_NAME under the repository root]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// List the matrix and stop
    #[arg(long)]
    dry_run: bool,
    /// Forget stored rows and measure everything anew
    #[arg(long)]
    fresh: bool,
    /// Evaluate the models again from the records already written, without encoding
    #[arg(long)]
    reevaluate: bool,
    /// Threads for encoders, instead of what the config says; 0 takes every processor
    #[arg(long, visible_alias = "jobs", value_name = "N")]
    threads: Option<u16>,
    #[command(flatten)]
    reporting: Reporting,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.reporting.begin();
    let registry = seedpress::registry();
    let zoo: Vec<&str> = seedpress_zoo::models().iter().map(|model| model.name).collect();
    let mut config = Config::load(&arguments.config, &registry, &zoo).map_err(Failure::usage)?;
    if let Some(threads) = arguments.threads {
        config.run.threads = seedpress::codec::Int::new(i64::from(threads))
            .ok_or_else(|| Failure::usage("--threads: legal values are 0 to 1024"))?;
    }
    let root = repository_root();
    let out = arguments.out.clone().unwrap_or_else(|| root.join("reports").join(&config.run.name));
    let matrix = Matrix::new(config, &registry).map_err(Failure::usage)?;
    let filter = Filter(arguments.only.clone());
    if arguments.dry_run {
        let listing = matrix.listing(&filter);
        match arguments.reporting.json {
            true => line!("{}", json!({ "cells": listing.lines().collect::<Vec<_>>() })),
            false => text!("{listing}"),
        }
        return Ok(());
    }
    let stop = stop_flag("the cell at work")?;
    let cache = Cache::new(root.join(".seedpress-cache"));
    let options = Options { out: out.clone(), cache, filter, fresh: arguments.fresh, reevaluate: arguments.reevaluate };
    let meter = RunMeter::new();
    let hook = std::panic::take_hook();
    // A cell's panic becomes its row; the default hook would only tear the progress bar.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = runner::run(&matrix, &registry, &options, &meter, &stop);
    std::panic::set_hook(hook);
    meter.finish();
    let outcome = outcome.map_err(Failure::data)?;
    if outcome.interrupted {
        let left = "stopped: finished cells are kept, the same command resumes";
        return Err(Failure::interrupted(left));
    }
    report::draw(&out)?;
    let (measured, resumed, failed) = (outcome.measured, outcome.resumed, outcome.failed);
    if arguments.reporting.json {
        let report = out.display().to_string();
        line!("{}", json!({ "report": report, "measured": measured, "resumed": resumed, "failed": failed }));
    } else if !arguments.reporting.quiet {
        text!("{}", report::table(&out)?);
        line!("{measured} cells measured, {resumed} resumed; report in {}", out.display());
    }
    match outcome.failed {
        0 => Ok(()),
        count => Err(Failure::data(format!("{count} cells failed: see {}", out.join("results.jsonl").display()))),
    }
}

/// The workspace or repository around the working directory, else the working directory.
pub(crate) fn repository_root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let is_root = |folder: &&Path| {
        let workspace = std::fs::read_to_string(folder.join("Cargo.toml"));
        folder.join(".git").exists() || workspace.is_ok_and(|text| text.contains("[workspace]"))
    };
    here.ancestors().find(is_root).map_or(here.clone(), Path::to_owned)
}
