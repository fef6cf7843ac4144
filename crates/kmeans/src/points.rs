//! Points with weights.

/// Points to be clustered, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) dimension: usize,
    pub(crate) weights: Option<&'a [f32]>,
}

impl<'a> Points<'a> {
    /// `values` cut into points of `dimension` finite numbers, each of weight 1.
    ///
    /// # Panics
    /// Where `dimension` is 0 or does not divide the number of values.
    pub fn new(values: &'a [f32], dimension: usize) -> Self {
        assert!(dimension > 0 && values.len().is_multiple_of(dimension), "values do not fill points of {dimension}");
        Self { values, dimension, weights: None }
    }

    /// The same points with these weights, finite and not negative. Weights that are all zero count as ones.
    ///
    /// # Panics
    /// Where there are not as many weights as points.
    #[must_use]
    pub fn weighted(self, weights: &'a [f32]) -> Self {
        assert_eq!(weights.len(), self.count(), "one weight a point");
        let any = weights.iter().any(|&weight| weight > 0.0);
        Self { weights: any.then_some(weights), ..self }
    }

    /// How many points there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.dimension
    }

    pub(crate) fn point(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dimension..][..self.dimension]
    }

    pub(crate) fn weight(&self, index: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[index])
    }
}
