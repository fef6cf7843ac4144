//! What a row stores for each tensor: chosen by the row or by its plan, encoded once and kept in the cache.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::ThreadPool;
use seedpress_codec::{AnyCodec, EncodeContext, InputStatistics, Record, Registry, Tensor};
use seedpress_transformer::calibration_text::Step;

use crate::cache::Cache;
use crate::config::CodecRow;
use crate::draws;
use crate::matrix::Matrix;
use crate::planning;
use crate::progress::Progress;
use crate::source::{Hashed, Source, TensorInfo};

/// A sequential row of such a model would be a copy of the plain one.
pub(crate) const NOT_FOLLOWED: &str =
    "`sequential` does not apply: the inputs of this model's layers cannot be followed";

/// What an encoder is told.
pub(crate) struct Prepared {
    /// What the tensor should be behind the compressed ones before it.
    pub(crate) corrected: Option<Tensor>,
    pub(crate) calibration: Option<Arc<InputStatistics>>,
    /// Rows that reached the tensor itself, where others stood in for them.
    pub(crate) scarce: Option<u64>,
}

/// Tensors by model, row and draw, as a sequential row decodes them.
type Decoded = ((String, String, u64), Vec<Hashed>);

pub(crate) struct Records<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) registry: &'a Registry,
    pub(crate) cache: &'a Cache,
    /// Where plans are written down.
    pub(crate) out: &'a Path,
    /// Where encoders, searches and walks run.
    pub(crate) pool: ThreadPool,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a AtomicBool,
    /// Which weights are encoded: 0 for those of the model, 1, 2, .. for [draws](crate::draws) near them.
    draw: u64,
    /// What plans chose, by model and row: a codec for each tensor that is not kept.
    plans: HashMap<(String, String), Result<HashMap<String, AnyCodec>, String>>,
    /// The first tensors of a model as a sequential row stores them.
    decoded: Decoded,
}

impl<'a> Records<'a> {
    pub(crate) fn new(
        matrix: &'a Matrix,
        registry: &'a Registry,
        (cache, out): (&'a Cache, &'a Path),
        pool: ThreadPool,
        progress: &'a dyn Progress,
        stop: &'a AtomicBool,
    ) -> Self {
        let (plans, decoded) = (HashMap::new(), Default::default());
        Self { matrix, registry, cache, out, pool, progress, stop, draw: 0, plans, decoded }
    }

