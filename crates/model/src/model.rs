//! A network with its weights and its data.

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use seedpress_codec::Tensor;

use crate::block_weights::BlockWeights;
use crate::data::{Evaluation, Samples, Scorer};
use crate::error::ModelError;
use crate::metric::Metric;
use crate::network::{Hidden, Network, NoTap};
use crate::outputs::Outputs;
use crate::run::{run, states};
use crate::tensor::TensorInfo;
use crate::walk::{Mode, RowWeights, Statistics, Walk};
use crate::weights::{Replaced, Weights};

/// The data of a model: read when it is first asked for.
pub trait DataSets: Send + Sync {
    /// Inputs to gather statistics from; `None` where there are none.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(None)
    }

    /// Inputs whose answers tell how far weights have moved a model, for decisions that must not be tuned on held-out data. By default
    /// those that calibrate.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn probe(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        self.calibration()
    }

    /// Rows of inputs louder than this many times the median of their batch count no more than that; `None` takes all as they are. For
    /// data with outliers that would be all that calibration sees, as the first position of a language model.
    fn loudest(&self) -> Option<f32> {
        None
    }

    /// How much each row of the calibration data's inputs counts; `None` where all count alike.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn row_weights(&self) -> Result<Option<Arc<dyn RowWeights>>, ModelError> {
        Ok(None)
    }

    /// Held-out data; `None` where there is no task.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        Ok(None)
    }
}

/// No data at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoData;

impl DataSets for NoData {}

/// Samples with what the uncompressed model says of them.
type Asked = (Box<dyn Samples>, Vec<Outputs>);

/// Read once; the message of what failed is kept.
type Once<T> = OnceLock<Result<Option<T>, String>>;

/// A model that runs.
pub struct Model {
    name: String,
    tensors: Vec<TensorInfo>,
    network: Arc<dyn Network>,
    weights: Arc<dyn Weights>,
    data: Box<dyn DataSets>,
    calibration: Once<Box<dyn Samples>>,
    /// With the uncompressed model's answers.
    probe: Once<Asked>,
    evaluation: Once<Box<dyn Evaluation>>,
    /// What the uncompressed model says of the held-out data, where its weights are resident.
    answers: OnceLock<Vec<Outputs>>,
    /// Where they are not: its states before the last block.
    states: OnceLock<Vec<Hidden>>,
    /// What it achieves.
    own: OnceLock<Vec<Metric>>,
}

/// Batches whose answers are held together at the most, where answers of all data are not: those of a language model are large.
const TOGETHER: usize = 4;

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Model({}, {} tensors)", self.name, self.tensors().len())
    }
}

impl Model {
    /// A model of a network, its weights and its data.
    pub fn new(
        name: impl Into<String>,
        network: Box<dyn Network>,
        weights: Box<dyn Weights>,
        data: Box<dyn DataSets>,
    ) -> Self {
        let mut tensors = network.tensors().to_vec();
        for (tensor, info) in tensors.iter_mut().enumerate() {
            info.dtype = weights.dtype(tensor).unwrap_or(info.dtype);
        }
        Self {
            name: name.into(),
            tensors,
            network: network.into(),
            weights: weights.into(),
            data,
            calibration: OnceLock::new(),
            probe: OnceLock::new(),
            evaluation: OnceLock::new(),
            answers: OnceLock::new(),
            states: OnceLock::new(),
            own: OnceLock::new(),
        }
    }

    /// The name in rows and reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tensors in the order of the network, with the types that the weights have at their source.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Number of weights in all tensors.
    pub fn weight_count(&self) -> u64 {
        self.tensors().iter().map(|info| info.weights() as u64).sum()
    }

    /// The network.
    pub fn network(&self) -> &dyn Network {
        self.network.as_ref()
    }

    /// The weights.
    pub fn weights(&self) -> &dyn Weights {
        self.weights.as_ref()
    }

    /// One tensor.
    ///
    /// # Errors
    /// As [`Weights::load`].
    pub fn load(&self, tensor: usize) -> Result<Tensor, ModelError> {
        Ok(self.weights.load(tensor)?.into_owned())
    }

