//! Runs a matrix: resumes by key, appends rows as cells finish, and never lets one cell's failure stop the others.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use seedpress_checkpoint::{Container, ContainerView, Entry, Order};
use seedpress_codec::{AnyCodec, EncodeContext, InputStatistics, Limits, Record, Registry, Tensor};
use seedpress_model::Metric;
use seedpress_results::{ModelRow, ResultsError, Row, Run, Status, TensorRow};

use crate::cache::Cache;
use crate::config::CodecRow;
use crate::environment;
use crate::filter::Filter;
use crate::matrix::Matrix;
use crate::measure::{Bench, measure, panic_text};
use crate::planning;
use crate::progress::Progress;
use crate::source::{Source, TensorInfo};

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

/// A run that could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Results cannot be read or written.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// The report's folder cannot be made or written.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The thread pool cannot be built.
    #[error("threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A filter leaves nothing.
    #[error("`--only` leaves no cell: `--dry-run` lists what there is")]
    Nothing,
}

/// Runs the matrix into `options.out`. `stop` ends the run after the cell at work.
///
/// # Errors
/// Only what makes all further work useless; failed cells are rows.
pub fn run(matrix: &Matrix, registry: &Registry, options: &Options, stop: &AtomicBool) -> Result<Outcome, RunError> {
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
    let hook = std::panic::take_hook();
    // A cell's panic becomes its row; the default hook would only tear the progress bar.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = Runner::start(matrix, registry, options, stop).and_then(Runner::run);
    std::panic::set_hook(hook);
    outcome
}

struct Runner<'a> {
    matrix: &'a Matrix,
    registry: &'a Registry,
    options: &'a Options,
    stop: &'a AtomicBool,
    rows: HashMap<String, Vec<Row>>,
    record: Run,
    encode_pool: ThreadPool,
    decode_pool: ThreadPool,
    baselines: HashMap<String, Result<Vec<Metric>, String>>,
    /// What plans chose, by model and row: a codec for each tensor that is not kept.
    plans: HashMap<(String, String), Result<HashMap<String, AnyCodec>, String>>,
    /// The first tensors of a model as a sequential row stores them.
    decoded: ((String, String), Vec<Tensor>),
    outcome: Outcome,
    progress: Progress,
}

impl<'a> Runner<'a> {
    fn start(
        matrix: &'a Matrix,
        registry: &'a Registry,
        options: &'a Options,
        stop: &'a AtomicBool,
    ) -> Result<Self, RunError> {
        let rows = stored_rows(matrix, options)?;
        let now = unix_seconds();
        let previous = seedpress_results::read_run(&options.out).unwrap_or_default();
        let environment = environment::detect();
        if !rows.is_empty() && previous.environment.commit != environment.commit {
            let count = rows.len();
            eprintln!("note: {count} rows measured at another commit are kept; --fresh measures them anew");
        }
        let record = Run {
            name: matrix.run.name.clone(),
            config: matrix.text.clone(),
            environment,
            started: if rows.is_empty() || previous.started == 0 { now } else { previous.started },
            finished: 0,
            complete: false,
            cells: matrix.cells(),
            failed: 0,
            codecs: matrix.codecs.iter().map(CodecRow::name).collect(),
            models: matrix.models.iter().map(|model| model.name.clone()).collect(),
            memcpy_bytes_per_second: environment::memcpy_bytes_per_second(),
        };
        let filter = &options.filter;
        let weights: usize = matrix
            .models(filter)
            .flat_map(|model| matrix.tensors(model, filter))
            .map(|info| info.weights)
            .sum::<usize>()
            * matrix.codecs(filter).count();
        Ok(Self {
            matrix,
            registry,
            options,
            stop,
            rows,
            record,
            encode_pool: ThreadPoolBuilder::new().num_threads(matrix.run.thread_count()).build()?,
            decode_pool: ThreadPoolBuilder::new().num_threads(1).build()?,
            baselines: HashMap::new(),
            plans: HashMap::new(),
            decoded: Default::default(),
            outcome: Outcome::default(),
            progress: Progress::new(weights as u64),
        })
    }