    /// What the file of a draw decodes to, as [`record`](Self::record) makes that of the model.
    pub(crate) fn drawn(&mut self, model: &Source, codec: &CodecRow, draw: u64) -> Result<Vec<Tensor>, String> {
        self.draw = draw;
        let made: Result<Vec<_>, String> = model.tensors.iter().map(|info| self.record(model, codec, info)).collect();
        self.draw = 0;
        let decode = |record: Record| self.registry.decode_bytes(&record.to_bytes()).map(|decoded| decoded.tensor);
        made?.into_iter().map(decode).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The row that stores a tensor: for a plan, the codec it chose.
    pub(crate) fn chosen(&mut self, model: &Source, codec: &CodecRow, info: &TensorInfo) -> Result<CodecRow, String> {
        let Some(options) = seedpress_plan::Options::of(&codec.codec) else { return Ok(codec.clone()) };
        let place = (model.name.clone(), codec.name());
        if !self.plans.contains_key(&place) {
            let progress = self.progress;
            let said = |done: usize, total: usize, what: &str| {
                progress.working_on(&format!("plan for {} ({done} of {total}): {what}", model.name));
            };
            let context = seedpress_plan::Context {
                registry: self.registry,
                store: self.cache,
                progress: &said,
                stop: self.stop,
            };
            // A search encodes and runs models as often as all cells together: on the threads that the run may use, no others.
            let (matrix, out) = (self.matrix, self.out);
            let made = self.pool.install(|| planning::make(model, codec, &options, matrix, &context, out));
            self.plans.insert(place.clone(), made);
        }
        let plan = self.plans[&place].as_ref().map_err(String::clone)?;
        let choice = plan.get(&info.name).cloned();
        Ok(choice.map_or_else(|| codec.clone(), |choice| CodecRow { codec: choice, ..codec.clone() }))
    }

    /// Keeps the bytes that a cell was measured with.
    pub(crate) fn keep(&self, model: &Source, row: &CodecRow, chosen: &CodecRow, info: &TensorInfo, bytes: &[u8]) {
        self.cache.put(&self.record_key(row, chosen, model, info), bytes);
    }

    fn record_key(&self, row: &CodecRow, chosen: &CodecRow, model: &Source, info: &TensorInfo) -> String {
        let key = match row.sequential {
            true => self.matrix.sequential_record_key(row, model, info),
            false => self.matrix.record_key(chosen, model, info),
        };
        if self.draw == 0 { key } else { format!("{key}-{}", self.draw) }
    }

    /// A tensor's record: from the cache, or encoded again where the cache was cleared between runs.
    pub(crate) fn record(&mut self, model: &Source, codec: &CodecRow, info: &TensorInfo) -> Result<Record, String> {
        let chosen = self.chosen(model, codec, info)?;
        let key = self.record_key(codec, &chosen, model, info);
        if let Some(record) = self.cache.get(&key).and_then(|bytes| Record::parse(&bytes).ok()) {
            return Ok(record);
        }
        let (stored, _) = self.matrix.stored_by(&chosen, info);
        let Prepared { corrected, calibration, .. } = self.prepared(model, codec, stored, info)?;
        let mut tensor = corrected.map_or_else(|| model.load(info), Ok)?;
        if self.draw > 0 && !self.matrix.run.keeps(&info.shape, info.weights) {
            tensor = draws::moved(&tensor, &info.name, self.draw)?;
        }
        let context = EncodeContext { calibration: calibration.as_deref(), ..EncodeContext::default() };
        let record = self.pool.install(|| stored.encode(&tensor.view(&info.name), &context));
        let record = record.map_err(|error| error.to_string())?;
        self.cache.put(&key, &record.to_bytes());
        Ok(record)
    }

    /// What an encoder gets besides, or in place of, the tensor.
    pub(crate) fn prepared(
        &mut self,
        model: &Source,
        row: &CodecRow,
        stored: &AnyCodec,
        info: &TensorInfo,
    ) -> Result<Prepared, String> {
        let told = stored.capabilities().uses_calibration;
        if told || row.sequential {
            self.weigh(model)?;
        }
        let once = || {
            let statistics = if told { model.statistics(info)? } else { None };
            let calibration = statistics.map(|statistics| statistics.inputs().clone());
            let scarce = statistics.and_then(seedpress_model::Statistics::scarce);
            Ok(Prepared { corrected: None, calibration, scarce })
        };
        if !row.sequential || self.matrix.run.keeps(&info.shape, info.weights) {
            return once();
        }
        if !model.can_be_followed()? {
            return Err(NOT_FOLLOWED.to_owned());
        }
        self.decode_before(model, row, info)?;
        let Some(behind) = self.pool.install(|| model.behind(info, &self.decoded.1))? else { return once() };
        let corrected = behind.corrected(&model.load(info)?).map_err(|error| error.to_string())?;
        let scarce = behind.scarce();
        Ok(Prepared { corrected, calibration: Some(behind.inputs().clone()), scarce })
    }

    /// Finds out how much each token of a language model's calibration text counts, or reads what is known of it: once a model.
    fn weigh(&self, model: &Source) -> Result<(), String> {
        let Some(text) = model.weighted_text() else { return Ok(()) };
        let mut watch = |step: Step<'_>| {
            if let Step::Weighed(done, count) = step {
                self.progress.working_on(&format!("{}: weighed {done} of {count} sequences", model.name));
            }
            !self.stopped()
        };
        let found = self.pool.install(|| text.importances(self.cache, &mut watch));
        found.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Decodes all tensors before one in a sequential row, in order, from their records.
    fn decode_before(&mut self, model: &Source, row: &CodecRow, info: &TensorInfo) -> Result<(), String> {
        let wanted = model.tensors.iter().take_while(|other| other.name != info.name).count();
        let place = (model.name.clone(), row.name(), self.draw);
        if self.decoded.0 != place || self.decoded.1.len() > wanted {
            self.decoded = (place, Vec::new());
        }
        while self.decoded.1.len() < wanted {
            // A record needs only those before it, which are in place by now.
            let record = self.record(model, row, &model.tensors[self.decoded.1.len()])?;
            let decoded = self.registry.decode_bytes(&record.to_bytes()).map_err(|error| error.to_string())?;
            self.decoded.1.push(decoded.tensor.into());
        }
        Ok(())
    }
}
