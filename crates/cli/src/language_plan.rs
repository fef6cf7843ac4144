//! `seedpress plan` for a language model with calibration text.

use std::collections::HashSet;
use std::path::Path;

use seedpress::Registry;
use seedpress_checkpoint::{Checkpoint, TensorInfo};
use seedpress_plan::gradient::{ASSUMPTION, Priced, TENSOR_BYTES, share};
use seedpress_plan::{Plan, PlanError, Target};

use crate::calibration::{Calibration, Text};
use crate::failure::Failure;

/// What is planned.
pub struct Wanted<'a> {
    /// The codec, of any rate.
    pub codec: &'a str,
    /// The size of the file.
    pub target: &'a Target,
    /// Bytes of the file that hold no tensors.
    pub beside: u64,
    /// Which tensors are kept as they are, by shape and weights.
    pub keep: &'a dyn Fn(&[usize], usize) -> bool,
}

/// Shares the bits of a file of the wanted size among the tensors of a language model.
pub fn plan(
    path: &Path,
    text: &Text,
    calibration: &Path,
    wanted: &Wanted<'_>,
    registry: &Registry,
) -> Result<Plan, Failure> {
    let Wanted { codec, target, beside, keep } = *wanted;
    let language = Calibration::open(path, text, calibration, false)?;
    let checkpoint = Checkpoint::open(language.folder()).map_err(Failure::data)?;
    let infos = checkpoint.tensors();
    let wanted = |info: &TensorInfo| info.float().is_some() && !keep(&info.shape, info.shape.iter().product());
    let names: HashSet<&str> = infos.iter().filter(|info| wanted(info)).map(|info| info.name.as_str()).collect();
    let spectra = language.spectra(&|name| names.contains(name))?;
    let count = |info: &TensorInfo| info.shape.iter().product::<usize>() as u64;
    let weights: u64 = infos.iter().map(count).sum();
    let target = match target {
        Target::Bits(bits) => (bits * weights as f64 / 8.0) as u64,
        Target::Ratio(ratio) => (4.0 * weights as f64 / ratio) as u64,
        Target::Bytes(bytes) => *bytes,
        Target::Like(_) => return Err(Failure::usage("--like: name a size for a plan with calibration text")),
    };
    let free: Vec<&TensorInfo> = infos.iter().filter(|info| spectra.contains_key(&info.name)).collect();
    let bytes = |info: &TensorInfo| info.bytes as u64;
    let kept = infos.iter().map(bytes).sum::<u64>() - free.iter().map(|info| bytes(info)).sum::<u64>();
    let fixed = kept + TENSOR_BYTES * infos.len() as u64 + beside;
    let priced: Vec<Priced<'_>> = free
        .iter()
        .map(|info| Priced { tensor: &info.name, weights: count(info), spectrum: &spectra[&info.name] })
        .collect();
    let (assignments, bytes) = share(&priced, codec, fixed, target, registry).map_err(|error| match error {
        PlanError::Config(error) => Failure::usage(error),
        error => Failure::data(error),
    })?;
    let assumptions = vec![ASSUMPTION.to_owned()];
    let model = path.display().to_string();
    Ok(Plan { model, assignments, target, bytes, weights, profile: None, joint: None, uniform: None, assumptions })
}
