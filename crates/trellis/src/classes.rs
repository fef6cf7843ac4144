//! Scale classes: how large the weights of a row and of a column are, told to the decoder ahead.
//!
//! The step is the same everywhere (what reverse water-filling asks for); only the entropy code follows the scale. Mean magnitudes are
//! quantised to a quarter octave (1.5 dB), an element's class is the sum of its row's and its column's. Either side is sent only where
//! the estimated saving exceeds its cost.

use seedpress_codec::{DecodeError, Limits};
use seedpress_entropy::binary::{Bit, Decoder, Encoder, log2};

/// Classes on either side, and of an element.
pub(crate) const CLASSES: usize = 16;
const WIDTH: usize = 4;
/// Octaves of magnitude that spread classes reach at most: weights further below are zeros.
const WIDEST: f64 = 6.0;

/// Row and column classes; an empty side means none was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Classes {
    /// One per row.
    pub rows: Vec<u8>,
    /// One per column.
    pub columns: Vec<u8>,
    /// Subtracted from the sum of both.
    pub base: u8,
    /// Element classes in use, 1 to [`CLASSES`].
    pub count: u8,
}

impl Classes {
    /// One class for everything.
    pub(crate) fn none() -> Self {
        Self { rows: Vec::new(), columns: Vec::new(), base: 0, count: 1 }
    }

    /// Finds the classes of a matrix of magnitudes worth sending. Where scales are `spread` wide, as those of a transform's coefficients,
    /// classes are as wide as it takes to tell the largest and the smallest apart.
    pub(crate) fn choose(values: &[f32], offset: f32, rows: usize, columns: usize, spread: bool) -> Self {
        if values.len() < 256 || rows == 0 || columns == 0 {
            return Self::none();
        }
        let offset = f64::from(offset);
        let mut row_sums = vec![0f64; rows];
        for (sum, row) in row_sums.iter_mut().zip(values.chunks(columns)) {
            *sum = row.iter().map(|&v| (f64::from(v) - offset).abs()).sum::<f64>();
        }
        let total: f64 = row_sums.iter().sum();
        let mean = total / values.len() as f64;
        if mean <= 0.0 || !mean.is_finite() {
            return Self::none();
        }
        let row_side = Self::side(&row_sums, columns, mean, spread);
        let mut column_sums = vec![0f64; columns];
        for (index, row) in values.chunks(columns).enumerate() {
            let scale = match &row_side {
                Some(_) if row_sums[index] > 0.0 => mean * columns as f64 / row_sums[index],
                _ => 1.0,
            };
            for (sum, &v) in column_sums.iter_mut().zip(row) {
                *sum += (f64::from(v) - offset).abs() * scale;
            }
        }
        let column_mean = column_sums.iter().sum::<f64>() / values.len() as f64;
        let column_side = Self::side(&column_sums, rows, column_mean, spread);
        let (row_side, column_side) = (row_side.unwrap_or_default(), column_side.unwrap_or_default());
        if row_side.is_empty() && column_side.is_empty() {
            return Self::none();
        }
        let extreme = |side: &[u8], most: bool| {
            let picked = if most { side.iter().max() } else { side.iter().min() };
            picked.copied().unwrap_or(0)
        };
        let low = extreme(&row_side, false) + extreme(&column_side, false);
        let high = extreme(&row_side, true) + extreme(&column_side, true);
        // Where the range is too wide, the smallest magnitudes share a class: their weights are nearly all zero.
        let base = low.max((high + 1).saturating_sub(CLASSES as u8));
        Self { rows: row_side, columns: column_side, base, count: high - base + 1 }
    }

    /// Classes of one side from sums of magnitudes over `length` elements, where they pay.
    fn side(sums: &[f64], length: usize, mean: f64, spread: bool) -> Option<Vec<u8>> {
        if sums.len() < 2 || length < 8 {
            return None;
        }
        let top = (CLASSES - 1) as f64;
        let octaves = |sum: f64| log2((sum / (length as f64 * mean)).max(1e-9));
        let highest = sums.iter().map(|&sum| octaves(sum)).fold(f64::NEG_INFINITY, f64::max);
        let lowest = sums.iter().map(|&sum| octaves(sum)).fold(f64::INFINITY, f64::min).max(highest - WIDEST);
        let class = |sum: f64| match spread {
            true => {
                ((octaves(sum) - lowest) * (top / (highest - lowest).max(1e-9)).min(4.0)).round().clamp(0.0, top) as u8
            }
            false if sum / (length as f64 * mean) > 1e-9 => {
                (log2(sum / (length as f64 * mean)) * 4.0 + 9.5).floor().clamp(0.0, top) as u8
            }
            false => 0,
        };
        let classes: Vec<u8> = sums.iter().map(|&sum| class(sum)).collect();
        let (mut count, mut mass) = ([0u32; CLASSES], [0f64; CLASSES]);
        for (&class, &sum) in classes.iter().zip(sums) {
            count[usize::from(class)] += 1;
            mass[usize::from(class)] += sum;
        }
        let (mut saving, mut cost) = (0.0, 24.0);
        for class in 0..CLASSES {
            if count[class] > 0 && mass[class] > 0.0 {
                let elements = f64::from(count[class]) * length as f64;
                saving -= elements * log2(mass[class] / elements / mean);
                cost += f64::from(count[class]) * (log2(sums.len() as f64 / f64::from(count[class])) + 0.1) + 60.0;
            }
        }
        (saving > 1.5 * cost).then_some(classes)
    }

    /// Fills in the element classes from row-major index `start`.
    pub(crate) fn fill(&self, start: usize, columns: usize, out: &mut [u8]) {
        if self.rows.is_empty() && self.columns.is_empty() {
            out.fill(0);
            return;
        }
        let (mut row, mut column) = (start / columns, start % columns);
        let mut rest = out;
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut((columns - column).min(rest.len()));
            let row_class = self.rows.get(row).copied().unwrap_or(0);
            if self.columns.is_empty() {
                now.fill(row_class.saturating_sub(self.base).min(self.count - 1));
            } else {
                for (class, &of_column) in now.iter_mut().zip(&self.columns[column..]) {
                    *class = (row_class + of_column).saturating_sub(self.base).min(self.count - 1);
                }
            }
            rest = later;
            column = 0;
            row += 1;
        }
    }

    /// Codes both sides.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        for side in [&self.rows, &self.columns] {
            let mut tree = [Bit::default(); 1 << WIDTH];
            for &class in side {
                let mut node = 1;
                for shift in (0..WIDTH).rev() {
                    let bit = class >> shift & 1;
                    encoder.adaptive(&mut tree[node], bit == 1);
                    node = 2 * node + usize::from(bit);
                }
            }
        }
        encoder.finish()
    }

    /// Reads the sides that are there.
    ///
    /// # Errors
    /// Corrupt, or the limit.
    pub(crate) fn from_bytes(
        bytes: &[u8],
        rows: usize,
        columns: usize,
        base: u8,
        count: u8,
        limits: &mut Limits,
    ) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let mut side = |length: usize| -> Result<Vec<u8>, DecodeError> {
            let mut classes = limits.vec(length)?;
            let mut tree = [Bit::default(); 1 << WIDTH];
            for _ in 0..length {
                let mut node = 1;
                for _ in 0..WIDTH {
                    node = 2 * node + usize::from(decoder.adaptive(&mut tree[node]));
                }
                classes.push((node - (1 << WIDTH)) as u8);
            }
            Ok(classes)
        };
        let (rows, columns) = (side(rows)?, side(columns)?);
        decoder.finish()?;
        Ok(Self { rows, columns, base, count })
    }
}
