//! What a layer's inputs are known to be.

use seedpress_calibration::InputStatistics;
use seedpress_codec::EncodeContext;

/// The statistics of the inputs, where there are some for this many columns.
pub(crate) fn statistics<'a>(context: &EncodeContext<'a>, columns: usize) -> Option<&'a InputStatistics> {
    context.calibration.filter(|statistics| statistics.columns() == columns)
}
