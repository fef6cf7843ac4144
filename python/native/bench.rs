//! Experiments.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use seedpress::codec::Int;
use seedpress_bench::cache::Cache;
use seedpress_bench::config::Config;
use seedpress_bench::filter::{Filter, Only};
use seedpress_bench::matrix::Matrix;
use seedpress_bench::progress::Silent;
use seedpress_bench::runner::{self, Options};

use crate::{REGISTRY, errors, work};

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

fn filter(py: Python<'_>, only: &[String]) -> PyResult<Filter> {
    let parsed: Result<Vec<Only>, String> = only.iter().map(|text| text.parse()).collect();
    parsed.map(Filter).map_err(|message| errors::raise(py, "ConfigError", message))
}

/// The run's name, and every model with every codec in the order of the config.
#[pyfunction]
#[pyo3(signature = (config, text, only))]
pub fn bench_cells(
    py: Python<'_>,
    config: PathBuf,
    text: Option<&str>,
    only: Vec<String>,
) -> PyResult<(String, Vec<(String, String)>)> {
    let (config, filter) = (load(py, &config, text, None)?, filter(py, &only)?);
    let mut cells = Vec::new();
    for model in config.models.iter().filter(|model| filter.model(&model.name)) {
        for row in &config.codecs {
            let label = row.label.as_deref().unwrap_or_default();
            if filter.codec(&[&row.name(), row.codec.id(), label]) {
                cells.push((model.name.clone(), row.name()));
            }
        }
    }
    Ok((config.run.name, cells))
}

/// The matrix as text.
#[pyfunction]
#[pyo3(signature = (config, only))]
pub fn bench_listing(py: Python<'_>, config: PathBuf, only: Vec<String>) -> PyResult<String> {
    let (config, filter) = (load(py, &config, None, None)?, filter(py, &only)?);
    let matrix = py.detach(|| Matrix::new(config, &REGISTRY));
    Ok(matrix.map_err(|error| errors::raise(py, "ConfigError", error))?.listing(&filter))
}

/// Runs an experiment into a folder: cells measured, cells that were there, cells that failed, whether the matrix is complete.
#[pyfunction]
#[pyo3(signature = (config, text, out, cache, only, fresh, threads))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn bench(
    py: Python<'_>,
    config: PathBuf,
    text: Option<&str>,
    out: PathBuf,
    cache: PathBuf,
    only: Vec<String>,
    fresh: bool,
    threads: Option<u16>,
) -> PyResult<(u64, u64, u64, bool)> {
    let (config, filter) = (load(py, &config, text, threads)?, filter(py, &only)?);
    let options = Options { out, cache: Cache::new(cache), filter, fresh, reevaluate: false };
    let done = work::run(py, None, 0, |hands| {
        let matrix = Matrix::new(config, &REGISTRY).map_err(|problems| ("ConfigError", problems.to_string()))?;
        let outcome = runner::run(&matrix, &REGISTRY, &options, &Silent, hands.stop);
        outcome.map_err(|error| ("FileError", error.to_string()))
    })?;
    let outcome = done.map_err(|(class, message)| errors::raise(py, class, message))?;
    Ok((outcome.measured, outcome.resumed, outcome.failed, outcome.complete))
}

/// Draws the tables and charts of a folder of results.
#[pyfunction]
pub fn bench_report(py: Python<'_>, folder: PathBuf) -> PyResult<()> {
    let drawn = py.detach(|| seedpress_report::render(&folder).map(|_| ()));
    drawn.map_err(|error| errors::raise(py, "FileError", error))
}
