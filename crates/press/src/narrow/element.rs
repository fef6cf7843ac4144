//! Floating-point types of 8, 6 and 4 bits, element by element.
//!
//! | type | sign, exponent, mantissa | bias | infinities | NaN | source |
//! | --- | --- | --- | --- | --- | --- |
//! | `F8_E4M3` | 1, 4, 3 | 7 | none | 0x7F, 0xFF | OCP 8-bit floating point |
//! | `F8_E5M2` | 1, 5, 2 | 15 | 0x7C, 0xFC | the patterns after those | OCP 8-bit floating point |
//! | `F8_E4M3FNUZ` | 1, 4, 3 | 8 | none | 0x80 | no negative zero |
//! | `F8_E5M2FNUZ` | 1, 5, 2 | 16 | none | 0x80 | no negative zero |
//! | `F6_E2M3` | 1, 2, 3 | 1 | none | none | OCP microscaling formats (MX) |
//! | `F6_E3M2` | 1, 3, 2 | 3 | none | none | OCP microscaling formats (MX) |
//! | `F4` | 1, 2, 1 | 1 | none | none | OCP microscaling formats (MX) |
//!
//! Elements of six and four bits follow each other from the low bit of the first byte on.

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// `F8_E4M3`.
    E4M3,
    /// `F8_E5M2`.
    E5M2,
    /// `F8_E4M3FNUZ`.
    E4M3Fnuz,
    /// `F8_E5M2FNUZ`.
    E5M2Fnuz,
    /// `F6_E2M3`.
    E2M3,
    /// `F6_E3M2`.
    E3M2,
    /// `F4`.
    E2M1,
}

impl Element {
    /// The type of this spelling.
    pub(crate) fn of(dtype: &str) -> Option<Self> {
        match dtype {
            "F8_E4M3" => Some(Self::E4M3),
            "F8_E5M2" => Some(Self::E5M2),
            "F8_E4M3FNUZ" => Some(Self::E4M3Fnuz),
            "F8_E5M2FNUZ" => Some(Self::E5M2Fnuz),
            "F6_E2M3" => Some(Self::E2M3),
            "F6_E3M2" => Some(Self::E3M2),
            "F4" => Some(Self::E2M1),
            _ => None,
        }
    }

    /// Bits of an element.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::E2M1 => 4,
            Self::E2M3 | Self::E3M2 => 6,
            _ => 8,
        }
    }

    /// Mantissa bits and exponent bias.
    fn layout(self) -> (u32, i32) {
        match self {
            Self::E4M3 => (3, 7),
            Self::E5M2 => (2, 15),
            Self::E4M3Fnuz => (3, 8),
            Self::E5M2Fnuz => (2, 16),
            Self::E2M3 => (3, 1),
            Self::E3M2 => (2, 3),
            Self::E2M1 => (1, 1),
        }
    }

    /// The value of a pattern.
    fn value(self, code: u8) -> f32 {
        let sign_bit = 1u8 << (self.bits() - 1);
        let (mantissa_bits, bias) = self.layout();
        let magnitude = code & (sign_bit - 1);
        let negative = code & sign_bit != 0;
        match (self, magnitude) {
            (Self::E4M3, 0x7F) => return nan(negative, 0x40_0000),
            (Self::E5M2, 0x7C) => return if negative { f32::NEG_INFINITY } else { f32::INFINITY },
            (Self::E5M2, 0x7D..) => return nan(negative, u32::from(magnitude & 3) << 21),
            (Self::E4M3Fnuz | Self::E5M2Fnuz, 0) if negative => return nan(false, 0x40_0000),
            _ => {}
        }
        let fraction = f32::from(magnitude & ((1 << mantissa_bits) - 1)) / (1u32 << mantissa_bits) as f32;
        let exponent = i32::from(magnitude >> mantissa_bits);
        let value = match exponent {
            0 => fraction * f32::powi(2.0, 1 - bias),
            _ => (1.0 + fraction) * f32::powi(2.0, exponent - bias),
        };
        if negative { -value } else { value }
    }

    /// Patterns of finite magnitudes: 0..this, in the order of their values.
    fn finite(self) -> u8 {
        match self {
            Self::E4M3 => 0x7F,
            Self::E5M2 => 0x7C,
            Self::E4M3Fnuz | Self::E5M2Fnuz => 0x80,
            Self::E2M3 | Self::E3M2 => 32,
            Self::E2M1 => 8,
        }
    }

    /// What turns bytes into values.
    pub(crate) fn decoder(self) -> [f32; 256] {
        std::array::from_fn(|code| self.value(code as u8 & (u8::MAX >> (8 - self.bits()))))
    }

    /// What turns values into patterns.
    pub(crate) fn encoder(self) -> Encoder {
        let values: Vec<f32> = (0..self.finite()).map(|code| self.value(code)).collect();
        Encoder { element: self, values }
    }
}

