//! Matrix products, normalisation and the smooth functions, forward and backward, on plain slices.
//!
//! Matrices are row-major: one row a byte of text. The networks and their training share these; a tape of tensor operations would spend
//! as long on the small ones as on the products. Nothing here starts threads, so results do not depend on their number.

use gemm::Parallelism;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// Rows of `columns` values that start `stride` values apart.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows > 0 && columns > 0 && (rows - 1) * stride + columns <= values.len(), "the matrix lies within");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Rows that follow each other.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        Self::strided(values, values.len() / columns, columns, columns)
    }

    /// The transpose.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `result = keep * result + factor * a b`, rows of the result `stride` values apart.
#[allow(unsafe_code)]
pub fn multiply(result: &mut [f32], stride: usize, a: View<'_>, b: View<'_>, keep: bool, factor: f32) {
    assert_eq!(a.columns, b.rows, "inner dimensions agree");
    assert!((a.rows - 1) * stride + b.columns <= result.len() && stride >= b.columns, "the result lies within");
    // SAFETY: `View` keeps every element of its matrix inside its slice (the constructor asserts it, the transpose permutes it), the
    // assertion above does so for the result, which is borrowed exclusively and hence overlaps no operand.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            result.as_mut_ptr(),
            1,
            stride as isize,
            keep,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            if keep { 1.0 } else { 0.0 },
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `y = x w^T + b`, weights `[outputs, inputs]`.
pub fn linear(y: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], inputs: usize) {
    let outputs = weight.len() / inputs;
    for row in y.chunks_exact_mut(outputs) {
        row.copy_from_slice(bias);
    }
    multiply(y, outputs, View::new(x, inputs), View::new(weight, inputs).t(), true, 1.0);
}

/// Adds the gradients of weight and bias for output gradients `dy`.
pub fn linear_gradients(dw: &mut [f32], db: &mut [f32], dy: &[f32], x: &[f32], inputs: usize) {
    let outputs = dw.len() / inputs;
    multiply(dw, inputs, View::new(dy, outputs).t(), View::new(x, inputs), true, 1.0);
    for row in dy.chunks_exact(outputs) {
        db.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
}

/// `dx = dy w`, the gradient of the inputs.
pub fn linear_input_gradient(dx: &mut [f32], dy: &[f32], weight: &[f32], inputs: usize) {
    let outputs = weight.len() / inputs;
    multiply(dx, inputs, View::new(dy, outputs), View::new(weight, inputs), false, 1.0);
}

const EPSILON: f32 = 1e-5;

/// Layer normalisation (Ba et al. 2016): leaves the standardised rows in `unit` and the reciprocal deviations in `scale`.
pub fn normalise(y: &mut [f32], unit: &mut [f32], scale: &mut [f32], x: &[f32], gain: &[f32], bias: &[f32]) {
    let width = gain.len();
    let rows = y.chunks_exact_mut(width).zip(unit.chunks_exact_mut(width)).zip(x.chunks_exact(width));
    for (((y, unit), x), scale) in rows.zip(scale) {
        let mean = sum(x) / width as f32;
        unit.iter_mut().zip(x).for_each(|(unit, x)| *unit = x - mean);
        *scale = 1.0 / (dot(unit, unit) / width as f32 + EPSILON).sqrt();
        for at in 0..width {
            unit[at] *= *scale;
            y[at] = unit[at] * gain[at] + bias[at];
        }
    }
}

/// Adds the gradients of a normalisation: of its inputs to `dx`, of gain and bias to theirs.
pub fn normalise_gradients([dx, dgain, dbias]: [&mut [f32]; 3], dy: &[f32], unit: &[f32], scale: &[f32], gain: &[f32]) {
    let width = gain.len();
    let mut product = vec![0f32; width];
    let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(unit.chunks_exact(width));
    for (((dx, dy), unit), scale) in rows.zip(scale) {
        for at in 0..width {
            dgain[at] += dy[at] * unit[at];
            dbias[at] += dy[at];
            product[at] = dy[at] * gain[at];
        }
        let mean = sum(&product) / width as f32;
        let along = dot(&product, unit) / width as f32;
        for at in 0..width {
            dx[at] += scale * (product[at] - mean - unit[at] * along);
        }
    }
}

/// The sum, in sixteen interleaved parts.
pub fn sum(x: &[f32]) -> f32 {
    let (body, tail) = x.as_chunks::<16>();
    let mut parts = [0f32; 16];
    body.iter().for_each(|chunk| (0..16).for_each(|lane| parts[lane] += chunk[lane]));
    parts.iter().sum::<f32>() + tail.iter().sum::<f32>()
}

/// The dot product, in sixteen interleaved parts.
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    let ((a, a_tail), (b, b_tail)) = (x.as_chunks::<16>(), y.as_chunks::<16>());
    let mut parts = [0f32; 16];
    a.iter().zip(b).for_each(|(a, b)| (0..16).for_each(|lane| parts[lane] += a[lane] * b[lane]));
    parts.iter().sum::<f32>() + a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum::<f32>()
}

/// The exponential, within a relative 3e-7, in operations that vectorise: `2^n e^r` with `|r| <= ln(2) / 2` and six terms of Taylor's
/// series. Arguments are clamped to what an `f32` holds.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5 2^23 rounds to an integer, which is left in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series =
        1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, within an absolute 2e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// Twice `sqrt(2 / pi)`.
const SLOPE: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

/// The Gaussian error linear unit, in the hyperbolic form (Hendrycks, Gimpel 2016).
pub fn gelu(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * sigmoid(SLOPE * (x + CUBIC * x * x * x)));
}

/// Turns the gradient of a unit's output into that of its input.
pub fn gelu_gradient(dy: &mut [f32], x: &[f32]) {
    for (dy, &x) in dy.iter_mut().zip(x) {
        let gate = sigmoid(SLOPE * (x + CUBIC * x * x * x));
        *dy *= gate + x * gate * (1.0 - gate) * SLOPE * (1.0 + 3.0 * CUBIC * x * x);
    }
}

/// Turns scores into probabilities: the softmax of `factor * x`.
pub fn softmax(x: &mut [f32], factor: f32) {
    let (body, tail) = x.as_chunks::<16>();
    let mut tops = [f32::NEG_INFINITY; 16];
    body.iter().for_each(|chunk| {
        (0..16).for_each(|lane| tops[lane] = if chunk[lane] > tops[lane] { chunk[lane] } else { tops[lane] })
    });
    let top = tops.iter().chain(tail).copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|x| *x = exp(factor * (*x - top)));
    let scale = 1.0 / sum(x);
    x.iter_mut().for_each(|x| *x *= scale);
}

/// The loss in nats of each row of scores, which become its gradient of the mean loss.
pub fn cross_entropy(scores: &mut [f32], targets: &[u8], vocabulary: usize) -> f64 {
    let scale = 1.0 / targets.len() as f32;
    let mut loss = 0f64;
    for (row, &target) in scores.chunks_exact_mut(vocabulary).zip(targets) {
        softmax(row, 1.0);
        loss -= f64::from(row[usize::from(target)].max(f32::MIN_POSITIVE)).ln();
        row[usize::from(target)] -= 1.0;
        row.iter_mut().for_each(|value| *value *= scale);
    }
    loss / targets.len() as f64
}
