//! How a run tells how far it is. The library prints nothing itself.

/// Learns how far a run is.
pub trait Progress: Sync {
    /// The run has this many weights to encode, finished cells included.
    fn start(&self, weights: u64) {
        let _ = weights;
    }

    /// What is being worked on, in words.
    fn working_on(&self, what: &str) {
        let _ = what;
    }

    /// So many more weights are done.
    fn advance(&self, weights: u64) {
        let _ = weights;
    }

    /// Something the user should know: a failed cell, rows that were moved.
    fn note(&self, line: &str) {
        let _ = line;
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
