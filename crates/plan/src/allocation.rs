//! Choices for all tensors, and the files and answers they really make.

use std::collections::HashMap;

use seedpress_checkpoint::Container;
use seedpress_codec::Record;

use crate::curve::{Candidate, candidates};
use crate::error::PlanError;
use crate::ladder::Ladder;
use crate::profile::Profile;
use crate::sensitivity::{Point, Sensitivity, decode, diverge, encode, load_all};
use crate::subject::{Context, Subject, fingerprint, key};

/// One choice a free part, with the file it makes.
#[derive(Debug, Clone)]
pub(crate) struct Allocation {
    pub(crate) chosen: Vec<Candidate>,
    pub(crate) bytes: u64,
    pub(crate) joint: Option<f64>,
}

impl Allocation {
    /// What its parts cost, added up.
    pub(crate) fn cost(&self) -> f64 {
        self.chosen.iter().map(|candidate| candidate.cost).sum()
    }
}

/// What a search knows.
pub(crate) struct Search<'a> {
    pub(crate) subject: &'a dyn Subject,
    pub(crate) context: &'a Context<'a>,
    pub(crate) free: &'a [usize],
    /// Candidates of each free part, with interpolated or measured bytes and costs.
    pub(crate) curves: Vec<Vec<Candidate>>,
    /// The same with the costs of a profile.
    pub(crate) guessed: Vec<Vec<Candidate>>,
    /// Records of all parts as `raw` stores them where they are kept, `None` for free ones.
    pub(crate) kept: Vec<Option<Record>>,
    /// What was encoded: record and its length, by free part and codec name.
    pub(crate) coded: HashMap<(usize, String), (Record, u64)>,
    /// One codec for every tensor at the size of the search, where there is one.
    pub(crate) common: Option<Allocation>,
    /// The profile that stands in for measurements of the whole model.
    pub(crate) profile: Option<Profile>,
    /// Whether output errors count in place of the weights' own.
    pub(crate) calibrated: bool,
    /// Measurements of the whole model so far, and expected.
    pub(crate) steps: (usize, usize),
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

impl<'a> Search<'a> {
    /// Encodes what is kept, and draws the curves of what is free.
    pub(crate) fn start(
        subject: &'a dyn Subject,
        ladder: &Ladder,
        sensitivity: &'a Sensitivity,
        profile: Option<Profile>,
        context: &'a Context<'a>,
    ) -> Result<Self, PlanError> {
        let raw = context.registry.default_codec("raw")?;
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
        Ok(Self {
            subject,
            context,
            free: &sensitivity.free,
            curves,
            guessed,
            kept,
            coded: HashMap::new(),
            common: None,
            profile,
            calibrated: ladder.is_calibrated(),
            steps: (0, 0),
        })
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
    pub(crate) fn settled(&mut self, mut chosen: Vec<Candidate>) -> Result<Allocation, PlanError> {
        for (free, candidate) in chosen.iter_mut().enumerate() {
            candidate.bytes = self.code(free, candidate)?;
        }
        let bytes = self.file(&chosen)?.to_bytes().len() as u64;
        Ok(Allocation { chosen, bytes, joint: None })
    }

    fn file(&self, chosen: &[Candidate]) -> Result<Container, PlanError> {
        let mut records: Vec<Option<Record>> = self.kept.clone();
        for (free, candidate) in chosen.iter().enumerate() {
            let record = self.coded.get(&(free, candidate.name.clone())).map(|(record, _)| record.clone());
            records[self.free[free]] = record;
        }
        self.subject.file(records.into_iter().flatten().collect()).map_err(PlanError::Subject)
    }

    /// Measures the whole model.
    pub(crate) fn join(&mut self, settled: &mut Allocation) -> Result<f64, PlanError> {
        let parts: Vec<_> = self.free.iter().map(|&part| &self.subject.parts()[part].hash).collect();
        let names: Vec<_> = settled.chosen.iter().map(|c| (&c.name, c.codec.code())).collect();
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
}
