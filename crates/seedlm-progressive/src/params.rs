//! The parameter bytes.

use seedpress_codec::DecodeError;
use seedpress_codec::wire::{Put, Reader};

use crate::codebook::DECIMATIONS;
use crate::config::Shape;
use crate::values::Values;

/// The exponent that stands for a tensor which is nothing but its mean.
const NOTHING: i16 = i16::MIN;

/// What a decoder must know beside the tensor's shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Params {
    pub width: u32,
    pub block: usize,
    pub terms: usize,
    pub values: Values,
    /// Values are coded in units of two to this power; `None` where there is nothing to code.
    pub exponent: Option<i32>,
    pub mean: f32,
}

impl Params {
    pub(crate) fn new(shape: &Shape, values: Values, exponent: Option<i32>, mean: f32) -> Self {
        Self { width: shape.width, block: shape.block, terms: shape.terms, values, exponent, mean }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let values = match self.values {
            Values::Uniform => 0,
            Values::Gaussian => 1,
        };
        let mut bytes = vec![self.width as u8, self.block as u8, self.terms as u8, values];
        bytes.extend_from_slice(&self.exponent.map_or(NOTHING, |e| e as i16).to_le_bytes());
        bytes.put_f32(self.mean);
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut field = |range: std::ops::RangeInclusive<u8>, what| {
            let at = reader.position();
            let value = reader.u8()?;
            if range.contains(&value) { Ok(value) } else { Err(DecodeError::corrupt(what).at_offset(at)) }
        };
        let width = u32::from(field(8..=18, "register width outside 8..=18")?);
        let block = usize::from(field(4..=64, "block outside 4..=64")?);
        let terms = usize::from(field(1..=4, "stages in a layer outside 1..=4")?);
        let values = match field(0..=1, "unknown map from states to values")? {
            0 => Values::Uniform,
            _ => Values::Gaussian,
        };
        let exponent = match reader.u16()? as i16 {
            NOTHING => None,
            e @ -160..=130 => Some(i32::from(e)),
            _ => return Err(DecodeError::corrupt("exponent out of range").at_offset(4)),
        };
        let mean = reader.finite_f32()?;
        reader.finish()?;
        Ok(Self { width, block, terms, values, exponent, mean })
    }

    /// Fails where a stream has more stages than there are sequences.
    pub(crate) fn check_layers(&self, layers: usize) -> Result<(), DecodeError> {
        match layers.checked_mul(self.terms) {
            Some(stages) if stages <= DECIMATIONS.len() => Ok(()),
            _ => Err(DecodeError::corrupt("more stages than sequences")),
        }
    }
}
