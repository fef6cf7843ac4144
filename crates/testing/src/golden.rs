//! Golden files: their fields, as bytes, floats and bit patterns.

use std::path::Path;

/// A golden file of lines `key value`, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a file.
    ///
    /// # Panics
    /// A file that is not there, or a line without a space.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let field = |line: &str| match line.split_once(' ') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => panic!("{}: no value in `{line}`", path.display()),
        };
        Self(text.lines().map(field).collect())
    }

    /// The value of the first line with this key.
    ///
    /// # Panics
    /// A key that no line has.
    pub fn get(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(other, _)| other == key);
        found.map_or_else(|| panic!("no field `{key}`"), |(_, value)| value)
    }

    /// The bytes of every line with one of these keys, each with what its key stands for.
    pub fn bytes<T: Copy>(&self, keys: &[(&str, T)]) -> Vec<(T, Vec<u8>)> {
        let known = |key: &str| keys.iter().find(|(other, _)| *other == key).map(|(_, meaning)| *meaning);
        self.0.iter().filter_map(|(key, value)| Some((known(key)?, unhex(value)))).collect()
    }
}

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

/// The squared error of decoded values in parts of the energy of the original ones; 0 where there is no error.
pub fn relative_square_error(original: &[f32], decoded: &[f32]) -> f64 {
    let square = |value: f64| value * value;
    let error: f64 = original.iter().zip(decoded).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    if error == 0.0 { 0.0 } else { error / original.iter().map(|a| square(f64::from(*a))).sum::<f64>() }
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
    fn fields_are_found_by_their_keys() {
        let fields = Fields(
            [("params", "0a"), ("segment", "ff00"), ("segment", ""), ("hash", "x y")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .to_vec(),
        );
        assert_eq!((fields.get("params"), fields.get("hash")), ("0a", "x y"));
        assert_eq!(fields.bytes(&[("segment", 7)]), [(7, vec![255, 0]), (7, vec![])]);
    }

    #[test]
    fn errors_are_in_parts_of_the_energy() {
        assert_eq!(relative_square_error(&[3.0, 4.0], &[3.0, 5.0]), 0.04);
        assert_eq!(relative_square_error(&[0.0], &[-0.0]), 0.0);
        assert_eq!(relative_square_error(&[0.0], &[1.0]), f64::INFINITY);
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
