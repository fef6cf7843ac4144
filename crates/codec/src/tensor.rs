//! Tensors: any rank, `f32` values, and the data type they had at the source.
//!
//! Codecs see one number type. `f16` and `bf16` sources are widened exactly on the way in and narrowed (round to nearest even,
//! saturating at the largest finite value) on the way out, so an error figure describes what the user's checkpoint will hold.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::matrix::MatrixView;

/// The data type of a tensor in its source checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
}

impl DType {
    /// Bytes an element takes in the source.
    pub fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::BF16 => 2,
        }
    }

    /// The name checkpoints and reports use.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
        }
    }

    /// The nearest value this type can hold; finite values stay finite.
    pub fn round(self, value: f32) -> f32 {
        match self {
            DType::F32 => value,
            DType::F16 => narrow_f16(value).map_or(value, |bits| widen_f16(bits.to_bits())),
            DType::BF16 => narrow_bf16(value).map_or(value, |bits| bits.to_f32()),
        }
    }
}

/// Values rounded together: a buffer of halves that stays in the first cache.
const ROUNDED: usize = 1024;

impl DType {
    /// Rounds every value as [`round`](Self::round) does; whether all were finite. Values from the first block that is not finite on
    /// are left as they are.
    pub fn round_all(self, values: &mut [f32]) -> bool {
        let mut halves = [f16::ZERO; ROUNDED];
        values.chunks_mut(ROUNDED).all(|block| {
            // No early end: the loop over a block is a few vector instructions.
            let finite = block.iter().fold(true, |finite, value| finite & value.is_finite());
            if finite {
                match self {
                    DType::F32 => {}
                    DType::F16 => {
                        block.iter_mut().for_each(|value| *value = value.clamp(-65504.0, 65504.0));
                        let halves = &mut halves[..block.len()];
                        halves.convert_from_f32_slice(block);
                        halves.convert_to_f32_slice(block);
                    }
                    DType::BF16 => block.iter_mut().for_each(|value| *value = f32::from_bits(round_bf16(*value))),
                }
            }
            finite
        })
    }
}

impl DType {
    /// Appends the values of little-endian source bytes, a whole number of elements. Non-finite values keep their payload bits.
    pub fn widen(self, bytes: &[u8], values: &mut Vec<f32>) {
        let half_bits = |pair: &[u8]| u16::from_le_bytes([pair[0], pair[1]]);
        match self {
            DType::F32 => {
                values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
            DType::F16 => values.extend(bytes.chunks_exact(2).map(|b| widen_f16(half_bits(b)))),
            DType::BF16 => {
                values.extend(bytes.chunks_exact(2).map(|b| f32::from_bits(u32::from(half_bits(b)) << 16)));
            }
        }
    }

    /// Appends values as little-endian bytes of this type: rounded to nearest, ties to even, saturating at the largest finite value;
    /// infinities and NaNs keep their sign and the payload bits that fit.
    pub fn narrow(self, values: &[f32], bytes: &mut Vec<u8>) {
        let wide = |value: f32| value.to_bits();
        match self {
            DType::F32 => values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes())),
            DType::F16 => values.iter().for_each(|&v| {
                let special = || ((wide(v) >> 16) & 0x8000) as u16 | 0x7C00 | ((wide(v) >> 13) & 0x03FF) as u16;
                bytes.extend_from_slice(&narrow_f16(v).map_or_else(special, f16::to_bits).to_le_bytes());
            }),
            DType::BF16 => {
                let start = bytes.len();
                bytes.resize(start + 2 * values.len(), 0);
                // Chosen without a branch: a few vector instructions.
                for (pair, &value) in bytes[start..].chunks_exact_mut(2).zip(values) {
                    let finite = value.to_bits() & 0x7F80_0000 != 0x7F80_0000;
                    let bits = if finite { round_bf16(value) } else { value.to_bits() };
                    pair.copy_from_slice(&((bits >> 16) as u16).to_le_bytes());
                }
            }
        }
    }
}

fn narrow_f16(value: f32) -> Option<f16> {
    value.is_finite().then(|| f16::from_f32(value.clamp(-65504.0, 65504.0)))
}

fn narrow_bf16(value: f32) -> Option<bf16> {
    value.is_finite().then(|| {
        let narrow = bf16::from_f32(value);
        if narrow.is_finite() { narrow } else { bf16::from_bits(bf16::MAX.to_bits() | (narrow.to_bits() & 0x8000)) }
    })
}

/// The bits of a finite value rounded to bfloat16: to nearest, ties to even, the largest finite one beyond it.
#[inline]
fn round_bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000;
    if rounded & 0x7FFF_FFFF < 0x7F80_0000 { rounded } else { bits & 0x8000_0000 | 0x7F7F_0000 }
}

/// Widens binary16 without quieting NaNs, so that the payload survives a round trip.
fn widen_f16(bits: u16) -> f32 {
    if bits & 0x7C00 == 0x7C00 {
        f32::from_bits((u32::from(bits & 0x8000) << 16) | 0x7F80_0000 | (u32::from(bits & 0x03FF) << 13))
    } else {
        f16::from_bits(bits).to_f32()
    }
}

/// A shape and a value count that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shape {shape:?} holds {expected} values, but {found} were given")]
pub struct ShapeMismatch {
    /// The shape as given.
    pub shape: Vec<usize>,
    /// The product of its dimensions (saturating).
    pub expected: usize,
    /// Values given.
    pub found: usize,
}

/// The number of elements of a shape, or `None` where it overflows `usize`. A scalar (rank 0) has one.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero anywhere makes the tensor empty, however large the others are.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))
}

