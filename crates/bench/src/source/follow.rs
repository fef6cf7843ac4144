//! Statistics behind compressed tensors: one walk serves a sequential row.

use seedpress_model::{Mode, Statistics};

use super::following::{Following, Hashed};
use super::{Source, TensorInfo};

impl Source {
    /// Whether the model's data can be followed through its layers: without that there are no sequential rows.
    ///
    /// # Errors
    /// Calibration data that cannot be read.
    pub fn can_be_followed(&self) -> Result<bool, String> {
        self.model().map_or(Ok(false), |model| model.can_be_calibrated().map_err(|error| error.to_string()))
    }

    /// Statistics of what a tensor multiplies where `before` stand in place of the first tensors; `None` for a tensor that is
    /// not a layer's weight and where the model cannot [be followed](Self::can_be_followed).
    ///
    /// One walk serves a row: asked for tensor after tensor, in order, each block is run a few times, whatever is before it.
    ///
    /// # Errors
    /// Calibration data that cannot be read.
    pub fn behind(&self, info: &TensorInfo, before: &[Hashed]) -> Result<Option<Statistics>, String> {
        let Some(model) = self.model() else { return Ok(None) };
        if !self.can_be_followed()? {
            return Ok(None);
        }
        let said = |error: seedpress_model::ModelError| error.to_string();
        let mut following = self.following.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Another row, or an earlier tensor of this one: from the start.
        let fits = |known: &Following| {
            known.taken.len() <= before.len()
                && known.taken.iter().zip(before).all(|(taken, tensor)| *taken == tensor.hash)
        };
        let mut known = match following.take().filter(fits) {
            Some(known) => known,
            None => Following { walk: model.walk(Mode::Sequential).map_err(said)?, taken: Vec::new() },
        };
        for (Hashed { tensor, hash }, info) in before.iter().zip(&self.tensors).skip(known.taken.len()) {
            if self.in_file(info.place).is_none() {
                known.walk.compressed(info.place, tensor).map_err(said)?;
            }
            known.taken.push(hash.clone());
        }
        let found = match self.in_file(info.place) {
            Some(_) => None,
            None => known.walk.statistics(info.place).map_err(said)?,
        };
        *following = Some(known);
        Ok(found)
    }
}
