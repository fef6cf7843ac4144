//! Quantised models of symbols for constriction's range coder: categorical, Laplace or Gaussian, parameters and tables in integers.
//!
//! A model gives each symbol of its alphabet at least one part of 2^24. Bells are built from powers of a ratio in 32-bit fixed point, so
//! that a table is the same on every machine; no float is stored, and none decides what is decoded.
//!
//! | family `u8` | parameters |
//! | --- | --- |
//! | 0 categorical | [a table](crate::frequencies) |
//! | 1 Laplace | centre in half steps `varint`, width `u8` |
//! | 2 Gaussian | the same |
//!
//! With the centre `m / 2` and the width `i`, symbol `k` of the plane's alphabet weighs `r^|2k - m|` or `r^((2k - m)^2)` with
//! `r = 1 - 2^(-i/4)`.

use constriction::stream::model::DefaultContiguousCategoricalEntropyModel;
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::{DecodeError, Limits};

use crate::binary::log2;
use crate::frequencies::{self, Frequencies};

/// Bits of constriction's default precision.
const PRECISION: u32 = 24;
/// Widths of bells: a quarter of an octave apart, the last about 1400 half steps wide for a Laplace.
const WIDTHS: u8 = 42;

const CATEGORICAL: u8 = 0;
const LAPLACE: u8 = 1;
const GAUSSIAN: u8 = 2;

/// What a model is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Family {
    /// A table of its own.
    Categorical(Box<Frequencies>),
    /// Two-sided geometric about `centre / 2`.
    Laplace {
        /// In half steps.
        centre: u16,
        /// In quarter octaves.
        width: u8,
    },
    /// Normal about `centre / 2`.
    Gaussian {
        /// In half steps.
        centre: u16,
        /// In quarter octaves.
        width: u8,
    },
}

/// The lowest and the highest symbol there are.
pub(crate) type Alphabet = (u8, u8);

impl Family {
    /// The family and parameters by which symbols with these counts cost least, parameters included, and that cost in bits.
    pub(crate) fn fit(counts: &[u64; 256], alphabet: Alphabet) -> (Self, f64) {
        let table = Frequencies::from_counts(counts);
        let mut best = (Self::Categorical(Box::new(table.clone())), 8.0 + table.cost(counts));
        let total: u64 = counts.iter().sum();
        let sum: u64 = counts.iter().zip(0u64..).map(|(&count, symbol)| count * symbol).sum();
        let mean = ((4 * sum + total) / (2 * total.max(1))) as u16;
        let makers: [fn(u16, u8) -> Self; 2] =
            [|centre, width| Self::Laplace { centre, width }, |centre, width| Self::Gaussian { centre, width }];
        for make in makers {
            for centre in [mean.saturating_sub(1), mean, mean + 1] {
                // The cost falls to one least width and rises again.
                let cost = |width| make(centre, width).cost(counts, alphabet);
                let (mut low, mut high) = (0, WIDTHS - 1);
                while low < high {
                    let middle = (low + high) / 2;
                    if cost(middle) <= cost(middle + 1) { high = middle } else { low = middle + 1 }
                }
                let bits = cost(low);
                if bits < best.1 {
                    best = (make(centre, low), bits);
                }
            }
        }
        best
    }

    /// Bits that symbols with these counts take, parameters included.
    fn cost(&self, counts: &[u64; 256], alphabet: Alphabet) -> f64 {
        let (symbols, table) = self.table(alphabet);
        let bits = symbols.iter().zip(&table).map(|(&symbol, &part)| match counts[usize::from(symbol)] {
            0 => 0.0,
            count => count as f64 * (f64::from(PRECISION) - log2(f64::from(part))),
        });
        bits.sum::<f64>() + 32.0
    }

