//! Layered SeedLM: every layer refines the residual of the layers before it, and any prefix of layers decodes.
//!
//! A tensor is cut into blocks of `n` consecutive weights. Each *stage* adds to every block one codeword, a window of `n` values of a
//! decimated register sequence, times a sign: SeedLM's idea (arXiv 2410.10714) with a single coefficient, whose magnitude costs no bits.
//! A layer is one or more stages. What makes this better than the paper's few large coefficients at equal bits:
//!
//! - *Independent codewords.* Every `d`-th state instead of every state, another `d` for each stage, and a fixed map from states to
//!   normally distributed integers: the codebook resembles the random Gaussian code of Shannon's proof ([`codebook`]).
//! - *No gain a stage.* Codewords are compared by distance, so their own norms carry the shape of the gain; what remains is one slowly
//!   moving gain a block, chosen by rate and distortion, which costs almost nothing where a tensor is uniform ([`gain`]).
//! - *A beam over the stages.* The best codeword now is not the best start for the next; a few alternatives are kept ([`encode`]).
//! - *Least squares for every prefix.* Each layer carries the multipliers of all stages up to it, fitted to the tensor. A longer
//!   prefix minimises over a larger space, so a layer never adds error.
//!
//! With calibration data (`hessian = "full"`) what counts is the error of the layer's output: codewords are compared by the quadratic form
//! of a block's inputs, columns of blocks make up for the errors of those before them, and the multipliers are fitted under the form of
//! whole rows ([`encode`]). Streams are the same. The errors handed on are those of all layers, so a prefix profits from the forms and the
//! multipliers only; still every layer lowers the output error that its multipliers minimise.
//!
//! The search is exact and integer ([`search`]): the bytes depend on no instruction set and no thread count.
//!
//! Measured on 2^20 independent N(0,1) weights from written bytes, headers included (`WEIGHTS=1048576 CODEC=seedlm-progressive` for
//! the example `layers`); the gap is the distance to the Gaussian rate-distortion limit at those bits:
//!
//! | options | prefix of 1 layer | 2 layers | 3 layers | 4 layers |
//! | --- | --- | --- | --- | --- |
//! | defaults | 1.078 bits, 1.04 dB | 2.149 bits, 1.51 dB | 3.221 bits, 1.92 dB | |
//! | `layers = 4` | 1.078 bits, 1.07 dB | 2.149 bits, 1.55 dB | 3.221 bits, 2.05 dB | 4.293 bits, 2.49 dB |
//! | `bits = 3` | 1.006 bits, 0.98 dB | 2.006 bits, 1.42 dB | 3.006 bits, 1.78 dB | |
//! | `bits = 4` | 1.006 bits, 1.01 dB | 2.006 bits, 1.46 dB | 3.006 bits, 1.91 dB | 4.007 bits, 2.29 dB |
//!
//! The paper's single stages are 4.7 dB (3 bits) and 5.4 dB (4 bits) away.
//!
//! Larger registers are a little better and far slower; a wider beam makes up for smaller ones, except in the first prefix. 2^17
//! weights, processor time against the search with 16-bit products that `k = 16` began with (AVX2 then, AVX-512 now):
//!
//! | options | gap of 1, 2, 3 layers, dB | encoding |
//! | --- | --- | --- |
//! | `k = 16, block = 32, beam = 8` | 0.97, 1.46, 1.92 | 2.0 times as fast, the same bytes |
//! | `k = 14, block = 28, beam = 12`, the defaults | 1.08, 1.54, 1.94 | 3.8 times |
//! | `k = 14, block = 28, beam = 8` | 1.07, 1.60, 2.07 | 5.7 times |
//! | `k = 12, block = 24, beam = 16` | 1.23, 1.67, 2.04 | 6.4 times |
//! | `k = 12, block = 24, beam = 8` | 1.21, 1.77, 2.28 | 12.6 times |
//!
//! Since then the bars of a search begin where those of a sample of blocks ended, and one comparison does for eight targets: 1.3 times as
//! fast at the defaults, the same bytes (Zen 4, three runs each in turn). That is 0.12 million weights a second of a processor, of which
//! four fifths pass over codewords: 61 searches of 16,383 a block are a million products a weight. Narrower beams at either end were
//! measured: none of ten shapes is better than a beam of 8 throughout, which takes two thirds of the time (see the table).
//!
//! Decoding on one thread, of 64 MiB, against copying as many bytes (`benches/progressive.rs`): 0.53 of its speed for one layer of the
//! defaults, 0.28 for three; three layers of `k = 16` reach 0.19, since their tables leave the second cache.
//!
//! # Format 1
//!
//! Parameters:
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 1 | `K`, bits of the registers, 8..=18 |
//! | 1 | `n`, weights in a block, 4..=64 |
//! | 1 | stages in a layer, 1..=4 |
//! | 1 | map from states to values: 0 uniform, 1 Gaussian |
//! | 2 | exponent `e` (i16): values are coded in units of `2^e`; -32768: nothing but the mean, and one layer without segments |
//! | 4 | mean (f32), added to every value |
//!
//! Layer `l` holds, with `b` blocks and `t` stages a layer:
//!
//! | segment | content |
//! | --- | --- |
//! | seeds | `t * b` symbols of `K` bits, stage by stage: positions in the stage's sequence; `2^K - 1` is the zero codeword |
//! | signs | `t * b` bits in the same order, 1 is negative |
//! | coefficients | layer 0 only: the gain track, range coded ([`gain`]) |
//! | scales | `(l + 1) t` multipliers (f32) for all stages up to this layer, in units of the codebook's integers |
//!
//! A position names the state reached from state 1 by that many steps of `d`: it is the seed, counted along the cycle, so that a decoder
//! reads windows where they lie. Weight `i` of block `j` is
//! `mean + 2^e * 2^(level_j / 4) * sum over stages s of multiplier_s * sign_sj * V_s[position_sj + i]`.

mod beam;
mod block;
pub mod codebook;
mod codec;
mod config;
mod decode;
pub mod encode;
mod fed;
mod form;
pub mod gain;
mod least_squares;
mod multipliers;
mod params;
pub mod search;
mod values;

pub use codec::SeedlmProgressive;
pub use config::{Config, Hessian, Shape};
pub use values::Values;

use seedpress_codec::Registry;

/// Adds what this crate offers to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with::<SeedlmProgressive>()
}
