//! How much of the text was seen in calibration: runs of tokens that both hold, as language models are checked for contamination
//! (T. Brown et al., NeurIPS 2020, arXiv 2005.14165, appendix C).

use seedpress_transformer::overlap::Passages;
use seedpress_transformer::text::Tokens;
use serde::Serialize;

/// Tokens of a run.
pub(super) const RUN: usize = seedpress_transformer::overlap::GRAM;

/// What two texts share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Overlap {
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
    pub(super) fn of(text: &[Tokens], calibration: &[Tokens]) -> Self {
        let seen = Passages::of(calibration);
        let mut overlap = Self { runs: 0, shared: 0, documents: text.len(), touched: 0 };
        for tokens in text {
            let runs = tokens.ids.windows(RUN).count();
            let shared = if runs == 0 { 0 } else { seen.shared(&tokens.ids).count() as u64 };
            overlap.runs += runs as u64;
            overlap.shared += shared;
            overlap.touched += usize::from(shared > 0);
        }
        overlap
    }

    /// Share of runs.
    pub(super) fn share(&self) -> f64 {
        self.shared as f64 / self.runs.max(1) as f64
    }
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
