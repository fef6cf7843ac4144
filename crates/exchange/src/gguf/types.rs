//! The types a GGUF tensor can have.

use crate::gguf::dequantise::Dequantise;
use crate::gguf::{dequantise, iquants};
use crate::scalar::Scalar;

/// A type: its number in the file, ggml's name, the size of its blocks, and how they become weights.
#[derive(Debug, Clone, Copy)]
pub struct TypeInfo {
    /// The number in a tensor's description.
    pub number: u32,
    /// ggml's name.
    pub name: &'static str,
    /// Weights in a block; a row is whole blocks.
    pub weights: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// How its values are read.
    pub(crate) values: Values,
}

/// How a block's bytes become values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values {
    /// Plain numbers.
    Plain(Scalar),
    /// Blocks of quantised weights.
    Blocks(Dequantise),
    /// Intermediate types of ggml's arithmetic that no file holds.
    Unread,
}

const fn plain(number: u32, name: &'static str, scalar: Scalar, bytes: usize) -> TypeInfo {
    TypeInfo { number, name, weights: 1, bytes, values: Values::Plain(scalar) }
}

const fn blocks(number: u32, name: &'static str, weights: usize, bytes: usize, values: Dequantise) -> TypeInfo {
    TypeInfo { number, name, weights, bytes, values: Values::Blocks(values) }
}

const fn unread(number: u32, name: &'static str, weights: usize, bytes: usize) -> TypeInfo {
    TypeInfo { number, name, weights, bytes, values: Values::Unread }
}

/// Every type, in the order of its number. Numbers that are missing were given up by ggml.
pub const TYPES: &[TypeInfo] = &[
    plain(0, "F32", Scalar::F32, 4),
    plain(1, "F16", Scalar::F16, 2),
    blocks(2, "Q4_0", 32, 18, dequantise::q4_0),
    blocks(3, "Q4_1", 32, 20, dequantise::q4_1),
    blocks(6, "Q5_0", 32, 22, dequantise::q5_0),
    blocks(7, "Q5_1", 32, 24, dequantise::q5_1),
    blocks(8, "Q8_0", 32, 34, dequantise::q8_0),
    unread(9, "Q8_1", 32, 40),
    blocks(10, "Q2_K", 256, 84, dequantise::q2_k),
    blocks(11, "Q3_K", 256, 110, dequantise::q3_k),
    blocks(12, "Q4_K", 256, 144, dequantise::q4_k),
    blocks(13, "Q5_K", 256, 176, dequantise::q5_k),
    blocks(14, "Q6_K", 256, 210, dequantise::q6_k),
    unread(15, "Q8_K", 256, 292),
    blocks(16, "IQ2_XXS", 256, 66, iquants::iq2_xxs),
    blocks(17, "IQ2_XS", 256, 74, iquants::iq2_xs),
    blocks(18, "IQ3_XXS", 256, 98, iquants::iq3_xxs),
    blocks(19, "IQ1_S", 256, 50, iquants::iq1_s),
    blocks(20, "IQ4_NL", 32, 18, iquants::iq4_nl),
    blocks(21, "IQ3_S", 256, 110, iquants::iq3_s),
    blocks(22, "IQ2_S", 256, 82, iquants::iq2_s),
    blocks(23, "IQ4_XS", 256, 136, iquants::iq4_xs),
    plain(24, "I8", Scalar::I8, 1),
    plain(25, "I16", Scalar::I16, 2),
    plain(26, "I32", Scalar::I32, 4),
    plain(27, "I64", Scalar::I64, 8),
    plain(28, "F64", Scalar::F64, 8),
    blocks(29, "IQ1_M", 256, 56, iquants::iq1_m),
    plain(30, "BF16", Scalar::BF16, 2),
    blocks(34, "TQ1_0", 256, 54, dequantise::tq1_0),
    blocks(35, "TQ2_0", 256, 66, dequantise::tq2_0),
    blocks(39, "MXFP4", 32, 17, dequantise::mxfp4),
    blocks(40, "NVFP4", 64, 36, dequantise::nvfp4),
    blocks(41, "Q1_0", 128, 18, dequantise::q1_0),
    blocks(42, "Q2_0", 64, 18, dequantise::q2_0),
];

/// The type of a number.
pub(crate) fn by_number(number: u32) -> Option<&'static TypeInfo> {
    TYPES.binary_search_by_key(&number, |info| info.number).ok().map(|index| &TYPES[index])
}

/// The type of a name, in either case.
pub fn by_name(name: &str) -> Option<&'static TypeInfo> {
    TYPES.iter().find(|info| info.name.eq_ignore_ascii_case(name))
}

impl PartialEq for TypeInfo {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for TypeInfo {}

impl TypeInfo {
    /// Bytes of a tensor whose rows have `columns` weights; `None` where a row is no whole number of blocks, or on overflow.
    pub fn size(&self, shape: &[usize]) -> Option<usize> {
        let columns = shape.last().copied().unwrap_or(1);
        if columns % self.weights != 0 {
            return None;
        }
        (seedpress_codec::tensor::element_count(shape)? / self.weights).checked_mul(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_in_order_and_sizes_follow() {
        assert!(TYPES.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert_eq!(by_name("q4_k").unwrap().size(&[2, 512]), Some(576));
        assert_eq!(by_name("Q6_K").unwrap().size(&[2, 576]), None);
        assert_eq!(by_number(4).map(|info| info.name), None);
        assert_eq!(by_number(0).unwrap().size(&[usize::MAX, 2]), None);
    }
}
