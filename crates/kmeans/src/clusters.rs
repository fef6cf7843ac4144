//! What to look for, and what is found.

/// What to look for and how hard.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Centroids wanted. There are fewer distinct ones where there are fewer distinct points.
    pub centroids: usize,
    /// Iterations over all points, at most.
    pub iterations: usize,
    /// Stop once an iteration lowers the inertia by less than this part of it.
    pub tolerance: f64,
    /// Of the random choices.
    pub seed: u64,
}

impl Settings {
    /// Settings that come within half a percent of what many more iterations reach (`examples/inertia.rs`).
    pub fn new(centroids: usize) -> Self {
        Self { centroids, iterations: 100, tolerance: 2e-5, seed: 0 }
    }
}

/// The result.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// Row-major, as many as asked for. Where there are fewer distinct points than centroids, the surplus repeats points, and no label
    /// names it.
    pub centroids: Vec<f32>,
    /// The nearest centroid of every point, of equally near ones the first: what [`Nearest::labels`](crate::Nearest::labels) gives. Distances below about
    /// `2^-70` of the largest value are taken for 0.
    pub labels: Vec<u32>,
    /// `sum_i w_i |x_i - c_label(i)|^2`.
    pub inertia: f64,
    /// Iterations over all points.
    pub iterations: usize,
}
