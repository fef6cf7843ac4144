//! Golden files as bytes, floats and bit patterns.

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text as bytes.
///
/// # Panics
/// Text that is not made of pairs of hexadecimal digits: a golden file that is damaged.
pub fn unhex(text: &str) -> Vec<u8> {
    let pair = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(|at| pair(at).unwrap_or_else(|| panic!("no hexadecimal digits at {at}"))).collect()
}

/// Little-endian binary32.
///
/// # Panics
/// Bytes that are no whole number of floats.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    let (floats, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "{} bytes are no floats", bytes.len());
    floats.iter().map(|float| f32::from_le_bytes(*float)).collect()
}

/// FNV-1a.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// FNV-1a of the little-endian bytes of floats, as golden files write it: sixteen hexadecimal digits.
pub fn hash(values: &[f32]) -> String {
    format!("{:016x}", fnv1a(values.iter().flat_map(|value| value.to_le_bytes())))
}

/// Patterns to compare floats by: NaN equals itself, and zeros have signs.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the authors' test suite.
    #[test]
    fn hashes_are_those_published() {
        assert_eq!(fnv1a([]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn bytes_come_back() {
        assert_eq!(unhex("00ff1a"), [0, 255, 26]);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)), all);
        let values = [0.0, -0.0, f32::NAN, f32::MIN_POSITIVE, -1.5];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(bits(&floats(&bytes)), bits(&values));
    }
}
