//! The plan for a size: allocation against real files, then correction by what the whole model does.
//!
//! 1. Allocate over the sensitivities; encode what was chosen; put the real sizes in place of the interpolated ones and repeat until
//!    the file, index and kept tensors included, fits its target closely.
//! 2. Compare on calibration data with the uniform choice of the same size (one rate for all tensors) and with what a profile would
//!    choose, and go on from the best.
//! 3. Sensitivities were measured one tensor at a time; with everything compressed a tensor may matter more or less. Each round
//!    measures the whole model with one tensor a little larger, then a little smaller, scales its curve to that slope, and allocates
//!    again. A plan is only replaced by one that is better on the calibration data.
//!
//! Without data nothing can be compared but what a profile assumes, so the rates of tensors stay within a margin of one rate for all,
//! tables of a vocabulary never fall below it, and one rate for all is taken where the profile itself finds nothing better.
//!
//! The choice is deterministic for the same measurements; measurements are floating-point runs of a model and may differ in the last
//! digits between machines. A written plan gives the same bytes everywhere.

use seedpress_codec::AnyCodec;
use serde::{Deserialize, Serialize};

use crate::allocation::{Allocation, Search};
use crate::curve::Candidate;
use crate::error::PlanError;
use crate::fit::SPREAD;
use crate::ladder::Ladder;
use crate::plan::{Assignment, Plan, Target};
use crate::profile::{Profile, vocabulary};
use crate::sensitivity::{self, Sensitivity, decode};
use crate::subject::{Context, Subject, fingerprint, key};

/// What is stored of a plan: codecs by name.
#[derive(Serialize, Deserialize)]
struct Saved {
    choices: Vec<(String, u64, f64)>,
    target: u64,
    bytes: u64,
    joint: Option<f64>,
    uniform: Option<f64>,
    assumptions: Vec<String>,
}

/// Makes a plan. `profile` replaces measured costs; without one they are measured where the model allows it and guessed from the kinds
/// of its layers where it does not. `rounds` of correction follow.
///
/// # Errors
/// [`PlanError::OutOfReach`] for a size that the ladder cannot reach, whatever measuring returns.
pub fn plan(
    subject: &dyn Subject,
    ladder: &Ladder,
    target: &Target,
    profile: Option<Profile>,
    rounds: usize,
    context: &Context<'_>,
) -> Result<(Plan, Sensitivity), PlanError> {
    let measurable = subject.has_divergence() && profile.is_none();
    let profile = profile.or_else(|| (!measurable).then(|| Profile::guess(subject.parts())));
    let sensitivity = sensitivity::measure(subject, ladder, measurable, context)?;
    let rungs: Vec<_> = ladder.rungs.iter().map(|rung| (rung.codec.name(), rung.codec.code())).collect();
    let size = match target {
        Target::Bits(bits) => serde_json::json!(["bits", bits]),
        Target::Ratio(ratio) => serde_json::json!(["ratio", ratio]),
        Target::Bytes(bytes) => serde_json::json!(["bytes", bytes]),
        Target::Like(codec) => serde_json::json!(["like", codec.name(), codec.code()]),
    };
    let key =
        key(&serde_json::json!(["plan", VERSION, fingerprint(subject), rungs, size, profile, rounds, measurable]));
    let saved = context.remember(&key, || {
        let search = Search::start(subject, ladder, &sensitivity, profile, context)?;
        search.run(target, if measurable { rounds } else { 0 })
    })?;
    let parts = subject.parts();
    let mut assignments = Vec::with_capacity(saved.choices.len());
    for ((name, bytes, cost), &part) in saved.choices.into_iter().zip(&sensitivity.free) {
        let codec = context.registry.parse(&name)?;
        let (tensor, weights) = (parts[part].name.clone(), parts[part].weights);
        assignments.push(Assignment { tensor, weights, codec, bytes, cost });
    }
    let plan = Plan {
        model: subject.name().to_owned(),
        assignments,
        target: saved.target,
        bytes: saved.bytes,
        weights: parts.iter().map(|part| part.weights).sum(),
        profile,
        joint: saved.joint,
        uniform: saved.uniform,
        assumptions: saved.assumptions,
    };
    Ok((plan, sensitivity))
}

/// Changes when the search does: kept plans are then made anew, from the measurements that stay, and rows of plans are stale.
pub const VERSION: u32 = 3;

