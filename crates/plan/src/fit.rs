//! The best choice for a size, by files really written.

use crate::allocate::{Choice, allocate, least};
use crate::allocation::{Allocation, Search};
use crate::curve::Candidate;
use crate::error::PlanError;
use crate::profile::vocabulary;

/// Without data no tensor's rate is further than this many bits a weight from one rate for all. A bit is a factor of four in error
/// energy: more than that between layers of one model is seldom measured in the zoo, and a profile that is wrong by so much destroys
/// a layer at 2 or 3 bits.
pub(crate) const SPREAD: f64 = 1.0;

/// Times a file is encoded anew to meet its target.
const ATTEMPTS: usize = 24;

impl Search<'_> {
    /// The best choice for a size, each curve scaled by a factor; the uniform one where no other fits.
    pub(crate) fn fit(&mut self, size: u64, scales: &[f64]) -> Result<Allocation, PlanError> {
        let mut best: Option<(f64, Allocation)> = None;
        let mut smallest = u64::MAX;
        // A file a thousandth below its target leaves nothing worth another encode.
        let close = size as i64 / 1000;
        // What may be spent on records: corrected by how far the last file was from its target.
        let mut budget = size as i64;
        // Misses in a row: near the limit an index that grows by two bytes may undo what a smaller record won.
        let mut misses = 0;
        for _ in 0..ATTEMPTS {
            let choices = |free: usize, curve: &[Candidate]| {
                curve.iter().map(|candidate| self.choice(free, candidate, scales[free])).collect()
            };
            let items: Vec<Vec<Choice>> =
                self.curves.iter().enumerate().map(|(free, curve)| choices(free, curve)).collect();
            let floor = least(&items);
            let indices = allocate(&items, floor.max(budget.max(0) as u64)).ok_or(PlanError::Nothing)?;
            let chosen = indices.iter().zip(&self.curves).map(|(&index, curve)| curve[index].clone()).collect();
            let allocation = self.settled(chosen)?;
            let left = size as i64 - allocation.bytes as i64;
            smallest = smallest.min(allocation.bytes);
            if left >= 0 {
                let pairs = allocation.chosen.iter().zip(scales);
                let cost: f64 = pairs.map(|(candidate, scale)| candidate.cost * scale).sum();
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, allocation));
                }
            }
            if (0..=close).contains(&left) || (left < 0 && budget <= floor as i64) {
                break;
            }
            misses = if left < 0 { misses + 1 } else { 0 };
            budget += if left < 0 { left << (misses - 1) } else { left };
        }
        let fitting = best.map(|(_, allocation)| allocation).or_else(|| self.common.clone());
        fitting.ok_or(PlanError::OutOfReach { target: size, least: smallest })
    }

    /// What a profile would choose, at the costs that were measured.
    pub(crate) fn guess(&mut self, size: u64, scales: &[f64]) -> Result<Allocation, PlanError> {
        std::mem::swap(&mut self.curves, &mut self.guessed);
        let settled = self.fit(size, scales);
        std::mem::swap(&mut self.curves, &mut self.guessed);
        let mut settled = settled?;
        for (candidate, curve) in settled.chosen.iter_mut().zip(&self.curves) {
            if let Some(measured) = curve.iter().find(|other| other.name == candidate.name) {
                candidate.cost = measured.cost;
            }
        }
        Ok(settled)
    }

    /// A candidate as the allocator sees it: real bytes where they are known.
    pub(crate) fn choice(&self, free: usize, candidate: &Candidate, scale: f64) -> Choice {
        let coded = self.coded.get(&(free, candidate.name.clone()));
        Choice { bytes: coded.map_or(candidate.bytes, |(_, bytes)| *bytes), cost: candidate.cost * scale }
    }

    /// The cheapest choice that takes one candidate of the ladder for every tensor and fits; `None` where none does.
    pub(crate) fn uniform(&mut self, size: u64) -> Result<Option<Allocation>, PlanError> {
        let kept: u64 = self.kept.iter().flatten().map(|record| record.to_bytes().len() as u64).sum();
        let mut found: Vec<(f64, Vec<Candidate>)> = Vec::new();
        for first in &self.curves[0] {
            let same = |curve: &Vec<Candidate>| curve.iter().find(|other| other.name == first.name).cloned();
            let Some(chosen) = self.curves.iter().map(same).collect::<Option<Vec<_>>>() else { continue };
            let choices = chosen.iter().enumerate().map(|(free, candidate)| self.choice(free, candidate, 1.0));
            let (bytes, cost) = choices.fold((kept, 0.0), |sum, choice| (sum.0 + choice.bytes, sum.1 + choice.cost));
            // Interpolated sizes rule out most candidates without encoding anything.
            if bytes <= size + size / 50 {
                found.push((cost, chosen));
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, chosen) in found {
            let allocation = self.settled(chosen)?;
            if allocation.bytes <= size {
                return Ok(Some(allocation));
            }
        }
        Ok(None)
    }

    /// Leaves of each curve what is near one rate for all: how far a profile, which knows nothing of the model, may be followed.
    pub(crate) fn stay_near(&mut self, uniform: &Allocation) {
        let parts = self.subject.parts();
        let tables = vocabulary(parts);
        for (free, common) in uniform.chosen.iter().enumerate() {
            let part = self.free[free];
            let bits = |candidate: &Candidate| {
                8.0 * self.choice(free, candidate, 1.0).bytes as f64 / parts[part].weights as f64
            };
            let centre = bits(common);
            let lowest = if tables[part] { centre } else { centre - SPREAD };
            let near = |candidate: &&Candidate| (lowest..=centre + SPREAD).contains(&bits(candidate));
            let mut curve: Vec<Candidate> = self.curves[free].iter().filter(near).cloned().collect();
            if curve.iter().all(|candidate| candidate.name != common.name) {
                curve.push(common.clone());
            }
            self.curves[free] = curve;
        }
    }
}
