//! Values kept exactly: NaN and infinities are taken out before a codec sees the tensor and put back after it decodes.

use std::borrow::Cow;

use crate::context::NonFinite;
use crate::error::{DecodeError, EncodeError};
use crate::tensor::TensorView;
use crate::wire::{Put, Reader};

/// Finite values, and the serialised exceptions if there are any.
pub(crate) type Split<'a> = (Cow<'a, [f32]>, Option<Vec<u8>>);

/// Splits a tensor into finite values and the serialised exceptions: count, then per exception the distance from the one before and
/// the 32 bits of the widened value. `None` where every value is finite.
pub(crate) fn take_out<'a>(tensor: &TensorView<'a>, policy: NonFinite) -> Result<Split<'a>, EncodeError> {
    let Some(first) = tensor.values().iter().position(|v| !v.is_finite()) else {
        return Ok((Cow::Borrowed(tensor.values()), None));
    };
    let mut finite = tensor.values().to_vec();
    let mut entries = Vec::new();
    let (mut count, mut last) = (0usize, 0usize);
    for (index, value) in finite.iter_mut().enumerate().skip(first).filter(|(_, v)| !v.is_finite()) {
        entries.put_varint((index - last) as u64);
        entries.extend_from_slice(&value.to_bits().to_le_bytes());
        *value = 0.0;
        last = index;
        count += 1;
    }
    if policy == NonFinite::Reject {
        return Err(EncodeError::NonFinite { tensor: tensor.name().to_owned(), count, first });
    }
    let mut bytes = Vec::new();
    bytes.put_varint(count as u64);
    bytes.extend(entries);
    Ok((Cow::Owned(finite), Some(bytes)))
}

/// Puts exceptions back into decoded values.
pub(crate) fn put_back(bytes: &[u8], values: &mut [f32]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    let count = reader.length()?;
    let mut index = 0usize;
    for entry in 0..count {
        let at = reader.position();
        let step = reader.length()?;
        if entry > 0 && step == 0 {
            return Err(DecodeError::corrupt("exceptions are not in order").at_offset(at));
        }
        index = index
            .checked_add(step)
            .filter(|&index| index < values.len())
            .ok_or(DecodeError::corrupt("an exception lies outside the tensor").at_offset(at))?;
        let value = f32::from_bits(reader.u32()?);
        if value.is_finite() {
            return Err(DecodeError::corrupt("an exception is finite").at_offset(at));
        }
        values[index] = value;
    }
    reader.finish()
}
