//! The best continuations of a block's alternatives, and the bars that follow from them.
//!
//! Positions are cut into [`BUCKETS`] ranges: of each range an alternative goes on with its best codeword only, so that the beam does
//! not fill with one idea.

use super::Index;

/// Ranges of positions of which each alternative goes on with one codeword.
pub const BUCKETS: usize = 64;

/// One way to go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Continuation {
    /// The block's error, with what prefixes count, after it.
    pub cost: f64,
    /// Which alternative it continues.
    pub origin: u32,
    /// Its codeword; positions beyond the sequence stand for none.
    pub position: u32,
    score: i32,
    bucket: usize,
}

impl Continuation {
    /// A total order: equal costs are told apart by where they come from.
    fn precedes(&self, other: &Self) -> bool {
        let order = self.cost.total_cmp(&other.cost);
        order.then((self.origin, self.position).cmp(&(other.origin, other.position))).is_lt()
    }
}

/// The best `keep` continuations so far, the best first.
#[derive(Debug)]
pub struct Shortlist<'a> {
    /// Cost of each alternative without another codeword.
    starts: &'a [f64],
    /// What a unit of score saves.
    worth: f64,
    /// The score that saves one.
    scores: f64,
    /// Positions in a bucket.
    bucket: usize,
    keep: usize,
    ceiling: f64,
    best: Vec<Continuation>,
}

impl<'a> Shortlist<'a> {
    /// To begin with, every alternative may stay as it is, written as position `nothing`. Codewords that lead to a cost above the `ceiling`
    /// are not asked for: the list is the right one if it [is complete](Self::is_complete) afterwards.
    pub fn new(index: &Index, starts: &'a [f64], worth: f64, keep: usize, nothing: u32, ceiling: f64) -> Self {
        let bucket = index.len().div_ceil(BUCKETS).next_multiple_of(16);
        let best = Vec::with_capacity(keep + 1);
        let mut this = Self { starts, worth, scores: 1.0 / worth, bucket, keep, ceiling, best };
        for (origin, &cost) in starts.iter().enumerate() {
            this.insert(Continuation { cost, origin: origin as u32, position: nothing, score: 0, bucket: BUCKETS });
        }
        this
    }

    /// The least score with which a codeword can still enter the list behind an alternative: never too high.
    #[inline]
    pub fn bar(&self, origin: usize) -> i32 {
        let last = self.best.last().filter(|_| self.best.len() == self.keep);
        let most = last.map_or(self.ceiling, |last| last.cost.min(self.ceiling));
        let start = self.starts[origin];
        // A few roundings of 2^-53 each, of numbers no larger than the start in units of a score.
        let slack = 2.0 + 1e-12 * start * self.scores;
        (((start - most) * self.scores - slack) as i32).max(1)
    }

    /// Whether nothing above the ceiling could have entered the list.
    pub fn is_complete(&self) -> bool {
        self.ceiling == f64::INFINITY
            || self.best.len() == self.keep && self.best.last().is_some_and(|last| last.cost <= self.ceiling)
    }

    /// Offers a codeword of positive score.
    pub fn offer(&mut self, origin: usize, position: u32, score: i32) {
        let bucket = position as usize / self.bucket;
        let cost = self.starts[origin] - self.worth * f64::from(score);
        let new = Continuation { cost, origin: origin as u32, position, score, bucket };
        let full = self.best.len() == self.keep;
        if full && self.best.last().is_some_and(|last| !new.precedes(last)) {
            return;
        }
        let rival = |entry: &Continuation| entry.origin == new.origin && entry.bucket == bucket;
        if let Some(at) = self.best.iter().position(rival) {
            let old = self.best[at];
            if score < old.score || (score == old.score && position > old.position) {
                return;
            }
            self.best.remove(at);
        }
        self.insert(new);
    }

    fn insert(&mut self, new: Continuation) {
        let at = self.best.partition_point(|entry| entry.precedes(&new));
        if at < self.keep {
            self.best.truncate(self.keep - 1);
            self.best.insert(at, new);
        }
    }

    /// The list, the best first.
    pub fn into_best(self) -> Vec<Continuation> {
        self.best
    }
}