    fn run(mut self) -> Result<Outcome, RunError> {
        seedpress_results::write_run(&self.options.out, &self.record)?;
        let (matrix, options) = (self.matrix, self.options);
        'matrix: for model in matrix.models(&options.filter) {
            for codec in matrix.codecs(&options.filter) {
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
        self.progress.finish();
        let keys = keys(matrix);
        self.outcome.complete = keys.iter().all(|key| self.rows.contains_key(key));
        self.record.failed =
            keys.iter().filter(|key| self.rows.get(*key).is_some_and(|rows| rows.iter().any(Row::failed))).count()
                as u64;
        self.record.complete = self.outcome.complete;
        self.record.finished = if self.outcome.complete { unix_seconds() } else { 0 };
        seedpress_results::write_run(&self.options.out, &self.record)?;
        Ok(self.outcome)
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
                if self.rows.contains_key(&row.key) {
                    // Still absent: the row is there, and the run still failed.
                    self.outcome.failed += 1;
                } else {
                    self.store(row.key.clone(), &what, vec![Row::Model(row)])?;
                }
            }
        }
        Ok(())
    }

    fn stopped(&mut self) -> bool {
        self.outcome.interrupted |= self.stop.load(Ordering::Relaxed);
        self.outcome.interrupted
    }

    /// Whether a cell needs no work: it has all its rows and none failed. Failed and torn cells are tried again.
    fn done(&self, key: &str) -> bool {
        let whole = |rows: &[Row]| match rows.first() {
            Some(Row::Model(row)) => row.cell_rows <= rows.len(),
            other => other.is_some(),
        };
        self.rows.get(key).is_some_and(|rows| whole(rows) && !rows.iter().any(Row::failed))
    }

    fn store(&mut self, key: String, what: &str, rows: Vec<Row>) -> Result<(), RunError> {
        seedpress_results::append(&self.options.out, &rows)?;
        self.outcome.measured += 1;
        if let Some(error) = rows.iter().find_map(Row::error) {
            self.outcome.failed += 1;
            self.progress.note(&format!("failed: {what}: {error}"));
        }
        self.rows.insert(key, rows);
        Ok(())
    }

    fn tensor_cell(&mut self, model: &Source, codec: &CodecRow, info: &TensorInfo) -> Result<(), RunError> {
        let key = self.matrix.tensor_key(codec, model, info);
        if self.done(&key) {
            self.outcome.resumed += 1;
            return Ok(());
        }
        let what = format!("{} on {}/{}", codec.name(), model.name, info.name);
        self.progress.working_on(&what);
        let chosen = self.chosen(model, codec, info);
        if chosen.is_err() && self.stopped() {
            return Ok(());
        }
        let mut row = TensorRow {
            key: key.clone(),
            codec: codec.name(),
            label: codec.label.clone(),
            codec_id: codec.codec.id().to_owned(),
            stage: codec.codec.stage().unwrap_or_default().to_owned(),
            options: codec.options(),
            model: model.name.clone(),
            synthetic: model.synthetic,
            tensor: info.name.clone(),
            layer_type: info.layer_type.clone(),
            shape: info.shape.clone(),
            dtype: info.dtype.name().to_owned(),
            weights: info.weights as u64,
            ..TensorRow::default()
        };
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(error) => {
                (row.status, row.error) = (Status::Failed, Some(one_line(&error)));
                return self.store(key, &what, vec![Row::Tensor(row)]);
            }
        };
        let (stored, kept_by) = self.matrix.stored_by(&chosen, info);
        let planned = (chosen.codec.name() != codec.codec.name()).then(|| chosen.codec.name());
        row.stored_by = kept_by.or(planned);
        let prepared = self.prepared(model, codec, stored, info);
        row.sequential = match &prepared {
            Ok(prepared) if codec.sequential => Some(prepared.corrected.is_some()),
            _ => None,
        };
        row.calibrated = matches!(&prepared, Ok(prepared) if prepared.calibration.is_some());
        let bench = Bench {
            registry: self.registry,
            encode_pool: &self.encode_pool,
            decode_pool: &self.decode_pool,
            encode_runs: self.matrix.run.encode_runs.size(),
            decode_runs: self.matrix.run.decode_runs.size(),
            calibration: None,
            corrected: None,
        };
        let measured = prepared.and_then(|prepared| {
            let bench =
                Bench { calibration: prepared.calibration.as_deref(), corrected: prepared.corrected.as_ref(), ..bench };
            let tensor = model.load(info)?;
            measure(bench, stored, &info.name, &tensor, &mut row).map_err(|error| error.to_string())
        });
        match measured {
            Ok(bytes) => self.options.cache.put(&self.record_key(codec, &chosen, model, info), &bytes),
            Err(error) => {
                row.status = Status::Failed;
                row.error = Some(one_line(&error));
            }
        }
        self.store(key, &what, vec![Row::Tensor(row)])
    }

    fn model_cell(&mut self, model: &Source, codec: &CodecRow) -> Result<(), RunError> {
        let key = self.matrix.model_key(codec, model);
        if self.done(&key) && !self.options.reevaluate {
            self.outcome.resumed += 1;
            return Ok(());
        }
        let what = format!("{} on {}", codec.name(), model.name);
        self.progress.working_on(&what);
        let tensor_rows = model.tensors.iter().filter_map(|info| {
            let rows = self.rows.get(&self.matrix.tensor_key(codec, model, info))?;
            rows.iter().find_map(|row| match row {
                Row::Tensor(row) if row.status == Status::Ok => {
                    Some(row.encode_seconds.iter().sum::<f64>() / row.encode_seconds.len() as f64)
                }
                _ => None,
            })
        });
        let encode_seconds: Vec<f64> = tensor_rows.collect();
        let blank = ModelRow {
            key: key.clone(),
            codec: codec.name(),
            label: codec.label.clone(),
            model: model.name.clone(),
            weights: model.weight_count(),
            source_bytes: model.source_bytes(),
            tensors_ok: encode_seconds.len() as u64,
            tensors: model.tensors.len() as u64,
            encode_seconds: vec![encode_seconds.iter().sum()],
            threads: self.encode_pool.current_num_threads(),
            ..ModelRow::default()
        };
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.whole_model(model, codec, &blank)));
        let rows = match attempt.unwrap_or_else(|payload| Err(format!("panic: {}", panic_text(payload.as_ref())))) {
            Ok(rows) => rows,
            Err(error) => vec![ModelRow { status: Status::Failed, error: Some(one_line(&error)), ..blank }],
        };
        self.store(key, &what, rows.into_iter().map(Row::Model).collect())
    }

    /// Writes the container, decodes the model from its bytes and evaluates what came back.
    fn whole_model(&mut self, model: &Source, codec: &CodecRow, blank: &ModelRow) -> Result<Vec<ModelRow>, String> {
        let followed = |info: &TensorInfo| {
            let rows = self.rows.get(&self.matrix.tensor_key(codec, model, info));
            rows.into_iter().flatten().any(|row| matches!(row, Row::Tensor(row) if row.sequential == Some(true)))
        };
        if codec.sequential && blank.tensors_ok == blank.tensors && !model.tensors.iter().any(followed) {
            return Err(NOT_FOLLOWED.to_owned());
        }
        if blank.tensors_ok < blank.tensors {
            return Err(format!("{} of {} tensors failed", blank.tensors - blank.tensors_ok, blank.tensors));
        }
        let mut entries = Vec::with_capacity(model.tensors.len());
        for info in &model.tensors {
            entries.push((info.name.clone(), Entry::Record(self.record(model, codec, info)?)));
        }
        entries.extend(model.opaque_entries()?);
        let container = Container { order: Order::QualityMajor, entries, ..Container::default() }.to_bytes();
        let start = Instant::now();
        let view = ContainerView::parse(&container).map_err(|error| error.to_string())?;
        let registry = self.registry;
        let decoded: Result<Vec<Tensor>, String> = self.encode_pool.install(|| {
            let decode = |entry: &seedpress_checkpoint::EntryView<'_>| {
                // One tensor may take what the whole file may: a constant tensor is legitimately a few bytes.
                let decoded = entry.decode(registry, None, &mut Limits::for_input(container.len()));
                decoded.map(|decoded| decoded.tensor).map_err(|error| error.to_string())
            };
            view.entries[..model.tensors.len()].par_iter().map(decode).collect()
        });
        let decoded = decoded?;
        let done = ModelRow {
            bytes: container.len() as u64,
            decode_seconds: vec![start.elapsed().as_secs_f64()],
            ..blank.clone()
        };
        if !self.matrix.run.evaluate || !model.has_metric() {
            return Ok(vec![done]);
        }
        let baseline = self.baselines.entry(model.name.clone()).or_insert_with(|| model.evaluate(None)).clone()?;
        let compressed = model.evaluate(Some(decoded))?;
        let cell_rows = compressed.len();
        let rows = compressed.into_iter().map(|metric| {
            let before = baseline.iter().find(|other| other.name == metric.name);
            ModelRow {
                metric: metric.name.to_owned(),
                higher_is_better: metric.higher_is_better,
                baseline: before.map(|metric| metric.value),
                baseline_interval: before.map(|metric| metric.interval),
                compressed: Some(metric.value),
                interval: Some(metric.interval),
                samples: metric.samples,
                cell_rows,
                ..done.clone()
            }
        });
        Ok(rows.collect())
    }

    /// The row that stores a tensor: for a plan, the codec it chose.
    fn chosen(&mut self, model: &Source, codec: &CodecRow, info: &TensorInfo) -> Result<CodecRow, String> {
        let Some(options) = seedpress_plan::Options::of(&codec.codec) else { return Ok(codec.clone()) };
        let place = (model.name.clone(), codec.name());
        if !self.plans.contains_key(&place) {
            let progress = Mutex::new(&mut self.progress);
            let said = |done: usize, total: usize, what: &str| {
                if let Ok(mut progress) = progress.lock() {
                    progress.working_on(&format!("plan for {} ({done} of {total}): {what}", model.name));
                }
            };
            let context = seedpress_plan::Context {
                registry: self.registry,
                store: &self.options.cache,
                progress: &said,
                stop: self.stop,
            };
            // A search encodes and runs models as often as all cells together: on the threads that the run may use, no others.
            let (matrix, out) = (self.matrix, &self.options.out);
            let made = self.encode_pool.install(|| planning::make(model, codec, &options, matrix, &context, out));
            self.plans.insert(place.clone(), made);
        }
        let plan = self.plans[&place].as_ref().map_err(String::clone)?;
        let choice = plan.get(&info.name).cloned();
        Ok(choice.map_or_else(|| codec.clone(), |choice| CodecRow { codec: choice, ..codec.clone() }))
    }

    fn record_key(&self, row: &CodecRow, chosen: &CodecRow, model: &Source, info: &TensorInfo) -> String {
        match row.sequential {
            true => self.matrix.sequential_record_key(row, model, info),
            false => self.matrix.record_key(chosen, model, info),
        }
    }

    /// A tensor's record: from the cache, or encoded again where the cache was cleared between runs.
    fn record(&mut self, model: &Source, codec: &CodecRow, info: &TensorInfo) -> Result<Record, String> {
        let chosen = self.chosen(model, codec, info)?;
        let key = self.record_key(codec, &chosen, model, info);
        if let Some(record) = self.options.cache.get(&key).and_then(|bytes| Record::parse(&bytes).ok()) {
            return Ok(record);
        }
        let (stored, _) = self.matrix.stored_by(&chosen, info);
        let Prepared { corrected, calibration } = self.prepared(model, codec, stored, info)?;
        let tensor = corrected.map_or_else(|| model.load(info), Ok)?;
        let calibration = calibration.as_deref();
        let context = EncodeContext { calibration, ..EncodeContext::default() };
        let record = self.encode_pool.install(|| stored.encode(&tensor.view(&info.name), &context));
        let record = record.map_err(|error| error.to_string())?;
        self.options.cache.put(&key, &record.to_bytes());
        Ok(record)
    }

    /// What an encoder gets besides, or in place of, the tensor.
    fn prepared<'m>(
        &mut self,
        model: &'m Source,
        row: &CodecRow,
        stored: &AnyCodec,
        info: &TensorInfo,
    ) -> Result<Prepared<'m>, String> {
        let once = || {
            let calibration = calibration(model, stored, info)?.map(Cow::Borrowed);
            Ok(Prepared { corrected: None, calibration })
        };
        if !row.sequential || self.matrix.run.keeps(&info.shape, info.weights) {
            return once();
        }
        if !model.can_be_followed()? {
            return Err(NOT_FOLLOWED.to_owned());
        }
        self.decode_before(model, row, info)?;
        let Some(behind) = self.encode_pool.install(|| model.behind(info, &self.decoded.1))? else { return once() };
        let corrected = behind.corrected(&model.load(info)?).map_err(|error| error.to_string())?;
        Ok(Prepared { corrected, calibration: Some(Cow::Owned(behind.inputs().clone())) })
    }

    /// Decodes all tensors before one in a sequential row, in order, from their records.
    fn decode_before(&mut self, model: &Source, row: &CodecRow, info: &TensorInfo) -> Result<(), String> {
        let wanted = model.tensors.iter().take_while(|other| other.name != info.name).count();
        let place = (model.name.clone(), row.name());
        if self.decoded.0 != place || self.decoded.1.len() > wanted {
            self.decoded = (place, Vec::new());
        }
        while self.decoded.1.len() < wanted {
            // A record needs only those before it, which are in place by now.
            let record = self.record(model, row, &model.tensors[self.decoded.1.len()])?;
            let decoded = self.registry.decode_bytes(&record.to_bytes()).map_err(|error| error.to_string())?;
            self.decoded.1.push(decoded.tensor);
        }
        Ok(())
    }
}

