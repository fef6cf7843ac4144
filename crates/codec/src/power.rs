//! A power-of-two factor for a whole tensor: what lets 16-bit block scales serve tensors of any magnitude.
//!
//! Multiplying by a power of two changes exponents only, so a codec that works on the shifted values loses nothing, and its
//! reconstruction is shifted back with at most one rounding (into the subnormal range) and no overflow.

use crate::error::DecodeError;
use crate::wire::Reader;

/// `2^exponent`, two bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerOfTwo(i16);

impl PowerOfTwo {
    /// The factor 1.
    pub const ONE: Self = Self(0);
    const WIDEST: i16 = 300;

    /// The factor whose [`down`](Self::down) brings the largest magnitude of `values` into `[2^target, 2^(target + 1))`.
    pub fn normalising(values: &[f32], target: i16) -> Self {
        Self::bringing(values.iter().fold(0f32, |largest, value| largest.max(value.abs())), target)
    }

    /// The factor whose [`down`](Self::down) brings `magnitude` into `[2^target, 2^(target + 1))`.
    pub fn bringing(magnitude: f32, target: i16) -> Self {
        if magnitude == 0.0 || !magnitude.is_finite() {
            return Self::ONE;
        }
        // Every finite f32 is a normal f64, so its exponent field is its binary order of magnitude.
        let order = ((f64::from(magnitude).to_bits() >> 52) & 0x7FF) as i16 - 1023;
        Self((order - target).clamp(-Self::WIDEST, Self::WIDEST))
    }

    fn factor(exponent: i16) -> f64 {
        f64::from_bits(((1023 + i64::from(exponent)) as u64) << 52)
    }

    /// Divides by the factor.
    #[inline]
    pub fn down(self, value: f32) -> f32 {
        (f64::from(value) * Self::factor(-self.0)) as f32
    }

    /// Multiplies by the factor; what would overflow becomes the largest finite value.
    #[inline]
    pub fn up(self, value: f32) -> f32 {
        ((f64::from(value) * Self::factor(self.0)) as f32).clamp(f32::MIN, f32::MAX)
    }

    /// [`down`](Self::down) over a slice.
    pub fn down_all(self, values: &[f32]) -> Vec<f32> {
        if self == Self::ONE { values.to_vec() } else { values.iter().map(|&value| self.down(value)).collect() }
    }

    /// [`up`](Self::up) in place.
    pub fn up_all(self, values: &mut [f32]) {
        if self != Self::ONE {
            for value in values {
                *value = self.up(*value);
            }
        }
    }

    /// The two bytes.
    pub fn to_bytes(self) -> [u8; 2] {
        self.0.to_le_bytes()
    }

    /// Reads the two bytes.
    ///
    /// # Errors
    /// Truncated, or corrupt where no encoder writes such a factor.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let exponent = reader.u16()? as i16;
        if exponent.unsigned_abs() > Self::WIDEST.unsigned_abs() {
            return Err(DecodeError::corrupt("a tensor's exponent is out of range").at_offset(at));
        }
        Ok(Self(exponent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_magnitude_normalises_and_comes_back() {
        for value in [f32::from_bits(1), 1e-40, 1e-6, 0.75, 1.0, 3e6, f32::MAX] {
            let power = PowerOfTwo::normalising(&[0.0, -value], 14);
            let shifted = power.down(value);
            assert!((16384.0..32768.0).contains(&shifted), "{value:e} became {shifted}");
            assert_eq!(power.up(shifted), value);
            assert_eq!(PowerOfTwo::read(&mut Reader::new(&power.to_bytes())).unwrap(), power);
        }
        assert_eq!(PowerOfTwo::normalising(&[0.0], 14), PowerOfTwo::ONE);
        assert_eq!(PowerOfTwo::bringing(f32::MAX, 0).up(2.0), f32::MAX);
        assert!(PowerOfTwo::read(&mut Reader::new(&301i16.to_le_bytes())).is_err());
    }
}
