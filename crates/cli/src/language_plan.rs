//! `seedpress plan` for a language model with calibration text.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use seedpress::Registry;
use seedpress_calibration::InputStatistics;
use seedpress_checkpoint::{Checkpoint, TensorInfo};
use seedpress_model::{Mode, Network as _, Walk};
use seedpress_plan::ladder::with_rate;
use seedpress_plan::waterfill::{Spectrum, fill};
use seedpress_plan::{Assignment, Plan, Target};
use seedpress_transformer::guide::CAP;
use seedpress_transformer::weighing::Importances;

use crate::bench::stop_flag;
use crate::calibration::{Calibration, Text};
use crate::failure::Failure;
use crate::print::note;

/// Bits a weight that a plan chooses from.
const RANGE: std::ops::RangeInclusive<f64> = 0.2..=10.0;
/// Bytes of a file for each tensor beside its values, its line in the packed index and the header of its record: 24 to 30 were seen.
const TENSOR_BYTES: u64 = 28;
/// What spectra are kept as; changes with how they are made.
const SPECTRA: &str = "spectra-1";
/// Between two lines about how far the work is.
const EVERY: Duration = Duration::from_secs(5);

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
    let spectra = match language.kept(SPECTRA).and_then(|kept| read_spectra(&kept, infos, &wanted)) {
        Some(spectra) => spectra,
        None => {
            let importances = language.weigh(false)?;
            let spectra = spectra(&language, infos, &wanted, importances)?;
            language.keep(SPECTRA, &spectra_bytes(infos, &spectra));
            spectra
        }
    };
    let count = |info: &TensorInfo| info.shape.iter().product::<usize>() as u64;
    let weights: u64 = infos.iter().map(count).sum();
    let target = match target {
        Target::Bits(bits) => (bits * weights as f64 / 8.0) as u64,
        Target::Ratio(ratio) => (4.0 * weights as f64 / ratio) as u64,
        Target::Bytes(bytes) => *bytes,
        Target::Like(_) => return Err(Failure::usage("--like: name a size for a plan with calibration text")),
    };
    let (free, spectra): (Vec<usize>, Vec<Spectrum>) = spectra.into_iter().unzip();
    let bytes = |info: &TensorInfo| info.bytes as u64;
    let kept = infos.iter().map(bytes).sum::<u64>() - free.iter().map(|&tensor| bytes(&infos[tensor])).sum::<u64>();
    let fixed = kept + TENSOR_BYTES * infos.len() as u64 + beside;
    let left = target.checked_sub(fixed).ok_or_else(|| {
        Failure::data(format!("{target} bytes are too few: the index and tensors that are kept take {fixed}"))
    })?;
    let bits = fill(&spectra, 8.0 * left as f64, RANGE);
    let mut assignments = Vec::with_capacity(free.len());
    let mut bytes = fixed;
    for ((&tensor, spectrum), &bits) in free.iter().zip(&spectra).zip(&bits) {
        let info = &infos[tensor];
        let own = (bits * count(info) as f64 / 8.0) as u64;
        bytes += own;
        assignments.push(Assignment {
            tensor: info.name.clone(),
            weights: count(info),
            codec: with_rate(codec, bits, registry).map_err(Failure::usage)?,
            bytes: own,
            cost: spectrum.cost_at(bits),
        });
    }
    if bytes > target + target / 100 {
        return Err(Failure::data(format!("the smallest file of {codec} takes {bytes} bytes, more than {target}")));
    }
    let assumptions = vec![
        "costs are second order in the errors, from the gradients of the model's own answers on the calibration text; sizes are expected"
            .to_owned(),
    ];
    let model = path.display().to_string();
    Ok(Plan { model, assignments, target, bytes, weights, profile: None, joint: None, uniform: None, assumptions })
}

/// What errors of each tensor cost, for all that a plan decides about.
fn spectra(
    language: &Calibration,
    infos: &[TensorInfo],
    wanted: &dyn Fn(&TensorInfo) -> bool,
    importances: Arc<Importances>,
) -> Result<Vec<(usize, Spectrum)>, Failure> {
    let stop = stop_flag("the tensor at work")?;
    let weights = language.weights()?;
    let network = language.network.as_ref();
    let walk = Walk::new(language.network.clone(), weights.clone(), &language.samples, Mode::Plain);
    let mut walk = walk.map_err(Failure::data)?.capped(CAP).weighted(importances.clone());
    let places: HashMap<&str, usize> = infos.iter().enumerate().map(|(at, info)| (info.name.as_str(), at)).collect();
    let mut found = Vec::new();
    let mut told = Instant::now();
    for place in Walk::order(network) {
        let name = &network.tensors()[place].name;
        let statistics = walk.statistics(place).map_err(Failure::data)?;
        let Some(&at) = places.get(name.as_str()) else { continue };
        let info = &infos[at];
        if !wanted(info) {
            continue;
        }
        let tensor = weights.load(place).map_err(Failure::data)?;
        let columns = network.tensors()[place].columns();
        let inputs = statistics.as_ref().map(|statistics| statistics.inputs());
        let description = network.description();
        let embeds = *name == description.embedding.tokens;
        let rows = (tensor.values().len() / columns.max(1)) as f64;
        // Each token reads one row: an error of the table costs a row's share.
        let lookup = if embeds { importances.embedding() / rows } else { 0.0 };
        let experts = if info.shape.len() > 2 { info.shape[0] as f64 } else { 1.0 };
        let scale = importances.scale(place).unwrap_or(0.0) / experts;
        found.push((at, spectrum(tensor.values(), columns, inputs, scale, lookup)?));
        if told.elapsed() >= EVERY {
            told = Instant::now();
            note!("looked at {} tensors, {name}", found.len());
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::interrupted("stopped"));
        }
    }
    average_unknown(&mut found);
    found.sort_by_key(|(at, _)| *at);
    Ok(found)
}

