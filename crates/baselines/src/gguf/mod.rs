//! GGUF block types, byte for byte as ggml lays them out.
//!
//! GGUF cuts each row into blocks and therefore demands rows of whole blocks. Here the *flattened* tensor is cut, and its tail block
//! padded with zeros whose bytes are counted: the same bytes wherever GGUF could store the tensor, a defined result elsewhere.
//!
//! Every block scale is a binary16, which neither a tensor of standard deviation 1e-6 nor one of 1e6 fits. A tensor whose largest
//! magnitude lies outside `[2^-6, 2^10]` is therefore shifted by a power of two first; for all others the exponent is 0 and the
//! blocks decode to exactly what ggml decodes.
//!
//! Parameters: the tensor exponent (2 bytes). One segment: the blocks.
//!
//! | codec | weights | bytes | bits a weight | quantiser |
//! | --- | --- | --- | --- | --- |
//! | `q8_0` | 32 | 34 | 8.5 | ggml's, exactly |
//! | `q4_0` | 32 | 18 | 4.5 | ggml's, exactly |
//! | `iq4_nl` | 32 | 18 | 4.5 | least squares per block, own search |
//! | `q4_k` | 256 | 144 | 4.5 | least squares per sub-block, own search |
//! | `q5_k` | 256 | 176 | 5.5 | the same |
//! | `q6_k` | 256 | 210 | 6.5625 | the same |
//! | `tq1_0` | 256 | 54 | 1.6875 | best ternary level per block, then ggml's |
//! | `tq2_0` | 256 | 66 | 2.0625 | the same |

mod affine;
mod iq4_nl;
mod legacy;
mod q6_k;
mod search;
mod ternary;

use std::marker::PhantomData;

pub use affine::{Q4K, Q5K};
pub use iq4_nl::Iq4Nl;
pub use legacy::{Q4_0, Q8_0};
pub use q6_k::Q6K;
use rayon::prelude::*;
use seedpress_codec::packing::exact_len;
use seedpress_codec::wire::Reader;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Packing, PowerOfTwo,
    Registry, Role, Segment, Symbols, TensorView,
};
pub use ternary::{Tq1_0, Tq2_0};

use crate::NoOptions;
use crate::codes::{down_all, largest_of_all};

/// Blocks a parallel task works on.
const TASK: usize = 64;

/// One block type.
pub trait BlockFormat: Send + Sync + 'static {
    /// The codec's id: ggml's name in lower case.
    const ID: &'static str;
    /// One line for listings.
    const SUMMARY: &'static str;
    /// Weights in a block.
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Where in a block the binary16 scales lie.
    const HALVES: &'static [usize];

    /// Fills `block` (zeroed, [`BYTES`](Self::BYTES) long) from [`WEIGHTS`](Self::WEIGHTS) finite weights.
    fn quantise(weights: &[f32], block: &mut [u8]);

    /// Fills `weights` from a block whose scales are finite.
    fn dequantise(block: &[u8], weights: &mut [f32]);
}

/// The codec of a block type.
#[derive(Debug, Clone)]
pub struct Gguf<F>(NoOptions, PhantomData<F>);

fn power_for(values: &[f32]) -> PowerOfTwo {
    let largest = largest_of_all(values);
    if (0.015_625..=1024.0).contains(&largest) { PowerOfTwo::ONE } else { PowerOfTwo::bringing(largest, 0) }
}

impl<F: BlockFormat> Codec for Gguf<F> {
    const ID: &'static str = F::ID;
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = F::SUMMARY;
    type Config = NoOptions;

    fn new(config: NoOptions) -> Self {
        Self(config, PhantomData)
    }

    fn config(&self) -> &NoOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let power = power_for(tensor.values());
        let values = down_all(power, tensor.values());
        let blocks = values.len().div_ceil(F::WEIGHTS);
        let mut bytes = vec![0u8; blocks * F::BYTES];
        bytes.par_chunks_mut(TASK * F::BYTES).zip(values.par_chunks(TASK * F::WEIGHTS)).for_each(|(bytes, values)| {
            if context.check_cancelled().is_err() {
                return;
            }
            for (block, weights) in bytes.chunks_exact_mut(F::BYTES).zip(values.chunks(F::WEIGHTS)) {
                if weights.len() == F::WEIGHTS {
                    F::quantise(weights, block);
                } else {
                    let mut padded = vec![0f32; F::WEIGHTS];
                    padded[..weights.len()].copy_from_slice(weights);
                    F::quantise(&padded, block);
                }
            }
            context.advance(values.len());
        });
        context.check_cancelled()?;
        let symbols = Symbols { packing: Packing::Records(F::BYTES as u16), count: blocks as u64, row: 0 };
        Ok(Encoded::single(power.to_bytes().to_vec(), vec![Segment::new(Role::Blocks, symbols, bytes)]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let mut reader = Reader::new(encoded.params);
        let power = PowerOfTwo::read(&mut reader)?;
        reader.finish()?;
        let [bytes] = crate::segments(encoded)?;
        exact_len(bytes, out.len().div_ceil(F::WEIGHTS).saturating_mul(F::BYTES)).map_err(|error| error.at(0, 0))?;
        for (index, block) in bytes.chunks_exact(F::BYTES).enumerate() {
            if let Some(at) = F::HALVES.iter().find(|&&at| block[at + 1] & 0x7C == 0x7C) {
                return Err(DecodeError::corrupt("a scale is not finite").at(0, 0).at_offset(index * F::BYTES + at));
            }
        }
        out.par_chunks_mut(TASK * F::WEIGHTS).zip(bytes.par_chunks(TASK * F::BYTES)).for_each(|(out, bytes)| {
            for (weights, block) in out.chunks_mut(F::WEIGHTS).zip(bytes.chunks_exact(F::BYTES)) {
                if weights.len() == F::WEIGHTS {
                    F::dequantise(block, weights);
                } else {
                    let mut padded = vec![0f32; F::WEIGHTS];
                    F::dequantise(block, &mut padded);
                    weights.copy_from_slice(&padded[..weights.len()]);
                }
            }
            power.up_all(out);
        });
        Ok(())
    }
}

/// Adds every block type to a registry.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .with::<Gguf<Q8_0>>()
        .with::<Gguf<Q4_0>>()
        .with::<Gguf<Iq4Nl>>()
        .with::<Gguf<Q4K>>()
        .with::<Gguf<Q5K>>()
        .with::<Gguf<Q6K>>()
        .with::<Gguf<Tq1_0>>()
        .with::<Gguf<Tq2_0>>()
}
