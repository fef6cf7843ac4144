//! Formats of floats and the widths of their fields.

/// Top mantissa bits with tables of their own.
pub(super) const HEAD: u32 = 3;

/// A floating-point format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IEEE 754 binary32.
    F32,
    /// bfloat16.
    BF16,
    /// IEEE 754 binary16.
    F16,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::F32, Self::BF16, Self::F16];

    /// Bytes of a float.
    pub(crate) fn size(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    pub(super) fn exponent_width(self) -> u8 {
        if self == Self::F16 { 5 } else { 8 }
    }

    /// Bits of a rest: the mantissa below the head, and the sign.
    pub(super) fn rest_width(self) -> u8 {
        if self == Self::F16 { 8 } else { 5 }
    }
}
