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
//! The choice is deterministic for the same measurements; measurements are floating-point runs of a model and may differ in the last
//! digits between machines. A written plan gives the same bytes everywhere.

use std::collections::HashMap;

use seedpress_checkpoint::Container;
use seedpress_codec::{AnyCodec, Record};
use serde::{Deserialize, Serialize};

use crate::allocate::{Choice, allocate, least};
use crate::curve::{Candidate, candidates};
use crate::error::PlanError;
use crate::ladder::{Ladder, Rate};
use crate::profile::Profile;
use crate::sensitivity::{self, Point, Sensitivity, decode, diverge, encode, load_all};
use crate::subject::{Context, Subject, fingerprint, key};

/// The size to reach.
#[derive(Debug, Clone)]
pub enum Target {
    /// Bits per weight of the whole file.
    Bits(f64),
    /// Times smaller than 32-bit floats.
    Ratio(f64),
    /// Bytes of the whole file.
    Bytes(u64),
    /// The file that one codec makes of every tensor that the small-tensor policy does not keep.
    Like(AnyCodec),
}

/// What a plan does with one tensor.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The tensor.
    pub tensor: String,
    /// Number of weights.
    pub weights: u64,
    /// The codec that stores it.
    pub codec: AnyCodec,
    /// Bytes of its record.
    pub bytes: u64,
    /// Divergence expected from this tensor alone.
    pub cost: f64,
}

/// Which codec for which tensor.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The model it was made for.
    pub model: String,
    /// One an undecided tensor, in the order of the file. Kept tensors are not listed.
    pub assignments: Vec<Assignment>,
    /// Bytes of the whole file that was allowed.
    pub target: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Weights in the whole model.
    pub weights: u64,
    /// The profile that stood in for measured costs, if one did.
    pub profile: Option<Profile>,
    /// Divergence of the whole model on calibration data, where it can be measured.
    pub joint: Option<f64>,
    /// The same for the uniform choice of this size, where the ladder has one.
    pub uniform: Option<f64>,
}

impl Plan {
    /// The sum of the expected divergences.
    pub fn cost(&self) -> f64 {
        self.assignments.iter().map(|assignment| assignment.cost).sum()
    }

    /// Bits per weight of the whole file.
    pub fn bits(&self) -> f64 {
        8.0 * self.bytes as f64 / self.weights as f64
    }
}

/// What is stored of a plan: codecs by name.
#[derive(Serialize, Deserialize)]
struct Saved {
    choices: Vec<(String, u64, f64)>,
    target: u64,
    bytes: u64,
    joint: Option<f64>,
    uniform: Option<f64>,
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
    let rungs: Vec<_> = ladder.rungs.iter().map(|rung| (rung.codec.name(), rung.codec.formats())).collect();
    let size = match target {
        Target::Bits(bits) => serde_json::json!(["bits", bits]),
        Target::Ratio(ratio) => serde_json::json!(["ratio", ratio]),
        Target::Bytes(bytes) => serde_json::json!(["bytes", bytes]),
        Target::Like(codec) => serde_json::json!(["like", codec.name(), codec.formats()]),
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
    };
    Ok((plan, sensitivity))
}

/// One choice a free part, with the file it makes.
#[derive(Debug, Clone)]
struct Settled {
    chosen: Vec<Candidate>,
    bytes: u64,
    joint: Option<f64>,
}

struct Search<'a> {
    subject: &'a dyn Subject,
    context: &'a Context<'a>,
    free: &'a [usize],
    /// Candidates of each free part, with interpolated or measured bytes and costs.
    curves: Vec<Vec<Candidate>>,
    /// The same with the costs of a profile.
    guessed: Vec<Vec<Candidate>>,
    /// Records of all parts as `raw` stores them where they are kept, `None` for free ones.
    kept: Vec<Option<Record>>,
    /// What was encoded: record and its length, by free part and codec name.
    coded: HashMap<(usize, String), (Record, u64)>,
    /// Whether the whole model can be measured.
    measurable: bool,
    /// Measurements of the whole model so far, and expected.
    steps: (usize, usize),
}

/// The candidates of each free part.
fn curves(
    subject: &dyn Subject,
    ladder: &Ladder,
    sensitivity: &Sensitivity,
    profile: Option<Profile>,
    context: &Context<'_>,
) -> Result<Vec<Vec<Candidate>>, PlanError> {
    let costs = sensitivity.costs(subject, ladder, profile);
    let curve = |(points, costs): (&Vec<Point>, Vec<f64>)| {
        let measured: Vec<_> = points.iter().map(|point| point.bytes).zip(costs).collect();
        Ok(candidates(&ladder.rungs, &measured, context.registry)?)
    };
    sensitivity.points.iter().zip(costs).map(curve).collect()
}

/// Changes when the search does: kept plans are then made anew, from the measurements that stay.
const VERSION: u32 = 2;

/// Times a file is encoded anew to meet its target.
const ATTEMPTS: usize = 24;

