//! The parameter bytes: see [`stream`](crate::stream).

use seedpress_codec::DecodeError;
use seedpress_codec::power::PowerOfTwo;
use seedpress_codec::wire::{Put, Reader};

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bits of a weight.
    pub bits: u32,
    /// Bits of a state.
    pub state_bits: u32,
    /// Seed of the rotation's signs.
    pub seed: Option<u32>,
}

/// How weights lie in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Blocks along the rows, scales of blocks.
    Rows,
    /// Blocks down the columns, scales of rows; where `scaled`, of columns too.
    Columns { scaled: bool },
}

/// What the parameter bytes say.
#[derive(Debug)]
pub(crate) struct Header {
    pub settings: Settings,
    pub layout: Layout,
    /// What a value of 1 stands for; 0 where every weight is 0.
    pub step: f32,
    /// Whether there are scales of blocks or rows.
    pub scaled: bool,
    pub power: PowerOfTwo,
}

impl Header {
    /// Of a tensor of zeros.
    pub(crate) fn of_zeros(settings: Settings) -> Self {
        Self { settings, layout: Layout::Rows, step: 0.0, scaled: false, power: PowerOfTwo::ONE }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Settings { bits, state_bits, seed } = self.settings;
        let powered = self.power != PowerOfTwo::ONE;
        let flags = u8::from(seed.is_some()) << 5 | u8::from(self.scaled) << 6 | u8::from(powered) << 7;
        let (kind, state) = ((bits - 1) as u8 | flags, (state_bits - 9) as u8);
        let mut bytes = match self.layout {
            Layout::Rows => vec![kind | state << 2],
            Layout::Columns { scaled } => vec![kind, state | u8::from(scaled) << 3],
        };
        bytes.put_f32(self.step);
        if self.step == 0.0 {
            return bytes;
        }
        if powered {
            bytes.extend(self.power.to_bytes());
        }
        if let Some(seed) = seed {
            bytes.extend(seed.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let bits = u32::from(kind & 3) + 1;
        let (state, layout) = match kind >> 2 & 7 {
            0 => {
                let columns = reader.u8()?;
                if columns > 15 {
                    return Err(DecodeError::corrupt("unknown layout").at_offset(1));
                }
                (columns & 7, Layout::Columns { scaled: columns & 8 != 0 })
            }
            state => (state, Layout::Rows),
        };
        if state == 0 {
            return Err(DecodeError::corrupt("unknown state length").at_offset(0));
        }
        let step = reader.finite_f32()?;
        if step < 0.0 {
            return Err(DecodeError::corrupt("the step is negative"));
        }
        let (mut power, mut seed) = (PowerOfTwo::ONE, None);
        if step > 0.0 {
            if kind & 128 != 0 {
                power = PowerOfTwo::read(&mut reader)?;
            }
            if kind & 32 != 0 {
                seed = Some(reader.u32()?);
            }
        }
        reader.finish()?;
        let settings = Settings { bits, state_bits: u32::from(state) + 9, seed };
        Ok(Self { settings, layout, step, scaled: kind & 64 != 0, power })
    }
}
