//! How much of the text was seen in calibration: runs of [`RUN`] tokens that both hold, as language models are checked for contamination
//! (T. Brown et al., NeurIPS 2020, arXiv 2005.14165, appendix C).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use seedpress_transformer::text::Tokens;
use serde::Serialize;

/// Tokens of a run.
pub const RUN: usize = 13;

/// What two texts share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlap {
    /// Runs of tokens in the held-out text.
    pub runs: u64,
    /// Those that the calibration text holds too.
    pub shared: u64,
    /// Documents of the held-out text.
    pub documents: usize,
    /// Those with a shared run.
    pub touched: usize,
}

impl Overlap {
    /// Compares two texts. Memory follows the calibration text.
    pub fn of(text: &[Tokens], calibration: &[Tokens]) -> Self {
        let seen: HashSet<u64> = calibration.iter().flat_map(|tokens| tokens.ids.windows(RUN).map(digest)).collect();
        let mut overlap = Self { runs: 0, shared: 0, documents: text.len(), touched: 0 };
        for tokens in text {
            let shared = tokens.ids.windows(RUN).filter(|run| seen.contains(&digest(run))).count() as u64;
            overlap.runs += tokens.ids.windows(RUN).count() as u64;
            overlap.shared += shared;
            overlap.touched += usize::from(shared > 0);
        }
        overlap
    }

    /// Share of runs.
    pub fn share(&self) -> f64 {
        self.shared as f64 / self.runs.max(1) as f64
    }
}

fn digest(run: &[u32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    run.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_runs_are_counted() {
        let tokens = |ids: Vec<u32>| Tokens { ids, predicted_bytes: 0 };
        let text = [tokens((0..20).collect()), tokens((100..110).collect())];
        let calibration = [tokens((5..30).collect())];
        let overlap = Overlap::of(&text, &calibration);
        // Runs begin at 0 to 7; those from 5 on are shared.
        assert_eq!(overlap, Overlap { runs: 8, shared: 3, documents: 2, touched: 1 });
    }
}
