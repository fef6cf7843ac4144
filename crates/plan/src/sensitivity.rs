//! What each choice costs: every tensor alone through every rung of the ladder, everything else exact.
//!
//! A tensor is encoded once and the model run once for each rung; results are kept in the context's store, so a stopped measurement
//! resumes and a second plan for the same model costs nothing.

use seedpress_calibration::{InputStatistics, OutputError};
use seedpress_codec::tensor::matrix_shape;
use seedpress_codec::{AnyCodec, EncodeContext, Record, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::ladder::Ladder;
use crate::profile::Profile;
use crate::subject::{Context, Subject, fingerprint, key};

/// One tensor through one rung.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Bytes of the record, everything counted.
    pub bytes: u64,
    /// Sum of squared errors of the decoded tensor.
    pub squared_error: f64,
    /// Sum of squared weights.
    pub energy: f64,
    /// Mean squared error of the layer's output over its mean square, on calibration data: where the ladder holds codecs that minimise it
    /// and there are statistics of the layer's inputs.
    #[serde(default)]
    pub output_error: Option<f64>,
    /// Divergence of the model's outputs with this tensor alone compressed, where it can be measured.
    pub divergence: Option<f64>,
}

impl Point {
    /// `||W - W'||^2 / ||W||^2`.
    pub fn relative_mse(&self) -> f64 {
        if self.squared_error == 0.0 { 0.0 } else { self.squared_error / self.energy }
    }

    /// What the codec's error amounts to: that of the layer's output where it is known, since codecs that minimise it do so at the
    /// expense of the weights' own; else that of the weights.
    pub fn error(&self) -> f64 {
        self.output_error.unwrap_or_else(|| self.relative_mse())
    }
}

/// Every tensor through every rung.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivity {
    /// Indices of the parts that a plan decides on: all that the small-tensor policy does not keep.
    pub free: Vec<usize>,
    /// One list a free part, one point a rung.
    pub points: Vec<Vec<Point>>,
}

impl Sensitivity {
    /// What each rung costs each free part: the measured divergence with its noise smoothed, or what a profile makes of the squared
    /// error.
    pub fn costs(&self, subject: &dyn Subject, ladder: &Ladder, profile: Option<Profile>) -> Vec<Vec<f64>> {
        let measured = self.points.iter().flatten().all(|point| point.divergence.is_some());
        let profile = profile.or_else(|| (!measured).then(|| Profile::guess(subject.parts())));
        let weights = profile.map(|profile| profile.weights(subject.parts()));
        let of_part = |(points, &part): (&Vec<Point>, &usize)| match &weights {
            None => smoothed(points, ladder),
            Some(weights) => points.iter().map(|point| weights[part] * point.error()).collect(),
        };
        self.points.iter().zip(&self.free).map(of_part).collect()
    }
}

/// Divergences along a family of rates, smoothed. One rung is one draw of rounding errors: what it does to the answers scatters around
/// a multiple of the squared error ([`Point::error`]), by a factor of two and more where calibration data is short. The multiple changes slowly with the
/// rate, so its logarithm is averaged over neighbouring rungs with binomial weights.
fn smoothed(points: &[Point], ladder: &Ladder) -> Vec<f64> {
    const WEIGHTS: [f64; 3] = [6.0, 4.0, 1.0];
    let divergence = |index: usize| points[index].divergence.unwrap_or(0.0);
    let mut costs: Vec<f64> = (0..points.len()).map(divergence).collect();
    let rates: Vec<_> = ladder.rungs.iter().map(|rung| rung.rate.as_ref()).collect();
    for (index, cost) in costs.iter_mut().enumerate() {
        let Some(rate) = rates[index] else { continue };
        // A rung without error or without effect says nothing about a multiple.
        let usable = |&other: &usize| {
            rates[other].is_some_and(|other| other.family == rate.family)
                && divergence(other) > 0.0
                && points[other].error() > 0.0
        };
        let mut family: Vec<usize> = (0..points.len()).filter(usable).collect();
        family.sort_by(|&a, &b| points[a].bytes.cmp(&points[b].bytes));
        let Some(own) = family.iter().position(|&other| other == index) else { continue };
        let (mut sum, mut total) = (0.0, 0.0);
        for (place, &other) in family.iter().enumerate() {
            let weight = WEIGHTS.get(place.abs_diff(own)).copied().unwrap_or(0.0);
            sum += weight * (divergence(other) / points[other].error()).ln();
            total += weight;
        }
        *cost = points[index].error() * (sum / total).exp();
    }
    costs
}

/// The largest divergence there is: what a model that yields no numbers any more is counted with.
const BROKEN: f64 = 1e9;

