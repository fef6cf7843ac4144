//! From a tensor to codebooks and indices.

use half::f16;
use seedpress_calibration::{DAMPING, Factor, InputStatistics, Order, damping, output_error, sweep_columns};
use seedpress_codec::{EncodeContext, EncodeError, Encoded, PowerOfTwo, TensorView};
use seedpress_kmeans::{Nearest, Points, Settings, cluster};
use seedpress_matrix::transpose;

use crate::config::{Config, Hessian};
use crate::matrix::Matrix;
use crate::plan::{Book, Plan};
use crate::refit::Problem;
use crate::stream::{Coded, write};

/// Iterations of k-means and when they stop: further ones lower the error by less than a hundredth.
const ITERATIONS: usize = 25;
const TOLERANCE: f64 = 1e-4;

/// The largest magnitude is brought here, `2^10`: weights a million times smaller are still binary16 numbers.
const TARGET: i16 = 10;

/// Compresses a tensor.
///
/// # Errors
/// Cancellation.
pub(crate) fn encode(
    tensor: &TensorView<'_>,
    context: &EncodeContext<'_>,
    config: &Config,
) -> Result<Encoded, EncodeError> {
    let power = PowerOfTwo::normalising(tensor.values(), TARGET);
    let values = power.down_all(tensor.values());
    let (rows, columns) = (tensor.rows(), tensor.columns());
    // Of a single row the neighbours are vectors, and no input is left to make up for another.
    let lying = rows == 1 && columns > 1;
    let matrix = if lying {
        Matrix { rows: columns, columns: 1, values }
    } else {
        Matrix { rows, columns, values: transpose(&values, rows, columns) }
    };
    let statistics = statistics(context, &matrix).filter(|_| config.hessian != Hessian::None && !lying);
    let importance: Vec<f32> = match statistics {
        None => vec![1.0; matrix.columns],
        Some(statistics) => {
            let ridge = damping(statistics.mean_square(), DAMPING) as f32;
            statistics.mean_square().iter().map(|square| square + ridge).collect()
        }
    };
    let sensitivity: Vec<f64> = importance
        .iter()
        .enumerate()
        .map(|(column, &weight)| {
            let energy = matrix.column(column).iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
            f64::from(weight) * energy
        })
        .collect();
    let plan = Plan::new(config, matrix.rows, &sensitivity);
    let mut encoder = Encoder { config, matrix, plan, coded: Vec::new() };
    encoder.learn(&importance, context)?;
    if let Some(statistics) = statistics.filter(|_| config.hessian == Hessian::Full) {
        encoder.feed_back(statistics, context)?;
    }
    context.advance(tensor.len());
    Ok(write(&encoder.plan, lying, power, &encoder.coded, encoder.matrix.rows))
}

fn statistics<'a>(context: &EncodeContext<'a>, matrix: &Matrix) -> Option<&'a InputStatistics> {
    context.calibration.filter(|statistics| statistics.columns() == matrix.columns)
}

/// The codebooks of a class, ready to be searched.
struct Books {
    book: Book,
    first: Nearest,
    second: Option<Nearest>,
    codewords: Vec<f32>,
}

impl Books {
    fn new(book: Book, codewords: &[f16]) -> Self {
        let codewords: Vec<f32> = codewords.iter().map(|number| number.to_f32()).collect();
        let length = usize::from(book.vector);
        let (first, second) = codewords.split_at(length << book.first);
        let second = (book.second > 0).then(|| Nearest::new(second, length));
        Self { book, first: Nearest::new(first, length), second, codewords }
    }

    /// The indices of vectors, one after another.
    fn indices(&self, vectors: &[f32]) -> Vec<[u32; 2]> {
        let length = usize::from(self.book.vector);
        let mut labels = vec![0u32; vectors.len() / length];
        self.first.labels(vectors, &mut labels);
        let mut indices: Vec<[u32; 2]> = labels.iter().map(|&label| [label, 0]).collect();
        if let Some(second) = &self.second {
            let rest: Vec<f32> = vectors
                .iter()
                .enumerate()
                .map(|(at, value)| value - self.codewords[labels[at / length] as usize * length + at % length])
                .collect();
            second.labels(&rest, &mut labels);
            indices.iter_mut().zip(&labels).for_each(|(index, &label)| index[1] = label);
        }
        indices
    }

    /// What the indices of a column stand for.
    fn decode(&self, indices: &[[u32; 2]], out: &mut [f32]) {
        let length = usize::from(self.book.vector);
        for (out, &[first, second]) in out.chunks_mut(length).zip(indices) {
            let first = &self.codewords[first as usize * length..];
            out.copy_from_slice(&first[..out.len()]);
            if self.second.is_some() {
                let second = &self.codewords[(length << self.book.first) + second as usize * length..];
                out.iter_mut().zip(second).for_each(|(value, second)| *value += second);
            }
        }
    }
}

struct Encoder<'a> {
    config: &'a Config,
    matrix: Matrix,
    plan: Plan,
    coded: Vec<Coded>,
}

fn stored(values: &[f32]) -> Vec<f16> {
    values.iter().map(|&value| f16::from_f32(value.clamp(-65504.0, 65504.0))).collect()
}

/// A column cut into vectors, zeros where its rows end.
fn vectors(column: &[f32], length: usize) -> impl Iterator<Item = f32> {
    let missing = column.len().next_multiple_of(length) - column.len();
    column.iter().copied().chain(std::iter::repeat_n(0.0, missing))
}

