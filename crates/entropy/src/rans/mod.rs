//! An interleaved range-ANS kernel: 32-bit states, 16-bit renormalisation, 12-bit probabilities.
//!
//! Duda, "Asymmetric numeral systems" (arXiv 1311.2540); interleaving as in Giesen, "Interleaved entropy coders" (arXiv 1402.3392).
//!
//! # Wire
//!
//! Symbol `i` belongs to lane `i mod LANES`; the lanes share one stream of words in the order the decoder needs them. A block is the
//! final state of each lane, `u32` each, then the `u16` words, all little-endian. The slot of a state `x` is `x mod 2^12`; its symbol is
//! the one with `start <= slot < start + f`, where `f` is the symbol's frequency and `start` the sum of those of smaller symbols. The
//! state becomes `f floor(x / 2^12) + slot - start`; where that is below 2^16 it is multiplied by 2^16 and the next word is added. A
//! decoder must end with every state at its start value 2^16 and every word used, which catches most damage.
//!
//! # Size
//!
//! With `M = 2^12`, coding a symbol of frequency `f` takes a state `x = q f + r` to `q M + r + start`, which differs from the ideal
//! `x M / f` by `start - r (M - f) / f`, less than `M - f` either way. A state that has emitted is at least `16 f` (2^16 / M * f), so
//! no symbol costs more than `log2(M / f) + log2(1 + 1/16)` bits, .088 above the ideal. On average far less: over the slots of a
//! symbol and over symbols in proportion to `f` the difference is `(n - 1) / 2` slots for `n` symbols, since the sum of
//! `f (start + f / 2)` is `M^2 / 2`, against states spread over 2^16..2^32. What remains is the final state of each lane: four bytes,
//! of which two are information. A test holds real sizes to within half a percent of entropy and tables.
//!
//! # Paths
//!
//! [`decode`] picks a kernel by the processor and the alphabet; all give the same symbols and the same verdict.
//!
//! | kernel | needs | alphabet | how a slot finds its symbol |
//! | --- | --- | --- | --- |
//! | portable | | any | a table of 4096 slots |
//! | `avx2::small` | AVX2 | 16 symbols | comparison with every border, shuffles |
//! | `avx2::large` | AVX2 | any | gathers from the table |
//! | `avx512` | AVX-512 F, BW, VBMI | 64 symbols | comparison or binary search in registers |

use seedpress_codec::DecodeError;
use seedpress_simd::Level;

use lanes::Lanes;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod encode;
mod lanes;

pub(crate) use encode::{Divisors, encode};
pub(crate) use lanes::Slots;

/// Decodes a block into `symbols`.
///
/// # Errors
/// Truncated where words are missing, corrupt where they are left over or the final states are wrong.
pub(crate) fn decode<const LANES: usize>(bytes: &[u8], slots: &Slots, symbols: &mut [u8]) -> Result<(), DecodeError> {
    Lanes::<LANES>::new(bytes)?.finish(slots, symbols)
}

/// Decodes blocks of 32 lanes, each into its symbols. Four or two blocks are decoded at a time where a kernel is
/// bound by latency.
///
/// # Errors
/// As [`decode`], of the first block that fails.
pub(crate) fn decode_wide(blocks: &mut [(&[u8], &mut [u8])], slots: &Slots) -> Result<(), DecodeError> {
    decode_wide_by(Level::fastest(), blocks, slots)
}

