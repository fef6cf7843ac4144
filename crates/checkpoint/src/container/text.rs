//! Counts, texts and shapes of an index as bytes.

use seedpress_codec::DecodeError;
use seedpress_codec::tensor::element_count;
use seedpress_codec::wire::{Put, Reader};

/// A count whose elements take at least `least` bytes each: more than the input can hold is refused before anything is allocated.
pub(super) fn counted(reader: &mut Reader<'_>, least: usize) -> Result<usize, DecodeError> {
    let count = reader.length()?;
    if count > reader.remaining() / least {
        return Err(
            DecodeError::truncated(count.saturating_mul(least), reader.remaining()).at_offset(reader.position())
        );
    }
    Ok(count)
}

pub(super) fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let at = reader.position();
    let len = reader.length()?;
    let bytes = reader.take(len)?;
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::corrupt("a name is not UTF-8").at_offset(at))?;
    Ok(text.to_owned())
}

pub(super) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.put_varint(text.len() as u64);
    bytes.extend_from_slice(text);
}

pub(super) fn shape(reader: &mut Reader<'_>) -> Result<Vec<usize>, DecodeError> {
    let rank = counted(reader, 1)?;
    let shape = (0..rank).map(|_| reader.length()).collect::<Result<Vec<_>, _>>()?;
    match element_count(&shape) {
        Some(_) => Ok(shape),
        None => Err(DecodeError::corrupt("the shape overflows")),
    }
}
