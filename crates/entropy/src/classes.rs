//! Rows and columns of a matrix of symbols in classes that share a table.
//!
//! Rows of a trained matrix differ in scale (and so do columns), which shows in the exponents of its floats. A class is a few bits of
//! side information a row; within one, symbols are nearer to identically distributed. Classes are found by alternating between
//! tables and assignments, as in Lloyd's algorithm with code length as the distance (Chou, Lookabaugh and Gray, 1989), and kept where
//! the estimated gain exceeds the cost of tables and labels. All of it is integer arithmetic or sums in one order: the same classes
//! on any machine.

use crate::binary::log2;

const ROUNDS: usize = 8;
/// Largest table of histograms, in counters.
const LARGEST: usize = 1 << 24;
/// Fewest symbols for which classes are tried.
const FEWEST: usize = 4096;

/// Labels of rows and of columns; symbol `(r, c)` belongs to class `rows[r] * column_count + columns[c]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    /// Symbols in a row.
    pub row: usize,
    /// Classes of rows, 1..=8.
    pub row_count: u8,
    /// Classes of columns, 1..=8.
    pub column_count: u8,
    /// A label a row; empty where there is one class.
    pub rows: Vec<u8>,
    /// A label a column; empty where there is one class.
    pub columns: Vec<u8>,
}

impl Classes {
    /// One class for all.
    pub fn one() -> Self {
        Self { row: 0, row_count: 1, column_count: 1, rows: Vec::new(), columns: Vec::new() }
    }

    /// How many classes there are.
    pub fn count(&self) -> usize {
        usize::from(self.row_count) * usize::from(self.column_count)
    }

    /// Calls `visit` with every run of symbols of one class, as (class, first symbol, length), in order.
    pub fn runs(&self, count: usize, mut visit: impl FnMut(usize, usize, usize)) {
        if self.count() == 1 {
            return visit(0, 0, count);
        }
        for (index, first) in (0..count).step_by(self.row).enumerate() {
            let base = usize::from(self.rows.get(index).copied().unwrap_or(0)) * usize::from(self.column_count);
            if self.column_count == 1 {
                visit(base, first, self.row.min(count - first));
            } else {
                for (column, &label) in self.columns.iter().enumerate().take(count - first) {
                    visit(base + usize::from(label), first + column, 1);
                }
            }
        }
    }

    /// The best of a few ways to classify symbols in rows of `row`.
    pub fn choose(symbols: &[u8], row: usize) -> Self {
        let count = symbols.len();
        if row < 2 || count < FEWEST || !count.is_multiple_of(row) || count == row {
            return Self::one();
        }
        let mut ranks = [u8::MAX; 256];
        symbols.iter().for_each(|&symbol| ranks[usize::from(symbol)] = 0);
        let mut alphabet = 0;
        for rank in ranks.iter_mut().filter(|rank| **rank == 0) {
            *rank = alphabet as u8;
            alphabet += 1usize;
        }
        let rows = count / row;
        if alphabet < 2 || rows.max(row) * alphabet > LARGEST {
            return Self::one();
        }
        let (mut by_row, mut by_column) = (vec![0u32; rows * alphabet], vec![0u32; row * alphabet]);
        for (index, line) in symbols.chunks_exact(row).enumerate() {
            let of_row = &mut by_row[index * alphabet..][..alphabet];
            for (&symbol, of_column) in line.iter().zip(by_column.chunks_exact_mut(alphabet)) {
                let rank = usize::from(ranks[usize::from(symbol)]);
                of_row[rank] += 1;
                of_column[rank] += 1;
            }
        }
        let mut best = (Self::one(), cost(&[total(&by_row, alphabet)]));
        let side = |labels: &[u8], count: u8| labels.len() as f64 * f64::from(count.ilog2());
        let mut fours = (Vec::new(), Vec::new());
        for (along_rows, histograms) in [(true, &by_row), (false, &by_column)] {
            for k in [4u8, 8] {
                if histograms.len() / alphabet < 2 * usize::from(k) {
                    continue;
                }
                let (labels, tables) = cluster(histograms, alphabet, usize::from(k));
                let cost = cost(&tables) + side(&labels, k);
                if k == 4 {
                    *(if along_rows { &mut fours.0 } else { &mut fours.1 }) = labels.clone();
                }
                if cost < best.1 {
                    best = if along_rows {
                        (Self { row, row_count: k, column_count: 1, rows: labels, columns: Vec::new() }, cost)
                    } else {
                        (Self { row, row_count: 1, column_count: k, rows: Vec::new(), columns: labels }, cost)
                    };
                }
            }
        }
        if !fours.0.is_empty() && !fours.1.is_empty() {
            let both = Self { row, row_count: 4, column_count: 4, rows: fours.0, columns: fours.1 };
            let mut tables = vec![vec![0u64; alphabet]; 16];
            both.runs(count, |class, first, _| tables[class][usize::from(ranks[usize::from(symbols[first])])] += 1);
            let cost = cost(&tables) + side(&both.rows, 4) + side(&both.columns, 4);
            if cost < best.1 {
                best.0 = both;
            }
        }
        best.0
    }
}