fn decode_wide_by(level: Level, blocks: &mut [(&[u8], &mut [u8])], slots: &Slots) -> Result<(), DecodeError> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512Base if slots.present.len() <= avx2::SMALL => {
            let kernel = avx2::Small::new(&slots.present);
            blocks.iter_mut().try_for_each(|(bytes, symbols)| {
                let mut lanes = Lanes::new(bytes)?;
                // SAFETY: the processor has AVX2.
                #[allow(unsafe_code)]
                let done = unsafe { kernel.run(&mut lanes, symbols) };
                lanes.finish(slots, &mut symbols[done..])
            })
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if slots.present.len() <= avx512::LARGEST => {
            let kernel = avx512::Kernel::new(&slots.present);
            blocks.chunks_mut(4).try_for_each(|group| match group {
                [(a, one), (b, two), (c, three), (d, four)] => {
                    let mut lanes = [Lanes::new(a)?, Lanes::new(b)?, Lanes::new(c)?, Lanes::new(d)?];
                    let symbols = [&mut **one, &mut **two, &mut **three, &mut **four];
                    // SAFETY: the processor has the extensions that the level stands for.
                    #[allow(unsafe_code)]
                    let done = unsafe { kernel.run(&mut lanes, symbols) };
                    let rest = [one, two, three, four];
                    lanes.into_iter().zip(rest).try_for_each(|(lanes, rest)| lanes.finish(slots, &mut rest[done..]))
                }
                [(one, ones), (two, twos)] => {
                    let mut lanes = [Lanes::new(one)?, Lanes::new(two)?];
                    // SAFETY: the processor has the extensions that the level stands for.
                    #[allow(unsafe_code)]
                    let done = unsafe { kernel.run(&mut lanes, [&mut **ones, &mut **twos]) };
                    let [first, second] = lanes;
                    first.finish(slots, &mut ones[done..])?;
                    second.finish(slots, &mut twos[done..])
                }
                rest => rest.iter_mut().try_for_each(|(bytes, symbols)| {
                    let mut lanes = [Lanes::new(bytes)?];
                    // SAFETY: as above.
                    #[allow(unsafe_code)]
                    let done = unsafe { kernel.run(&mut lanes, [&mut **symbols]) };
                    let [lanes] = lanes;
                    lanes.finish(slots, &mut symbols[done..])
                }),
            })
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512Base | Level::Avx512 => blocks.iter_mut().try_for_each(|(bytes, symbols)| {
            let mut lanes = Lanes::new(bytes)?;
            // SAFETY: the processor has AVX2, which AVX-512 implies.
            #[allow(unsafe_code)]
            let done = unsafe { avx2::large(&mut lanes, &slots.table, symbols) };
            lanes.finish(slots, &mut symbols[done..])
        }),
        _ => blocks.iter_mut().try_for_each(|(bytes, symbols)| decode::<32>(bytes, slots, symbols)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frequencies::Frequencies;

    fn noise(seed: u64) -> impl FnMut() -> u32 {
        let mut noise = seedpress_testing::Noise::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        move || (noise.bits() >> 33) as u32
    }

    /// Symbols of an alphabet of this size, spaced by `stride`, roughly geometric.
    fn symbols(alphabet: usize, stride: usize, count: usize) -> Vec<u8> {
        let mut next = noise((alphabet * 1000 + stride) as u64);
        let skew = (alphabet as f64).sqrt().ceil() as u32;
        (0..count)
            .map(|_| {
                let symbol = (next() % skew) * (next() % (alphabet as u32).div_ceil(skew).max(1)) + next() % skew;
                (symbol as usize % alphabet * stride) as u8
            })
            .collect()
    }

    #[test]
    fn every_path_decodes_every_alphabet_alike() {
        for (alphabet, stride) in
            [(1, 1), (2, 1), (2, 255), (3, 1), (4, 7), (7, 1), (8, 30), (9, 1), (15, 1), (16, 15), (17, 1), (31, 1)]
                .into_iter()
                .chain([(32, 3), (33, 1), (63, 1), (64, 2), (65, 1), (128, 1), (256, 1)])
        {
            for count in [0usize, 1, 31, 32, 33, 64, 100, 1000, 20_011] {
                let plain = symbols(alphabet, stride, count);
                let frequencies = Frequencies::of(&plain);
                let coded = encode::<32>(&plain, &Divisors::new(&frequencies));
                let slots = Slots::new(&frequencies);
                for level in Level::supported() {
                    // Four, two and one side by side, and the shortest among them once in either place.
                    let half = encode::<32>(&plain[..count / 2], &Divisors::new(&frequencies));
                    let lengths = [count, count, count / 2, count, count / 2, count, count / 2];
                    let mut decoded = lengths.map(|length| vec![0; length]);
                    let mut blocks: Vec<(&[u8], &mut [u8])> = decoded
                        .iter_mut()
                        .map(|out| (if out.len() == count { &coded[..] } else { &half[..] }, &mut out[..]))
                        .collect();
                    decode_wide_by(level, &mut blocks, &slots).unwrap();
                    assert!(decoded.iter().all(|out| *out == plain[..out.len()]), "{level:?} {alphabet} {count}");
                }
            }
        }
    }

    #[test]
    fn every_path_gives_the_same_verdict_on_damage() {
        let mut next = noise(5);
        for alphabet in [3usize, 12, 40, 200] {
            let plain = symbols(alphabet, 1, 700);
            let frequencies = Frequencies::of(&plain);
            let (coded, slots) = (encode::<32>(&plain, &Divisors::new(&frequencies)), Slots::new(&frequencies));
            for round in 0..400 {
                let mut damaged = coded.clone();
                match round % 4 {
                    0 => damaged.truncate(next() as usize % coded.len()),
                    1 => damaged.extend((0..next() % 200).map(|i| i as u8)),
                    2 => damaged.iter_mut().for_each(|byte| *byte = next() as u8),
                    _ => damaged[next() as usize % coded.len()] ^= 1 << (next() % 8),
                }
                let attempt = |level| {
                    let mut decoded = vec![vec![0; 700]; 2 + 2 * (round % 8 / 4)];
                    let mut blocks: Vec<(&[u8], &mut [u8])> =
                        decoded.iter_mut().map(|out| (&coded[..], &mut out[..])).collect();
                    blocks[0].0 = &damaged;
                    let verdict = decode_wide_by(level, &mut blocks, &slots);
                    verdict.map_err(|error| error.to_string()).map(|()| decoded)
                };
                let expected = attempt(Level::Portable);
                for level in Level::supported() {
                    assert_eq!(attempt(level), expected, "{level:?}");
                }
            }
        }
    }
}
