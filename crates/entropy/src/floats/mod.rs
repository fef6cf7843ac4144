//! Floats without loss, by their fields.
//!
//! What is compressible in trained weights: the exponent (2.5 to 3 bits of entropy), and a little of the mantissa, since within an
//! octave the density falls off: the top bits of the mantissa lean to zero, more so the larger the exponent. On Gaussian weights that
//! is .07 bits a weight for three bits, and more bits gain next to nothing. Signs and the rest are noise (ZipNN, arXiv 2411.05239, and
//! DFloat11, arXiv 2504.11651, model the exponent alone, with one table). Rows and columns differ in scale: exponents have a table a
//! [class](crate::classes) of them.
//!
//! # Wire
//!
//! | part | bytes |
//! | --- | --- |
//! | kind | `u8`: 0 binary32, 1 bfloat16, 2 binary16 |
//! | count | `varint` |
//! | row classes, column classes | `u8` each, 1..=8; both 0: exponents follow as [mixed symbols](crate::mixing), without the next three parts |
//! | row | `varint`, only where there is more than one class; it divides the count |
//! | row labels, column labels | [planes](crate::plane) of width 3, each only where it has more than one class |
//! | exponents | for each class, a pair of row and column class, column classes within row classes: a plane of width 8 (binary16: 5) of its symbols in order |
//! | heads | for each exponent that occurs 512 times or more, in ascending order: a plane of width 3, the top mantissa bits of these floats; last one plane for all rarer exponents |
//! | rests | a plane of width 5 (binary16: 8): the sign above the 4 (binary16: 7) mantissa bits below the heads; of a binary32 those in its upper half |
//! | tails | binary32 only: two planes of width 8, bytes 0 and 1 |

mod decode;
mod encode;
mod fields;
mod kind;
mod parts;

pub(crate) use decode::decode;
pub(crate) use encode::{encode, encode_upper};
pub(crate) use kind::Kind;

#[cfg(test)]
mod tests {
    use seedpress_codec::Limits;
    use seedpress_codec::wire::Reader;

    use super::parts::{PART, TASK};
    use super::*;

    #[test]
    fn every_bit_pattern_comes_back() {
        let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let words: Vec<u8> = (0..60_000u32).flat_map(|i| i.wrapping_mul(0x9E37_79B9).to_le_bytes()).collect();
        for (kind, bytes) in [(Kind::BF16, &halves), (Kind::F16, &halves), (Kind::F32, &words)] {
            for len in [0, 4, 400, bytes.len()] {
                for row in [0, 2, 100, 256] {
                    // Mixing is slow: all of it once.
                    for mixed in [false, true].into_iter().take(1 + usize::from(len < 500 || row == 256)) {
                        let mut coded = Vec::new();
                        encode(&bytes[..len], kind, row, mixed, &mut coded).unwrap();
                        let mut reader = Reader::new(&coded);
                        assert!(decode(&mut reader, &mut Limits::new(1 << 24)).unwrap() == bytes[..len]);
                        reader.finish().unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        // Several tasks, the last of them short and its last part too; each exponent's floats lie in every part.
        let bytes: Vec<u8> = (0..3 * TASK + PART + 77)
            .map(|i| (i as u32).wrapping_mul(0x9E37_79B9))
            .flat_map(|hash| {
                ((hash & 0x8000_FFFF) | (120 + (hash >> 20) % 9) << 23 | (hash >> 9 & 0x7F) << 16).to_le_bytes()
            })
            .collect();
        let halves: Vec<u8> = bytes.chunks_exact(4).flat_map(|float| [float[2], float[3]]).collect();
        for (kind, bytes) in [(Kind::F32, &bytes), (Kind::BF16, &halves), (Kind::F16, &halves)] {
            let [one, three] = [1, 3].map(|threads| {
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                    let mut coded = Vec::new();
                    encode(bytes, kind, 0, false, &mut coded).unwrap();
                    let decoded = decode(&mut Reader::new(&coded), &mut Limits::new(1 << 24)).unwrap();
                    assert!(decoded == *bytes);
                    coded
                })
            });
            assert!(one == three);
        }
    }

    #[test]
    fn rows_and_columns_of_unlike_scale_are_told_apart() {
        let mut noise = seedpress_testing::Noise::new(3);
        let floats: Vec<u8> = (0..256 * 256usize)
            .flat_map(|i| (noise.centred() * [1.0, 0.01][i / 256 % 2] * [1.0, 30.0][i % 256 / 64 % 2]).to_le_bytes())
            .collect();
        let [with, without] = [256, 0].map(|row| {
            let mut coded = Vec::new();
            encode(&floats, Kind::F32, row, false, &mut coded).unwrap();
            coded
        });
        // Two bits a float are known from row and column, less where the exponents overlap.
        assert!(with.len() + 256 * 256 * 4 / 3 / 8 < without.len(), "{} {}", with.len(), without.len());
        assert_eq!(decode(&mut Reader::new(&with), &mut Limits::new(1 << 22)).unwrap(), floats);
    }
}