    /// The symbols that can be coded, ascending, and the part of 2^24 that each has.
    fn table(&self, (low, high): Alphabet) -> (Vec<u8>, Vec<u32>) {
        match *self {
            Self::Categorical(ref table) => {
                let used = (0..=255u8).zip(table.get()).filter(|(_, part)| **part > 0);
                used.map(|(symbol, &part)| (symbol, u32::from(part) << (PRECISION - frequencies::PRECISION))).unzip()
            }
            Self::Laplace { centre, width } => ((low..=high).collect(), bell((low, high), centre, &geometric(width))),
            Self::Gaussian { centre, width } => ((low..=high).collect(), bell((low, high), centre, &normal(width))),
        }
    }

    /// Appends family and parameters.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Categorical(ref table) => {
                out.push(CATEGORICAL);
                table.write(out);
            }
            Self::Laplace { centre, width } | Self::Gaussian { centre, width } => {
                out.push(if matches!(self, Self::Laplace { .. }) { LAPLACE } else { GAUSSIAN });
                out.put_varint(u64::from(centre));
                out.push(width);
            }
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// Truncated, or corrupt where a parameter is illegal.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let family = reader.u8()?;
        if family == CATEGORICAL {
            return Ok(Self::Categorical(Box::new(Frequencies::read(reader)?)));
        }
        let (centre, width) = (reader.varint()?, reader.u8()?);
        match (family, u16::try_from(centre)) {
            (LAPLACE, Ok(centre @ 0..=511)) if width < WIDTHS => Ok(Self::Laplace { centre, width }),
            (GAUSSIAN, Ok(centre @ 0..=511)) if width < WIDTHS => Ok(Self::Gaussian { centre, width }),
            _ => Err(DecodeError::corrupt("no such model of symbols").at_offset(at)),
        }
    }
}

/// `1 - 2^(-width/4)` in 32-bit fixed point.
fn ratio(width: u8) -> u64 {
    /// `2^(32 - i/4)`, rounded.
    const QUARTERS: [u64; 4] = [4_294_967_296, 3_611_622_603, 3_037_000_500, 2_553_802_834];
    (1 << 32) - (QUARTERS[usize::from(width % 4)] >> (width / 4))
}

/// One more than the largest distance in half steps: centres go to 511, symbols to 255.
const DISTANCES: usize = 512;

fn geometric(width: u8) -> [u64; DISTANCES] {
    let ratio = ratio(width);
    let mut weight = 1u64 << 32;
    std::array::from_fn(|_| {
        let here = weight;
        weight = (weight * ratio) >> 32;
        here
    })
}

fn normal(width: u8) -> [u64; DISTANCES] {
    let ratio = ratio(width);
    let (mut weight, mut step) = (1u64 << 32, ratio);
    std::array::from_fn(|_| {
        let here = weight;
        weight = (weight * step) >> 32;
        step = (((step * ratio) >> 32) * ratio) >> 32;
        here
    })
}

/// Parts of 2^24 by the weight at each symbol's distance from the centre; what rounding leaves is the likeliest one's.
fn bell((low, high): Alphabet, centre: u16, weights: &[u64; DISTANCES]) -> Vec<u32> {
    let weight = |symbol: u8| weights[usize::from((2 * u16::from(symbol)).abs_diff(centre))];
    let count = u64::from(high - low) + 1;
    let sum: u64 = (low..=high).map(weight).sum::<u64>().max(1);
    let spare = (1u64 << PRECISION) - count;
    let mut table: Vec<u32> = (low..=high).map(|symbol| 1 + (weight(symbol) * spare / sum) as u32).collect();
    let rest = (1u32 << PRECISION) - table.iter().sum::<u32>();
    let likeliest = (0..table.len()).rev().max_by_key(|&at| table[at]).unwrap_or(0);
    table[likeliest] += rest;
    table
}

/// A model ready to code by.
pub(crate) struct Model {
    /// Symbols by their index in the coder's table.
    symbols: Vec<u8>,
    /// The reverse.
    places: [u8; 256],
    /// None where there is one symbol, which takes no bits.
    table: Option<DefaultContiguousCategoricalEntropyModel>,
}