/// Spectra as a safetensors file, for the next plan from the same text: of each tensor its rows and the costs of its columns.
fn spectra_bytes(infos: &[TensorInfo], spectra: &[(usize, Spectrum)]) -> Vec<u8> {
    let bytes = |spectrum: &Spectrum| -> Vec<u8> {
        let numbers = std::iter::once(spectrum.rows as f64).chain(spectrum.costs.iter().copied());
        numbers.flat_map(f64::to_le_bytes).collect()
    };
    let data: Vec<(&str, Vec<u8>)> =
        spectra.iter().map(|(at, spectrum)| (infos[*at].name.as_str(), bytes(spectrum))).collect();
    let view = |bytes| TensorView::new(Dtype::F64, vec![<[u8]>::len(bytes) / 8], bytes).ok();
    let views = data.iter().filter_map(|(name, bytes)| Some((*name, view(bytes)?)));
    safetensors::serialize(views, None).unwrap_or_default()
}

/// What [`spectra_bytes`] wrote, of all tensors that are wanted; `None` for anything else.
fn read_spectra(
    bytes: &[u8],
    infos: &[TensorInfo],
    wanted: &dyn Fn(&TensorInfo) -> bool,
) -> Option<Vec<(usize, Spectrum)>> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let one = |(at, info): (usize, &TensorInfo)| {
        let tensor = file.tensor(&info.name).ok().filter(|tensor| tensor.dtype() == Dtype::F64)?;
        let (first, rest) = tensor.data().as_chunks::<8>().0.split_first()?;
        let costs = rest.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
        Some((at, Spectrum { rows: f64::from_le_bytes(*first) as u64, costs }))
    };
    infos.iter().enumerate().filter(|(_, info)| wanted(info)).map(one).collect()
}

/// The columns of `scale / 2 tr(D H D^T) + lookup / 2 |D|^2`.
fn spectrum(
    values: &[f32],
    columns: usize,
    inputs: Option<&InputStatistics>,
    scale: f64,
    lookup: f64,
) -> Result<Spectrum, Failure> {
    use seedpress_calibration::{DAMPING, Factor, Order};
    let rows = values.len() / columns.max(1);
    let mut variances = vec![0f64; columns];
    for row in values.chunks_exact(columns.max(1)) {
        variances.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) * f64::from(value));
    }
    let plain = vec![1.0; columns];
    let (factors, lookup) = match inputs {
        None => (plain, lookup),
        Some(inputs) => {
            let extra = if scale > 0.0 { (lookup / scale) as f32 } else { 0.0 };
            let raised = match inputs.second_moment() {
                Some(moment) => {
                    let mut moment = moment.to_vec();
                    moment.iter_mut().step_by(columns + 1).for_each(|square| *square += extra);
                    InputStatistics::from_second_moment(inputs.samples(), columns, moment)
                }
                None => Ok(inputs.clone()),
            };
            let raised = raised.map_err(Failure::data)?;
            let of_columns = |square: &f32| f64::from(*square + extra);
            let factors = match Factor::new(&raised, DAMPING, Order::Natural) {
                Some(factor) => factor.diagonal().to_vec(),
                None => inputs.mean_square().iter().map(of_columns).collect(),
            };
            (factors, scale)
        }
    };
    let costs = variances.iter().zip(factors).map(|(sum, factor)| 0.5 * lookup * factor * sum / rows.max(1) as f64);
    Ok(Spectrum { rows: rows as u64, costs: costs.collect() })
}

/// Tensors of which nothing is known (no token reached them, or their columns are outputs) cost what the others do on average.
fn average_unknown(found: &mut [(usize, Spectrum)]) {
    let known = |spectrum: &Spectrum| spectrum.costs.iter().any(|&cost| cost > 0.0);
    let (mut sum, mut count) = (0.0, 0.0);
    for spectrum in found.iter().map(|(_, spectrum)| spectrum).filter(|spectrum| known(spectrum)) {
        let costs = spectrum.costs.iter().filter(|&&cost| cost > 0.0);
        sum += spectrum.rows as f64 * costs.clone().map(|cost| cost.ln()).sum::<f64>();
        count += spectrum.rows as f64 * costs.count() as f64;
    }
    let average = if count > 0.0 { (sum / count).exp() } else { 1.0 };
    for (_, spectrum) in found.iter_mut().filter(|(_, spectrum)| !known(spectrum)) {
        spectrum.costs.fill(average);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_spectra_are_read_back() {
        let info = |name: &str| TensorInfo { name: name.to_owned(), shape: vec![4, 3], dtype: "F32".into(), bytes: 48 };
        let infos = [info("a"), info("kept"), info("b")];
        let spectrum = |first: f64| Spectrum { rows: 4, costs: vec![first, 0.1, 1e-300] };
        let spectra = vec![(0, spectrum(1.0)), (2, spectrum(2.0))];
        let bytes = spectra_bytes(&infos, &spectra);
        assert_eq!(read_spectra(&bytes, &infos, &|info| info.name != "kept"), Some(spectra));
        assert_eq!(read_spectra(&bytes, &infos, &|_| true), None);
        assert!((0..bytes.len()).all(|cut| read_spectra(&bytes[..cut], &infos, &|info| info.name != "kept").is_none()));
    }
}
