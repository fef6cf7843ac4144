//! Experiments: whole ones, and cell by cell for those who spread them over machines.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use pyo3::prelude::*;
use seedpress::codec::Int;
use seedpress_bench::cache::Cache;
use seedpress_bench::config::{CodecRow, Config};
use seedpress_bench::filter::{Filter, Only};
use seedpress_bench::matrix::Matrix;
use seedpress_bench::progress::Progress;
use seedpress_bench::runner::{self, Options, Outcome};
use seedpress_bench::source::Source;
use serde_json::json;

use crate::work::{self, Meter};
use crate::{REGISTRY, errors};

impl Progress for Meter {
    fn working_on(&self, what: &str) {
        seedpress_press::Progress::begin(self, what);
    }

    fn advance(&self, weights: u64) {
        seedpress_press::Progress::advance(self, weights);
    }
}

/// A checked experiment; `text` stands in for what the file holds.
fn load(py: Python<'_>, path: &Path, text: Option<&str>, threads: Option<u16>) -> PyResult<Config> {
    let zoo: Vec<&str> = seedpress_zoo::models().iter().map(|model| model.name).collect();
    let config = match text {
        Some(text) => Config::parse(path, text, &REGISTRY, &zoo),
        None => Config::load(path, &REGISTRY, &zoo),
    };
    let mut config = config.map_err(|error| errors::raise(py, "ConfigError", error))?;
    if let Some(threads) = threads {
        let legal = || errors::raise(py, "ConfigError", "threads: legal values are 0 to 1024");
        config.run.threads = Int::new(i64::from(threads)).ok_or_else(legal)?;
    }
    Ok(config)
}

/// Opens the models of an experiment: all of their weights are read.
fn open(py: Python<'_>, config: Config) -> PyResult<Matrix> {
    let matrix = work::run(py, None, 0, |_| Matrix::new(config, &REGISTRY))?;
    matrix.map_err(|problems| errors::raise(py, "ConfigError", problems))
}

fn filter(py: Python<'_>, only: &[String]) -> PyResult<Filter> {
    let parsed: Result<Vec<Only>, String> = only.iter().map(|text| text.parse()).collect();
    parsed.map(Filter).map_err(|message| errors::raise(py, "ConfigError", message))
}

/// Measures what a filter leaves of a matrix.
fn run(
    py: Python<'_>,
    matrix: &Matrix,
    options: &Options,
    progress: Option<&Bound<'_, PyAny>>,
    stop: Option<&AtomicBool>,
) -> PyResult<Outcome> {
    let models = matrix.models(&options.filter);
    let weights: usize = models.flat_map(|model| matrix.tensors(model, &options.filter)).map(|info| info.weights).sum();
    let total = (weights * matrix.codecs(&options.filter).count()) as u64;
    let done = work::run(py, progress, total, |hands| {
        runner::run(matrix, &REGISTRY, options, hands.meter, stop.unwrap_or(hands.stop))
    })?;
    done.map_err(|error| errors::raise(py, "FileError", error))
}

/// The name of an experiment's run, once all of the experiment is found to be legal.
#[pyfunction]
pub(crate) fn bench_name(py: Python<'_>, config: PathBuf) -> PyResult<String> {
    load(py, &config, None, None).map(|config| config.run.name)
}

/// As JSON, the run's name and its cells: every model with every codec in the order of the config, with the keys of its rows.
#[pyfunction]
#[pyo3(signature = (config, text, only))]
pub(crate) fn bench_cells(py: Python<'_>, config: PathBuf, text: Option<&str>, only: Vec<String>) -> PyResult<String> {
    let filter = filter(py, &only)?;
    let matrix = open(py, load(py, &config, text, None)?)?;
    let mut cells = Vec::new();
    for model in matrix.models(&filter) {
        for row in matrix.codecs(&filter) {
            cells.push(json!({
                "model": model.name, "codec": row.name(), "keys": keys(&matrix, &filter, model, row),
                "weights": model.weight_count(),
                "largest": model.tensors.iter().map(|info| info.weights).max(),
            }));
        }
    }
    Ok(json!({ "name": matrix.run.name, "cells": cells }).to_string())
}

fn keys(matrix: &Matrix, filter: &Filter, model: &Source, row: &CodecRow) -> Vec<String> {
    let tensors = matrix.tensors(model, filter).map(|info| matrix.tensor_key(row, model, info));
    let whole = filter.takes_whole_models().then(|| matrix.model_key(row, model));
    tensors.chain(whole).collect()
}

/// Measures one cell in a folder of its own; returns its rows, a line each.
#[pyfunction]
#[pyo3(signature = (config, text, model, codec, only, threads, folder))]
#[expect(clippy::too_many_arguments, reason = "what a cell is, and where")]
pub(crate) fn bench_cell(
    py: Python<'_>,
    config: PathBuf,
    text: &str,
    model: &str,
    codec: &str,
    only: Vec<String>,
    threads: u16,
    folder: PathBuf,
) -> PyResult<String> {
    let mut config = load(py, &config, Some(text), Some(threads))?;
    config.models.retain(|spec| spec.name == model);
    config.codecs.retain(|row| row.name() == codec);
    let (out, cache) = (folder.join("out"), Cache::new(folder.join("cache")));
    let options = Options { out, cache, filter: filter(py, &only)?, fresh: false, reevaluate: false };
    run(py, &open(py, config)?, &options, None, None)?;
    Ok(std::fs::read_to_string(options.out.join("results.jsonl"))?)
}

/// Makes a run of the rows that are in a folder: measures nothing. Returns whether every cell of the experiment has its rows.
#[pyfunction]
pub(crate) fn bench_join(
    py: Python<'_>,
    config: PathBuf,
    text: &str,
    out: PathBuf,
    only: Vec<String>,
) -> PyResult<bool> {
    let cache = Cache::new(out.join(".cache"));
    let options = Options { out, cache, filter: filter(py, &only)?, fresh: false, reevaluate: false };
    let matrix = open(py, load(py, &config, Some(text), None)?)?;
    // A run that is stopped before its first cell.
    run(py, &matrix, &options, None, Some(&AtomicBool::new(true))).map(|outcome| outcome.complete)
}

/// Runs an experiment into a folder: cells measured, cells that were there, cells that failed, whether the matrix is complete.
#[pyfunction]
#[pyo3(signature = (config, out, cache, only, fresh, threads, progress))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn bench(
    py: Python<'_>,
    config: PathBuf,
    out: PathBuf,
    cache: PathBuf,
    only: Vec<String>,
    fresh: bool,
    threads: Option<u16>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(u64, u64, u64, bool)> {
    let filter = filter(py, &only)?;
    let matrix = open(py, load(py, &config, None, threads)?)?;
    let options = Options { out, cache: Cache::new(cache), filter, fresh, reevaluate: false };
    let done = run(py, &matrix, &options, progress.as_ref(), None)?;
    Ok((done.measured, done.resumed, done.failed, done.complete))
}

/// Draws the tables and charts of a folder of results.
#[pyfunction]
pub(crate) fn bench_report(py: Python<'_>, folder: PathBuf) -> PyResult<()> {
    let drawn = py.detach(|| seedpress_report::render(&folder).map(|_| ()));
    drawn.map_err(|error| errors::raise(py, "FileError", error))
}
