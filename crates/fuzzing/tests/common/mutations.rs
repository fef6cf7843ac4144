//! Changes of seeds that have found faults elsewhere: flipped bits, extreme bytes and numbers, pieces moved, cut and copied.

use seedpress_testing::Noise;

/// Longest input that mutations make.
const LONGEST: usize = 1 << 14;
/// Numbers at which counts and sizes go wrong.
const EXTREME: [u64; 8] = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX];

/// A seed with one to eight changes.
pub(crate) fn mutated(corpus: &[Vec<u8>], random: &mut Noise) -> Vec<u8> {
    let mut bytes = if corpus.is_empty() { Vec::new() } else { corpus[random.index(corpus.len())].clone() };
    for _ in 0..=random.index(8) {
        change(&mut bytes, corpus, random);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Noise) {
    if bytes.is_empty() {
        bytes.push(random.index(256) as u8);
    }
    let (len, at) = (bytes.len(), random.index(bytes.len()));
    match random.index(10) {
        0 | 1 => bytes[at] ^= 1 << random.index(8),
        2 => bytes[at] = random.index(256) as u8,
        3 => {
            let number = EXTREME[random.index(EXTREME.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.index(4)].min(len - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        4 => bytes[at] = bytes[at].wrapping_add([1, 255][random.index(2)]),
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(at..(at + 1 + random.index(16)).min(len))),
        7 => {
            let piece: Vec<u8> = bytes[at..(at + 1 + random.index(64)).min(len)].to_vec();
            let to = random.index(len);
            bytes.splice(to..to, piece);
        }
        8 => {
            let byte = random.index(256) as u8;
            bytes.splice(at..at, std::iter::repeat_n(byte, 1 + random.index(32)));
        }
        _ => {
            let other = &corpus[random.index(corpus.len().max(1)).min(corpus.len().saturating_sub(1))..];
            if let Some(other) = other.first().filter(|other| !other.is_empty()) {
                let from = random.index(other.len());
                let piece = &other[from..(from + 1 + random.index(64)).min(other.len())];
                let to = (at + piece.len()).min(len);
                bytes.splice(at..to, piece.iter().copied());
            }
        }
    }
}
