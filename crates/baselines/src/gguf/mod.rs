//! GGUF block types, byte for byte as ggml lays them out.
//!
//! GGUF cuts each row into blocks and therefore demands rows of whole blocks. Here the *flattened* tensor is cut, and its tail block
//! padded with zeros whose bytes are counted: the same bytes wherever GGUF could store the tensor, a defined result elsewhere.
//!
//! Every block scale is a binary16, which neither weights of 1e-6 nor of 1e9 fit: there a power of two comes to its help, for the whole
//! tensor or for single blocks ([`shifts`]). All other blocks are what ggml writes, and decode to exactly what it decodes, whatever
//! outliers lie elsewhere in the tensor.
//!
//! With `importance = "input"` and calibration data the searches weigh squared errors as llama.cpp does with an importance matrix; with
//! `hessian = "full"` sub-blocks make up for each other's errors at the layer's output ([`feedback`]). The layout stays the same.
//!
//! Parameters: the shifts. One segment: the blocks. Format 1 knew a shift of the whole tensor only, and its encoder used it as soon
//! as one weight was above 1024.
//!
//! | codec | weights | bytes | bits a weight | quantiser |
//! | --- | --- | --- | --- | --- |
//! | `q8_0` | 32 | 34 | 8.5 | ggml's, exactly |
//! | `q4_0` | 32 | 18 | 4.5 | ggml's, exactly |
//! | `q4_1` | 32 | 20 | 5 | ggml's, exactly |
//! | `q5_0` | 32 | 22 | 5.5 | ggml's, exactly |
//! | `q5_1` | 32 | 24 | 6 | ggml's, exactly |
//! | `iq4_nl` | 32 | 18 | 4.5 | least squares per block, own search |
//! | `q2_k` | 256 | 84 | 2.625 | least squares per sub-block, own search |
//! | `q3_k` | 256 | 110 | 3.4375 | the same |
//! | `q4_k` | 256 | 144 | 4.5 | the same |
//! | `q5_k` | 256 | 176 | 5.5 | the same |
//! | `q6_k` | 256 | 210 | 6.5625 | the same |
//! | `tq1_0` | 256 | 54 | 1.6875 | best ternary level per block, then ggml's |
//! | `tq2_0` | 256 | 66 | 2.0625 | the same |

mod affine;
mod codec;
mod feedback;
mod format;
mod grid;
mod iq4_nl;
mod joint;
mod legacy;
mod q2_k;
mod q3_k;
mod q6_k;
mod search;
mod shifts;
mod ternary;

pub(crate) use affine::{Q4K, Q5K};
pub(crate) use codec::Gguf;
pub(crate) use iq4_nl::Iq4Nl;
pub(crate) use legacy::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub(crate) use q2_k::Q2K;
pub(crate) use q3_k::Q3K;
pub(crate) use q6_k::Q6K;
pub(crate) use ternary::{Tq1_0, Tq2_0};

use seedpress_codec::Registry;

/// Adds every block type to a registry.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .with::<Gguf<Q8_0>>()
        .with::<Gguf<Q4_0>>()
        .with::<Gguf<Q4_1>>()
        .with::<Gguf<Q5_0>>()
        .with::<Gguf<Q5_1>>()
        .with::<Gguf<Iq4Nl>>()
        .with::<Gguf<Q2K>>()
        .with::<Gguf<Q3K>>()
        .with::<Gguf<Q4K>>()
        .with::<Gguf<Q5K>>()
        .with::<Gguf<Q6K>>()
        .with::<Gguf<Tq1_0>>()
        .with::<Gguf<Tq2_0>>()
}

#[cfg(test)]
mod tests {
    use super::format::BlockFormat;
    use super::search::Alike;
    use super::*;

    /// Heads and codes read from a block make the same block.
    fn comes_apart_and_together<F: BlockFormat>() {
        let weights: Vec<f32> = (0..F::WEIGHTS as u32)
            .map(|i| ((i + 1).wrapping_mul(0x9E37_79B9) >> 8) as f32 / 8_388_608.0 - 0.9 + (i / 16) as f32 * 0.01)
            .collect();
        let mut block = vec![0u8; F::BYTES];
        F::quantise(&weights, Alike, &mut block);
        let head = F::head(&block);
        let mut decoded = vec![0f32; F::WEIGHTS];
        F::dequantise(&block, &mut decoded);
        let code = |(index, &value): (usize, &f32)| {
            let grid = head.grid(index / F::SUB);
            let (code, found) = F::LEVELS.nearest(value, grid, 1.0 / grid.step);
            assert_eq!(found, value, "{} {index}", F::ID);
            code
        };
        let codes: Vec<u8> = decoded.iter().enumerate().map(code).collect();
        let mut again = vec![0u8; F::BYTES];
        F::write(&head, &codes, &mut again);
        assert_eq!(block, again, "{}", F::ID);
    }

    #[test]
    fn blocks_come_apart_and_together() {
        comes_apart_and_together::<Q8_0>();
        comes_apart_and_together::<Q4_0>();
        comes_apart_and_together::<Q4_1>();
        comes_apart_and_together::<Q5_0>();
        comes_apart_and_together::<Q5_1>();
        comes_apart_and_together::<Iq4Nl>();
        comes_apart_and_together::<Q2K>();
        comes_apart_and_together::<Q3K>();
        comes_apart_and_together::<Q4K>();
        comes_apart_and_together::<Q5K>();
        comes_apart_and_together::<Q6K>();
        comes_apart_and_together::<Tq1_0>();
        comes_apart_and_together::<Tq2_0>();
    }
}
