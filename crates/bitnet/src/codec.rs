//! `bitnet`: weights as -1, 0, 1 times a level; optionally a second such plane on what the first leaves over.
//!
//! The tensor is shifted by a power of two so that its largest magnitude lies in `[2^14, 2^15)`; levels are stored in that domain,
//! as binary32 for a whole tensor and binary16 per row or group. With two planes and `threshold = "mse"` both are fitted jointly,
//! with the first plane's own error kept in the sum so that a prefix decodes well; other rules apply plane by plane. The published
//! lower bound of 1e-5 on the level is left out: it would turn tensors of small scale into zeros.
//!
//! | part | bytes |
//! | --- | --- |
//! | parameters | scope: 0 tensor, 1 row, 2 group (1), group (varint), tensor exponent (2) |
//! | per layer: scales | binary32 (tensor) or binary16 per unit, row-major |
//! | per layer: indices | trits (digit + 1), five a byte, row-major |
//!
//! Layer 0 is the first plane, layer 1 (optional) the second: `w = a1 t1 + a2 t2`.

use half::f16;
use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::packing::{TRITS, check_trits, exact_len, pack_trits};
use seedpress_codec::tensor::matrix_shape;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Layer, Limits, Packing,
    PowerOfTwo, Role, Segment, Symbols, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::fit::{Rule, joint_digits, joint_levels, single};

/// What shares a level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The whole tensor, as published.
    #[default]
    Tensor,
    /// Each row.
    Row,
    /// Each run of `group` weights along a row.
    Group,
}

/// Options of [`Bitnet`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BitnetOptions {
    /// How the threshold is chosen: "absmean" as published, "mse" for least squared error, "twn".
    pub threshold: Rule,
    /// What shares a level: "tensor", "row" or "group".
    pub scale: Scope,
    /// Weights of a group, for `scale = "group"`.
    pub group: Int<8, 65536>,
    /// Ternary planes; the second refines the first and is a layer of its own.
    pub planes: Int<1, 2>,
}

impl Default for BitnetOptions {
    fn default() -> Self {
        Self { threshold: Rule::Absmean, scale: Scope::Tensor, group: Int::of(128), planes: Int::of(1) }
    }
}

/// The ternary codec.
#[derive(Debug, Clone)]
pub struct Bitnet(BitnetOptions);

/// Weights a parallel decoding task works on: whole trit bytes.
const TASK: usize = 5 * 4096;

/// Runs that share a level: rows of `length` cut every `unit` weights.
struct Units {
    length: usize,
    unit: usize,
    per_row: usize,
    total: usize,
}

impl Units {
    fn new(shape: &[usize], weights: usize, scope: Scope, group: usize) -> Option<Self> {
        let (rows, columns) = matrix_shape(shape);
        let (rows, length, unit) = match scope {
            Scope::Tensor => (1, weights, weights),
            Scope::Row => (rows, columns, columns),
            Scope::Group => (rows, columns, group.min(columns)),
        };
        let unit = unit.max(1);
        let per_row = length.div_ceil(unit);
        Some(Self { length, unit, per_row, total: rows.checked_mul(per_row)? })
    }
}

fn store(scope: Scope, level: f32) -> f32 {
    if scope == Scope::Tensor { level } else { f16::from_f32(level.clamp(0.0, 65504.0)).to_f32() }
}

impl Codec for Bitnet {
    const ID: &'static str = "bitnet";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "ternary weights, 1.6 bits (BitNet b1.58 absmean; MSE-optimal and two-plane variants)";
    type Config = BitnetOptions;

    fn new(config: BitnetOptions) -> Self {
        Self(config)
    }

