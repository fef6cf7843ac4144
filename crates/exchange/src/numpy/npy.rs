//! One array: its header, and a file that holds nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use seedpress_codec::tensor::element_count;

use crate::cursor::{Cursor, Why};
use crate::error::ExchangeError;
use crate::mapped::Mapped;
use crate::scalar::Scalar;
use crate::source::{Loaded, TensorEntry, TensorSource};
use crate::strided::{column_major, gather};

const FORMAT: &str = "numpy";
/// Plain arrays of 32 dimensions, the most numpy has, need less; longer headers describe records of many fields.
pub(super) const MAX_HEADER: usize = 4096;

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub scalar: Scalar,
    pub big_endian: bool,
    pub column_major: bool,
    pub shape: Vec<usize>,
    /// Bytes of the values.
    pub bytes: usize,
    /// Where the values begin.
    pub start: usize,
}

impl Header {
    /// Reads the beginning of an array.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Why> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(6)? != b"\x93NUMPY" {
            return Err("it does not start as numpy arrays do".to_owned());
        }
        let length = match cursor.array::<2>()?[0] {
            1 => usize::from(cursor.u16()?),
            2 | 3 => cursor.u32()? as usize,
            version => return Err(format!("version {version} of numpy's format is not known")),
        };
        if length > MAX_HEADER {
            return Err(format!("its header has {length} bytes, which no array of plain numbers needs"));
        }
        let text = std::str::from_utf8(cursor.take(length)?).map_err(|_| "its header is no text".to_owned())?;
        let start = cursor.position();
        let (scalar, big_endian) = number_type(value_of(text, "descr")?)?;
        let column_major = match value_of(text, "fortran_order")? {
            value if value.starts_with("True") => true,
            value if value.starts_with("False") => false,
            _ => return Err("its header says neither True nor False for fortran_order".to_owned()),
        };
        let shape = dimensions(value_of(text, "shape")?)?;
        let bytes = element_count(&shape)
            .and_then(|count| count.checked_mul(scalar.size()))
            .ok_or_else(|| format!("the shape {shape:?} overflows"))?;
        Ok(Self { scalar, big_endian, column_major, shape, bytes, start })
    }

    /// The array from its values.
    pub(super) fn load(&self, mut bytes: Vec<u8>) -> Result<Loaded, Why> {
        if self.big_endian {
            // A complex number is two.
            let unit = if self.scalar == Scalar::C64 { 4 } else { self.scalar.size() };
            bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        if self.column_major && self.shape.len() > 1 {
            bytes = gather(&bytes, self.scalar.size(), &self.shape, &column_major(&self.shape))?;
        }
        self.scalar.load(&self.shape, bytes)
    }

    /// What a list of tensors says of it.
    pub(super) fn entry(&self, name: String, bytes: u64) -> TensorEntry {
        TensorEntry {
            name,
            shape: self.shape.clone(),
            stored: self.scalar.name().to_owned(),
            float: self.scalar.float(),
            bytes,
        }
    }
}

/// The text behind a key of the header's dictionary.
fn value_of<'a>(text: &'a str, key: &str) -> Result<&'a str, Why> {
    for quote in ['\'', '"'] {
        if let Some((_, rest)) = text.split_once(&format!("{quote}{key}{quote}"))
            && let Some(value) = rest.trim_start().strip_prefix(':')
        {
            return Ok(value.trim_start());
        }
    }
    Err(format!("its header has no `{key}`"))
}

