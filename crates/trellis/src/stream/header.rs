//! The parameter bytes.

use seedpress_codec::DecodeError;
use seedpress_codec::wire::{Put, Reader};

use crate::classes::Classes;
use crate::code::Code;
use crate::symbols::MOST_SHIFT;

/// Trained reproduction points at most.
pub(crate) const MOST_POINTS: usize = 32;
/// Segments at most.
const SEGMENTS: usize = 4;

const ROW_CLASSES: u8 = 1;
const COLUMN_CLASSES: u8 = 2;
const OFFSET: u8 = 4;
/// Every weight equals the offset.
const CONSTANT: u8 = 8;
const COLUMN_WEIGHTS: u8 = 16;
const BY_COLUMN: u8 = 32;
const ROTATED: u8 = 64;
/// All of them.
const FLAGS: u8 = 127;

/// All that the parameter bytes say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    /// How indices become weights.
    pub params: Params,
    /// Whether row and column classes were sent.
    pub sides: [bool; 2],
    /// Subtracted from the sum of both classes.
    pub base: u8,
    /// Element classes in use.
    pub count: u8,
    /// Bytes of each segment.
    pub lengths: Vec<usize>,
}

/// How indices become weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Params {
    /// Added to every weight.
    pub offset: f32,
    /// Half the spacing of a quantiser's points; 0 where every weight equals the offset.
    pub step: f32,
    /// Memory of the code.
    pub memory: u8,
    /// Low bits of the binarisation.
    pub shift: u32,
    /// Trained offsets of Q0 and Q1 in step/64, for indices from 1.
    pub points: Vec<[i8; 2]>,
    /// Whether column weights were sent.
    pub weighted: bool,
    /// Whether the weights follow one another column by column.
    pub by_column: bool,
    /// The seed of the rotation of the rows, where they were rotated.
    pub rotation: Option<u32>,
}

impl Params {
    /// Serialises, with the lengths of the segments to follow.
    pub(crate) fn to_bytes(&self, classes: &Classes, lengths: impl IntoIterator<Item = usize>) -> Vec<u8> {
        let constant = self.step == 0.0;
        let sides = [(!classes.rows.is_empty(), ROW_CLASSES), (!classes.columns.is_empty(), COLUMN_CLASSES)];
        let flags = sides.into_iter().chain([
            (self.offset != 0.0, OFFSET),
            (constant, CONSTANT),
            (self.weighted, COLUMN_WEIGHTS),
            (self.by_column, BY_COLUMN),
            (self.rotation.is_some(), ROTATED),
        ]);
        let flags = flags.filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag);
        let mut bytes = vec![flags];
        if self.offset != 0.0 {
            bytes.put_f32(self.offset);
        }
        if constant {
            return bytes;
        }
        if let Some(seed) = self.rotation {
            bytes.put_varint(u64::from(seed));
        }
        bytes.put_f32(self.step);
        bytes.push(self.memory | (self.shift as u8) << 4);
        bytes.push((classes.count - 1) | (classes.base & 15) << 4);
        if flags & (ROW_CLASSES | COLUMN_CLASSES) != 0 {
            bytes.push(classes.base >> 4);
        }
        bytes.push(self.points.len() as u8);
        bytes.extend(self.points.iter().flatten().map(|&offset| offset as u8));
        lengths.into_iter().for_each(|length| bytes.put_varint(length as u64));
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// Truncated or corrupt.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Header, DecodeError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags > FLAGS || flags & CONSTANT != 0 && flags & (COLUMN_WEIGHTS | BY_COLUMN | ROTATED) != 0 {
            return Err(DecodeError::corrupt("unknown flags").at_offset(0));
        }
        let offset = if flags & OFFSET != 0 { reader.finite_f32()? } else { 0.0 };
        let mut params = Self {
            offset,
            memory: Code::LEAST,
            weighted: flags & COLUMN_WEIGHTS != 0,
            by_column: flags & BY_COLUMN != 0,
            ..Self::default()
        };
        if flags & CONSTANT != 0 {
            reader.finish()?;
            return Ok(Header { params, sides: [false; 2], base: 0, count: 1, lengths: Vec::new() });
        }
        if flags & ROTATED != 0 {
            let seed = u32::try_from(reader.varint()?);
            params.rotation = Some(seed.map_err(|_| DecodeError::corrupt("the seed is beyond 32 bits"))?);
        }
        let (base, count) = params.parse_code(&mut reader, flags)?;
        let mut lengths = Vec::with_capacity(SEGMENTS);
        while reader.remaining() > 0 {
            if lengths.len() == SEGMENTS {
                return Err(DecodeError::corrupt("trailing bytes").at_offset(reader.position()));
            }
            lengths.push(reader.length()?);
        }
        let sides = [ROW_CLASSES, COLUMN_CLASSES].map(|side| flags & side != 0);
        Ok(Header { params, sides, base, count, lengths })
    }

    /// Step, code, classes and points of a tensor that is not constant; returns the base and the number of element classes.
    fn parse_code(&mut self, reader: &mut Reader<'_>, flags: u8) -> Result<(u8, u8), DecodeError> {
        self.step = reader.finite_f32()?;
        if self.step <= 0.0 {
            return Err(DecodeError::corrupt("the step is not positive"));
        }
        let code = reader.u8()?;
        self.memory = code & 15;
        self.shift = u32::from(code >> 4);
        if Code::new(self.memory).is_none() || self.shift > MOST_SHIFT {
            return Err(DecodeError::corrupt("unknown trellis code or binarisation"));
        }
        let packed = reader.u8()?;
        let high = if flags & (ROW_CLASSES | COLUMN_CLASSES) != 0 { reader.u8()? } else { 0 };
        if high > 1 {
            return Err(DecodeError::corrupt("class base out of range"));
        }
        let (count, base) = ((packed & 15) + 1, packed >> 4 | high << 4);
        let points = usize::from(reader.u8()?);
        if points > MOST_POINTS {
            return Err(DecodeError::corrupt("too many reproduction points"));
        }
        self.points = reader.take(2 * points)?.chunks_exact(2).map(|p| [p[0] as i8, p[1] as i8]).collect();
        Ok((base, count))
    }

    /// The reproduction point of index `k`, in steps.
    #[inline]
    pub(crate) fn point(&self, quantizer: usize, k: usize) -> f32 {
        let trained = if k == 0 { 0 } else { self.points.get(k - 1).map_or(0, |offsets| offsets[quantizer]) };
        let lattice = if k == 0 { 0.0 } else { (2 * k - quantizer) as f32 };
        lattice + f32::from(trained) / 64.0
    }

    /// A weight from its point in steps.
    #[inline]
    pub(super) fn weight(&self, point: f32, negative: bool) -> f32 {
        let magnitude = f64::from(point) * f64::from(self.step);
        let value = f64::from(self.offset) + if negative { -magnitude } else { magnitude };
        (value as f32).clamp(-f32::MAX, f32::MAX)
    }
}
