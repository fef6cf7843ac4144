//! GGUF metadata: typed values.

use crate::cursor::{Cursor, Why};

/// Arrays of arrays deeper than this are no metadata.
const MAX_DEPTH: usize = 4;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// u8
    U8(u8),
    /// i8
    I8(i8),
    /// u16
    U16(u16),
    /// i16
    I16(i16),
    /// u32
    U32(u32),
    /// i32
    I32(i32),
    /// u64
    U64(u64),
    /// i64
    I64(i64),
    /// f32
    F32(f32),
    /// f64
    F64(f64),
    /// A byte that is 0 or 1.
    Bool(bool),
    /// Text. Vocabularies hold bytes that are no UTF-8; those are replaced.
    Text(String),
    /// Values of one type.
    Array(Array),
}

/// An array, its elements without a tag each.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Whole numbers of any width, with the number of their type.
    Integers(u32, Vec<i64>),
    /// f32
    F32(Vec<f32>),
    /// f64
    F64(Vec<f64>),
    /// Text.
    Text(Vec<String>),
    /// Arrays.
    Arrays(Vec<Array>),
}

/// The numbers of types in a file.
mod kind {
    pub(super) const U8: u32 = 0;
    pub(super) const I8: u32 = 1;
    pub(super) const U16: u32 = 2;
    pub(super) const I16: u32 = 3;
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const TEXT: u32 = 8;
    pub(super) const ARRAY: u32 = 9;
    pub(super) const U64: u32 = 10;
    pub(super) const I64: u32 = 11;
    pub(super) const F64: u32 = 12;
}

impl Array {
    /// An array of i32.
    pub fn i32(values: Vec<i64>) -> Self {
        Self::Integers(kind::I32, values)
    }

