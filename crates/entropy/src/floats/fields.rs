//! Floats taken apart: exponents, the top of the mantissa, the rest, and the bytes below.

use rayon::prelude::*;

use super::kind::{HEAD, Kind};
use super::parts::TASK;

/// The fields of floats, a byte each.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) exponents: Vec<u8>,
    pub(super) heads: Vec<u8>,
    pub(super) rests: Vec<u8>,
    pub(super) tails: [Vec<u8>; 2],
}

impl Fields {
    pub(super) fn of(bytes: &[u8], kind: Kind) -> Self {
        let (size, count) = (kind.size(), bytes.len() / kind.size());
        let new = || vec![0; count];
        let mut fields = Self { exponents: new(), heads: new(), rests: new(), ..Self::default() };
        let upper = fields
            .exponents
            .par_chunks_mut(TASK)
            .zip(fields.heads.par_chunks_mut(TASK))
            .zip(fields.rests.par_chunks_mut(TASK))
            .zip(bytes.par_chunks(TASK * size));
        match kind {
            Kind::F32 => {
                fields.tails = [new(), new()];
                let [low, high] = &mut fields.tails;
                let tails = low.par_chunks_mut(TASK).zip(high.par_chunks_mut(TASK));
                upper.zip(tails).for_each(|((((exponents, heads), rests), bytes), (low, high))| {
                    split::<4, 7>(bytes, exponents, heads, rests, |bytes| {
                        for ((float, low), high) in bytes.chunks_exact(4).zip(low).zip(high) {
                            (*low, *high) = (float[0], float[1]);
                        }
                    });
                });
            }
            Kind::BF16 => upper.for_each(|(((e, h), r), bytes)| split::<2, 7>(bytes, e, h, r, |_| ())),
            Kind::F16 => upper.for_each(|(((e, h), r), bytes)| split::<2, 10>(bytes, e, h, r, |_| ())),
        }
        fields
    }
}

/// Splits the upper halves of floats; `lower` sees every piece while it is in the cache.
fn split<const SIZE: usize, const MANTISSA: u32>(
    bytes: &[u8],
    exponents: &mut [u8],
    heads: &mut [u8],
    rests: &mut [u8],
    lower: impl FnOnce(&[u8]),
) {
    let upper = |float: &[u8]| u16::from_le_bytes([float[SIZE - 2], float[SIZE - 1]]);
    let below = MANTISSA - HEAD;
    for (((float, exponent), head), rest) in bytes.chunks_exact(SIZE).zip(exponents).zip(heads).zip(rests) {
        let upper = upper(float);
        *exponent = (upper << 1 >> (MANTISSA + 1)) as u8;
        *head = (upper >> below) as u8 & ((1 << HEAD) - 1);
        *rest = ((upper & ((1 << below) - 1)) | upper >> 15 << below) as u8;
    }
    lower(bytes);
}
