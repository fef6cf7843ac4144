//! Correction by what the whole model does.

use crate::allocation::{Allocation, Search};
use crate::curve::Candidate;
use crate::error::PlanError;

impl Search<'_> {
    /// Scales each curve to the slope that the whole model shows, and allocates again.
    pub(crate) fn refine(&mut self, mut best: Allocation, size: u64, rounds: usize) -> Result<Allocation, PlanError> {
        // What the curve of each tensor is worth with everything else compressed.
        let mut scales = vec![1.0; self.free.len()];
        for _ in 0..rounds {
            let around = self.slopes(&best, &scales)?;
            let mut better = None;
            // The whole way, then half of it: far from where the slopes were taken they need not hold.
            for part in [1.0, 0.5] {
                let tried: Vec<f64> =
                    scales.iter().zip(&around).map(|(&old, &new): (&f64, &f64)| old * (new / old).powf(part)).collect();
                let mut settled = self.fit(size, &tried)?;
                if self.join(&mut settled)? < best.joint.unwrap_or(f64::INFINITY) {
                    better = Some((settled, tried));
                    break;
                }
            }
            match better {
                Some((settled, tried)) => (best, scales) = (settled, tried),
                None => break,
            }
        }
        Ok(best)
    }

    /// The factor for each curve that makes its slope what the whole model shows around a choice; the old one where nothing moves.
    fn slopes(&mut self, around: &Allocation, scales: &[f64]) -> Result<Vec<f64>, PlanError> {
        let mut found = scales.to_vec();
        for free in 0..self.free.len() {
            let now = around.chosen[free].clone();
            // Half a bit a weight up and down, or to the next choice beyond: smaller steps drown in the scatter of rounding errors.
            let step = self.subject.parts()[self.free[free]].weights / 16;
            let beyond = |candidate: &&Candidate| candidate.bytes >= now.bytes + step && candidate.cost < now.cost;
            let below = |candidate: &&Candidate| candidate.bytes + step <= now.bytes && candidate.cost > now.cost;
            let up = self.curves[free].iter().filter(beyond).min_by_key(|candidate| candidate.bytes).cloned();
            let down = self.curves[free].iter().filter(below).max_by_key(|candidate| candidate.bytes).cloned();
            let mut at = |candidate: Option<Candidate>| -> Result<(f64, f64), PlanError> {
                let mut chosen = around.chosen.clone();
                let cost = candidate.as_ref().map_or(now.cost, |candidate| candidate.cost);
                let Some(candidate) = candidate else {
                    return Ok((cost, around.joint.unwrap_or(f64::NAN)));
                };
                chosen[free] = candidate;
                let mut settled = self.settled(chosen)?;
                Ok((cost, self.join(&mut settled)?))
            };
            let ((low, joint_low), (high, joint_high)) = (at(up)?, at(down)?);
            let factor = (joint_high - joint_low) / (high - low);
            // Noise can make a slope vanish or turn; a tensor never becomes worthless for that.
            if factor.is_finite() {
                found[free] = factor.clamp(scales[free] / 8.0, scales[free] * 8.0);
            }
        }
        Ok(found)
    }
}
