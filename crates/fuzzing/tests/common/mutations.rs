//! Changes of seeds that have found faults elsewhere: flipped bits, extreme bytes and numbers, pieces moved, cut and copied.

/// A small generator: reproducible, and no dependence.
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Longest input that mutations make.
const LONGEST: usize = 1 << 14;
/// Numbers at which counts and sizes go wrong.
const EXTREME: [u64; 8] = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX];

/// A seed with one to eight changes.
pub fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = if corpus.is_empty() { Vec::new() } else { corpus[random.below(corpus.len())].clone() };
    for _ in 0..=random.below(8) {
        change(&mut bytes, corpus, random);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    if bytes.is_empty() {
        bytes.push(random.below(256) as u8);
    }
    let (len, at) = (bytes.len(), random.below(bytes.len()));
    match random.below(10) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.below(256) as u8,
        3 => {
            let number = EXTREME[random.below(EXTREME.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)].min(len - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        4 => bytes[at] = bytes[at].wrapping_add([1, 255][random.below(2)]),
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(at..(at + 1 + random.below(16)).min(len))),
        7 => {
            let piece: Vec<u8> = bytes[at..(at + 1 + random.below(64)).min(len)].to_vec();
            let to = random.below(len);
            bytes.splice(to..to, piece);
        }
        8 => {
            let byte = random.below(256) as u8;
            bytes.splice(at..at, std::iter::repeat_n(byte, 1 + random.below(32)));
        }
        _ => {
            let other = &corpus[random.below(corpus.len().max(1)).min(corpus.len().saturating_sub(1))..];
            if let Some(other) = other.first().filter(|other| !other.is_empty()) {
                let from = random.below(other.len());
                let piece = &other[from..(from + 1 + random.below(64)).min(other.len())];
                let to = (at + piece.len()).min(len);
                bytes.splice(at..to, piece.iter().copied());
            }
        }
    }
}
