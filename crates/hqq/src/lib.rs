//! `hqq`: half-quadratic quantisation, without data.
//!
//! A group's scale comes from its extremes; its zero point, a float, is then fitted against an error norm that forgives outliers, by
//! half-quadratic splitting: errors above a threshold are taken for outliers and left out of the zero point's mean. Source: H. Badri,
//! A. Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023, and the package `hqq`, whose defaults these are
//! (p = .7, beta = 10, 20 iterations, stop once the mean absolute error of the tensor grows).
//!
//! Scale and zero point are binary16, as the package stores them. Where its grids would leave that range (constant groups with an
//! offset) the scale is limited, and tensors whose largest magnitude lies outside of `2^-6 .. 2^14` are brought there by a power of two.
//!
//! | parameters | bits (u8), group (varint, 0 = a whole row), tensor exponent (i16) |
//! | --- | --- |
//! | scales | binary16 per group, groups in row-major order |
//! | zero points | binary16 per group |
//! | indices | `bits` per weight, from the lowest bit on |
//!
//! A weight is `(code - zero) scale`, in binary32.

mod fit;

use half::f16;
use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::packing::{BitReader, exact_len, pack_bits};
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Packing,
    PowerOfTwo, Registry, Role, Segment, Symbols, TensorView,
};
use serde::{Deserialize, Serialize};

/// Options of [`Hqq`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bits of a code; with one bit its grids are worse than zeros. Scale and zero point come on top, 32 / group bits a weight.
    pub bits: Int<2, 8>,
    /// Weights along a row that share a grid; 0 is a whole row.
    pub group: Int<0, 65536>,
    /// Iterations at most; with 0 zero points stay those of the extremes.
    pub iterations: Int<0, 100>,
}

impl Default for Config {
    fn default() -> Self {
        Self { bits: Int::of(4), group: Int::of(64), iterations: Int::of(20) }
    }
}

/// The codec.
#[derive(Debug, Clone)]
pub struct Hqq(Config);

/// Weights in a group but the last of a row.
fn group_size(columns: usize, group: usize) -> usize {
    if group == 0 { columns.max(1) } else { group.min(columns).max(1) }
}

fn power_for(values: &[f32]) -> PowerOfTwo {
    const FITTING: std::ops::Range<f32> = 0.015_625..16_384.0;
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if FITTING.contains(&largest) { PowerOfTwo::ONE } else { PowerOfTwo::bringing(largest, 0) }
}

impl Codec for Hqq {
    const ID: &'static str = "hqq";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "integers with a scale and a fitted float zero point per group, without data (HQQ)";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self(config)
    }

    fn config(&self) -> &Config {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let (bits, columns) = (self.0.bits.get() as u8, tensor.columns());
        let power = power_for(tensor.values());
        let values = power.down_all(tensor.values());
        let size = group_size(columns, self.0.group.size());
        let mut fit = fit::Fit::new(&values, columns, size, bits);
        for _ in 0..self.0.iterations.get() {
            context.check_cancelled()?;
            if !fit.improve() {
                break;
            }
        }
        let grids = fit.grids();
        let codes: Vec<u32> = values
            .par_chunks(columns)
            .zip(grids.par_chunks(columns.div_ceil(size)))
            .flat_map_iter(|(row, grids)| {
                row.chunks(size).zip(grids).flat_map(|(group, grid)| group.iter().map(|&value| grid.code(value, bits)))
            })
            .collect();
        context.advance(tensor.len());
        let halves = |number: fn(&fit::Grid) -> f16| grids.iter().flat_map(|grid| number(grid).to_le_bytes()).collect();
        let mut params = vec![bits];
        params.put_varint(self.0.group.size() as u64);
        params.extend_from_slice(&power.to_bytes());
        let floats = Symbols::floats(Packing::F16, grids.len()).in_rows(columns.div_ceil(size));
        Ok(Encoded::single(
            params,
            vec![
                Segment::new(Role::Scales, floats, halves(|grid| grid.scale)),
                Segment::new(Role::Scales, floats, halves(|grid| grid.zero)),
                Segment::new(Role::Indices, Symbols::bits(bits, codes.len(), columns), pack_bits(codes, bits)),
            ],
        ))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let mut reader = Reader::new(encoded.params);
        let bits = reader.u8()?;
        let group = reader.length()?;
        let power = PowerOfTwo::read(&mut reader)?;
        reader.finish()?;
        if !(2..=8).contains(&bits) {
            return Err(DecodeError::corrupt("index width outside 2..=8").at_offset(0));
        }
        let (rows, columns) = (encoded.rows(), encoded.columns());
        let size = group_size(columns, group);
        let groups = columns.div_ceil(size);
        let total = rows.checked_mul(groups).ok_or(DecodeError::corrupt("group count overflows"))?;
        let [scales, zeros, codes] = encoded.single([Role::Scales, Role::Scales, Role::Indices])?;
        for (at, bytes) in [scales, zeros].into_iter().enumerate() {
            exact_len(bytes, total.saturating_mul(2)).map_err(|error| error.at(0, at))?;
            if let Some(index) = bytes.chunks_exact(2).position(|pair| pair[1] & 0x7C == 0x7C) {
                return Err(DecodeError::corrupt("a scale is not finite").at_offset(2 * index).at(0, at));
            }
        }
        let codes = BitReader::new(codes, bits, out.len()).map_err(|error| error.at(0, 2))?;
        let half = |bytes: &[u8], at: usize| f16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]).to_f32();
        out.par_chunks_mut(columns).enumerate().for_each(|(row, out)| {
            for (number, out) in out.chunks_mut(size).enumerate() {
                let unit = row * groups + number;
                let (scale, zero) = (half(scales, unit), half(zeros, unit));
                let first = row * columns + number * size;
                for (at, value) in out.iter_mut().enumerate() {
                    *value = (codes.get(first + at) as f32 - zero) * scale;
                }
            }
            power.up_all(out);
        });
        Ok(())
    }
}

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Hqq>()
}
