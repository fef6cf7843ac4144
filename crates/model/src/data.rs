//! Data sets, apart from networks: what calibrates, what measures.

use std::fmt::Debug;

use crate::error::ModelError;
use crate::metric::Metric;
use crate::network::Hidden;
use crate::outputs::Outputs;

/// Inputs of a network, in batches.
pub trait Samples: Debug + Send + Sync {
    /// Number of batches.
    fn batches(&self) -> usize;

    /// The inputs of one batch.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn batch(&self, index: usize) -> Result<Hidden, ModelError>;

    /// The answers to a batch that count: all, unless some were given with too little context.
    fn counted(&self, index: usize, outputs: Outputs) -> Outputs {
        let _ = index;
        outputs
    }
}

impl Samples for Vec<Hidden> {
    fn batches(&self) -> usize {
        self.len()
    }

    fn batch(&self, index: usize) -> Result<Hidden, ModelError> {
        let batch = self.get(index).cloned();
        batch.ok_or_else(|| ModelError::Data(format!("batch {index} of {}", self.len())))
    }
}

/// Held-out data with what is asked of a model that reads it.
pub trait Evaluation: Debug + Send + Sync {
    /// The inputs. They share nothing with what calibrates.
    fn samples(&self) -> &dyn Samples;

    /// Begins an evaluation.
    fn scorer(&self) -> Box<dyn Scorer + '_>;
}

/// Sums up what a model says.
pub trait Scorer {
    /// The answers to one batch, of the uncompressed model and of the one that is measured. Called for every batch, in order.
    ///
    /// # Errors
    /// Answers of another kind than expected.
    fn add(&mut self, batch: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError>;

    /// The metrics: the task's first, then those that compare with the uncompressed model.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError>;
}