impl Encoder<'_> {
    /// Codebooks by k-means, columns weighted, and the nearest indices.
    fn learn(&mut self, importance: &[f32], context: &EncodeContext<'_>) -> Result<(), EncodeError> {
        for (class, &book) in self.plan.books.iter().enumerate() {
            context.check_cancelled()?;
            let length = usize::from(book.vector);
            let columns: Vec<usize> =
                (0..self.matrix.columns).filter(|&column| usize::from(self.plan.class_of[column]) == class).collect();
            let points: Vec<f32> =
                columns.iter().flat_map(|&column| vectors(self.matrix.column(column), length)).collect();
            let each = book.vectors(self.matrix.rows);
            let weights: Vec<f32> =
                columns.iter().flat_map(|&column| std::iter::repeat_n(importance[column], each)).collect();
            let mut codewords = Vec::new();
            let mut rest = points.clone();
            for bits in [book.first, book.second].into_iter().filter(|&bits| bits > 0) {
                let seed = self.config.seed.get() as u64;
                let settings =
                    Settings { iterations: ITERATIONS, tolerance: TOLERANCE, seed, ..Settings::new(1 << bits) };
                let clusters = cluster(Points::new(&rest, length).weighted(&weights), &settings);
                let own = stored(&clusters.centroids);
                for (vector, &label) in rest.chunks_exact_mut(length).zip(&clusters.labels) {
                    let codeword = &own[label as usize * length..][..length];
                    vector.iter_mut().zip(codeword).for_each(|(value, number)| *value -= number.to_f32());
                }
                codewords.extend(own);
            }
            let indices = Books::new(book, &codewords).indices(&points);
            self.coded.push(Coded { codewords, indices });
        }
        Ok(())
    }

    fn books(&self) -> Vec<Books> {
        self.plan.books.iter().zip(&self.coded).map(|(&book, coded)| Books::new(book, &coded.codewords)).collect()
    }

    /// The matrix of what is chosen, column-major.
    fn decoded(&self) -> Vec<f32> {
        let (books, mut used) = (self.books(), vec![0usize; self.plan.books.len()]);
        let mut out = vec![0f32; self.matrix.values.len()];
        for (column, &class) in out.chunks_exact_mut(self.matrix.rows).zip(&self.plan.class_of) {
            let class = usize::from(class);
            let each = books[class].book.vectors(self.matrix.rows);
            books[class].decode(&self.coded[class].indices[used[class]..][..each], column);
            used[class] += each;
        }
        out
    }

    /// Sweeps and refits while it pays.
    fn feed_back(&mut self, statistics: &InputStatistics, context: &EncodeContext<'_>) -> Result<(), EncodeError> {
        let (rows, columns) = (self.matrix.rows, self.matrix.columns);
        let order = if self.config.activation_order { Order::Activation } else { Order::Natural };
        let (Some(factor), Some(moment)) = (Factor::new(statistics, DAMPING, order), statistics.second_moment()) else {
            return Ok(());
        };
        let ridge = damping(statistics.mean_square(), DAMPING) as f32;
        let mut damped = moment.to_vec();
        damped.iter_mut().step_by(columns + 1).for_each(|entry| *entry += ridge);
        let original = transpose(&self.matrix.values, columns, rows);
        let damped_statistics = InputStatistics::from_second_moment(statistics.samples(), columns, damped.clone());
        let judge = damped_statistics.as_ref().unwrap_or(statistics);
        let cost = |encoder: &Self| {
            let decoded = transpose(&encoder.decoded(), columns, rows);
            output_error(&original, &decoded, judge).map_or(f64::INFINITY, |error| error.error)
        };
        let mut best = (cost(self), self.coded.clone());
        for round in 0..=self.config.refits.size() {
            context.check_cancelled()?;
            if round > 0 {
                self.refit(&damped);
            }
            self.sweep(&factor);
            let after = cost(self);
            let gain = best.0 - after;
            if gain > 0.0 {
                best = (after, self.coded.clone());
            }
        }
        // The last sweep's codewords are not fitted to it yet.
        self.coded = best.1.clone();
        self.refit(&damped);
        if cost(self) > best.0 {
            self.coded = best.1;
        }
        Ok(())
    }

    fn refit(&mut self, damped: &[f32]) {
        let problem = Problem { matrix: &self.matrix, moment: damped, plan: &self.plan, coded: &self.coded };
        let codewords = problem.solve();
        let mut rest = codewords.as_slice();
        for (coded, book) in self.coded.iter_mut().zip(&self.plan.books) {
            let (own, others) = rest.split_at(book.numbers());
            coded.codewords = own.iter().map(|&number| f16::from_f64(number.clamp(-65504.0, 65504.0))).collect();
            rest = others;
        }
    }

    /// Chooses all indices again, column by column, errors fed forward.
    fn sweep(&mut self, factor: &Factor) {
        let rows = self.matrix.rows;
        let books = self.books();
        let mut found: Vec<Vec<[u32; 2]>> = vec![Vec::new(); self.matrix.columns];
        let mut quantizer = |columns: &[usize], aims: &[f32], out: &mut [f32]| {
            for ((&column, aim), out) in columns.iter().zip(aims.chunks_exact(rows)).zip(out.chunks_exact_mut(rows)) {
                let books = &books[usize::from(self.plan.class_of[column])];
                let points: Vec<f32> = vectors(aim, usize::from(books.book.vector)).collect();
                let indices = books.indices(&points);
                books.decode(&indices, out);
                found[column] = indices;
            }
        };
        sweep_columns(factor, &self.matrix.values, 1, &mut quantizer);
        self.coded.iter_mut().for_each(|coded| coded.indices.clear());
        for (indices, &class) in found.into_iter().zip(&self.plan.class_of) {
            self.coded[usize::from(class)].indices.extend(indices);
        }
    }
}
