//! Rows and columns of a matrix of symbols in classes that share a table.
//!
//! Rows of a trained matrix differ in scale (and so do columns), which shows in the exponents of its floats. A class is a few bits of
//! side information a row; within one, symbols are nearer to identically distributed. Classes are found by alternating between
//! tables and assignments, as in Lloyd's algorithm with code length as the distance (Chou, Lookabaugh and Gray, 1989), and kept where
//! the estimated gain exceeds the cost of tables and labels. All of it is integer arithmetic or sums in one order: the same classes
//! on any machine.

use crate::binary::log2;

const ROUNDS: usize = 4;
/// Largest table of histograms, in counters.
const LARGEST: usize = 1 << 24;
/// Rows that are enough to tell columns apart.
const ENOUGH_ROWS: usize = 256;
/// Fewest symbols for which classes are tried.
const FEWEST: usize = 4096;

/// Labels of rows and of columns; symbol `(r, c)` belongs to class `rows[r] * column_count + columns[c]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Classes {
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
    pub(crate) fn one() -> Self {
        Self { row: 0, row_count: 1, column_count: 1, rows: Vec::new(), columns: Vec::new() }
    }

    /// How many classes there are.
    pub(crate) fn count(&self) -> usize {
        usize::from(self.row_count) * usize::from(self.column_count)
    }

    /// How many symbols of `count` each class has.
    pub(crate) fn sizes(&self, count: usize) -> Vec<usize> {
        let mut of_row = vec![0usize; usize::from(self.column_count)];
        match &self.columns[..] {
            [] => of_row[0] = self.row,
            columns => columns.iter().for_each(|&label| of_row[usize::from(label)] += 1),
        }
        let mut sizes = vec![0; self.count()];
        for index in 0..count / self.row.max(1) {
            let base = self.base(index);
            sizes[base..].iter_mut().zip(&of_row).for_each(|(size, of_row)| *size += of_row);
        }
        sizes
    }

    /// The first class of a row.
    fn base(&self, row: usize) -> usize {
        usize::from(self.rows.get(row).copied().unwrap_or(0)) * usize::from(self.column_count)
    }

    /// The place of each column among those of its class, with the class.
    fn places(&self) -> (Vec<(u8, u32)>, Vec<usize>) {
        let mut next = vec![0usize; usize::from(self.column_count)];
        let place = |&label: &u8| {
            let place = (label, next[usize::from(label)] as u32);
            next[usize::from(label)] += 1;
            place
        };
        let places = match &self.columns[..] {
            [] => {
                next[0] = self.row;
                Vec::new()
            }
            columns => columns.iter().map(place).collect(),
        };
        (places, next)
    }

    /// Symbols of whole rows by class, in order.
    pub(crate) fn sort(&self, symbols: &[u8]) -> Vec<Vec<u8>> {
        let mut sorted: Vec<Vec<u8>> = self.sizes(symbols.len()).into_iter().map(Vec::with_capacity).collect();
        let (places, of_row) = self.places();
        // Where in a row, sorted, each column goes.
        let starts: Vec<usize> = (0..of_row.len()).map(|label| of_row[..label].iter().sum()).collect();
        let targets: Vec<usize> =
            places.iter().map(|&(label, place)| starts[usize::from(label)] + place as usize).collect();
        let mut turned = vec![0u8; self.row];
        for (index, line) in symbols.chunks_exact(self.row).enumerate() {
            let base = self.base(index);
            if targets.is_empty() {
                sorted[base].extend_from_slice(line);
                continue;
            }
            for (&symbol, &target) in line.iter().zip(&targets) {
                turned[target] = symbol;
            }
            let mut rest = &turned[..];
            for (of_class, &size) in sorted[base..].iter_mut().zip(&of_row) {
                let (own, later) = rest.split_at(size);
                of_class.extend_from_slice(own);
                rest = later;
            }
        }
        sorted
    }

    /// Undoes [`sort`](Self::sort); the classes have [`sizes`](Self::sizes) symbols.
    pub(crate) fn merge(&self, sorted: &[Vec<u8>], symbols: &mut [u8]) {
        let (places, of_row) = self.places();
        let mut next = vec![0usize; sorted.len()];
        for (index, line) in symbols.chunks_exact_mut(self.row).enumerate() {
            let base = self.base(index);
            if places.is_empty() {
                line.copy_from_slice(&sorted[base][next[base]..][..self.row]);
            } else {
                let mut own: [&[u8]; 8] = [&[]; 8];
                for (own, (of_class, (&next, &size))) in
                    own.iter_mut().zip(sorted[base..].iter().zip(next[base..].iter().zip(&of_row)))
                {
                    *own = &of_class[next..next + size];
                }
                for (symbol, &(label, place)) in line.iter_mut().zip(&places) {
                    *symbol = own[usize::from(label & 7)][place as usize];
                }
            }
            next[base..].iter_mut().zip(&of_row).for_each(|(next, size)| *next += size);
        }
    }

    /// The best of a few ways to classify symbols in rows of `row`.
    pub(crate) fn choose(symbols: &[u8], row: usize) -> Self {
        let all = symbols.len();
        if row < 2 || all < FEWEST || !all.is_multiple_of(row) || all == row {
            return Self::one();
        }
        let (ranks, alphabet) = rank(symbols);
        let rows = all / row;
        if alphabet < 2 || rows.max(row) * alphabet > LARGEST {
            return Self::one();
        }
        let by_row = histograms_of_rows(symbols, row, &ranks, alphabet);
        // Columns are told apart by some of the rows, spread evenly, where there are many.
        let stride = (rows / ENOUGH_ROWS).max(1);
        let sampled = || symbols.chunks_exact(row).step_by(stride);
        let times = rows as f64 / rows.div_ceil(stride) as f64;
        let by_column = histograms_of_columns(sampled(), row, &ranks, alphabet);
        let mut best = (Self::one(), cost(&[total(&by_row, alphabet)], 1.0));
        let side = |labels: &[u8], count: u8| labels.len() as f64 * f64::from(count.ilog2());
        let mut fours = (Vec::new(), Vec::new());
        for (along_rows, histograms) in [(true, &by_row), (false, &by_column)] {
            for k in [4u8, 8] {
                if histograms.len() / alphabet < 2 * usize::from(k) {
                    continue;
                }
                let (labels, tables) =
                    if k == 4 { cluster::<4>(histograms, alphabet) } else { cluster::<8>(histograms, alphabet) };
                let cost = cost(&tables, if along_rows { 1.0 } else { times }) + side(&labels, k);
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
            for (line, index) in sampled().zip((0..).step_by(stride)) {
                let of_row = &mut tables[both.base(index)..];
                for (&symbol, &label) in line.iter().zip(&both.columns) {
                    of_row[usize::from(label)][usize::from(ranks[usize::from(symbol)])] += 1;
                }
            }
            let cost = cost(&tables, times) + side(&both.rows, 4) + side(&both.columns, 4);
            if cost < best.1 {
                best.0 = both;
            }
        }
        best.0
    }
}

