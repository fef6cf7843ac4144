//! Exact scores, and who is told of them.

use super::codewords::Codewords;
use super::penalties::Penalties;
use super::target::{LONGEST, Target};

/// Who listens to a search.
pub trait Judge {
    /// The least score of interest for a target. May rise during the search.
    fn bar(&self, target: usize) -> i32;

    /// Told of a codeword whose score is at least the target's bar.
    fn offer(&mut self, target: usize, position: u32, score: i32);
}

/// What is searched: codewords and their penalties.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) codewords: &'a Codewords,
    pub(super) penalties: &'a Penalties,
}

impl Search<'_> {
    /// The inner product of a target with the codeword at a position.
    #[inline(always)]
    pub(super) fn product(self, target: &Target, position: usize) -> i32 {
        // Over the whole padded target: a length that the compiler knows.
        let values = &self.codewords.values[position..position + LONGEST];
        target.iter().zip(values).map(|(&t, &v)| i32::from(t) * i32::from(v)).sum()
    }

    /// The score of the codeword at a position, by the definition.
    #[inline(always)]
    pub(super) fn score(self, target: &Target, position: usize) -> i32 {
        self.product(target, position).abs() - self.penalties.as_slice()[position]
    }

    /// Reports those of 32 codewords from `start` on that `marked` has a bit for and whose exact score reaches the bar.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn decide(self, number: usize, target: &Target, start: usize, mut marked: u32, judge: &mut impl Judge) {
        while marked != 0 {
            let position = start + marked.trailing_zeros() as usize;
            marked &= marked - 1;
            if position < self.codewords.count {
                let score = self.score(target, position);
                if score >= judge.bar(number) {
                    judge.offer(number, position as u32, score);
                }
            }
        }
    }
}
