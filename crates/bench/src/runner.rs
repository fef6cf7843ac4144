//! Runs a matrix: resumes by key, appends rows as cells finish, and never lets one cell's failure stop the others.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::{ThreadPool, ThreadPoolBuilder};
use seedpress_codec::Registry;
use seedpress_results::{ModelRow, Row, Run, Status};

use crate::cache::Cache;
use crate::cell::{one_line, tensor_row};
use crate::config::CodecRow;
use crate::environment;
pub use crate::error::RunError;
use crate::filter::Filter;
use crate::matrix::Matrix;
use crate::progress::Progress;
use crate::records::Records;
use crate::source::{Source, TensorInfo};
use crate::stored::{Shown, Stored};
use crate::whole::{Baselines, model_rows};

/// How a run is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The report's folder.
    pub out: PathBuf,
    /// Where written records are kept between runs.
    pub cache: Cache,
    /// The part of the matrix to run.
    pub filter: Filter,
    /// Forget stored rows.
    pub fresh: bool,
    /// Evaluate every model again, from the records already written.
    pub reevaluate: bool,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Cells measured now.
    pub measured: u64,
    /// Cells that were there already.
    pub resumed: u64,
    /// Cells that failed now.
    pub failed: u64,
    /// Whether the user stopped the run.
    pub interrupted: bool,
    /// Whether every cell of the whole matrix has a row.
    pub complete: bool,
}

/// Runs the matrix into `options.out`. `stop` ends the run after the cell at work.
///
/// A codec that panics costs its cell; what the panic says stands in the cell's row, and on standard error unless the caller's panic
/// hook says otherwise.
///
/// # Errors
/// Only what makes all further work useless; failed cells are rows.
pub fn run(
    matrix: &Matrix,
    registry: &Registry,
    options: &Options,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Outcome, RunError> {
    if matrix.models(&options.filter).all(|model| matrix.tensors(model, &options.filter).next().is_none())
        || matrix.codecs(&options.filter).next().is_none()
    {
        return Err(RunError::Nothing);
    }
    let folder = |source| RunError::Folder { path: options.out.clone(), source };
    std::fs::create_dir_all(&options.out).map_err(folder)?;
    // A folder without write permission is found before the work, not after it.
    tempfile::NamedTempFile::new_in(&options.out).map_err(folder)?;
    let _lock = seedpress_results::lock(&options.out)?;
    Runner::start(matrix, registry, options, progress, stop)?.run()
}

struct Runner<'a> {
    matrix: &'a Matrix,
    options: &'a Options,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
    stored: Stored,
    records: Records<'a>,
    decode_pool: ThreadPool,
    baselines: Baselines,
    record: Run,
    /// The commit now, where the run was begun at another one.
    later: Option<String>,
    outcome: Outcome,
}

impl<'a> Runner<'a> {
    fn start(
        matrix: &'a Matrix,
        registry: &'a Registry,
        options: &'a Options,
        progress: &'a dyn Progress,
        stop: &'a AtomicBool,
    ) -> Result<Self, RunError> {
        let stored = Stored::open(&options.out, &asked(matrix), options.fresh, progress)?;
        let (record, later) = record(matrix, options, &stored, progress);
        let filter = &options.filter;
        let weights = matrix.models(filter).map(|model| {
            let own = matrix.tensors(model, filter).map(|info| info.weights).sum::<usize>();
            own * matrix.codecs_of(model, filter).count()
        });
        let weights: usize = weights.sum();
        progress.start(weights as u64);
        matrix.models(filter).flat_map(Source::notes).chain(matrix.note()).for_each(|note| progress.note(&note));
        let pool = ThreadPoolBuilder::new().num_threads(matrix.run.thread_count()).build()?;
        Ok(Self {
            matrix,
            options,
            progress,
            stop,
            stored,
            records: Records::new(matrix, registry, (&options.cache, &options.out), pool, progress, stop),
            decode_pool: ThreadPoolBuilder::new().num_threads(1).build()?,
            baselines: HashMap::new(),
            record,
            later,
            outcome: Outcome::default(),
        })
    }

