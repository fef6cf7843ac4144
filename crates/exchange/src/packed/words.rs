//! Codes of a few bits in 32-bit words, the lowest bits first, and across words where a code does not fit.

/// Words that `count` codes of `bits` bits take.
pub fn word_count(count: usize, bits: u8) -> Option<usize> {
    Some(count.checked_mul(usize::from(bits))?.div_ceil(32))
}

/// Code `index` of those in the words that `word` returns.
#[inline]
pub fn code_at(word: impl Fn(usize) -> u32, index: usize, bits: u8) -> u8 {
    let at = index * usize::from(bits);
    let (first, shift) = (at / 32, at % 32);
    let mut code = word(first) >> shift;
    if shift + usize::from(bits) > 32 {
        code |= word(first + 1) << (32 - shift);
    }
    (code & ((1 << bits) - 1)) as u8
}

/// Sets code `index`, of words that were zero.
#[inline]
pub fn put_code(mut word: impl FnMut(usize, u32), index: usize, bits: u8, code: u8) {
    let at = index * usize::from(bits);
    let (first, shift) = (at / 32, at % 32);
    word(first, u32::from(code) << shift);
    if shift + usize::from(bits) > 32 {
        word(first + 1, u32::from(code) >> (32 - shift));
    }
}

/// Words as little-endian bytes.
pub fn to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_every_width_come_back() {
        for bits in 1..=8u8 {
            let codes: Vec<u8> =
                (0..100u32).map(|i| (i.wrapping_mul(2_654_435_761) >> (32 - u32::from(bits))) as u8).collect();
            let mut words = vec![0u32; word_count(codes.len(), bits).unwrap()];
            for (index, &code) in codes.iter().enumerate() {
                put_code(|at, value| words[at] |= value, index, bits, code);
            }
            for (index, &code) in codes.iter().enumerate() {
                assert_eq!(code_at(|at| words[at], index, bits), code, "{bits} bits");
            }
        }
    }
}
