//! `seedpress plan` for a language model with calibration text.

use std::collections::HashSet;
use std::path::Path;

use seedpress::Registry;
use seedpress_checkpoint::{Checkpoint, TensorInfo};
use seedpress_plan::gradient::{self, Tensor};
use seedpress_plan::{Plan, PlanError, Target};

use crate::calibration::{Calibration, Text};
use crate::failure::Failure;

/// What is planned.
pub(crate) struct Wanted<'a> {
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
pub(crate) fn plan(
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
    let target = target.bytes(weights);
    let target = target.ok_or_else(|| Failure::usage("--like: name a size for a plan with calibration text"))?;
    let tensors = infos.iter().map(|info| Tensor { name: &info.name, weights: count(info), bytes: info.bytes as u64 });
    let tensors: Vec<Tensor<'_>> = tensors.collect();
    let model = path.display().to_string();
    let plan = gradient::plan(&model, &tensors, &spectra, codec, beside, target, registry);
    plan.map_err(|error| match error {
        PlanError::Config(error) => Failure::usage(error),
        error => Failure::data(error),
    })
}
