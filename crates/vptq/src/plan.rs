//! Which columns share codebooks, how long vectors are, and how many codewords there are.
//!
//! Every combination of a vector length, two codebook sizes and a book of more bits for the columns that matter most is weighed: what does not
//! keep to the budget, *codebooks counted*, is out; of the rest the least expected error wins. The expectation is that of normal weights, the
//! Shannon limit times what vectors of finite length lose ([`Book::distortion`]); it only has to rank.

use crate::config::Config;

/// The longest vector and the largest codebook, in bits of an index.
pub(crate) const LONGEST: usize = 16;
/// See [`LONGEST`].
pub(crate) const LARGEST: u8 = 12;

/// By vector length: the loss against the Shannon limit at high rates in decibels, by Zador's formula with the best known lattices (J. Conway,
/// N. Sloane, "Sphere Packings, Lattices and Groups", table 2.3), and how fast it is reached, per bit: fitted to k-means on N(0,1)
/// (1.62, 2.74, 3.45, 3.86 dB for 1 to 4 bits alone; 1.83 dB for 4 numbers at 2 bits, 1.0 dB for 8 at 1 bit).
const LOSSES: [(u8, f64, f64); 9] = [
    (1, 4.35, 0.5),
    (2, 3.04, 0.68),
    (3, 2.48, 0.82),
    (4, 2.1, 0.93),
    (5, 1.88, 1.03),
    (6, 1.69, 1.12),
    (8, 1.38, 1.27),
    (12, 1.13, 1.53),
    (16, 0.93, 1.74),
];

/// Codebooks of some columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Book {
    /// Outputs in a vector.
    pub vector: u8,
    /// Bits of an index into the first codebook.
    pub first: u8,
    /// Bits of an index into the second; 0 where there is none.
    pub second: u8,
}

/// `2^x` for `|x| < 1000`, from plain arithmetic.
fn exp2(x: f64) -> f64 {
    let whole = x.floor();
    let t = (x - whole) * std::f64::consts::LN_2;
    let series = (1..=18).rev().fold(1.0, |sum, k| 1.0 + sum * t / f64::from(k));
    series * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// Expected squared error of one stage for normal vectors of variance 1.
fn stage(vector: u8, bits: u8, vectors: usize) -> f64 {
    let rate = f64::from(bits) / f64::from(vector);
    let loss = LOSSES.iter().rfind(|loss| loss.0 <= vector).unwrap_or(&LOSSES[0]);
    let reached = 1.0 - exp2(-loss.2 * rate * std::f64::consts::LOG2_E);
    // Few vectors are learned by heart.
    let known = (exp2(f64::from(bits)) / vectors.max(1) as f64).min(1.0);
    exp2(-2.0 * rate + loss.1 * reached / 10.0 * std::f64::consts::LOG2_10) * (1.0 - known)
}

impl Book {
    /// Bits of an index of a vector.
    pub(crate) fn index_bits(self) -> u8 {
        self.first + self.second
    }

    /// Numbers in both codebooks.
    pub(crate) fn numbers(self) -> usize {
        let second = if self.second > 0 { 1usize << self.second } else { 0 };
        ((1usize << self.first) + second) * usize::from(self.vector)
    }

    /// Vectors in a column of `rows`.
    pub(crate) fn vectors(self, rows: usize) -> usize {
        rows.div_ceil(usize::from(self.vector))
    }

    fn bits_of_indices(self, rows: usize, columns: usize) -> f64 {
        (self.vectors(rows) * columns) as f64 * f64::from(self.index_bits())
    }

    /// Bits of the indices and, for every group of the columns, of the codebooks.
    fn cost(self, rows: usize, columns: usize, groups: usize) -> f64 {
        self.bits_of_indices(rows, columns) + (16 * self.numbers() * groups) as f64
    }

    /// Expected squared error for normal weights of variance 1.
    fn distortion(self, rows: usize, columns: usize, groups: usize) -> f64 {
        let vectors = self.vectors(rows) * columns / groups;
        let first = stage(self.vector, self.first, vectors);
        if self.second == 0 { first } else { first * stage(self.vector, self.second, vectors) }
    }
}

/// What is decided for a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Codebooks by class. The last is that of the columns that matter most, if there are as many as groups and one.
    pub books: Vec<Book>,
    /// The class of every column.
    pub class_of: Vec<u8>,
}