/// The rank of each symbol among those that occur, and how many these are.
fn rank(symbols: &[u8]) -> ([u8; 256], usize) {
    let mut ranks = [u8::MAX; 256];
    symbols.iter().for_each(|&symbol| ranks[usize::from(symbol)] = 0);
    let mut alphabet = 0;
    for rank in ranks.iter_mut().filter(|rank| **rank == 0) {
        *rank = alphabet as u8;
        alphabet += 1usize;
    }
    (ranks, alphabet)
}

/// How often each row has each symbol, by rank in the alphabet.
fn histograms_of_rows(symbols: &[u8], row: usize, ranks: &[u8; 256], alphabet: usize) -> Vec<u32> {
    let mut by_row = vec![0u32; symbols.len() / row * alphabet];
    for (line, of_row) in symbols.chunks_exact(row).zip(by_row.chunks_exact_mut(alphabet)) {
        // Two tables: equal neighbours would wait for each other's increment.
        let mut other = [0u32; 256];
        let mut pairs = line.chunks_exact(2);
        for pair in &mut pairs {
            of_row[usize::from(ranks[usize::from(pair[0])])] += 1;
            other[usize::from(ranks[usize::from(pair[1])])] += 1;
        }
        pairs.remainder().iter().for_each(|&symbol| of_row[usize::from(ranks[usize::from(symbol)])] += 1);
        of_row.iter_mut().zip(other).for_each(|(count, more)| *count += more);
    }
    by_row
}

