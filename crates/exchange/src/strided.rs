//! Arrays whose elements lie apart: views, transposes, Fortran order.

use seedpress_codec::tensor::element_count;

use crate::cursor::Why;

/// Strides, in elements, of an array whose last dimension is contiguous.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// Strides, in elements, of an array whose first dimension is contiguous.
pub(crate) fn column_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1].saturating_mul(shape[axis - 1].max(1));
    }
    strides
}

/// Elements, from the first one on, that an array reaches into; `None` where that overflows.
pub(crate) fn extent(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(0usize, |last, (&dim, &stride)| last.checked_add((dim - 1).checked_mul(stride)?))?;
    last.checked_add(1)
}

/// The elements of `size` bytes in row-major order. `bytes` begins with the first element.
pub(crate) fn gather(bytes: &[u8], size: usize, shape: &[usize], strides: &[usize]) -> Result<Vec<u8>, Why> {
    let total = element_count(shape)
        .and_then(|count| count.checked_mul(size))
        .ok_or_else(|| format!("the shape {shape:?} overflows"))?;
    let reach = extent(shape, strides).and_then(|reach| reach.checked_mul(size));
    if reach.is_none_or(|reach| reach > bytes.len()) {
        return Err(format!(
            "shape {shape:?} with strides {strides:?} reaches beyond the {} bytes there are",
            bytes.len()
        ));
    }
    if strides == row_major(shape) {
        return Ok(bytes[..total].to_vec());
    }
    let mut out = Vec::with_capacity(total);
    let (Some((&inner, outer)), Some((&step, outer_strides))) = (shape.split_last(), strides.split_last()) else {
        return Ok(bytes[..size].to_vec());
    };
    let rows = (total / size).checked_div(inner).unwrap_or(0);
    let mut place = vec![0usize; outer.len()];
    for _ in 0..rows {
        let start: usize = place.iter().zip(outer_strides).map(|(&index, &stride)| index * stride).sum();
        for index in 0..inner {
            let at = (start + index * step) * size;
            out.extend_from_slice(&bytes[at..at + size]);
        }
        for axis in (0..outer.len()).rev() {
            place[axis] += 1;
            if place[axis] < outer[axis] {
                break;
            }
            place[axis] = 0;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_and_views_come_out_in_row_major_order() {
        let bytes: Vec<u8> = (0..12).collect();
        assert_eq!(gather(&bytes, 1, &[3, 4], &[4, 1]).unwrap(), bytes);
        assert_eq!(gather(&bytes, 1, &[4, 3], &[1, 4]).unwrap(), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
        assert_eq!(gather(&bytes, 2, &[2, 2], &[3, 1]).unwrap(), [0, 1, 2, 3, 6, 7, 8, 9]);
        assert_eq!(gather(&bytes[3..], 1, &[], &[]).unwrap(), [3]);
        assert_eq!(gather(&bytes, 1, &[2, 3], &[0, 1]).unwrap(), [0, 1, 2, 0, 1, 2]);
        assert_eq!(gather(&bytes, 4, &[0, 5], &[5, 1]).unwrap(), [0u8; 0]);
    }

    #[test]
    fn an_array_that_reaches_too_far_is_an_error() {
        assert!(gather(&[0; 11], 1, &[3, 4], &[4, 1]).is_err());
        assert!(gather(&[0; 11], 1, &[2, 2], &[usize::MAX, 1]).is_err());
        assert!(gather(&[], 1, &[usize::MAX, 2], &[0, 0]).is_err());
    }
}
