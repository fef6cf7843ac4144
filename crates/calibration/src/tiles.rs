//! Sums of products in tiles.
//!
//! Each batch's products are summed in `f32` and batches in `f64`, so a million inputs lose no more digits than a few hundred. Of a
//! symmetric sum only tiles on and below the diagonal are kept. One task works on a tile: the sums have one order on any number of
//! threads, and take `4 columns^2` bytes where they are symmetric.

use rayon::prelude::*;
use seedpress_matrix::{View, add_product};

/// Rows and columns of a tile.
const TILE: usize = 128;

/// A sum of products `x^T y` of matrices of as many rows, in tiles.
#[derive(Debug, Clone)]
pub(crate) struct Tiles {
    columns: usize,
    /// Whether only tiles on and below the diagonal are kept.
    lower: bool,
    tiles: Vec<Tile>,
}

#[derive(Debug, Clone)]
struct Tile {
    /// First row and first column.
    at: (usize, usize),
    /// Columns.
    width: usize,
    sums: Vec<f64>,
}

impl Tiles {
    /// Tiles on and below the diagonal, for products of a matrix with itself.
    pub(crate) fn lower(columns: usize) -> Self {
        Self::new(columns, true)
    }

    /// All tiles, for products that are not symmetric.
    pub(crate) fn square(columns: usize) -> Self {
        Self::new(columns, false)
    }

    fn new(columns: usize, lower: bool) -> Self {
        let starts = || (0..columns).step_by(TILE);
        let extent = |start: usize| TILE.min(columns - start);
        let tile = |row: usize, column: usize| Tile {
            at: (row, column),
            width: extent(column),
            sums: vec![0.0; extent(row) * extent(column)],
        };
        let of_row =
            |row: usize| starts().filter(move |&column| !lower || column <= row).map(move |column| (row, column));
        Self { columns, lower, tiles: starts().flat_map(of_row).map(|(row, column)| tile(row, column)).collect() }
    }

    /// Adds the product of a batch.
    pub(crate) fn add(&mut self, x: &[f32], y: &[f32]) {
        let (columns, depth) = (self.columns, x.len() / self.columns);
        self.tiles.par_iter_mut().for_each(|tile| {
            let (row, column) = tile.at;
            let mut sums = vec![0f32; tile.sums.len()];
            let left = View::strided(&x[row..], depth, tile.sums.len() / tile.width, columns).t();
            let right = View::strided(&y[column..], depth, tile.width, columns);
            add_product(&mut sums, tile.width, left, right);
            tile.sums.iter_mut().zip(sums).for_each(|(to, from)| *to += f64::from(from));
        });
    }

    /// Adds another sum of matrices of as many columns.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, other) in self.tiles.iter_mut().zip(&other.tiles) {
            own.sums.iter_mut().zip(&other.sums).for_each(|(to, from)| *to += from);
        }
    }

    /// The matrix, row-major, every sum through `mean`.
    pub(crate) fn full(&self, mean: impl Fn(f64) -> f32) -> Vec<f32> {
        let columns = self.columns;
        let mut out = vec![0f32; columns * columns];
        for tile in &self.tiles {
            let (row, column) = tile.at;
            for (r, sums) in tile.sums.chunks_exact(tile.width).enumerate() {
                for (c, &sum) in sums.iter().enumerate() {
                    let (i, j) = (row + r, column + c);
                    if !self.lower {
                        out[i * columns + j] = mean(sum);
                    } else if j <= i {
                        out[i * columns + j] = mean(sum);
                        out[j * columns + i] = out[i * columns + j];
                    }
                }
            }
        }
        out
    }
}