impl Search<'_> {
    fn run(mut self, target: &Target, rounds: usize) -> Result<Saved, PlanError> {
        let weights: u64 = self.subject.parts().iter().map(|part| part.weights).sum();
        self.steps.1 = 3 + rounds * (2 * self.free.len() + 1);
        if let Target::Like(codec) = target {
            self.common = Some(self.like(codec)?);
        }
        let like = self.common.as_ref().map_or(0, |like| like.bytes);
        let size = target.bytes(weights).unwrap_or(like);
        if self.common.is_none() {
            self.common = self.uniform(size)?;
        }
        let (best, assumptions) = match self.profile {
            Some(profile) => self.by_profile(profile, size)?,
            None => (self.by_measuring(size, rounds)?, Vec::new()),
        };
        let choices = best.chosen.iter().enumerate().map(|(free, candidate)| {
            (candidate.name.clone(), self.coded[&(free, candidate.name.clone())].1, candidate.cost)
        });
        let uniform = self.common.as_ref().and_then(|common| common.joint);
        let choices = choices.collect();
        Ok(Saved { choices, target: size, bytes: best.bytes, joint: best.joint, uniform, assumptions })
    }

    /// The choice that is best on the model's own answers, never worse than one codec for all.
    fn by_measuring(&mut self, size: u64, rounds: usize) -> Result<Allocation, PlanError> {
        let ones = vec![1.0; self.free.len()];
        let mut best = self.fit(size, &ones)?;
        self.join(&mut best)?;
        let mut guess = self.guess(size, &ones)?;
        if self.join(&mut guess)? < best.joint.unwrap_or(f64::INFINITY) {
            best = guess;
        }
        if let Some(mut common) = self.common.take() {
            if self.join(&mut common)? < best.joint.unwrap_or(f64::INFINITY) {
                best = common.clone();
            }
            self.common = Some(common);
        }
        self.refine(best, size, rounds)
    }

    /// The choice that a profile finds best near one codec for all, by errors of what was really encoded; with what was assumed.
    fn by_profile(&mut self, profile: Profile, size: u64) -> Result<(Allocation, Vec<String>), PlanError> {
        let parts = self.subject.parts();
        let weights = profile.weights(parts);
        let mut assumptions = vec![format!(
            "the model's answers were not measured: a tensor costs its squared error relative to its energy, weighed for the profile {}",
            profile.name()
        )];
        let tables = vocabulary(parts).into_iter().zip(parts).zip(&weights);
        for ((_, part), weight) in tables.filter(|((table, part), _)| *table && !part.kept) {
            assumptions.push(format!("{} is a table of a vocabulary and counts {weight:.1} times a layer", part.name));
        }
        let ones = vec![1.0; self.free.len()];
        let Some(mut common) = self.common.clone() else { return Ok((self.fit(size, &ones)?, assumptions)) };
        assumptions.push(format!(
            "no tensor is further than {SPREAD} bit a weight from the rate of one codec for all, and no table of a vocabulary below it"
        ));
        self.stay_near(&common);
        let mut best = self.fit(size, &ones)?;
        self.assess(&mut best, &weights)?;
        self.assess(&mut common, &weights)?;
        if common.cost() < best.cost() {
            assumptions.push("one codec for all is the best that this profile finds".to_owned());
            best = common;
        }
        Ok((best, assumptions))
    }

    /// Puts what a profile makes of real errors in place of interpolated costs.
    fn assess(&self, allocation: &mut Allocation, weights: &[f64]) -> Result<(), PlanError> {
        for (free, candidate) in allocation.chosen.iter_mut().enumerate() {
            self.context.check()?;
            let part = self.free[free];
            let original = self.subject.load(part).map_err(PlanError::Subject)?;
            let (record, _) = &self.coded[&(free, candidate.name.clone())];
            let (_, decoded) = decode(record, &self.subject.parts()[part].name, self.context)?;
            let point = sensitivity::compare(self.subject, part, &original, &decoded, self.calibrated)?;
            candidate.cost = weights[part] * point.error();
        }
        Ok(())
    }

    /// The file that one codec makes, which need not be of the ladder.
    fn like(&mut self, codec: &AnyCodec) -> Result<Allocation, PlanError> {
        let name = codec.name();
        // What this codec costs each tensor alone is known where the ladder holds it; elsewhere as much as its equals in size.
        let known = |curve: &Vec<Candidate>| curve.iter().find(|candidate| candidate.name == name).cloned();
        let unknown = Candidate { codec: codec.clone(), name: name.clone(), bytes: 0, cost: f64::NAN };
        let chosen = self.curves.iter().map(|curve| known(curve).unwrap_or(unknown.clone())).collect();
        let mut settled = self.settled(chosen)?;
        for (candidate, curve) in settled.chosen.iter_mut().zip(&self.curves).filter(|(c, _)| c.cost.is_nan()) {
            let near = curve.iter().min_by_key(|other| other.bytes.abs_diff(candidate.bytes));
            candidate.cost = near.map_or(0.0, |near| near.cost);
        }
        Ok(settled)
    }
}