impl<'a> Search<'a> {
    fn start(
        subject: &'a dyn Subject,
        ladder: &Ladder,
        sensitivity: &'a Sensitivity,
        profile: Option<Profile>,
        context: &'a Context<'a>,
    ) -> Result<Self, PlanError> {
        let raw = context.registry.codec("raw")?.default_codec();
        let mut kept = Vec::with_capacity(subject.parts().len());
        for (index, part) in subject.parts().iter().enumerate() {
            kept.push(if part.kept {
                let tensor = subject.load(index).map_err(PlanError::Subject)?;
                Some(encode(subject, index, &tensor, &raw, context)?)
            } else {
                None
            });
        }
        let curves = curves(subject, ladder, sensitivity, profile, context)?;
        // Relative errors alone come close to the optimum, and sometimes nearer than single tensors can tell.
        let guess = Profile::guess(subject.parts());
        let guessed = self::curves(subject, ladder, sensitivity, Some(guess), context)?;
        let measurable = profile.is_none();
        let free = &sensitivity.free;
        Ok(Self { subject, context, free, curves, guessed, kept, coded: HashMap::new(), measurable, steps: (0, 0) })
    }

    fn run(mut self, target: &Target, rounds: usize) -> Result<Saved, PlanError> {
        let weights: u64 = self.subject.parts().iter().map(|part| part.weights).sum();
        self.steps.1 = 3 + rounds * (2 * self.free.len() + 1);
        let mut uniform = None;
        let size = match target {
            Target::Bits(bits) => (bits * weights as f64 / 8.0) as u64,
            Target::Ratio(ratio) => (4.0 * weights as f64 / ratio) as u64,
            Target::Bytes(bytes) => *bytes,
            Target::Like(codec) => {
                let (name, rate) = (codec.name(), None);
                // What this codec costs each tensor alone is known where the ladder holds it; elsewhere as much as its equals in size.
                let known = |curve: &Vec<Candidate>| curve.iter().find(|candidate| candidate.name == name).cloned();
                let unknown = Candidate { codec: codec.clone(), name: name.clone(), rate, bytes: 0, cost: f64::NAN };
                let chosen = self.curves.iter().map(|curve| known(curve).unwrap_or(unknown.clone())).collect();
                let mut settled = self.settled(chosen)?;
                for (candidate, curve) in settled.chosen.iter_mut().zip(&self.curves).filter(|(c, _)| c.cost.is_nan()) {
                    let near = curve.iter().min_by_key(|other| other.bytes.abs_diff(candidate.bytes));
                    candidate.cost = near.map_or(0.0, |near| near.cost);
                }
                let bytes = settled.bytes;
                uniform = Some(settled);
                bytes
            }
        };
        let ones = vec![1.0; self.free.len()];
        let mut best = self.fit(size, &ones)?;
        if uniform.is_none() {
            uniform = self.uniform(size)?;
        }
        let mut plain = None;
        if self.measurable {
            self.join(&mut best)?;
            let mut guess = self.guess(size, &ones)?;
            if self.join(&mut guess)? < best.joint.unwrap_or(f64::INFINITY) {
                best = guess;
            }
            if let Some(uniform) = &mut uniform {
                self.join(uniform)?;
                plain = uniform.joint;
                if uniform.joint < best.joint {
                    best = uniform.clone();
                }
            }
            best = self.refine(best, size, rounds)?;
        }
        let choices = best.chosen.iter().enumerate().map(|(free, candidate)| {
            (candidate.name.clone(), self.coded[&(free, candidate.name.clone())].1, candidate.cost)
        });
        Ok(Saved { choices: choices.collect(), target: size, bytes: best.bytes, joint: best.joint, uniform: plain })
    }

    /// Encodes a part, once a codec.
    fn code(&mut self, free: usize, candidate: &Candidate) -> Result<u64, PlanError> {
        let place = (free, candidate.name.clone());
        if let Some((_, bytes)) = self.coded.get(&place) {
            return Ok(*bytes);
        }
        self.context.check()?;
        let part = self.free[free];
        let tensor = self.subject.load(part).map_err(PlanError::Subject)?;
        let record = encode(self.subject, part, &tensor, &candidate.codec, self.context)?;
        let bytes = record.to_bytes().len() as u64;
        self.coded.insert(place, (record, bytes));
        Ok(bytes)
    }

    /// Encodes a choice and builds its file.
    fn settled(&mut self, mut chosen: Vec<Candidate>) -> Result<Settled, PlanError> {
        for (free, candidate) in chosen.iter_mut().enumerate() {
            candidate.bytes = self.code(free, candidate)?;
        }
        let bytes = self.file(&chosen)?.to_bytes().len() as u64;
        Ok(Settled { chosen, bytes, joint: None })
    }

    fn file(&self, chosen: &[Candidate]) -> Result<Container, PlanError> {
        let mut records: Vec<Option<Record>> = self.kept.clone();
        for (free, candidate) in chosen.iter().enumerate() {
            let record = self.coded.get(&(free, candidate.name.clone())).map(|(record, _)| record.clone());
            records[self.free[free]] = record;
        }
        self.subject.file(records.into_iter().flatten().collect()).map_err(PlanError::Subject)
    }

