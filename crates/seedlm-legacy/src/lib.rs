//! The seed report's block format, done right.
//!
//! A block of `C` weights becomes `2^e Q(seed) a / 127`: `Q` holds `L` orthonormal columns got by Gram-Schmidt from signs
//! `+-1/sqrt(C)`, the lowest bits of the register's states after the seed (16 bits, the paper's taps), read column by column; `a` are
//! 8-bit coefficients, `e` an 8-bit exponent. By default that is 16 + 8 + 4 * 8 = 56 bits for eight weights; the report's 32-bit
//! error field carried nothing and is gone. The last block is padded with zeros.
//!
//! | part | layout |
//! | --- | --- |
//! | params | `C` u8, `L` u8, exponent of the tensor i16 |
//! | seeds | 16 bits a block |
//! | exponents | 8 bits a block, two's complement, added to the tensor's |
//! | coefficients | 8 bits, `L` a block, two's complement |
//!
//! Scales are powers of two: the tensor's exponent is that of its largest weight, so no tensor is too small or too large.

use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::packing::{exact_len, pack_bits};
use seedpress_codec::wire::Reader;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Registry, Role,
    Segment, Symbols, TensorView,
};
use seedpress_lfsr_basis::Register;
use serde::{Deserialize, Serialize};

/// Register width.
const WIDTH: u32 = 16;

/// Options of [`Legacy`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Weights in a block.
    pub block: Int<1, 32>,
    /// Coefficients of a block; no more than it has weights are used.
    pub latent: Int<1, 16>,
    /// Seeds tried for every block, spread over the cycle.
    pub candidates: Int<1, 65_535>,
}

impl Default for Config {
    fn default() -> Self {
        Self { block: Int::of(8), latent: Int::of(4), candidates: Int::of(256) }
    }
}

/// The codec.
#[derive(Debug, Clone, Default)]
pub struct Legacy {
    config: Config,
}

/// Orthonormal columns of a seed, column-major; a column that depends on earlier ones is zero.
fn basis(register: Register, seed: u32, block: usize, latent: usize) -> Vec<f64> {
    let mut state = seed;
    let amplitude = 1.0 / (block as f64).sqrt();
    let mut columns = vec![0.0; block * latent];
    for value in &mut columns {
        state = register.step(state);
        *value = if state & 1 == 1 { amplitude } else { -amplitude };
    }
    for column in 0..latent {
        let (done, rest) = columns.split_at_mut(column * block);
        let vector = &mut rest[..block];
        for _ in 0..2 {
            for earlier in done.chunks_exact(block) {
                let product = dot(earlier, vector);
                vector.iter_mut().zip(earlier).for_each(|(v, e)| *v -= product * e);
            }
        }
        let length = dot(vector, vector).sqrt();
        // Signs project to nothing or to a sizeable length.
        vector.iter_mut().for_each(|v| *v = if length > 1e-6 { *v / length } else { 0.0 });
    }
    columns
}

/// Sum of products, first to last.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y)
}

/// The exponent `e` with `2^(e-1) <= |value| < 2^e`, 0 for zero; exact, from the bits.
fn exponent(value: f64) -> i32 {
    if value == 0.0 { 0 } else { ((value.to_bits() >> 52) & 0x7FF) as i32 - 1022 }
}

/// `2^e`, exact over the range used here.
fn power(e: i32) -> f64 {
    f64::from_bits(((e.clamp(-1022, 1023) + 1023) as u64) << 52)
}

fn choose(weights: &[f64], bases: &[(u32, Vec<f64>)], latent: usize, tensor: i32) -> (u32, i8, Vec<i8>) {
    let mut best = (f64::INFINITY, bases[0].0, 0i8, vec![0i8; latent]);
    for (seed, basis) in bases {
        let projections: Vec<f64> = basis.chunks_exact(weights.len()).map(|column| dot(column, weights)).collect();
        let largest = projections.iter().fold(0f64, |m, p| m.max(p.abs()));
        let e = (exponent(largest) - tensor).clamp(-128, 127) as i8;
        let step = power(tensor + i32::from(e)) / 127.0;
        let coefficients: Vec<i8> = projections.iter().map(|p| (p / step).round().clamp(-127.0, 127.0) as i8).collect();
        // Orthonormal columns: the error is the energy outside plus the rounding inside.
        let gained: f64 = projections.iter().zip(&coefficients).fold(0.0, |sum, (p, &a)| {
            let r = p - step * f64::from(a);
            sum + p * p - r * r
        });
        if -gained < best.0 {
            best = (-gained, *seed, e, coefficients);
        }
    }
    (best.1, best.2, best.3)
}

