//! GGUF block types, byte for byte as ggml lays them out.
//!
//! GGUF cuts each row into blocks and therefore demands rows of whole blocks. Here the *flattened* tensor is cut, and its tail block
//! padded with zeros whose bytes are counted: the same bytes wherever GGUF could store the tensor, a defined result elsewhere.
//!
//! Every block scale is a binary16, which neither weights of 1e-6 nor of 1e9 fit: there a power of two comes to its help, for the whole
//! tensor or for single blocks ([`shifts`]). All other blocks are what ggml writes, and decode to exactly what it decodes, whatever
//! outliers lie elsewhere in the tensor.
//!
//! Parameters: the shifts. One segment: the blocks. Format 1 knew a shift of the whole tensor only, and its encoder used it as soon
//! as one weight was above 1024.
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
mod shifts;
mod ternary;

use std::marker::PhantomData;

pub use affine::{Q4K, Q5K};
pub use iq4_nl::Iq4Nl;
pub use legacy::{Q4_0, Q8_0};
pub use q6_k::Q6K;
use rayon::prelude::*;
use seedpress_codec::packing::exact_len;
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Packing, PowerOfTwo,
    Registry, Role, Segment, Symbols, TensorView,
};
pub use ternary::{Tq1_0, Tq2_0};

use crate::NoOptions;
use shifts::Shifts;

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
    /// A block whose magnitudes are at most 65504 times this gets finite scales.
    const REACH: f32;
    /// Whether a zero comes back as zero whatever else is in the block.
    const ZERO: bool;

    /// Fills `block` (zeroed, [`BYTES`](Self::BYTES) long) from [`WEIGHTS`](Self::WEIGHTS) finite weights.
    fn quantise(weights: &[f32], block: &mut [u8]);

    /// Fills `weights` from a block whose scales are finite.
    fn dequantise(block: &[u8], weights: &mut [f32]);
}

/// The codec of a block type.
#[derive(Debug, Clone)]
pub struct Gguf<F>(NoOptions, PhantomData<F>);

/// Most weights in a block of any type.
const LONGEST: usize = 256;

/// The largest finite binary16.
const LARGEST_HALF: f32 = 65504.0;

impl<F: BlockFormat> Codec for Gguf<F> {
    const ID: &'static str = F::ID;
    const FORMAT: u32 = 2;
    const SUMMARY: &'static str = F::SUMMARY;
    type Config = NoOptions;

    fn new(config: NoOptions) -> Self {
        Self(config, PhantomData)
    }

    fn config(&self) -> &NoOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { local_scales: true, keeps_zeros: F::ZERO, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let values = tensor.values();
        let shifts = Shifts::choose(values, F::WEIGHTS, F::REACH * LARGEST_HALF);
        let blocks = values.len().div_ceil(F::WEIGHTS);
        let mut bytes = vec![0u8; blocks * F::BYTES];
        let tasks = bytes.par_chunks_mut(TASK * F::BYTES).zip(values.par_chunks(TASK * F::WEIGHTS)).enumerate();
        tasks.for_each(|(task, (bytes, values))| {
            if context.check_cancelled().is_err() {
                return;
            }
            let parts = bytes.chunks_exact_mut(F::BYTES).zip(values.chunks(F::WEIGHTS));
            for (number, (block, weights)) in (task * TASK..).zip(parts) {
                let power = shifts.of(number);
                if weights.len() == F::WEIGHTS && power == PowerOfTwo::ONE {
                    F::quantise(weights, block);
                } else {
                    let mut shifted = [0f32; LONGEST];
                    shifted.iter_mut().zip(weights).for_each(|(shifted, &weight)| *shifted = power.down(weight));
                    F::quantise(&shifted[..F::WEIGHTS], block);
                }
            }
            context.advance(values.len());
        });
        context.check_cancelled()?;
        let symbols = Symbols { packing: Packing::Records(F::BYTES as u16), count: blocks as u64, row: 0 };
        Ok(Encoded::single(shifts.to_bytes(), vec![Segment::new(Role::Blocks, symbols, bytes)]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        let blocks = out.len().div_ceil(F::WEIGHTS);
        let [bytes] = crate::segments(encoded)?;
        exact_len(bytes, blocks.saturating_mul(F::BYTES)).map_err(|error| error.at(0, 0))?;
        let shifts = Shifts::read(encoded.params, blocks, limits)?;
        for (index, block) in bytes.chunks_exact(F::BYTES).enumerate() {
            if let Some(at) = F::HALVES.iter().find(|&&at| block[at + 1] & 0x7C == 0x7C) {
                return Err(DecodeError::corrupt("a scale is not finite").at(0, 0).at_offset(index * F::BYTES + at));
            }
        }
        let tasks = out.par_chunks_mut(TASK * F::WEIGHTS).zip(bytes.par_chunks(TASK * F::BYTES)).enumerate();
        tasks.for_each(|(task, (out, bytes))| {
            let parts = out.chunks_mut(F::WEIGHTS).zip(bytes.chunks_exact(F::BYTES));
            for (number, (weights, block)) in (task * TASK..).zip(parts) {
                if weights.len() == F::WEIGHTS {
                    F::dequantise(block, weights);
                } else {
                    let mut padded = [0f32; LONGEST];
                    F::dequantise(block, &mut padded[..F::WEIGHTS]);
                    weights.copy_from_slice(&padded[..weights.len()]);
                }
                shifts.of(number).up_all(weights);
            }
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