    /// The best choice for a size, each curve scaled by a factor.
    fn fit(&mut self, size: u64, scales: &[f64]) -> Result<Settled, PlanError> {
        let mut best: Option<(f64, Settled)> = None;
        let mut smallest = u64::MAX;
        // A file a thousandth below its target leaves nothing worth another encode.
        let close = size as i64 / 1000;
        // What may be spent on records: corrected by how far the last file was from its target.
        let mut budget = size as i64;
        for _ in 0..ATTEMPTS {
            let choices = |free: usize, curve: &[Candidate]| {
                curve.iter().map(|candidate| self.choice(free, candidate, scales[free])).collect()
            };
            let items: Vec<Vec<Choice>> =
                self.curves.iter().enumerate().map(|(free, curve)| choices(free, curve)).collect();
            let floor = least(&items);
            let indices = allocate(&items, floor.max(budget.max(0) as u64)).ok_or(PlanError::Nothing)?;
            let chosen = indices.iter().zip(&self.curves).map(|(&index, curve)| curve[index].clone()).collect();
            let settled = self.settled(chosen)?;
            let left = size as i64 - settled.bytes as i64;
            smallest = smallest.min(settled.bytes);
            if left >= 0 {
                let pairs = settled.chosen.iter().zip(scales);
                let cost: f64 = pairs.map(|(candidate, scale)| candidate.cost * scale).sum();
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, settled));
                }
            }
            if (0..=close).contains(&left) || (left < 0 && budget <= floor as i64) {
                break;
            }
            budget += left;
        }
        best.map(|(_, settled)| settled).ok_or(PlanError::OutOfReach { target: size, least: smallest })
    }

    /// What a profile would choose, at the costs that were measured.
    fn guess(&mut self, size: u64, scales: &[f64]) -> Result<Settled, PlanError> {
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
    fn choice(&self, free: usize, candidate: &Candidate, scale: f64) -> Choice {
        let coded = self.coded.get(&(free, candidate.name.clone()));
        Choice { bytes: coded.map_or(candidate.bytes, |(_, bytes)| *bytes), cost: candidate.cost * scale }
    }

    /// The same rate for every tensor, in the first family of the ladder; `None` where there is none or its lowest rate is too large.
    fn uniform(&mut self, size: u64) -> Result<Option<Settled>, PlanError> {
        let mut rates: Vec<Rate> = self.curves[0].iter().filter_map(|candidate| candidate.rate.clone()).collect();
        let Some(family) = rates.first().map(|rate| rate.family.clone()) else { return Ok(None) };
        rates.retain(|rate| rate.family == family);
        rates.sort_by(|a, b| b.bits.total_cmp(&a.bits));
        let kept: u64 = self.kept.iter().flatten().map(|record| record.to_bytes().len() as u64).sum();
        for rate in rates {
            // One ladder for all: every curve has the same rates.
            let at = |curve: &Vec<Candidate>| curve.iter().find(|other| other.rate.as_ref() == Some(&rate)).cloned();
            let chosen: Vec<Candidate> = self.curves.iter().filter_map(at).collect();
            let expected = chosen.iter().enumerate().map(|(free, candidate)| self.choice(free, candidate, 1.0).bytes);
            // Interpolated sizes rule out most rates without encoding anything.
            if expected.sum::<u64>() + kept > size + size / 50 {
                continue;
            }
            let settled = self.settled(chosen)?;
            if settled.bytes <= size {
                return Ok(Some(settled));
            }
        }
        Ok(None)
    }

    /// Measures the whole model.
    fn join(&mut self, settled: &mut Settled) -> Result<f64, PlanError> {
        let parts: Vec<_> = self.free.iter().map(|&part| &self.subject.parts()[part].hash).collect();
        let names: Vec<_> = settled.chosen.iter().map(|c| (&c.name, c.codec.formats())).collect();
        let key = key(&serde_json::json!(["joint", fingerprint(self.subject), parts, names]));
        self.context.progress(self.steps.0, self.steps.1.max(self.steps.0), "the whole model");
        self.steps.0 += 1;
        let joint = self.context.remember(&key, || {
            let mut tensors = load_all(self.subject)?;
            for (free, candidate) in settled.chosen.iter().enumerate() {
                let part = self.free[free];
                let (record, _) = &self.coded[&(free, candidate.name.clone())];
                tensors[part] = decode(record, &self.subject.parts()[part].name, self.context)?.1;
            }
            diverge(self.subject, &tensors)
        })?;
        settled.joint = Some(joint);
        Ok(joint)
    }

    /// Scales each curve to the slope that the whole model shows, and allocates again.
    fn refine(&mut self, mut best: Settled, size: u64, rounds: usize) -> Result<Settled, PlanError> {
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
    fn slopes(&mut self, around: &Settled, scales: &[f64]) -> Result<Vec<f64>, PlanError> {
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