/// `<f4` and the like: byte order, kind, size.
fn number_type(text: &str) -> Result<(Scalar, bool), Why> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'));
    let Some(descr) = quote.and_then(|quote| text[1..].split(quote).next()) else {
        return Err("its elements are records of several fields, which are no weights".to_owned());
    };
    let (order, kind) = match descr.chars().next() {
        Some(order @ ('<' | '>' | '|' | '=')) => (order, &descr[1..]),
        _ => ('|', descr),
    };
    let scalar = match kind {
        "f2" => Scalar::F16,
        "f4" => Scalar::F32,
        "f8" => Scalar::F64,
        "c8" => Scalar::C64,
        "i1" => Scalar::I8,
        "i2" => Scalar::I16,
        "i4" => Scalar::I32,
        "i8" => Scalar::I64,
        "u1" => Scalar::U8,
        "u2" => Scalar::U16,
        "u4" => Scalar::U32,
        "u8" => Scalar::U64,
        "b1" => Scalar::Bool,
        "O" => return Err("its elements are pickled Python objects, which are never unpickled".to_owned()),
        _ if kind.starts_with(['U', 'S', 'a']) => return Err("its elements are text".to_owned()),
        // What ml_dtypes' bfloat16 and float8 become.
        _ if kind.starts_with('V') => {
            return Err(format!(
                "its elements are `{descr}`, bytes without a meaning (bfloat16, if of two): save as float32"
            ));
        }
        _ => return Err(format!("its elements are `{descr}`, which is not read")),
    };
    Ok((scalar, order == '>'))
}

/// `(3, 4)`, `(3,)` or `()`.
fn dimensions(text: &str) -> Result<Vec<usize>, Why> {
    let wrong = || "its header holds no shape".to_owned();
    let inner = text.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(wrong)?.0;
    let parts = inner.split(',').map(str::trim).filter(|part| !part.is_empty());
    // Python 2 wrote long integers with an L.
    parts.map(|part| part.trim_end_matches('L').parse().map_err(|_| wrong())).collect()
}

/// A `.npy` file: one tensor, named after the file.
#[derive(Debug)]
pub struct Npy {
    map: Mapped,
    header: Header,
    entries: Vec<TensorEntry>,
    metadata: BTreeMap<String, String>,
}

impl Npy {
    /// Opens a `.npy` file.
    ///
    /// # Errors
    /// A file that cannot be read, holds no numbers, or fewer or more than its shape says.
    pub fn open(path: &Path) -> Result<Self, ExchangeError> {
        let map = Mapped::open(path)?;
        let damaged = |why| ExchangeError::Damaged { path: path.to_owned(), format: FORMAT, why };
        let header = Header::parse(&map).map_err(damaged)?;
        let have = map.len() - header.start;
        if have != header.bytes {
            return Err(damaged(format!("its shape needs {} bytes of values, {have} are there", header.bytes)));
        }
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let entries = vec![header.entry(name, have as u64)];
        Ok(Self { map, header, entries, metadata: BTreeMap::new() })
    }
}

impl TensorSource for Npy {
    fn format(&self) -> String {
        "numpy array".to_owned()
    }

    fn tensors(&self) -> &[TensorEntry] {
        &self.entries
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    fn notes(&self) -> &[String] {
        &[]
    }

    fn load(&self, index: usize) -> Result<Loaded, ExchangeError> {
        let name = &self.entries[index].name;
        let values = self.map[self.header.start..].to_vec();
        self.header.load(values).map_err(|why| ExchangeError::tensor(self.map.path(), name, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn headers_say_type_order_and_shape() {
        let parsed = Header::parse(&header("{'descr': '>f4', 'fortran_order': True, 'shape': (3, 4L), }")).unwrap();
        assert_eq!((parsed.scalar, parsed.big_endian, parsed.column_major), (Scalar::F32, true, true));
        assert_eq!((parsed.shape, parsed.bytes), (vec![3, 4], 48));
        assert!(Header::parse(&header("{'descr':'|b1','fortran_order':False,'shape':()}")).unwrap().shape.is_empty());
    }

    #[test]
    fn what_holds_no_numbers_is_an_error_that_says_so() {
        for (descr, shape, expected) in [
            ("'|O'", "(3,)", "pickled"),
            ("'<U5'", "(3,)", "text"),
            ("[('a', '<f4')]", "(3,)", "records"),
            ("'<f16'", "(3,)", "not read"),
            ("'|V2'", "(3,)", "bfloat16"),
            ("'<f4'", "(18446744073709551615, 2)", "overflows"),
            ("'<f4'", "(-3,)", "no shape"),
            ("'<f4'", "3", "no shape"),
        ] {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}");
            let error = Header::parse(&header(&text)).unwrap_err();
            assert!(error.contains(expected), "{descr} {shape}: {error}");
        }
    }
}