    fn config(&self) -> &BitnetOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { progressive: self.0.planes.get() > 1, keeps_zeros: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let BitnetOptions { threshold: rule, scale: scope, group, planes } = self.0.clone();
        let planes = planes.size();
        let units = Units::new(tensor.shape(), tensor.len(), scope, group.size())
            .ok_or_else(|| EncodeError::Internal("group count overflows".to_owned()))?;
        let largest = |part: &[f32]| part.iter().fold(0f32, |a, v| if v.abs() > a { v.abs() } else { a });
        let power = PowerOfTwo::bringing(tensor.values().par_chunks(TASK).map(largest).reduce(|| 0.0, f32::max), 14);
        let mut values = tensor.values().to_vec();
        values.par_chunks_mut(TASK).for_each(|part| part.iter_mut().for_each(|value| *value = power.down(*value)));
        let keep = |level| store(scope, level);

        let mut digits = vec![[1u8; 2]; values.len()];
        let rows = digits.par_chunks_mut(units.length).zip(values.par_chunks(units.length));
        let levels: Vec<Vec<[f32; 2]>> = rows
            .map(|(digits, values)| {
                let parts = digits.chunks_mut(units.unit).zip(values.chunks(units.unit));
                parts.map(|(digits, values)| fit(values, digits, rule, planes, keep)).collect()
            })
            .collect();
        context.check_cancelled()?;
        context.advance(values.len());

        let mut params = vec![scope as u8];
        params.put_varint(group.size() as u64);
        params.extend_from_slice(&power.to_bytes());
        let layers = (0..planes).map(|plane| {
            let (packing, scales): (_, Vec<u8>) = if scope == Scope::Tensor {
                (Packing::F32, levels.iter().flatten().flat_map(|level| level[plane].to_le_bytes()).collect())
            } else {
                let halves = levels.iter().flatten().flat_map(|level| f16::from_f32(level[plane]).to_le_bytes());
                (Packing::F16, halves.collect())
            };
            let parts: Vec<Vec<u8>> = digits
                .par_chunks(TASK)
                .map(|part| {
                    let digits: Vec<u8> = part.iter().map(|pair| pair[plane]).collect();
                    pack_trits(&digits)
                })
                .collect();
            let symbols = Symbols::trits(values.len(), tensor.columns());
            Layer {
                segments: vec![
                    Segment::new(Role::Scales, Symbols::floats(packing, units.total), scales),
                    Segment::new(Role::Indices, symbols, parts.concat()),
                ],
            }
        });
        Ok(Encoded { params, layers: layers.collect() })
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let mut reader = Reader::new(encoded.params);
        let scope = match reader.u8()? {
            0 => Scope::Tensor,
            1 => Scope::Row,
            2 => Scope::Group,
            _ => return Err(DecodeError::corrupt("unknown scope of levels").at_offset(0)),
        };
        let group = reader.length()?;
        let power = PowerOfTwo::read(&mut reader)?;
        reader.finish()?;
        let units =
            Units::new(encoded.shape, out.len(), scope, group).ok_or(DecodeError::corrupt("group count overflows"))?;
        if !(1..=2).contains(&encoded.layers.len()) {
            return Err(DecodeError::corrupt("one or two layers expected"));
        }
        out.fill(0.0);
        for layer in 0..encoded.layers.len() {
            let [scales, trits] = encoded.segments(layer)?.all([Role::Scales, Role::Indices])?;
            let levels = read_levels(scales, scope, units.total, limits).map_err(|error| error.at(layer, 0))?;
            check_trits(trits, out.len()).map_err(|error| error.at(layer, 1))?;
            out.par_chunks_mut(TASK).zip(trits.par_chunks(TASK / 5)).enumerate().for_each(|(task, (out, bytes))| {
                let mut digits = [0u8; TASK];
                for (five, &byte) in digits.chunks_exact_mut(5).zip(bytes) {
                    five.copy_from_slice(&TRITS[usize::from(byte)]);
                }
                let mut at = 0;
                while at < out.len() {
                    // The stretch of this task that shares a level.
                    let (row, column) = ((task * TASK + at) / units.length, (task * TASK + at) % units.length);
                    let end = (column / units.unit + 1).saturating_mul(units.unit).min(units.length);
                    let stretch = (end - column).min(out.len() - at);
                    let level = levels[row * units.per_row + column / units.unit];
                    for (value, &digit) in out[at..at + stretch].iter_mut().zip(&digits[at..at + stretch]) {
                        *value += (i32::from(digit) - 1) as f32 * level;
                    }
                    at += stretch;
                }
            });
        }
        out.par_chunks_mut(TASK).for_each(|out| {
            for value in out.iter_mut() {
                *value = value.clamp(f32::MIN, f32::MAX);
            }
            power.up_all(out);
        });
        Ok(())
    }
}

/// Fits one unit: fills the digits (0, 1, 2 for -1, 0, 1) and returns the levels as stored.
fn fit(values: &[f32], digits: &mut [[u8; 2]], rule: Rule, planes: usize, keep: impl Fn(f32) -> f32) -> [f32; 2] {
    let code = |digit: i8| (digit + 1) as u8;
    let first = single(values, rule, &keep);
    if planes == 1 {
        in_parts(digits, values, |digits, value| digits[0] = code(first.digit(value)));
        return [first.level, 0.0];
    }
    let rest = |value: f32| value - f32::from(first.digit(value)) * first.level;
    let residual: Vec<f32> = values.iter().map(|&value| rest(value)).collect();
    let second = single(&residual, rule, &keep);
    if rule == Rule::Mse {
        let levels = joint_levels(values, [first.level, second.level]).map(&keep);
        in_parts(digits, values, |digits, value| *digits = joint_digits(value, levels).map(code));
        return levels;
    }
    in_parts(digits, values, |digits, value| *digits = [first.digit(value), second.digit(rest(value))].map(code));
    [first.level, second.level]
}

/// Sets the digits of every weight, over all threads where a unit is long.
fn in_parts(digits: &mut [[u8; 2]], values: &[f32], set: impl Fn(&mut [u8; 2], f32) + Sync) {
    let part = |(digits, values): (&mut [[u8; 2]], &[f32])| {
        digits.iter_mut().zip(values).for_each(|(digits, &value)| set(digits, value));
    };
    if digits.len() <= TASK {
        part((digits, values));
    } else {
        digits.par_chunks_mut(TASK).zip(values.par_chunks(TASK)).for_each(part);
    }
}

fn read_levels(bytes: &[u8], scope: Scope, count: usize, limits: &mut Limits) -> Result<Vec<f32>, DecodeError> {
    exact_len(bytes, count.saturating_mul(if scope == Scope::Tensor { 4 } else { 2 }))?;
    let mut levels = limits.vec(count)?;
    if scope == Scope::Tensor {
        levels.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    } else {
        levels.extend(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()));
    }
    if levels.iter().all(|level: &f32| level.is_finite()) {
        Ok(levels)
    } else {
        Err(DecodeError::corrupt("a level is not finite"))
    }
}
