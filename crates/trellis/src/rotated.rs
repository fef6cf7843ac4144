//! A tensor whose rows are rotated, and what is known of their inputs.
//!
//! With `y = W x` and an orthogonal `R`, `W R^T` has the inputs `R x`, whose second moment is `R H R^T`: the error of the output is the
//! same quadratic form in the rotated weights, so everything that minimises it works as before. Row scales survive a rotation of the
//! inputs, column scales and heavy tails do not.

use seedpress_codec::{InputStatistics, TensorView};
use seedpress_matrix::transpose;
use seedpress_rotation::Rotation;

/// What a rotation makes of a tensor.
pub(crate) struct Rotated {
    /// Row-major.
    pub values: Vec<f32>,
    /// Of the rotated inputs; no mean magnitudes, which do not follow from those of the inputs.
    pub calibration: Option<InputStatistics>,
}

impl Rotated {
    /// Rotates a tensor by a seed; `None` where there is nothing to rotate (rows of one weight, one value for all of them) and for
    /// weights of absurd magnitude, whose sums would overflow or lose digits.
    pub(crate) fn new(tensor: &TensorView<'_>, calibration: Option<&InputStatistics>, seed: u32) -> Option<Self> {
        let (columns, values) = (tensor.columns(), tensor.values());
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        if columns < 2 || !(1e-30..1e30).contains(&largest) {
            return None;
        }
        let alike = |values: &[f32]| values.iter().all(|&value| value == values[0]);
        let rotation = Rotation::new(seed, columns);
        let mut turned = values.to_vec();
        rotation.apply(&mut turned);
        // Either has a stream without rotation of a few bytes, or none with it.
        if alike(values) || alike(&turned) {
            return None;
        }
        let calibration = calibration.and_then(|calibration| rotated(calibration, rotation, columns));
        Some(Self { values: turned, calibration })
    }
}

/// Statistics of rotated inputs; `None` for those of another shape, or so large that sums overflow. Where only mean squares are known the
/// inputs are taken to be uncorrelated.
fn rotated(calibration: &InputStatistics, rotation: Rotation, columns: usize) -> Option<InputStatistics> {
    if calibration.columns() != columns {
        return None;
    }
    let Some(moment) = calibration.second_moment() else {
        let mixed = rotation.mix(calibration.mean_square());
        return InputStatistics::from_mean_square(calibration.samples(), mixed).ok();
    };
    let mut turned = moment.to_vec();
    rotation.apply(&mut turned);
    turned = transpose(&turned, columns, columns);
    rotation.apply(&mut turned);
    turned.iter_mut().step_by(columns + 1).for_each(|square| *square = square.max(0.0));
    InputStatistics::from_second_moment(calibration.samples(), columns, turned).ok()
}