impl Codec for Legacy {
    const ID: &'static str = "seedlm-legacy";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "the seed report's block format done right: signs from a register, Gram-Schmidt, 8-bit coefficients";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self { config }
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let block = self.config.block.size();
        let latent = self.config.latent.size().min(block);
        let register = Register::new(WIDTH).map_err(|error| EncodeError::Internal(error.to_string()))?;
        let count = self.config.candidates.get() as u64;
        let bases: Vec<_> = (0..count)
            .map(|index| {
                let seed = register.jump(1, index * u64::from(register.period()) / count);
                (seed, basis(register, seed, block, latent))
            })
            .collect();
        let largest = tensor.values().iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = exponent(f64::from(largest));
        let chosen: Vec<_> = tensor
            .values()
            .par_chunks(block)
            .map(|chunk| {
                context.check_cancelled()?;
                let mut weights: Vec<f64> = chunk.iter().map(|&w| f64::from(w)).collect();
                weights.resize(block, 0.0);
                let chosen = choose(&weights, &bases, latent, scale);
                context.advance(chunk.len());
                Ok(chosen)
            })
            .collect::<Result<_, EncodeError>>()?;
        let mut params = vec![block as u8, latent as u8];
        params.extend_from_slice(&(scale as i16).to_le_bytes());
        let blocks = chosen.len();
        let across = if tensor.columns().is_multiple_of(block) { tensor.columns() / block } else { 0 };
        let seeds = pack_bits(chosen.iter().map(|c| c.0), WIDTH as u8);
        let exponents = chosen.iter().map(|c| c.1 as u8).collect();
        let coefficients = chosen.iter().flat_map(|c| c.2.iter().map(|&a| a as u8)).collect();
        Ok(Encoded::single(
            params,
            vec![
                Segment::new(Role::Seeds, Symbols::bits(WIDTH as u8, blocks, across), seeds),
                Segment::new(Role::Exponents, Symbols::bits(8, blocks, across), exponents),
                Segment::new(Role::Coefficients, Symbols::bits(8, blocks * latent, across * latent), coefficients),
            ],
        ))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _limits: &mut Limits) -> Result<(), DecodeError> {
        let mut reader = Reader::new(encoded.params);
        let (block, latent) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
        let scale = i32::from(reader.u16()? as i16);
        reader.finish()?;
        if !(1..=32).contains(&block) || !(1..=16).contains(&latent) || latent > block || !(-200..=200).contains(&scale)
        {
            return Err(DecodeError::corrupt("block parameters outside their ranges"));
        }
        let [seeds, exponents, coefficients] = encoded.single([Role::Seeds, Role::Exponents, Role::Coefficients])?;
        let blocks = out.len().div_ceil(block);
        let needed = |each: usize| blocks.checked_mul(each).ok_or(DecodeError::corrupt("symbol count overflows"));
        exact_len(seeds, needed(2)?).map_err(|error| error.at(0, 0))?;
        exact_len(exponents, blocks).map_err(|error| error.at(0, 1))?;
        exact_len(coefficients, needed(latent)?).map_err(|error| error.at(0, 2))?;
        let register = Register::new(WIDTH).map_err(|_| DecodeError::corrupt("no such register"))?;
        let coefficients = coefficients.par_chunks(latent);
        let parts = seeds.par_chunks(2).zip(exponents).zip(coefficients);
        out.par_chunks_mut(block).zip(parts).try_for_each(|(out, ((seed, &e), coefficients))| {
            let seed = u32::from(u16::from_le_bytes([seed[0], seed[1]]));
            if seed == 0 {
                return Err(DecodeError::corrupt("a seed is zero").at(0, 0));
            }
            let columns = basis(register, seed, block, latent);
            let step = power(scale + i32::from(e as i8)) / 127.0;
            for (row, out) in out.iter_mut().enumerate() {
                let sum = coefficients.iter().zip(columns.iter().skip(row).step_by(block));
                let sum = sum.fold(0.0, |sum, (&a, u)| sum + f64::from(a as i8) * u);
                *out = (step * sum).clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
            }
            Ok(())
        })
    }
}

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<Legacy>()
}