/// A sequential row of such a model would be a copy of the plain one.
const NOT_FOLLOWED: &str = "`sequential` does not apply: the inputs of this model's layers cannot be followed";

/// What an encoder is told.
struct Prepared<'m> {
    /// What the tensor should be behind the compressed ones before it.
    corrected: Option<Tensor>,
    calibration: Option<Cow<'m, InputStatistics>>,
}

/// What an encoder is told of a tensor's inputs: nothing, unless it uses that.
fn calibration<'m>(
    model: &'m Source,
    codec: &AnyCodec,
    info: &TensorInfo,
) -> Result<Option<&'m InputStatistics>, String> {
    let capabilities = codec.capabilities();
    if capabilities.uses_calibration { model.calibration(info) } else { Ok(None) }
}

/// Rows of an earlier run that this matrix still asks for. The file is rewritten without the others and without a torn last line;
/// superseded rows move to `superseded.jsonl`, so that an edited config destroys no measurement.
fn stored_rows(matrix: &Matrix, options: &Options) -> Result<HashMap<String, Vec<Row>>, RunError> {
    let path = options.out.join("results.jsonl");
    let mut rows: HashMap<String, Vec<Row>> = HashMap::new();
    if !path.exists() {
        return Ok(rows);
    }
    let asked: HashSet<String> = keys(matrix).into_iter().collect();
    let stored = seedpress_results::read_stored(&options.out)?;
    if let Some(complaint) = stored.complaint() {
        let aside = options.out.join("unreadable.txt");
        let text: Vec<u8> = stored.unreadable.iter().flat_map(|(_, line)| line).copied().collect();
        append_aside(&aside, &text)?;
        eprintln!("note: {complaint}; they moved to unreadable.txt");
    }
    let (kept, superseded): (Vec<Row>, Vec<Row>) =
        stored.rows.into_iter().partition(|row| !options.fresh && asked.contains(row.key()));
    if !superseded.is_empty() {
        let mut text = Vec::new();
        for row in &superseded {
            text.extend(serde_json::to_vec(row).unwrap_or_default());
            text.push(b'\n');
        }
        let aside = options.out.join("superseded.jsonl");
        append_aside(&aside, &text)?;
        eprintln!("note: {} rows that this run does not ask for moved to superseded.jsonl", superseded.len());
    }
    seedpress_results::replace_rows(&options.out, &kept)?;
    for row in kept {
        rows.entry(row.key().to_owned()).or_default().push(row);
    }
    Ok(rows)
}

/// Keeps what a run moves out of `results.jsonl`.
fn append_aside(path: &Path, text: &[u8]) -> Result<(), RunError> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, text))
        .map_err(|source| RunError::Folder { path: path.to_owned(), source })
}

/// The key of every cell.
fn keys(matrix: &Matrix) -> Vec<String> {
    let of_model = |row| {
        let absent = matrix.absent.iter().map(move |(model, _)| matrix.absent_key(row, model));
        let cells = matrix.models.iter().flat_map(move |model| {
            let tensors = model.tensors.iter().map(move |info| matrix.tensor_key(row, model, info));
            tensors.chain([matrix.model_key(row, model)])
        });
        cells.chain(absent)
    };
    matrix.codecs.iter().flat_map(of_model).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
