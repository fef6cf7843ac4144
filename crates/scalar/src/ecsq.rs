//! Entropy-coded scalar quantisation: uniform thresholds with a dead zone, centroids as reconstruction points, range-ANS.
//!
//! | part | bytes |
//! | --- | --- |
//! | params | step `f32` |
//! | codebook | for magnitudes 1, 2, ...: the centroid's offset from `magnitude * step` in 1/256 step, `i8` each, at most 16 |
//! | indices | symbols through [`seedpress_entropy::ans::encode`]: for a weight of magnitude `m` 0 where `m = 0`, `2 m - 1` where it is positive, `2 m` where it is negative |
//!
//! A weight is `(m + offset / 256) step` in binary64, the offset 0 beyond those sent, with its sign, kept within the finite numbers of
//! binary32 and rounded to it. Symbol 0 decodes to zero, in format 1 to negative zero.
//!
//! The step is bisected over the bit patterns of `f32` with the true coded size of each trial.

use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Number, Role, Segment,
    Symbols, TensorView,
};
use seedpress_entropy::ans;
use serde::{Deserialize, Serialize};

const OFFSETS: usize = 16;
const LARGEST: f64 = 32_000.0;

/// Options of `ecsq`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct EcsqConfig {
    /// Target in bits per weight, tables included.
    pub bits: Number<100, 12_000>,
    /// How much later than half-way magnitudes round up, in steps: widens the interval around zero. On Gaussian weights 0 is best at
    /// every rate from 1 to 4 bits, since the reconstruction points are centroids.
    pub dead_zone: Number<0, 400>,
}

impl Default for EcsqConfig {
    fn default() -> Self {
        Self { bits: Number::of(2.0), dead_zone: Number::of(0.0) }
    }
}

/// The entropy-coded scalar quantiser.
pub struct Ecsq {
    config: EcsqConfig,
}

struct Trial {
    codebook: Vec<u8>,
    indices: Vec<u8>,
}

impl Trial {
    fn len(&self) -> usize {
        4 + self.codebook.len() + self.indices.len()
    }
}

impl Codec for Ecsq {
    const ID: &'static str = "ecsq";
    const FORMAT: u32 = 2;
    const SUMMARY: &'static str = "entropy-coded scalar quantiser with dead zone, centroids and range-ANS";
    type Config = EcsqConfig;

    fn new(config: EcsqConfig) -> Self {
        Self { config }
    }

    fn config(&self) -> &EcsqConfig {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_bits: true, keeps_zeros: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let values = tensor.values();
        let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
        let budget = self.config.bits.get() * values.len() as f64 / 8.0;
        // At this step the largest weight still rounds to one.
        let mut high = largest.to_bits();
        let mut low = ((f64::from(largest) / LARGEST) as f32).to_bits().max(1).min(high);
        let mut best = self.quantise(values, f32::from_bits(high));
        if best.len() as f64 <= budget {
            while high - low > 1 {
                context.check_cancelled()?;
                let middle = low + (high - low) / 2;
                let trial = self.quantise(values, f32::from_bits(middle));
                if trial.len() as f64 <= budget {
                    (high, best) = (middle, trial);
                    if (budget - best.len() as f64) * 8.0 < 0.001 * values.len() as f64 {
                        break;
                    }
                } else {
                    low = middle;
                }
            }
        }
        context.advance(values.len());
        let mut params = Vec::new();
        params.put_f32(f32::from_bits(high));
        Ok(Encoded::single(
            params,
            vec![
                Segment::new(Role::Codebook, Symbols::OPAQUE, best.codebook),
                Segment::new(Role::Indices, Symbols::OPAQUE, best.indices),
            ],
        ))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let mut params = Reader::new(encoded.params);
        let step = f64::from(params.finite_f32()?);
        params.finish()?;
        let [codebook, indices] = encoded.single([Role::Codebook, Role::Indices])?;
        if codebook.len() > OFFSETS {
            return Err(DecodeError::corrupt("more than 16 reconstruction offsets").at(0, 0));
        }
        let symbols = ans::decode(indices, out.len(), limits).map_err(|error| error.at(0, 1))?;
        let reach = f64::from(f32::MAX);
        let nothing = if encoded.format == 1 { -0.0 } else { 0.0 };
        for (value, symbol) in out.iter_mut().zip(symbols) {
            if symbol == 0 {
                *value = nothing;
                continue;
            }
            let magnitude = usize::from(symbol).div_ceil(2);
            let offset = magnitude.checked_sub(1).and_then(|k| codebook.get(k)).map_or(0, |&byte| byte as i8);
            let size = (magnitude as f64 + f64::from(offset) / 256.0) * step;
            *value = (if symbol & 1 == 1 { size } else { -size }).clamp(-reach, reach) as f32;
        }
        Ok(())
    }
}

impl Ecsq {
    fn quantise(&self, values: &[f32], step: f32) -> Trial {
        let scale = f64::from(step);
        let rounding = 0.5 - self.config.dead_zone.get();
        let symbol = |&value: &f32| {
            if scale == 0.0 {
                return 0;
            }
            let magnitude = (f64::from(value.abs()) / scale + rounding).min(LARGEST + 1.0) as u16;
            if magnitude > 0 && value > 0.0 { 2 * magnitude - 1 } else { 2 * magnitude }
        };
        let symbols: Vec<u16> = values.par_iter().map(symbol).collect();
        let mut sums = [(0f64, 0u64); OFFSETS];
        for (&value, &symbol) in values.iter().zip(&symbols) {
            if let Some((sum, count)) = usize::from(symbol).div_ceil(2).checked_sub(1).and_then(|k| sums.get_mut(k)) {
                *sum += f64::from(value.abs()) / scale;
                *count += 1;
            }
        }
        let offset = |(k, &(sum, count)): (usize, &(f64, u64))| {
            if count == 0 { 0 } else { ((sum / count as f64 - (k + 1) as f64) * 256.0).round() as i8 as u8 }
        };
        let mut codebook: Vec<u8> = sums.iter().enumerate().map(offset).collect();
        while codebook.last() == Some(&0) {
            codebook.pop();
        }
        Trial { codebook, indices: ans::encode(&symbols) }
    }
}