impl Plan {
    /// Decides for columns of `rows` weights, whose errors count `sensitivity`, relative to each other.
    pub(crate) fn new(config: &Config, rows: usize, sensitivity: &[f64]) -> Self {
        let columns = sensitivity.len();
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by(|&a, &b| sensitivity[b].total_cmp(&sensitivity[a]).then(a.cmp(&b)));
        // above[m]: what the m most sensitive columns count together.
        let mut above = vec![0f64];
        above.extend(order.iter().scan(0f64, |sum, &column| {
            *sum += sensitivity[column];
            Some(*sum)
        }));
        let groups = config.groups.size().min(columns);
        let search = Search { config, rows, columns, groups, above };
        let (book, outliers) = search.best();
        let (special, rest) = order.split_at(outliers.map_or(0, |outliers| outliers.1));
        let mut class_of = vec![0u8; columns];
        rest.iter().enumerate().for_each(|(at, &column)| class_of[column] = (at * groups / rest.len()) as u8);
        special.iter().for_each(|&column| class_of[column] = groups as u8);
        let mut books = vec![book; groups];
        books.extend(outliers.map(|outliers| outliers.0));
        Self { books, class_of }
    }
}

struct Search<'a> {
    config: &'a Config,
    rows: usize,
    columns: usize,
    groups: usize,
    above: Vec<f64>,
}

impl Search<'_> {
    /// The book of most columns, and that of the most sensitive ones with their number.
    fn best(&self) -> (Book, Option<(Book, usize)>) {
        let budget = self.config.bits.get() * (self.rows * self.columns) as f64;
        let total = self.above[self.columns];
        let smallest = Book { vector: 1, first: 1, second: 0 };
        let mut cheapest = (f64::INFINITY, smallest);
        let mut best = (f64::INFINITY, smallest, None);
        for book in self.books() {
            let cost = book.cost(self.rows, self.columns, self.groups);
            if cost < cheapest.0 {
                cheapest = (cost, book);
            }
            if cost > budget {
                continue;
            }
            let own = book.distortion(self.rows, self.columns, self.groups);
            if own * total < best.0 {
                best = (own * total, book, None);
            }
            for more in 1..=6 {
                let Some(special) = self.larger(book, more) else { continue };
                let Some((count, error)) = self.filled(book, own, special, budget) else { continue };
                if error < best.0 {
                    best = (error, book, Some((special, count)));
                }
            }
        }
        if best.0.is_finite() { (best.1, best.2) } else { (cheapest.1, None) }
    }

    /// Every book that is allowed.
    fn books(&self) -> impl Iterator<Item = Book> {
        let wanted = self.config.vector.size().min(self.rows);
        let limit = self.rows;
        let residual = self.config.residual;
        let vectors = LOSSES.iter().map(|loss| loss.0).filter(move |&vector| match wanted {
            0 => usize::from(vector) <= limit,
            _ => false,
        });
        let fixed = (wanted > 0).then_some(wanted as u8);
        vectors.chain(fixed).flat_map(move |vector| {
            (1..=LARGEST).flat_map(move |first| {
                let most = if residual { first } else { 0 };
                (0..=most).map(move |second| Book { vector, first, second })
            })
        })
    }

    /// A book like this with more bits.
    fn larger(&self, book: Book, more: u8) -> Option<Book> {
        let special = match book.second {
            0 => Book { first: book.first + more, ..book },
            _ => Book { first: book.first + more.div_ceil(2), second: book.second + more / 2, ..book },
        };
        (special.first <= LARGEST && special.second <= LARGEST).then_some(special)
    }

    /// How many columns the rest of the budget pays a larger book for, and the expected error with it.
    fn filled(&self, book: Book, own: f64, special: Book, budget: f64) -> Option<(usize, f64)> {
        let fixed = book.cost(self.rows, self.columns, self.groups) + (16 * special.numbers()) as f64;
        // A table of classes comes with it.
        let width = usize::BITS - self.groups.leading_zeros();
        let left = budget - fixed - f64::from(width) * self.columns as f64;
        let each = special.bits_of_indices(self.rows, 1) - book.bits_of_indices(self.rows, 1);
        let most = (self.config.outliers.get() * self.columns as f64) as usize;
        if left < each {
            return None;
        }
        let count = ((left / each) as usize).min(most).min(self.columns.saturating_sub(self.groups));
        if count == 0 {
            return None;
        }
        let better = special.distortion(self.rows, count, 1);
        let total = self.above[self.columns];
        Some((count, self.above[count] * better + (total - self.above[count]) * own))
    }
}