/// Measures a model. With `divergence` false only sizes and squared errors are taken.
///
/// # Errors
/// [`PlanError::Nothing`] where no part is free; rungs that refuse a tensor; [`PlanError::Stopped`].
pub(crate) fn measure(
    subject: &dyn Subject,
    ladder: &Ladder,
    divergence: bool,
    context: &Context<'_>,
) -> Result<Sensitivity, PlanError> {
    let parts = subject.parts();
    let free: Vec<usize> = (0..parts.len()).filter(|&part| !parts[part].kept).collect();
    if free.is_empty() {
        return Err(PlanError::Nothing);
    }
    let fingerprint = fingerprint(subject);
    let total = free.len() * ladder.rungs.len();
    let calibrated = ladder.is_calibrated();
    // Only loaded where something has to be measured.
    let mut whole: Option<Vec<Tensor>> = None;
    let mut points = Vec::with_capacity(free.len());
    for (place, &part) in free.iter().enumerate() {
        let mut of_part = Vec::with_capacity(ladder.rungs.len());
        for (index, rung) in ladder.rungs.iter().enumerate() {
            let (name, formats) = (rung.codec.name(), rung.codec.code());
            context.progress(place * ladder.rungs.len() + index, total, &format!("{name} on {}", parts[part].name));
            // Without a divergence to measure the rest of the model plays no part, unless a layer's inputs do.
            let model = if divergence || calibrated { fingerprint.as_str() } else { "" };
            let kind = if calibrated { "sensitivity of outputs" } else { "sensitivity" };
            let key = key(&serde_json::json!([kind, model, divergence, parts[part].hash, name, formats]));
            of_part.push(context.remember(&key, || {
                let original = subject.load(part).map_err(PlanError::Subject)?;
                let record = encode(subject, part, &original, &rung.codec, context)?;
                let (bytes, decoded) = decode(&record, &parts[part].name, context)?;
                let mut point = Point { bytes, ..compare(subject, part, &original, &decoded, calibrated)? };
                if divergence {
                    let tensors = match &mut whole {
                        Some(tensors) => tensors,
                        empty => empty.insert(load_all(subject)?),
                    };
                    let exact = std::mem::replace(&mut tensors[part], decoded);
                    point.divergence = Some(diverge(subject, tensors)?);
                    tensors[part] = exact;
                }
                Ok(point)
            })?);
        }
        points.push(of_part);
    }
    Ok(Sensitivity { free, points })
}

/// What became of a tensor, without its bytes; with `calibrated` what its layer's outputs lose, too.
pub(crate) fn compare(
    subject: &dyn Subject,
    part: usize,
    original: &Tensor,
    decoded: &Tensor,
    calibrated: bool,
) -> Result<Point, PlanError> {
    let (mut squared_error, mut energy) = (0.0, 0.0);
    let pairs = original.values().iter().zip(decoded.values());
    for (&w, &v) in pairs.filter(|(w, v)| w.is_finite() && v.is_finite()) {
        squared_error += (f64::from(w) - f64::from(v)).powi(2);
        energy += f64::from(w).powi(2);
    }
    let inputs = if calibrated { subject.calibration(part).map_err(PlanError::Subject)? } else { None };
    let output_error = inputs.and_then(|inputs| output_error(original, decoded, inputs));
    Ok(Point { bytes: 0, squared_error, energy, output_error, divergence: None })
}

/// The error at the layer's output in parts of its power; `None` where the statistics say nothing of it.
fn output_error(original: &Tensor, decoded: &Tensor, inputs: &InputStatistics) -> Option<f64> {
    if inputs.second_moment().is_none() || inputs.columns() != matrix_shape(original.shape()).1 {
        return None;
    }
    let OutputError { error, power } =
        seedpress_calibration::output_error(original.values(), decoded.values(), inputs).ok()?;
    (power > 0.0 && power.is_finite() && error.is_finite()).then(|| error / power)
}

pub(crate) fn load_all(subject: &dyn Subject) -> Result<Vec<Tensor>, PlanError> {
    (0..subject.parts().len()).map(|part| subject.load(part)).collect::<Result<_, _>>().map_err(PlanError::Subject)
}

pub(crate) fn diverge(subject: &dyn Subject, tensors: &[Tensor]) -> Result<f64, PlanError> {
    let divergence = subject.divergence(tensors).map_err(PlanError::Subject)?;
    Ok(if divergence.is_finite() { divergence.min(BROKEN) } else { BROKEN })
}

pub(crate) fn encode(
    subject: &dyn Subject,
    part: usize,
    tensor: &Tensor,
    codec: &AnyCodec,
    context: &Context<'_>,
) -> Result<Record, PlanError> {
    let capabilities = codec.capabilities();
    let calibration =
        if capabilities.uses_calibration { subject.calibration(part).map_err(PlanError::Subject)? } else { None };
    let settings = EncodeContext { calibration, cancel: Some(context.stop), ..EncodeContext::default() };
    codec.encode(&tensor.view(&subject.parts()[part].name), &settings).map_err(|source| match source {
        seedpress_codec::EncodeError::Cancelled => PlanError::Stopped,
        source => PlanError::Encode { codec: codec.name(), source },
    })
}

/// The length of a record's bytes and the tensor they decode to.
pub(crate) fn decode(record: &Record, name: &str, context: &Context<'_>) -> Result<(u64, Tensor), PlanError> {
    let bytes = record.to_bytes();
    let decoded = context.registry.decode_bytes(&bytes).map_err(|source| PlanError::Decode {
        codec: record.header.codec.clone(),
        tensor: name.to_owned(),
        source: Box::new(source),
    })?;
    Ok((bytes.len() as u64, decoded.tensor))
}
