//! Lloyd-Max: the codebook of `2^bits` levels with the least squared error (Lloyd 1957, Max 1960), fixed-rate indices.
//!
//! | part | bytes |
//! | --- | --- |
//! | params | bits `u8` |
//! | codebook | `2^bits` levels, `f32` each |
//! | indices | a field of `bits` bits a weight, least significant first: the number of its level; bits beyond the last field are 0 |

use schemars::JsonSchema;
use seedpress_codec::packing::{BitReader, exact_len, pack_bits};
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Packing, Role,
    Segment, Symbols, TensorView,
};
use serde::{Deserialize, Serialize};

const ITERATIONS: usize = 500;

/// Options of `lloyd-max`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct LloydMaxConfig {
    /// Bits of an index.
    pub bits: Int<1, 8>,
}

impl Default for LloydMaxConfig {
    fn default() -> Self {
        Self { bits: Int::of(4) }
    }
}

/// The Lloyd-Max quantiser.
pub struct LloydMax {
    config: LloydMaxConfig,
}

impl Codec for LloydMax {
    const ID: &'static str = "lloyd-max";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "Lloyd-Max scalar quantiser: the least squared error at a fixed rate";
    type Config = LloydMaxConfig;

    fn new(config: LloydMaxConfig) -> Self {
        Self { config }
    }

    fn config(&self) -> &LloydMaxConfig {
        &self.config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_bits: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let bits = self.config.bits.size() as u8;
        let levels = train(tensor.values(), 1 << bits, context)?;
        let borders: Vec<f64> = levels.windows(2).map(|w| (f64::from(w[0]) + f64::from(w[1])) / 2.0).collect();
        let index = |&value: &f32| borders.partition_point(|&border| border < f64::from(value)) as u32;
        let indices = pack_bits(tensor.values().iter().map(index), bits);
        context.advance(tensor.len());
        let mut codebook = Vec::with_capacity(4 * levels.len());
        levels.iter().for_each(|&level| codebook.put_f32(level));
        Ok(Encoded::single(
            vec![bits],
            vec![
                Segment::new(Role::Codebook, Symbols::floats(Packing::F32, levels.len()), codebook),
                Segment::new(Role::Indices, Symbols::bits(bits, tensor.len(), tensor.columns()), indices),
            ],
        ))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let mut params = Reader::new(encoded.params);
        let bits = params.u8()?;
        params.finish()?;
        if !(1..=8).contains(&bits) {
            return Err(DecodeError::corrupt("index width outside 1..=8"));
        }
        let [codebook, indices] = encoded.single([Role::Codebook, Role::Indices])?;
        exact_len(codebook, 4 << bits).map_err(|error| error.at(0, 0))?;
        let mut reader = Reader::new(codebook);
        let mut levels = [0f32; 256];
        for level in levels.iter_mut().take(1 << bits) {
            *level = reader.finite_f32().map_err(|error| error.at(0, 0))?;
        }
        let indices = BitReader::new(indices, bits, out.len()).map_err(|error| error.at(0, 1))?;
        for (at, value) in out.iter_mut().enumerate() {
            *value = levels[indices.get(at) as usize & 0xFF];
        }
        Ok(())
    }
}

/// Lloyd's iteration on the sorted values from their quantiles; with prefix sums an iteration costs a search per border.
fn train(values: &[f32], count: usize, context: &EncodeContext<'_>) -> Result<Vec<f32>, EncodeError> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut sums = Vec::with_capacity(sorted.len() + 1);
    sums.push(0f64);
    for &value in &sorted {
        sums.push(sums[sums.len() - 1] + f64::from(value));
    }
    let mut levels: Vec<f64> =
        (0..count).map(|k| f64::from(sorted[(2 * k + 1) * sorted.len() / (2 * count)])).collect();
    for _ in 0..ITERATIONS {
        context.check_cancelled()?;
        let mut start = 0;
        let mut moved = false;
        let before = levels.clone();
        for k in 0..count {
            let end = before.get(k + 1).map_or(sorted.len(), |next| {
                let border = (before[k] + next) / 2.0;
                sorted.partition_point(|&value| f64::from(value) <= border).max(start)
            });
            if end > start {
                let centroid = (sums[end] - sums[start]) / (end - start) as f64;
                // Rounding of the sums must not carry a level outside its cell.
                let centroid = centroid.clamp(f64::from(sorted[start]), f64::from(sorted[end - 1]));
                moved |= centroid != levels[k];
                levels[k] = centroid;
            }
            start = end;
        }
        levels.sort_unstable_by(f64::total_cmp);
        if !moved {
            break;
        }
    }
    Ok(levels.into_iter().map(|level| level as f32).collect())
}