/// How often each column of these rows has each symbol.
fn histograms_of_columns<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    row: usize,
    ranks: &[u8; 256],
    alphabet: usize,
) -> Vec<u32> {
    let mut by_column = vec![0u32; row * alphabet];
    for line in lines {
        for (&symbol, of_column) in line.iter().zip(by_column.chunks_exact_mut(alphabet)) {
            of_column[usize::from(ranks[usize::from(symbol)])] += 1;
        }
    }
    by_column
}

fn total(histograms: &[u32], alphabet: usize) -> Vec<u64> {
    let mut sum = vec![0; alphabet];
    for histogram in histograms.chunks_exact(alphabet) {
        sum.iter_mut().zip(histogram).for_each(|(sum, &count)| *sum += u64::from(count));
    }
    sum
}

/// Bits of the symbols, `times` as many as counted, under their own tables, tables and headers included.
fn cost(tables: &[Vec<u64>], times: f64) -> f64 {
    let mut bits = 0.0;
    for table in tables {
        let sum: u64 = table.iter().sum();
        if sum == 0 {
            continue;
        }
        for &count in table.iter().filter(|count| **count > 0) {
            bits += times * count as f64 * log2(sum as f64 / count as f64) + 12.0;
        }
        bits += if times * (sum as f64) < 65_536.0 { 160.0 } else { 560.0 };
    }
    bits
}

/// Assigns each histogram to one of `K` tables.
fn cluster<const K: usize>(histograms: &[u32], alphabet: usize) -> (Vec<u8>, Vec<Vec<u64>>) {
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
        labels[unit] = (place * K / units) as u8;
    }
    let gather = |labels: &[u8]| {
        let mut tables = vec![vec![0u64; alphabet]; K];
        for (histogram, &label) in histograms.chunks_exact(alphabet).zip(labels) {
            tables[usize::from(label)].iter_mut().zip(histogram).for_each(|(sum, &count)| *sum += u64::from(count));
        }
        tables
    };
    let mut tables = gather(&labels);
    for _ in 0..ROUNDS {
        // Code lengths, table by table beside each other, a count of one more everywhere so that none is infinite.
        let mut lengths = vec![[0f32; K]; alphabet];
        for (table, counts) in tables.iter().enumerate() {
            let sum = (counts.iter().sum::<u64>() + alphabet as u64) as f64;
            for (lengths, &count) in lengths.iter_mut().zip(counts) {
                lengths[table] = log2(sum / (count + 1) as f64) as f32;
            }
        }
        let mut moved = false;
        for (histogram, label) in histograms.chunks_exact(alphabet).zip(&mut labels) {
            let mut bits = [0f32; K];
            for (&count, lengths) in histogram.iter().zip(&lengths) {
                let count = count as f32;
                bits = std::array::from_fn(|table| bits[table] + count * lengths[table]);
            }
            let nearest = (1..K).fold(0, |nearest, table| if bits[table] < bits[nearest] { table } else { nearest });
            moved |= usize::from(*label) != nearest;
            *label = nearest as u8;
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
        let mut noise = seedpress_testing::Noise::new(9);
        let mut die = |sides: u64| noise.below(sides) as u8;
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
        // Rows alone, columns alone, both, neither evenly.
        let both = Classes {
            row_count: 3,
            column_count: 2,
            rows: (0..rows).map(|r| (r * r % 3) as u8).collect(),
            columns: (0..row).map(|c| (c % 7 / 5) as u8).collect(),
            ..classes.clone()
        };
        for classes in [classes, Classes::choose(&columns, row), both] {
            let sorted = classes.sort(&shifted);
            assert_eq!(classes.sizes(shifted.len()), sorted.iter().map(Vec::len).collect::<Vec<_>>());
            let mut merged = vec![0; shifted.len()];
            classes.merge(&sorted, &mut merged);
            assert!(merged == shifted);
            let first = (0..shifted.len())
                .find(|&i| classes.base(i / row) == 0 && classes.columns.get(i % row).is_none_or(|&l| l == 0));
            assert_eq!(sorted[0][0], shifted[first.unwrap()]);
        }
    }
}
