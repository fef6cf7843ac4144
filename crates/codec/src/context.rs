//! What the caller of an encoder may hand in beside the tensor.

use std::sync::atomic::{AtomicBool, Ordering};

use seedpress_calibration::InputStatistics;

use crate::error::EncodeError;

/// What to do with NaN and infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NonFinite {
    /// Keep them bit for bit in a side channel; the codec sees zeros in their place.
    #[default]
    Keep,
    /// Refuse the tensor.
    Reject,
}

/// Everything an encoder may use that is not part of the configuration and never reaches the wire.
///
/// Threads are rayon's: an encoder uses the pool it is called in, and its bytes must not depend on the pool's size.
#[derive(Clone, Copy, Default)]
pub struct EncodeContext<'a> {
    /// Input statistics, for codecs that weigh errors.
    pub calibration: Option<&'a InputStatistics>,
    /// What to do with NaN and infinity.
    pub non_finite: NonFinite,
    /// Bytes that the record takes to note the rows that were halved for the codec ([`Capabilities::one_step`](crate::Capabilities::one_step)):
    /// a target of bits includes them. Set by [`AnyCodec::encode`](crate::AnyCodec::encode).
    pub noted: usize,
    /// Called with the number of weights finished since the last call.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Set by the caller to stop early.
    pub cancel: Option<&'a AtomicBool>,
}

impl EncodeContext<'_> {
    /// Fails where the caller asked to stop. Call it once per few milliseconds of work.
    ///
    /// # Errors
    /// [`EncodeError::Cancelled`].
    pub fn check_cancelled(&self) -> Result<(), EncodeError> {
        match self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(EncodeError::Cancelled),
            _ => Ok(()),
        }
    }

    /// Reports `weights` more weights as finished.
    pub fn advance(&self, weights: usize) {
        if let Some(progress) = self.progress {
            progress(weights as u64);
        }
    }
}
