//! The codewords that a search passes over: windows of one sequence of values.

/// Codewords a kernel takes at once.
pub(super) const TILE: usize = 32;

/// Windows of `block` values.
#[derive(Debug)]
pub(super) struct Codewords {
    /// The values of the sequence, and [`LONGEST`](super::LONGEST) more, so that a product may always run over a whole target.
    pub(super) values: Box<[i16]>,
    /// Positions searched.
    pub(super) count: usize,
    /// Values of a codeword.
    pub(super) block: usize,
}
