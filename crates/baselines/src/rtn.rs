//! `rtn`: round-to-nearest on a uniform grid, a scale for every group of weights along a row.
//!
//! The tensor is first shifted by a power of two so that its largest magnitude lies in `[2^14, 2^15)`; scales are binary16 there.
//! A group whose largest magnitude is 2^-38 of the tensor's decodes to zeros, which costs nothing against the tensor's energy.
//!
//! - symmetric: codes `0 ..= 2^b - 1` stand for `-2^(b-1) ..= 2^(b-1) - 1`; the step is `2 max|w| / (2^b - 1)`, so no weight is
//!   further than half a step from the grid (the convention of GPTQ);
//! - asymmetric: the range is `[min(w, 0), max(w, 0)]`, the zero point an integer of `b` bits, so zero stays exact.
//!
//! | part | bytes |
//! | --- | --- |
//! | parameters | bits (1), symmetric 1 or asymmetric 0 (1), group (varint, 0 = a whole row), tensor exponent (2) |
//! | scales | binary16 per group, groups in row-major order |
//! | zero points | `b` bits per group; empty where symmetric |
//! | indices | `b` bits per weight |

use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::packing::{BitReader, exact_len};
use seedpress_codec::tensor::matrix_shape;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Packing,
    PowerOfTwo, Role, Segment, Symbols, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::codes::{
    TASK, check_f16, down_all, extremes, f16_at, largest_of_all, pack, round, round_to_u8, to_f16, unpack, within,
};
use crate::feedback::{Hessian, choose};
use crate::units::Units;

/// Options of [`Rtn`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RtnOptions {
    /// Bits of an index. Scales come on top, 16 / group bits a weight, and without a symmetric grid the zero points, bits / group.
    pub bits: Int<2, 8>,
    /// Weights along a row that share a scale; 0 is a whole row.
    pub group: Int<0, 65536>,
    /// A grid symmetric about zero; otherwise one between the group's extremes, with a zero point.
    pub symmetric: bool,
    /// `full` feeds errors forward by the second moment of the inputs, with calibration data: same grids, other codes.
    pub hessian: Hessian,
}

impl Default for RtnOptions {
    fn default() -> Self {
        Self { bits: Int::of(4), group: Int::of(64), symmetric: true, hessian: Hessian::None }
    }
}

/// Round-to-nearest.
#[derive(Debug, Clone)]
pub struct Rtn(RtnOptions);

impl Codec for Rtn {
    const ID: &'static str = "rtn";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "round-to-nearest integers (2 to 8 bits) with a 16-bit scale per group";
    type Config = RtnOptions;

    fn new(config: RtnOptions) -> Self {
        Self(config)
    }