fn nan(negative: bool, payload: u32) -> f32 {
    f32::from_bits(u32::from(negative) << 31 | 0x7F80_0000 | payload)
}

/// Rounds to nearest, ties to even patterns, saturating at the largest finite value.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    element: Element,
    values: Vec<f32>,
}

impl Encoder {
    /// The pattern nearest to a value.
    pub(crate) fn code(&self, value: f32) -> u8 {
        let sign_bit = 1u8 << (self.element.bits() - 1);
        let fnuz = matches!(self.element, Element::E4M3Fnuz | Element::E5M2Fnuz);
        let sign = if value.is_sign_negative() { sign_bit } else { 0 };
        if value.is_nan() {
            return match self.element {
                Element::E4M3 => sign | 0x7F,
                Element::E5M2 => sign | 0x7C | ((value.to_bits() >> 21) as u8 & 3).max(1),
                Element::E4M3Fnuz | Element::E5M2Fnuz => 0x80,
                Element::E2M3 | Element::E3M2 | Element::E2M1 => sign,
            };
        }
        if value.is_infinite() && self.element == Element::E5M2 {
            return sign | 0x7C;
        }
        let magnitude = value.abs();
        let above = self.values.partition_point(|&candidate| candidate < magnitude);
        let code = match above {
            0 => 0,
            above if above == self.values.len() => above - 1,
            above => {
                let (low, high) = (f64::from(self.values[above - 1]), f64::from(self.values[above]));
                let middle = (low + high) / 2.0;
                let up = f64::from(magnitude) > middle || (f64::from(magnitude) == middle && above % 2 == 0);
                if up { above } else { above - 1 }
            }
        } as u8;
        // Without a negative zero its pattern is taken.
        if code == 0 && fnuz { 0 } else { sign | code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Element; 7] = [
        Element::E4M3,
        Element::E5M2,
        Element::E4M3Fnuz,
        Element::E5M2Fnuz,
        Element::E2M3,
        Element::E3M2,
        Element::E2M1,
    ];

    #[test]
    fn every_pattern_comes_back() {
        for element in ALL {
            let (decoder, encoder) = (element.decoder(), element.encoder());
            for code in 0..=(u8::MAX >> (8 - element.bits())) {
                assert_eq!(encoder.code(decoder[usize::from(code)]), code, "{element:?} {code:#x}");
            }
        }
    }

    #[test]
    fn values_are_those_of_the_standards() {
        let largest =
            |element: Element| element.decoder().into_iter().filter(|value| value.is_finite()).fold(0.0, f32::max);
        assert_eq!(ALL.map(largest), [448.0, 57344.0, 240.0, 57344.0, 7.5, 28.0, 6.0]);
        assert_eq!(Element::E4M3.decoder()[1], 2f32.powi(-9));
        assert_eq!(Element::E5M2.decoder()[1], 2f32.powi(-16));
        assert_eq!((Element::E2M3.decoder()[1], Element::E3M2.decoder()[1]), (0.125, 0.0625));
        let four = Element::E2M1.decoder();
        assert_eq!(four[..8], [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
    }

    #[test]
    fn rounding_is_to_nearest_and_saturates() {
        let encoder = Element::E2M1.encoder();
        let decoder = Element::E2M1.decoder();
        let round = |value: f32| decoder[usize::from(encoder.code(value))];
        // Ties go to even mantissas.
        let rounded = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 5.1, 1e9, -0.3].map(round);
        assert_eq!(rounded, [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0, -0.5]);
        assert_eq!(Element::E4M3.encoder().code(f32::INFINITY), 0x7E);
    }
}
