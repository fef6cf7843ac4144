//! The bytes: a header, one scale a block where they pay, and `k` bits a weight, any block of which decodes alone.
//!
//! | params | size | |
//! | --- | --- | --- |
//! | kind | u8 | bits 0-1: `k - 1`; bits 2-4: `L - 9`, or 0; bit 5: rotated; bit 6: block scales; bit 7: power |
//! | columns | u8 | where bits 2-4 of kind are 0: blocks run down the columns, see [`columns`](crate::columns) |
//! | step | f32 | 0 where every weight is 0 (nothing follows); else positive |
//! | power | i16 | with bit 7: weights are multiplied by this power of two at the end, in binary64, and what would overflow becomes the largest finite number |
//! | seed | u32 | with bit 5 |
//!
//! | segment | role | |
//! | --- | --- | --- |
//! | scales | scales | with bit 6: a byte a block. 0: the factor is 0, every weight a zero with the sign of its value; else it is `2^((byte - 128) / 8)` in binary32, as the product of `2^floor` and the table [`EIGHTHS`](crate::block::EIGHTHS) (each the binary32 nearest to `2^(i / 8)`) |
//! | indices | indices | the blocks |
//!
//! Blocks are [`SIDE`](seedpress_rotation::SIDE) (256) weights in row-major order. A last one of fewer, `r` weights, is coded as if it had `r' = max(r, ceil(L /
//! k))`, rounded up to a multiple of 8, and is not rotated. A block of `n` weights takes `n k / 8` bytes: a circular stream of bits, least
//! significant first; without a scale its factor is 1. The state of weight `i` is the `L` bits from bit `i k` on. With `x = 0xC6B4F629
//! state + 0x5D2C6A93 mod 2^32` and `c` the sum of the four bytes of `x`, less 510, its value is `floor(c (26283 + floor(c^2 / 64)) /
//! 16)`. Without rotation the weight is the value, in binary32, times the product of step and factor. With rotation the values go
//! through the Hadamard transform (in integers), are multiplied by that product over 16, all in binary32, and change sign where the
//! generator says so ([`signs`](seedpress_rotation::signs) of the block's number: bit `i mod 64` of word `i / 64`; [`seedpress_rotation`] describes both). Numbers
//! are little-endian.

use seedpress_codec::{DecodeError, EncodedView, Limits};

use crate::header::{Header, Layout};
use crate::{columns, rows};

/// Reconstructs a tensor.
///
/// # Errors
/// Truncated or corrupt.
pub(crate) fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    let header = Header::parse(encoded.params)?;
    if header.step == 0.0 {
        // A tensor of zeros.
        let [] = encoded.single([])?;
        out.fill(0.0);
        return Ok(());
    }
    match header.layout {
        Layout::Rows => rows::decode(&header, encoded, out),
        Layout::Columns { scaled } => columns::decode(&header, scaled, encoded, out, limits),
    }
}