    /// An array of booleans.
    pub fn bools(values: impl IntoIterator<Item = bool>) -> Self {
        Self::Integers(kind::BOOL, values.into_iter().map(i64::from).collect())
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(_, values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Arrays(values) => values.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(cursor: &mut Cursor<'_>, wide: bool, depth: usize) -> Result<Self, Why> {
        if depth > MAX_DEPTH {
            return Err(format!("arrays nest more than {MAX_DEPTH} deep"));
        }
        let element = cursor.u32()?;
        let declared = length(cursor, wide)?;
        let least = match element {
            kind::U8 | kind::I8 | kind::BOOL => 1,
            kind::U16 | kind::I16 => 2,
            kind::U32 | kind::I32 | kind::F32 => 4,
            kind::U64 | kind::I64 | kind::F64 => 8,
            kind::TEXT => length_bytes(wide),
            kind::ARRAY => 4 + length_bytes(wide),
            _ => return Err(format!("an array of the unknown type {element}")),
        };
        let count = cursor.count(declared, least)?;
        Ok(match element {
            kind::F32 => {
                Self::F32((0..count).map(|_| Ok(f32::from_le_bytes(cursor.array()?))).collect::<Result<_, Why>>()?)
            }
            kind::F64 => {
                Self::F64((0..count).map(|_| Ok(f64::from_le_bytes(cursor.array()?))).collect::<Result<_, Why>>()?)
            }
            kind::TEXT => Self::Text((0..count).map(|_| text(cursor, wide)).collect::<Result<_, Why>>()?),
            kind::ARRAY => {
                Self::Arrays((0..count).map(|_| Self::read(cursor, wide, depth + 1)).collect::<Result<_, Why>>()?)
            }
            _ => Self::Integers(element, (0..count).map(|_| integer(cursor, element)).collect::<Result<_, Why>>()?),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut head = |element: u32, count: usize| {
            out.extend_from_slice(&element.to_le_bytes());
            out.extend_from_slice(&(count as u64).to_le_bytes());
        };
        match self {
            Self::Integers(element, values) => {
                head(*element, values.len());
                let width = match *element {
                    kind::U8 | kind::I8 | kind::BOOL => 1,
                    kind::U16 | kind::I16 => 2,
                    kind::U32 | kind::I32 => 4,
                    _ => 8,
                };
                values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()[..width]));
            }
            Self::F32(values) => {
                head(kind::F32, values.len());
                values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
            }
            Self::F64(values) => {
                head(kind::F64, values.len());
                values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
            }
            Self::Text(values) => {
                head(kind::TEXT, values.len());
                values.iter().for_each(|value| put_text(out, value));
            }
            Self::Arrays(values) => {
                head(kind::ARRAY, values.len());
                values.iter().for_each(|value| value.write(out));
            }
        }
    }
}

impl Value {
    /// Reads a value with its type. `wide` lengths are u64 (version 2 on), others u32 (version 1).
    pub(crate) fn read(cursor: &mut Cursor<'_>, wide: bool) -> Result<Self, Why> {
        let number = cursor.u32()?;
        Ok(match number {
            kind::U8 => Self::U8(cursor.u8()?),
            kind::I8 => Self::I8(cursor.u8()? as i8),
            kind::U16 => Self::U16(cursor.u16()?),
            kind::I16 => Self::I16(cursor.u16()? as i16),
            kind::U32 => Self::U32(cursor.u32()?),
            kind::I32 => Self::I32(cursor.u32()? as i32),
            kind::U64 => Self::U64(cursor.u64()?),
            kind::I64 => Self::I64(cursor.u64()? as i64),
            kind::F32 => Self::F32(f32::from_le_bytes(cursor.array()?)),
            kind::F64 => Self::F64(f64::from_le_bytes(cursor.array()?)),
            kind::BOOL => Self::Bool(cursor.u8()? != 0),
            kind::TEXT => Self::Text(text(cursor, wide)?),
            kind::ARRAY => Self::Array(Array::read(cursor, wide, 0)?),
            _ => return Err(format!("a value of the unknown type {number}")),
        })
    }

    /// Appends the value with its type, as version 3 stores it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut put = |number: u32, bytes: &[u8]| {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(bytes);
        };
        match self {
            Self::U8(value) => put(kind::U8, &[*value]),
            Self::I8(value) => put(kind::I8, &value.to_le_bytes()),
            Self::U16(value) => put(kind::U16, &value.to_le_bytes()),
            Self::I16(value) => put(kind::I16, &value.to_le_bytes()),
            Self::U32(value) => put(kind::U32, &value.to_le_bytes()),
            Self::I32(value) => put(kind::I32, &value.to_le_bytes()),
            Self::U64(value) => put(kind::U64, &value.to_le_bytes()),
            Self::I64(value) => put(kind::I64, &value.to_le_bytes()),
            Self::F32(value) => put(kind::F32, &value.to_le_bytes()),
            Self::F64(value) => put(kind::F64, &value.to_le_bytes()),
            Self::Bool(value) => put(kind::BOOL, &[u8::from(*value)]),
            Self::Text(value) => {
                put(kind::TEXT, &[]);
                put_text(out, value);
            }
            Self::Array(value) => {
                put(kind::ARRAY, &[]);
                value.write(out);
            }
        }
    }

    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(value) => Some(u64::from(value)),
            Self::U16(value) => Some(u64::from(value)),
            Self::U32(value) => Some(u64::from(value)),
            Self::U64(value) => Some(value),
            Self::I8(value) => u64::try_from(value).ok(),
            Self::I16(value) => u64::try_from(value).ok(),
            Self::I32(value) => u64::try_from(value).ok(),
            Self::I64(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    /// Text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::U8(value) => value.fmt(f),
            Self::I8(value) => value.fmt(f),
            Self::U16(value) => value.fmt(f),
            Self::I16(value) => value.fmt(f),
            Self::U32(value) => value.fmt(f),
            Self::I32(value) => value.fmt(f),
            Self::U64(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::F32(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Array(Array::Integers(_, values)) => write!(f, "{values:?}"),
            Self::Array(Array::F32(values)) => write!(f, "{values:?}"),
            Self::Array(Array::F64(values)) => write!(f, "{values:?}"),
            Self::Array(Array::Text(values)) => write!(f, "{values:?}"),
            Self::Array(Array::Arrays(values)) => write!(f, "[{} arrays]", values.len()),
        }
    }
}

fn length_bytes(wide: bool) -> usize {
    if wide { 8 } else { 4 }
}

/// A length or count.
pub(crate) fn length(cursor: &mut Cursor<'_>, wide: bool) -> Result<u64, Why> {
    if wide { cursor.u64() } else { cursor.u32().map(u64::from) }
}

/// Text behind its length.
pub(crate) fn text(cursor: &mut Cursor<'_>, wide: bool) -> Result<String, Why> {
    let declared = length(cursor, wide)?;
    let length = cursor.count(declared, 1)?;
    Ok(String::from_utf8_lossy(cursor.take(length)?).into_owned())
}

/// Appends text behind its length.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn integer(cursor: &mut Cursor<'_>, kind: u32) -> Result<i64, Why> {
    Ok(match kind {
        kind::U8 | kind::BOOL => i64::from(cursor.u8()?),
        kind::I8 => i64::from(cursor.u8()? as i8),
        kind::U16 => i64::from(cursor.u16()?),
        kind::I16 => i64::from(cursor.u16()? as i16),
        kind::U32 => i64::from(cursor.u32()?),
        kind::I32 => i64::from(cursor.u32()? as i32),
        _ => cursor.u64()? as i64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written() {
        for value in [
            Value::U8(7),
            Value::I16(-3),
            Value::U64(u64::MAX),
            Value::F64(0.5),
            Value::Bool(true),
            Value::Text("ä".to_owned()),
            Value::Array(Array::i32(vec![-1, 2])),
            Value::Array(Array::bools([true, false])),
            Value::Array(Array::Text(vec!["a".to_owned(), String::new()])),
            Value::Array(Array::Arrays(vec![Array::F32(vec![1.5]), Array::F64(vec![])])),
        ] {
            let mut bytes = Vec::new();
            value.write(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(Value::read(&mut cursor, true).unwrap(), value);
            assert_eq!(cursor.remaining(), 0);
            for end in 0..bytes.len() {
                assert!(Value::read(&mut Cursor::new(&bytes[..end]), true).is_err());
            }
        }
    }

    #[test]
    fn an_array_cannot_ask_for_more_than_the_file_holds() {
        let mut bytes = kind::ARRAY.to_le_bytes().to_vec();
        bytes.extend_from_slice(&kind::TEXT.to_le_bytes());
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(Value::read(&mut Cursor::new(&bytes), true).is_err());
    }
}