    /// Whether statistics of inputs can be gathered, plain and sequential: whether there is calibration data.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub fn can_be_calibrated(&self) -> Result<bool, ModelError> {
        Ok(self.calibration()?.is_some())
    }

    /// A walk through the network over its calibration data.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] without such data.
    pub fn walk(&self, mode: Mode) -> Result<Walk, ModelError> {
        let samples = self.calibration()?.ok_or_else(|| self.lacks("calibration data"))?;
        let walk = Walk::new(self.network.clone(), self.weights.clone(), samples, mode)?;
        let walk = match self.data.loudest() {
            Some(times) => walk.capped(times),
            None => walk,
        };
        Ok(match self.data.row_weights()? {
            Some(weights) => walk.weighted(weights),
            None => walk,
        })
    }

    /// Statistics of every tensor's inputs in the model as it is, `None` for those that are not a layer's weight: a plain [`walk`](Self::walk)
    /// to its end, all kept.
    ///
    /// # Errors
    /// As [`walk`](Self::walk).
    pub fn statistics(&self) -> Result<Vec<Option<Statistics>>, ModelError> {
        let mut walk = self.walk(Mode::Plain)?;
        let mut found = vec![None; self.tensors().len()];
        for tensor in Walk::order(self.network()) {
            found[tensor] = walk.statistics(tensor)?;
        }
        Ok(found)
    }

    /// Whether [`divergence`](Self::divergence) can be measured.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub fn has_divergence(&self) -> Result<bool, ModelError> {
        Ok(self.probe()?.is_some())
    }

    /// How far the answers move with tensors in place of the model's own: the mean of [`Outputs::divergences`] over the data of
    /// [`DataSets::probe`].
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] without such data, tensors that do not fit.
    pub fn divergence<'a>(&'a self, given: impl IntoIterator<Item = (usize, &'a Tensor)>) -> Result<f64, ModelError> {
        let given = self.replaced(given)?;
        let (samples, own) = self.probe()?.ok_or_else(|| self.lacks("answers on calibration data"))?;
        let (mut sum, mut count) = (0.0, 0u64);
        run(self.network(), &given, samples.as_ref(), &mut |batch, outputs| {
            let divergences = own[batch].divergences(&outputs);
            sum += divergences.iter().sum::<f64>();
            count += divergences.len() as u64;
            Ok(())
        })?;
        Ok(sum / count as f64)
    }

    /// Whether there is a task to evaluate on.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub fn has_task(&self) -> Result<bool, ModelError> {
        Ok(self.evaluation()?.is_some())
    }

    /// The metrics on held-out data with tensors in place of the model's own: the task's first, then those that compare with the model
    /// as it is.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] without a task, tensors that do not fit.
    pub fn evaluate<'a>(
        &'a self,
        given: impl IntoIterator<Item = (usize, &'a Tensor)>,
    ) -> Result<Vec<Metric>, ModelError> {
        let evaluation = self.evaluation()?.ok_or_else(|| self.lacks("metric"))?;
        // Equal weights give equal answers: lossless rows cost nothing.
        let mut changed = Vec::new();
        for (tensor, values) in given {
            if *self.weights.load(tensor)? != *values {
                changed.push((tensor, values));
            }
        }
        if let (true, Some(metrics)) = (changed.is_empty(), self.own.get()) {
            return Ok(metrics.clone());
        }
        let own = changed.is_empty();
        let given = self.replaced(changed)?;
        let mut scorer = evaluation.scorer();
        if let Some(original) = self.answers(evaluation)? {
            run(self.network(), &given, evaluation.samples(), &mut |batch, outputs| {
                scorer.add(batch, &original[batch], &outputs)
            })?;
        } else {
            self.compare(&given, evaluation.samples(), scorer.as_mut())?;
        }
        let metrics = scorer.finish()?;
        Ok(if own { self.own.get_or_init(|| metrics).clone() } else { metrics })
    }

    /// Scores both models a few batches at a time: their answers need not fit memory together. States before the last block, which makes
    /// answers of them, are held for all data; those of the model as it is are kept for the next comparison.
    fn compare(
        &self,
        given: &dyn Weights,
        samples: &dyn Samples,
        scorer: &mut (dyn Scorer + '_),
    ) -> Result<(), ModelError> {
        let (network, last) = (self.network(), self.network.blocks().saturating_sub(1));
        let batches: Vec<usize> = (0..samples.batches()).collect();
        let original = match self.states.get() {
            Some(states) => states,
            None => {
                let states = states(network, self.weights(), samples, &batches, last)?;
                self.states.get_or_init(|| states)
            }
        };
        let moved = states(network, given, samples, &batches, last)?;
        let load = |weights| BlockWeights::load(network, last, weights);
        let (own, other) = (load(self.weights())?, load(given)?);
        let together = rayon::current_num_threads().clamp(1, TOGETHER);
        for batches in batches.chunks(together) {
            let answer = |weights: &BlockWeights<'_>, state: &Hidden, batch| -> Result<Outputs, ModelError> {
                let state = network.step(last, weights, state, &mut NoTap)?;
                Ok(samples.counted(batch, network.finish(state)?))
            };
            let both =
                |&batch: &usize| Ok((answer(&own, &original[batch], batch)?, answer(&other, &moved[batch], batch)?));
            let said = batches.par_iter().map(both).collect::<Result<Vec<_>, ModelError>>()?;
            for (&batch, (own, other)) in batches.iter().zip(&said) {
                scorer.add(batch, own, other)?;
            }
        }
        Ok(())
    }

    /// What the model as it is says of held-out data, where its weights lie in memory and its answers therefore may, too.
    fn answers(&self, evaluation: &dyn Evaluation) -> Result<Option<&Vec<Outputs>>, ModelError> {
        if !self.weights.resident() {
            return Ok(None);
        }
        if let Some(answers) = self.answers.get() {
            return Ok(Some(answers));
        }
        let answers = self.ask(evaluation.samples())?;
        Ok(Some(self.answers.get_or_init(|| answers)))
    }

    /// What the model as it is says.
    fn ask(&self, samples: &dyn Samples) -> Result<Vec<Outputs>, ModelError> {
        let mut answers = Vec::with_capacity(samples.batches());
        run(self.network(), self.weights(), samples, &mut |_, outputs| {
            answers.push(outputs);
            Ok(())
        })?;
        Ok(answers)
    }

    fn replaced<'a>(
        &'a self,
        given: impl IntoIterator<Item = (usize, &'a Tensor)>,
    ) -> Result<Replaced<'a>, ModelError> {
        let given: Vec<_> = given.into_iter().collect();
        for (tensor, values) in &given {
            let Some(info) = self.tensors().get(*tensor) else { return Err(self.lacks("tensor of that number")) };
            if info.shape != values.shape() {
                let what = format!("has shape {:?}, not {:?}", values.shape(), info.shape);
                return Err(ModelError::Weights { tensor: info.name.clone(), what });
            }
        }
        Ok(Replaced::new(self.weights(), given))
    }

    fn calibration(&self) -> Result<Option<&dyn Samples>, ModelError> {
        let read = self.calibration.get_or_init(|| self.data.calibration().map_err(|error| error.to_string()));
        Ok(known(read)?.map(|samples| samples.as_ref()))
    }

    fn probe(&self) -> Result<Option<&Asked>, ModelError> {
        let ask = |samples: Box<dyn Samples>| self.ask(samples.as_ref()).map(|own| (samples, own));
        let read = || self.data.probe()?.map(ask).transpose();
        known(self.probe.get_or_init(|| read().map_err(|error: ModelError| error.to_string())))
    }

    fn evaluation(&self) -> Result<Option<&dyn Evaluation>, ModelError> {
        let read = self.evaluation.get_or_init(|| self.data.evaluation().map_err(|error| error.to_string()));
        Ok(known(read)?.map(|evaluation| evaluation.as_ref()))
    }

    fn lacks(&self, what: &'static str) -> ModelError {
        ModelError::Unsupported { model: self.name.clone(), what }
    }
}

fn known<T>(read: &Result<Option<T>, String>) -> Result<Option<&T>, ModelError> {
    read.as_ref().map(Option::as_ref).map_err(|message| ModelError::Data(message.clone()))
}