/// A borrowed tensor: name, shape, values in row-major order.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    name: &'a str,
    shape: &'a [usize],
    values: &'a [f32],
    dtype: DType,
    matrix: MatrixView,
}

impl<'a> TensorView<'a> {
    /// Wraps `values` (row-major) as a tensor of `shape`, seen as the matrix that [`MatrixView::of`] takes it for.
    ///
    /// # Errors
    /// [`ShapeMismatch`] where the product of the shape is not the number of values.
    pub fn new(name: &'a str, shape: &'a [usize], values: &'a [f32], dtype: DType) -> Result<Self, ShapeMismatch> {
        match element_count(shape) {
            Some(count) if count == values.len() => {
                Ok(Self { name, shape, values, dtype, matrix: MatrixView::of(name, shape) })
            }
            count => {
                Err(ShapeMismatch { shape: shape.to_vec(), expected: count.unwrap_or(usize::MAX), found: values.len() })
            }
        }
    }

    /// The tensor's name in its checkpoint.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Dimensions, outermost first; empty for a scalar.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// All values in row-major order.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// The source data type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The same tensor seen as another matrix.
    #[must_use]
    pub fn with_view(self, matrix: MatrixView) -> Self {
        Self { matrix, ..self }
    }

    /// Which axes are outputs.
    pub fn matrix_view(&self) -> MatrixView {
        self.matrix
    }

    /// Rows of the matrix view.
    pub fn rows(&self) -> usize {
        self.matrix.matrix_shape(self.shape).0
    }

    /// Columns of the matrix view.
    pub fn columns(&self) -> usize {
        self.matrix.matrix_shape(self.shape).1
    }
}

/// A shape seen as a matrix `(rows, columns)` by its first axis ([`MatrixView::FirstAxis`]): what decoders see, which stacked matrices reach as
/// one tall matrix.
pub fn matrix_shape(shape: &[usize]) -> (usize, usize) {
    MatrixView::FirstAxis.matrix_shape(shape)
}

/// An owned tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
    dtype: DType,
}

impl Tensor {
    /// Takes ownership of `values` (row-major) as a tensor of `shape`.
    ///
    /// # Errors
    /// [`ShapeMismatch`] where the product of the shape is not the number of values.
    pub fn new(shape: Vec<usize>, values: Vec<f32>, dtype: DType) -> Result<Self, ShapeMismatch> {
        TensorView::new("", &shape, &values, dtype)?;
        Ok(Self { shape, values, dtype })
    }

    /// Reads little-endian source bytes, as checkpoints store them. Non-finite values keep their payload bits.
    ///
    /// # Errors
    /// [`ShapeMismatch`] where the byte count does not fit the shape.
    pub fn from_le_bytes(dtype: DType, shape: Vec<usize>, bytes: &[u8]) -> Result<Self, ShapeMismatch> {
        let size = dtype.size();
        if !bytes.len().is_multiple_of(size) {
            let expected = element_count(&shape).unwrap_or(usize::MAX);
            return Err(ShapeMismatch { shape, expected, found: bytes.len() / size });
        }
        let mut values = Vec::with_capacity(bytes.len() / size);
        dtype.widen(bytes, &mut values);
        Self::new(shape, values, dtype)
    }

    /// Writes the values in the source data type, little-endian.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.values.len() * self.dtype.size());
        self.dtype.narrow(&self.values, &mut bytes);
        bytes
    }

    /// Borrows the tensor under a name.
    pub fn view<'a>(&'a self, name: &'a str) -> TensorView<'a> {
        let matrix = MatrixView::of(name, &self.shape);
        TensorView { name, shape: &self.shape, values: &self.values, dtype: self.dtype, matrix }
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The source data type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The values, consuming the tensor.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_together_as_they_are_alone() {
        // Every exponent and every tie of either half, from the least denormal to the largest number.
        let values: Vec<f32> = (0..u32::MAX).step_by(0x0FFF).map(f32::from_bits).filter(|v| v.is_finite()).collect();
        assert!(values.contains(&0.0) && values.len() > 1_000_000);
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let mut together = values.clone();
            assert!(dtype.round_all(&mut together));
            for (&value, &rounded) in values.iter().zip(&together) {
                assert_eq!(rounded.to_bits(), dtype.round(value).to_bits(), "{dtype:?} {value:e}");
            }
            for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = vec![1.5; 3000];
                values[2999] = broken;
                assert!(!dtype.round_all(&mut values), "{dtype:?} {broken}");
            }
        }
    }

    #[test]
    fn every_half_pattern_survives_widening_and_narrowing() {
        for dtype in [DType::F16, DType::BF16] {
            let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let tensor = Tensor::from_le_bytes(dtype, vec![65536], &bytes).unwrap();
            assert_eq!(tensor.to_le_bytes(), bytes, "{dtype:?}");
        }
    }

    #[test]
    fn finite_values_never_round_to_infinity() {
        assert_eq!(DType::F16.round(1e30), 65504.0);
        assert!(DType::BF16.round(f32::MAX).is_finite());
        assert!(DType::BF16.round(f32::MIN).is_finite() && DType::BF16.round(f32::MIN) < 0.0);
    }

    #[test]
    fn odd_shapes_have_a_matrix_view() {
        assert_eq!(matrix_shape(&[]), (1, 1));
        assert_eq!(matrix_shape(&[7]), (1, 7));
        assert_eq!(matrix_shape(&[64, 32, 3, 3]), (64, 288));
        assert_eq!(element_count(&[usize::MAX, 2]), None);
        assert_eq!(element_count(&[usize::MAX, 2, 0]), Some(0));
    }
}
