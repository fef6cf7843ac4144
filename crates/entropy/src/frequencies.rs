//! Static integer probability tables: counts quantised to a power-of-two total with integer arithmetic alone.
//!
//! Wire: highest symbol `u8`, then for every symbol up to it the frequency as `varint`; a 0 is followed by the `varint` number of
//! further zeros. The frequencies add up to [`TOTAL`], 2^12.

use seedpress_codec::DecodeError;
use seedpress_codec::wire::{Put, Reader};

use crate::binary::log2;

/// Bits of probability.
pub const PRECISION: u32 = 12;
/// What the frequencies of a table add up to.
pub const TOTAL: u32 = 1 << PRECISION;

/// How often each symbol occurs.
pub fn count(symbols: &[u8]) -> [u64; 256] {
    // Four tables: equal neighbours would wait for each other's increment.
    let mut parts = [[0u32; 256]; 4];
    let mut sum = [0u64; 256];
    for piece in symbols.chunks(1 << 30) {
        let mut fours = piece.chunks_exact(4);
        for four in &mut fours {
            for (part, &symbol) in parts.iter_mut().zip(four) {
                part[usize::from(symbol)] += 1;
            }
        }
        for &symbol in fours.remainder() {
            parts[0][usize::from(symbol)] += 1;
        }
        for part in &mut parts {
            sum.iter_mut().zip(part).for_each(|(sum, count)| *sum += u64::from(std::mem::take(count)));
        }
    }
    sum
}

/// Bits that all symbols take under the best code for their counts.
pub fn least_bits(counts: &[u64; 256]) -> f64 {
    let sum = counts.iter().sum::<u64>() as f64;
    counts.iter().filter(|count| **count > 0).map(|&count| count as f64 * log2(sum / count as f64)).sum()
}

/// Frequencies of the 256 byte symbols; they add up to [`TOTAL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frequencies([u16; 256]);

impl Frequencies {
    /// The table of these symbols; of symbol 0 alone where there are none.
    pub fn of(symbols: &[u8]) -> Self {
        Self::from_counts(&count(symbols))
    }

    /// Quantises counts; every symbol that occurs keeps a frequency of at least 1.
    pub fn from_counts(counts: &[u64; 256]) -> Self {
        let sum: u64 = counts.iter().sum();
        let mut table = [0u16; 256];
        if sum == 0 {
            table[0] = TOTAL as u16;
            return Self(table);
        }
        for (frequency, &count) in table.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
            *frequency = ((u128::from(count) * u128::from(TOTAL) / u128::from(sum)) as u16).max(1);
        }
        // The gain of one more unit is close to count / (frequency + 1/2): hand out or take back where it matters most or least.
        let total = |table: &[u16; 256]| table.iter().map(|&f| u32::from(f)).sum::<u32>();
        let mut have = total(&table);
        let present: Vec<usize> = (0..256).filter(|&symbol| counts[symbol] > 0).collect();
        while have != TOTAL {
            let grow = have < TOTAL;
            let half = |f: u16| if grow { 2 * u128::from(f) + 1 } else { 2 * u128::from(f) - 1 };
            let candidates = present.iter().copied().filter(|&s| grow || table[s] > 1);
            let better = |a: usize, b: usize| {
                let left = u128::from(counts[a]) * half(table[b]);
                let right = u128::from(counts[b]) * half(table[a]);
                if grow { left > right } else { left < right }
            };
            let Some(chosen) = candidates.reduce(|best, s| if better(s, best) { s } else { best }) else { break };
            if grow {
                table[chosen] += 1;
                have += 1;
            } else {
                table[chosen] -= 1;
                have -= 1;
            }
        }
        Self(table)
    }

    /// The frequency of every symbol.
    pub fn get(&self) -> &[u16; 256] {
        &self.0
    }

    /// Bits that a symbol costs on average where symbols occur as often as the table says.
    pub fn entropy(&self) -> f64 {
        let total = f64::from(TOTAL);
        let bits = |&f: &u16| f64::from(f) / total * log2(total / f64::from(f));
        self.0.iter().filter(|f| **f > 0).map(bits).sum()
    }

    /// Bits that symbols which occur as often as `counts` say cost under this table, the table itself included.
    pub fn cost(&self, counts: &[u64; 256]) -> f64 {
        let mut table = Vec::new();
        self.write(&mut table);
        let counted = self.0.iter().zip(counts).filter(|(_, count)| **count > 0);
        let bits = |(&f, &count): (&u16, &u64)| count as f64 * log2(f64::from(TOTAL) / f64::from(f));
        counted.map(bits).sum::<f64>() + 8.0 * table.len() as f64
    }

    /// The highest symbol that has a frequency.
    pub fn highest(&self) -> u8 {
        self.0.iter().rposition(|&f| f > 0).unwrap_or(0) as u8
    }

    /// Appends the table.
    pub fn write(&self, out: &mut Vec<u8>) {
        let highest = usize::from(self.highest());
        out.push(highest as u8);
        let mut symbol = 0;
        while symbol <= highest {
            out.put_varint(u64::from(self.0[symbol]));
            if self.0[symbol] == 0 {
                let zeros = self.0[symbol + 1..].iter().take_while(|&&f| f == 0).count();
                out.put_varint(zeros as u64);
                symbol += zeros;
            }
            symbol += 1;
        }
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Truncated, or corrupt where frequencies do not add up.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let wrong = || DecodeError::corrupt("symbol frequencies do not add up").at_offset(at);
        let highest = usize::from(reader.u8()?);
        let mut table = [0u16; 256];
        let (mut symbol, mut sum) = (0usize, 0u64);
        while symbol <= highest {
            let frequency = reader.varint()?;
            if frequency > u64::from(TOTAL) {
                return Err(wrong());
            }
            table[symbol] = frequency as u16;
            sum += frequency;
            symbol += 1;
            if frequency == 0 {
                symbol = reader.length()?.checked_add(symbol).filter(|&s| s <= highest).ok_or_else(wrong)?;
            }
        }
        if sum == u64::from(TOTAL) { Ok(Self(table)) } else { Err(wrong()) }
    }
}