impl Model {
    /// About what a model holds, in bytes.
    const HELD: u64 = 1600;

    /// Builds the tables.
    ///
    /// # Errors
    /// The limit.
    pub(crate) fn new(family: &Family, alphabet: Alphabet, limits: &mut Limits) -> Result<Self, DecodeError> {
        limits.take(Self::HELD)?;
        let (symbols, parts) = family.table(alphabet);
        let mut places = [0u8; 256];
        symbols.iter().zip(0..=255u8).for_each(|(&symbol, place)| places[usize::from(symbol)] = place);
        let table = if symbols.len() > 1 {
            let table = DefaultContiguousCategoricalEntropyModel::from_nonzero_fixed_point_probabilities(parts, false);
            Some(table.map_err(|()| DecodeError::corrupt("a model's parts do not add up"))?)
        } else {
            None
        };
        Ok(Self { symbols, places, table })
    }

    /// The coder's table, where it takes bits to tell symbols apart.
    pub(crate) fn table(&self) -> Option<&DefaultContiguousCategoricalEntropyModel> {
        self.table.as_ref()
    }

    /// Where in the table a symbol is.
    pub(crate) fn place(&self, symbol: u8) -> usize {
        usize::from(self.places[usize::from(symbol)])
    }

    /// The symbol at a place of the table, the first where there is no table.
    pub(crate) fn symbol(&self, place: usize) -> u8 {
        self.symbols[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_add_up_whatever_the_parameters() {
        for width in 0..WIDTHS {
            for centre in [0, 1, 7, 30, 255, 511] {
                for alphabet in [(0, 1), (3, 9), (0, 255), (250, 255)] {
                    for family in [Family::Laplace { centre, width }, Family::Gaussian { centre, width }] {
                        let (symbols, table) = family.table(alphabet);
                        assert_eq!(symbols.len(), table.len());
                        assert_eq!(table.iter().map(|&part| u64::from(part)).sum::<u64>(), 1 << PRECISION);
                        assert!(table.iter().all(|&part| part > 0));
                    }
                }
            }
        }
    }

    /// Against the densities: library exponentials are good enough to compare with.
    #[test]
    fn bells_are_what_they_are_named_for() {
        for width in [4u8, 10, 20] {
            let ratio: f64 = 1.0 - (-f64::from(width) / 4.0).exp2();
            let laplace = |distance: f64| ratio.powf(distance);
            let gaussian = |distance: f64| ratio.powf(distance * distance);
            let families: [(Family, &dyn Fn(f64) -> f64); 2] = [
                (Family::Laplace { centre: 21, width }, &laplace),
                (Family::Gaussian { centre: 21, width }, &gaussian),
            ];
            for (family, density) in families {
                let weights: Vec<f64> = (0..=20u8).map(|k| density((2.0 * f64::from(k) - 21.0).abs())).collect();
                let sum: f64 = weights.iter().sum();
                for (part, weight) in family.table((0, 20)).1.iter().zip(&weights) {
                    let wanted = weight / sum * f64::from(1 << PRECISION);
                    assert!((f64::from(*part) - wanted).abs() < 2e-4 * wanted + 30.0, "{family:?}: {part} {wanted}");
                }
            }
        }
    }

    #[test]
    fn few_symbols_of_a_bell_need_no_table() {
        let mut counts = [0u64; 256];
        for (symbol, count) in [(5, 3), (6, 12), (7, 31), (8, 40), (9, 30), (10, 13), (11, 2)] {
            counts[symbol] = count;
        }
        let (family, _) = Family::fit(&counts, (0, 15));
        assert!(matches!(family, Family::Gaussian { centre: 15..=17, .. }), "{family:?}");
        counts.iter_mut().for_each(|count| *count *= 100_000);
        assert!(matches!(Family::fit(&counts, (0, 15)).0, Family::Categorical(_)));
    }
}
