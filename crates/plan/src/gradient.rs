//! A plan from what errors cost: [`Spectrum`]s of all tensors, one codec of any rate, a size.

use std::collections::BTreeMap;

use seedpress_codec::{ConfigError, Registry};

use crate::error::PlanError;
use crate::plan::{Assignment, Plan};
use crate::rate::with_rate;
use crate::waterfill::{Spectrum, fill};

/// Bits a weight that a plan chooses from.
const RANGE: std::ops::RangeInclusive<f64> = 0.2..=10.0;
/// Bytes of a file for each tensor beside its values, its line in the packed index and the header of its record: 24 to 30 were seen.
const TENSOR_BYTES: u64 = 28;
/// Share of the size by which a plan may be expected to miss it, where the least rate of every tensor is too much.
const MISS: f64 = 0.01;

/// A tensor of the model.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Number of weights.
    pub weights: u64,
    /// Bytes at the source: what it takes where it is kept.
    pub bytes: u64,
}

/// A plan for a file of `target` bytes of which `beside` hold no tensors: `codec`, of any rate, for every tensor that has a spectrum; the
/// others are kept as they are.
///
/// # Errors
/// As for any size that is too small, [`PlanError::Nothing`], a codec without a rate.
pub fn plan(
    model: &str,
    tensors: &[Tensor<'_>],
    spectra: &BTreeMap<String, Spectrum>,
    codec: &str,
    beside: u64,
    target: u64,
    registry: &Registry,
) -> Result<Plan, PlanError> {
    let mut fixed = TENSOR_BYTES * tensors.len() as u64 + beside;
    let mut priced = Vec::with_capacity(spectra.len());
    for tensor in tensors {
        match spectra.get(tensor.name) {
            Some(spectrum) => priced.push(Priced { tensor: tensor.name, weights: tensor.weights, spectrum }),
            None => fixed += tensor.bytes,
        }
    }
    let (assignments, bytes) = share(&priced, codec, fixed, target, registry)?;
    Ok(Plan {
        model: model.to_owned(),
        assignments,
        target,
        bytes,
        weights: tensors.iter().map(|tensor| tensor.weights).sum(),
        profile: None,
        joint: None,
        uniform: None,
        assumptions: vec![ASSUMPTION.to_owned()],
    })
}

/// A tensor to decide about.
#[derive(Debug, Clone, Copy)]
struct Priced<'a> {
    tensor: &'a str,
    weights: u64,
    spectrum: &'a Spectrum,
}

/// Shares `target` bytes, of which `fixed` are taken, among tensors: the rate of `codec` for each, and the expected size. Sizes are
/// expected ones: nothing is encoded.
///
/// # Errors
/// [`PlanError::OutOfReach`], [`PlanError::Nothing`], a codec without a rate.
fn share(
    tensors: &[Priced<'_>],
    codec: &str,
    fixed: u64,
    target: u64,
    registry: &Registry,
) -> Result<(Vec<Assignment>, u64), PlanError> {
    if tensors.is_empty() {
        return Err(PlanError::Nothing);
    }
    if !registry.parse(codec)?.capabilities().targets_bits {
        let what = format!("`{codec}`: only a codec of any rate can be planned from gradients");
        return Err(ConfigError::new(what).into());
    }
    let left = target.checked_sub(fixed).ok_or(PlanError::OutOfReach { target, least: fixed })?;
    let spectra: Vec<Spectrum> = tensors.iter().map(|tensor| tensor.spectrum.clone()).collect();
    let bits = fill(&spectra, 8.0 * left as f64, RANGE);
    let mut assignments = Vec::with_capacity(tensors.len());
    let mut bytes = fixed;
    for (&Priced { tensor, weights, spectrum }, &bits) in tensors.iter().zip(&bits) {
        let own = (bits * weights as f64 / 8.0) as u64;
        bytes += own;
        assignments.push(Assignment {
            tensor: tensor.to_owned(),
            weights,
            codec: with_rate(codec, bits, registry)?,
            bytes: own,
            cost: spectrum.cost_at(bits),
        });
    }
    if bytes as f64 > target as f64 * (1.0 + MISS) {
        return Err(PlanError::OutOfReach { target, least: bytes });
    }
    Ok((assignments, bytes))
}

/// What is assumed of such a plan, in a sentence.
const ASSUMPTION: &str = "costs are second order in the errors, from the gradients of the model's own answers on the calibration text; sizes are expected";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_more_gets_more_and_the_size_is_kept() {
        let registry = seedpress::registry();
        let (cheap, dear) =
            (Spectrum { rows: 100.0, costs: vec![1.0; 40] }, Spectrum { rows: 100.0, costs: vec![16.0; 40] });
        let priced = |tensor, spectrum| Priced { tensor, weights: 4000, spectrum };
        let tensors = [priced("cheap", &cheap), priced("dear", &dear)];
        let (plan, bytes) = share(&tensors, "trellis:hessian=full", 500, 3500, &registry).unwrap();
        assert!((3498..=3500).contains(&bytes), "{bytes}");
        let names: Vec<String> = plan.iter().map(|assignment| assignment.codec.name()).collect();
        assert_eq!(names, ["trellis:bits=2.0,hessian=full", "trellis:bits=4.0,hessian=full"]);
        assert!((plan[0].cost - plan[1].cost).abs() < 1e-6 * plan[0].cost);
        let out_of_reach =
            |target| matches!(share(&tensors, "trellis", 500, target, &registry), Err(PlanError::OutOfReach { .. }));
        assert!(out_of_reach(400) && out_of_reach(600) && !out_of_reach(750));
        assert!(share(&tensors, "q8_0", 0, 3500, &registry).is_err());
        assert!(matches!(share(&[], "trellis", 0, 10, &registry), Err(PlanError::Nothing)));
    }
}
