//! What a configured codec can do.

/// What a configured codec can do: asked, never discovered by failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Uses [`InputStatistics`](crate::InputStatistics) where it is given.
    pub uses_calibration: bool,
    /// Writes several layers, each of which refines the ones before.
    pub progressive: bool,
    /// Decodes to exactly the input (for an `f32` source).
    pub lossless: bool,
    /// Has the common option `bits`: a target in bits per weight.
    pub targets_bits: bool,
    /// Scales, where there are any, belong to blocks of at most 256 weights and reach any magnitude: an outlier harms its own block only.
    /// Other codecs have outliers set aside before they see a tensor.
    pub local_scales: bool,
    /// What is far below the tensor's scale comes back as zeros, or as it was, whatever the tensor's shape. Other codecs have rows of
    /// such weights noted, which come back as zeros.
    pub keeps_zeros: bool,
    /// Uses calibration, with one step for all weights and as many bits for each as it needs: where statistics say how much each
    /// [output](seedpress_calibration::OutputWeights) counts, rows that count less are brought down before the codec sees them.
    pub one_step: bool,
}
