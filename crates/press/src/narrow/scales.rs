//! Scales of blocks of weights.

use seedpress_checkpoint::TensorInfo;

use super::element::Element;

/// Scales and the block of weights that shares one, along each axis of the weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scales {
    /// In row-major order of the blocks.
    pub values: Vec<f32>,
    /// Along each axis.
    pub block: Vec<usize>,
}

/// The block along each axis by which scales of `scale` shape belong to weights of `shape`; `None` where they do not.
///
/// Checkpoints do not say it. Blocks are powers of two wherever one fits, as the last block may be cut: 300 rows with 3 scales are blocks
/// of 128, not of 100.
pub(crate) fn block(shape: &[usize], scale: &[usize]) -> Option<Vec<usize>> {
    let whole: Vec<usize> = shape.iter().map(|&dim| dim.max(1)).collect();
    if scale.iter().product::<usize>() == 1 {
        return Some(whole);
    }
    // A vector of scales is one a row.
    let mut scale = scale.to_vec();
    if scale.len() < shape.len() {
        scale.resize(shape.len(), 1);
    }
    if scale.len() != shape.len() {
        return None;
    }
    shape.iter().zip(&scale).map(|(&dim, &count)| axis(dim, count)).collect()
}

fn axis(dim: usize, count: usize) -> Option<usize> {
    if count == 0 || count > dim {
        return None;
    }
    let powers = (0..usize::BITS).map(|power| 1usize << power).take_while(|&block| block < 2 * dim);
    let mut fitting = powers.filter(|&block| dim.div_ceil(block) == count);
    match count {
        1 => Some(dim),
        _ => fitting.next().or_else(|| dim.is_multiple_of(count).then_some(dim / count)),
    }
}

/// Whether a tensor of this type can hold scales.
pub(crate) fn holds_scales(info: &TensorInfo) -> bool {
    info.float().is_some() || info.dtype == "F8_E8M0" || info.dtype == "F8_E4M3"
}

/// The values of a tensor of scales from its bytes; `None` for a type that holds none.
pub(crate) fn values(dtype: &str, bytes: &[u8]) -> Option<Vec<f32>> {
    use seedpress_codec::DType;
    let wide = match dtype {
        "F32" => Some(DType::F32),
        "F16" => Some(DType::F16),
        "BF16" => Some(DType::BF16),
        _ => None,
    };
    if let Some(dtype) = wide {
        let mut values = Vec::with_capacity(bytes.len() / dtype.size());
        dtype.widen(bytes, &mut values);
        return Some(values);
    }
    match dtype {
        // A power of two, nothing else; the last pattern is NaN.
        "F8_E8M0" | "U8" => Some(bytes.iter().map(|&exponent| power(exponent)).collect()),
        "F8_E4M3" => {
            let decoder = Element::E4M3.decoder();
            Some(bytes.iter().map(|&code| decoder[usize::from(code)]).collect())
        }
        _ => None,
    }
}

fn power(exponent: u8) -> f32 {
    match exponent {
        0 => f32::from_bits(0x0040_0000),
        255 => f32::NAN,
        exponent => f32::from_bits(u32::from(exponent) << 23),
    }
}

impl Scales {
    /// Whether weights can be divided by every one of them.
    pub(crate) fn are_sound(&self) -> bool {
        self.values.iter().all(|scale| scale.is_finite() && *scale != 0.0)
    }

    /// Whether there is one for every block of weights of this shape.
    pub(crate) fn fit(&self, shape: &[usize]) -> bool {
        self.block.len() == shape.len()
            && !self.block.contains(&0)
            && shape.iter().zip(&self.block).try_fold(1usize, |n, (&dim, &block)| n.checked_mul(dim.div_ceil(block)))
                == Some(self.values.len())
    }

    /// Multiplies weights of this shape by their scales, or divides.
    pub(crate) fn apply(&self, shape: &[usize], weights: &mut [f32], divide: bool) {
        let (Some(&columns), Some(&last)) = (shape.last(), self.block.last()) else {
            // A scalar has one scale.
            for (weight, &scale) in weights.iter_mut().zip(&self.values) {
                *weight = if divide { *weight / scale } else { *weight * scale };
            }
            return;
        };
        if columns == 0 {
            return;
        }
        let across = columns.div_ceil(last);
        for (row, weights) in weights.chunks_mut(columns).enumerate() {
            let start = self.row(shape, row) * across;
            for (weights, &scale) in weights.chunks_mut(last).zip(&self.values[start..start + across]) {
                if divide {
                    weights.iter_mut().for_each(|weight| *weight /= scale);
                } else {
                    weights.iter_mut().for_each(|weight| *weight *= scale);
                }
            }
        }
    }

    /// The row of blocks in which a row of weights lies: rows run over all axes but the last.
    fn row(&self, shape: &[usize], mut row: usize) -> usize {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..shape.len() - 1).rev() {
            let (dim, block) = (shape[axis], self.block[axis]);
            place += (row % dim) / block * stride;
            row /= dim;
            stride *= dim.div_ceil(block);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_guessed_as_checkpoints_mean_them() {
        assert_eq!(block(&[300, 256], &[3, 2]), Some(vec![128, 128]));
        assert_eq!(block(&[64, 96], &[64, 3]), Some(vec![1, 32]));
        assert_eq!(block(&[64, 96], &[64]), Some(vec![1, 96]));
        assert_eq!(block(&[64, 96], &[64, 1]), Some(vec![1, 96]));
        assert_eq!(block(&[64, 96], &[]), Some(vec![64, 96]));
        assert_eq!(block(&[300], &[3]), Some(vec![128]));
        assert_eq!(block(&[64, 96], &[5, 7]), None);
        assert_eq!(block(&[64, 96], &[0]), None);
    }

    #[test]
    fn every_weight_meets_its_scale() {
        let shape = [2, 3, 5];
        let scales = Scales { values: (1..=12).map(|n| n as f32).collect(), block: vec![1, 2, 2] };
        assert!(scales.fit(&shape) && !scales.fit(&[2, 3, 4, 1]));
        let mut weights = vec![1.0; 30];
        scales.apply(&shape, &mut weights, false);
        for (at, &weight) in weights.iter().enumerate() {
            let (i, j, k) = (at / 15, at / 5 % 3, at % 5);
            assert_eq!(weight, (1 + i * 6 + j / 2 * 3 + k / 2) as f32);
        }
        scales.apply(&shape, &mut weights, true);
        assert!(weights.iter().all(|&weight| weight == 1.0));
    }
}