    fn run(mut self) -> Result<Outcome, RunError> {
        seedpress_results::write_run(&self.options.out, &self.record)?;
        let (matrix, options) = (self.matrix, self.options);
        'matrix: for model in matrix.models(&options.filter) {
            for codec in matrix.codecs_of(model, &options.filter) {
                for info in matrix.tensors(model, &options.filter) {
                    if self.stopped() {
                        break 'matrix;
                    }
                    self.tensor_cell(model, codec, info)?;
                    self.progress.advance(info.weights as u64);
                }
                if options.filter.takes_whole_models() {
                    if self.stopped() {
                        break 'matrix;
                    }
                    self.model_cell(model, codec)?;
                }
            }
        }
        self.absent_cells()?;
        let keys = asked(matrix);
        self.outcome.complete = keys.keys().all(|key| self.stored.has(key));
        self.record.failed = keys.keys().filter(|key| self.stored.failed(key)).count() as u64;
        self.record.complete = self.outcome.complete;
        self.record.finished = if self.outcome.complete { unix_seconds() } else { 0 };
        seedpress_results::write_run(&self.options.out, &self.record)?;
        Ok(self.outcome)
    }

    fn stopped(&mut self) -> bool {
        self.outcome.interrupted |= self.stop.load(Ordering::Relaxed);
        self.outcome.interrupted
    }

    fn tensor_cell(&mut self, model: &Source, codec: &CodecRow, info: &TensorInfo) -> Result<(), RunError> {
        let key = self.matrix.tensor_key(codec, model, info);
        if self.stored.is_done(&key) {
            self.outcome.resumed += 1;
            return Ok(());
        }
        let what = format!("{} on {}/{}", codec.name(), model.name, info.name);
        self.progress.working_on(&what);
        match tensor_row(&mut self.records, &self.decode_pool, model, codec, info) {
            Some(row) => self.store(key, &what, vec![Row::Tensor(row)]),
            None => Ok(()),
        }
    }

    fn model_cell(&mut self, model: &Source, codec: &CodecRow) -> Result<(), RunError> {
        let key = self.matrix.model_key(codec, model);
        if self.stored.is_done(&key) && !self.options.reevaluate {
            self.outcome.resumed += 1;
            return Ok(());
        }
        let what = format!("{} on {}", codec.name(), model.name);
        self.progress.working_on(&what);
        let rows = model_rows(&mut self.records, &mut self.baselines, &self.stored, model, codec);
        self.store(key, &what, rows.into_iter().map(Row::Model).collect())
    }

    /// Models that are not on this machine stay visible: one failed row per codec.
    fn absent_cells(&mut self) -> Result<(), RunError> {
        let (matrix, filter) = (self.matrix, &self.options.filter);
        for (model, message) in matrix.absent.iter().filter(|(model, _)| filter.model(model)) {
            for codec in matrix.codecs(filter) {
                let row = ModelRow {
                    key: matrix.absent_key(codec, model),
                    codec: codec.name(),
                    label: codec.label.clone(),
                    model: model.clone(),
                    status: Status::Failed,
                    error: Some(one_line(message)),
                    ..ModelRow::default()
                };
                let what = format!("{} on {model}", codec.name());
                if self.stored.has(&row.key) {
                    // Still absent: the row is there, and the run still failed.
                    self.outcome.failed += 1;
                } else {
                    self.store(row.key.clone(), &what, vec![Row::Model(row)])?;
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, key: String, what: &str, mut rows: Vec<Row>) -> Result<(), RunError> {
        rows.iter_mut().for_each(|row| row.set_commit(self.later.clone()));
        self.outcome.measured += 1;
        if let Some(error) = rows.iter().find_map(Row::error) {
            self.outcome.failed += 1;
            self.progress.note(&format!("failed: {what}: {error}"));
        }
        Ok(self.stored.put(key, rows)?)
    }
}

/// The key of every cell, with how its rows are shown.
fn asked(matrix: &Matrix) -> HashMap<String, Shown> {
    let mut asked = HashMap::new();
    for row in &matrix.codecs {
        let absent = matrix.absent.iter().map(|(model, _)| matrix.absent_key(row, model));
        let models = matrix.models.iter().filter(|model| matrix.applies(row, model));
        let cells = models.flat_map(|model| {
            let tensors = model.tensors.iter().map(|info| matrix.tensor_key(row, model, info));
            tensors.chain([matrix.model_key(row, model)])
        });
        asked.extend(cells.chain(absent).map(|key| (key, (row.name(), row.label.clone()))));
    }
    asked
}

/// What stands in `run.json` while the run goes on, and the commit of what is added to it where that is not its own.
fn record(matrix: &Matrix, options: &Options, stored: &Stored, progress: &dyn Progress) -> (Run, Option<String>) {
    let previous = seedpress_results::read_run(&options.out).unwrap_or_default();
    let now = environment::detect();
    let none = stored.len() == 0;
    let goes_on = !none && previous.environment.commit != now.commit;
    if goes_on {
        let count = stored.len();
        progress.note(&format!(
            "note: {count} cells measured at another commit are kept: the code that makes their bytes is the same; --fresh measures anew"
        ));
    }
    let later = goes_on.then(|| format!("{}{}", now.commit, if now.dirty { "+" } else { "" }));
    let environment = if goes_on { previous.environment } else { now };
    let run = Run {
        name: matrix.run.name.clone(),
        config: matrix.text.clone(),
        environment,
        started: if none || previous.started == 0 { unix_seconds() } else { previous.started },
        finished: 0,
        complete: false,
        cells: matrix.cells(),
        failed: 0,
        codecs: matrix.codecs.iter().map(CodecRow::name).collect(),
        models: matrix.models.iter().map(|model| model.name.clone()).collect(),
        memcpy_bytes_per_second: environment::memcpy_bytes_per_second(),
    };
    (run, later)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