fn total(histograms: &[u32], alphabet: usize) -> Vec<u64> {
    let mut sum = vec![0; alphabet];
    for histogram in histograms.chunks_exact(alphabet) {
        sum.iter_mut().zip(histogram).for_each(|(sum, &count)| *sum += u64::from(count));
    }
    sum
}

/// Bits of the symbols under their own tables, tables and headers included.
fn cost(tables: &[Vec<u64>]) -> f64 {
    let mut bits = 0.0;
    for table in tables {
        let sum: u64 = table.iter().sum();
        if sum == 0 {
            continue;
        }
        for &count in table.iter().filter(|count| **count > 0) {
            bits += count as f64 * log2(sum as f64 / count as f64) + 12.0;
        }
        bits += if sum < 65_536 { 160.0 } else { 560.0 };
    }
    bits
}

/// Assigns each histogram to one of `k` tables.
fn cluster(histograms: &[u32], alphabet: usize, k: usize) -> (Vec<u8>, Vec<Vec<u64>>) {
    let units = histograms.len() / alphabet;
    let mut order: Vec<(u64, usize)> = histograms
        .chunks_exact(alphabet)
        .enumerate()
        .map(|(unit, histogram)| {
            let sum: u64 = histogram.iter().map(|&count| u64::from(count)).sum();
            let weighted: u64 = histogram.iter().zip(0u64..).map(|(&count, rank)| u64::from(count) * rank).sum();
            ((weighted << 16) / sum.max(1), unit)
        })
        .collect();
    order.sort_unstable();
    let mut labels = vec![0u8; units];
    for (place, &(_, unit)) in order.iter().enumerate() {
        labels[unit] = (place * k / units) as u8;
    }
    let gather = |labels: &[u8]| {
        let mut tables = vec![vec![0u64; alphabet]; k];
        for (histogram, &label) in histograms.chunks_exact(alphabet).zip(labels) {
            tables[usize::from(label)].iter_mut().zip(histogram).for_each(|(sum, &count)| *sum += u64::from(count));
        }
        tables
    };
    let mut tables = gather(&labels);
    for _ in 0..ROUNDS {
        // Code lengths in 1/256 bit, a count of one more everywhere so that none is infinite.
        let lengths: Vec<u64> = tables
            .iter()
            .flat_map(|table| {
                let sum = (table.iter().sum::<u64>() + alphabet as u64) as f64;
                table.iter().map(move |&count| (256.0 * log2(sum / (count + 1) as f64)) as u64)
            })
            .collect();
        let mut moved = false;
        for (histogram, label) in histograms.chunks_exact(alphabet).zip(&mut labels) {
            let length = |of: &[u64]| of.iter().zip(histogram).map(|(&bits, &n)| bits * u64::from(n)).sum::<u64>();
            let nearest = lengths.chunks_exact(alphabet).map(length).zip(0u8..).min().map_or(0, |(_, label)| label);
            moved |= *label != nearest;
            *label = nearest;
        }
        tables = gather(&labels);
        if !moved {
            break;
        }
    }
    (labels, tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_scales_and_are_left_out_where_nothing_gains() {
        let mut state = 9u64;
        let mut die = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) % sides) as u8
        };
        let (rows, row) = (64usize, 256usize);
        let flat: Vec<u8> = (0..rows * row).map(|_| die(6) + die(6)).collect();
        assert_eq!(Classes::choose(&flat, row), Classes::one());
        let shifted: Vec<u8> = (0..rows * row).map(|i| die(6) + die(6) + 20 * (i / row % 3) as u8).collect();
        let classes = Classes::choose(&shifted, row);
        assert!(classes.row_count > 1 && classes.column_count == 1);
        assert_eq!(classes.rows[0], classes.rows[3]);
        assert_ne!(classes.rows[0], classes.rows[1]);
        let columns: Vec<u8> = (0..rows * row).map(|i| die(6) + die(6) + 20 * (i % 2) as u8).collect();
        assert!(Classes::choose(&columns, row).column_count > 1);
        let mut seen = 0;
        classes.runs(shifted.len(), |_, first, len| {
            assert_eq!(first, seen);
            seen += len;
        });
        assert_eq!(seen, shifted.len());
    }
}