    fn config(&self) -> &RtnOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        // `bits` is the width of an index, not a rate to hit: the scales come on top.
        // A row of zeros has no errors to feed.
        let uses_calibration = self.0.hessian != Hessian::None;
        Capabilities { keeps_zeros: true, uses_calibration, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let bits = self.0.bits.get() as u8;
        let symmetric = self.0.symmetric;
        let top = f32::from((1u16 << bits) - 1);
        let groups = Units::new(matrix_shape(tensor.shape()), self.0.group.size())
            .ok_or_else(|| EncodeError::Internal("group count overflows".to_owned()))?;
        let power = PowerOfTwo::bringing(largest_of_all(tensor.values()), 14);
        let values = down_all(power, tensor.values());

        let mut codes = vec![0u8; values.len()];
        let mut scales = vec![0u8; groups.total * 2];
        let mut zeros = vec![0u8; groups.total];
        codes
            .par_chunks_mut(groups.columns)
            .zip(values.par_chunks(groups.columns))
            .zip(scales.par_chunks_mut(2 * groups.per_row))
            .zip(zeros.par_chunks_mut(groups.per_row))
            .for_each(|(((codes, values), scales), zeros)| {
                let codes = codes.chunks_mut(groups.unit);
                let parts = codes.zip(values.chunks(groups.unit)).zip(scales.chunks_exact_mut(2)).zip(zeros);
                for (((codes, values), scale), zero) in parts {
                    let (low, high) = extremes(values);
                    let range = if symmetric { 2.0 * high.max(-low) } else { high - low };
                    let step = to_f16(range / top);
                    scale.copy_from_slice(&step.to_le_bytes());
                    let step = step.to_f32();
                    let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
                    let point = if symmetric { (top + 1.0) / 2.0 } else { round(within(-low * inverse, 0.0, top)) };
                    *zero = if symmetric { 0 } else { point as u8 };
                    for (code, &value) in codes.iter_mut().zip(values) {
                        *code = round_to_u8(within(value * inverse + point, 0.0, top));
                    }
                }
            });
        if let Some(factor) = self.0.hessian.factor(tensor, context) {
            choose(&factor, &values, &mut codes, |index, aim| {
                let unit = index / groups.columns * groups.per_row + index % groups.columns / groups.unit;
                let step = f16_at(&scales, 2 * unit);
                let point = if symmetric { (top + 1.0) / 2.0 } else { f32::from(zeros[unit]) };
                let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
                let code = round_to_u8(within(aim * inverse + point, 0.0, top));
                (code, (f32::from(code) - point) * step)
            });
        }
        context.advance(tensor.len());

        let mut params = vec![bits, u8::from(symmetric)];
        params.put_varint(self.0.group.size() as u64);
        params.extend_from_slice(&power.to_bytes());
        let points = if symmetric { Vec::new() } else { pack(&zeros, bits) };
        let point_count = if symmetric { 0 } else { groups.total };
        Ok(Encoded::single(
            params,
            vec![
                Segment::new(Role::Scales, Symbols::floats(Packing::F16, groups.total), scales),
                Segment::new(Role::Scales, Symbols::bits(bits, point_count, groups.per_row), points),
                Segment::new(Role::Indices, Symbols::bits(bits, codes.len(), groups.columns), pack(&codes, bits)),
            ],
        ))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let mut reader = Reader::new(encoded.params);
        let bits = reader.u8()?;
        let symmetric = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::corrupt("unknown grid").at_offset(1)),
        };
        let group = reader.length()?;
        let power = PowerOfTwo::read(&mut reader)?;
        reader.finish()?;
        if !(2..=8).contains(&bits) {
            return Err(DecodeError::corrupt("index width outside 2..=8").at_offset(0));
        }
        let groups = Units::new((encoded.rows(), encoded.columns()), group)
            .ok_or(DecodeError::corrupt("group count overflows"))?;
        let [scales, points, codes] = encoded.single([Role::Scales, Role::Scales, Role::Indices])?;
        exact_len(scales, groups.total.saturating_mul(2)).map_err(|error| error.at(0, 0))?;
        check_f16(scales).map_err(|error| error.at(0, 0))?;
        let points = if symmetric {
            exact_len(points, 0).map_err(|error| error.at(0, 1))?;
            None
        } else {
            Some(BitReader::new(points, bits, groups.total).map_err(|error| error.at(0, 1))?)
        };
        BitReader::new(codes, bits, out.len()).map_err(|error| error.at(0, 2))?;

        let task_bytes = TASK / 8 * usize::from(bits);
        out.par_chunks_mut(TASK).zip(codes.par_chunks(task_bytes)).enumerate().for_each(|(task, (out, bytes))| {
            let mut codes = [0u8; TASK];
            let codes = &mut codes[..out.len()];
            unpack(bytes, bits, codes);
            groups.stretches(task * TASK, out.len(), |unit, range| {
                let scale = f16_at(scales, 2 * unit);
                let point = points.map_or(1 << (bits - 1), |points| points.get(unit)) as i32;
                for (value, &code) in out[range.clone()].iter_mut().zip(&codes[range]) {
                    *value = (i32::from(code) - point) as f32 * scale;
                }
            });
            power.up_all(out);
        });
        Ok(())
    }
}
