//! What errors of each tensor cost, found from the gradients of the model's own answers: what plans share bits by.
//!
//! With the second moment `H` of weighted inputs and the mean square `scale` of the gradients by outputs, an error `D` of a tensor costs
//! `scale / 2 tr(D H D^T)` nats a token, to second order. See [`waterfill`](seedpress_plan::waterfill) for what is made of it.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use seedpress_calibration::{DAMPING, Factor, InputStatistics, Order, OutputWeights};
use seedpress_model::{Network as _, Walk};
use seedpress_plan::waterfill::Spectrum;

use crate::error::TransformerError;
use crate::network::TransformerNetwork;
use crate::weighing::Importances;

/// By name of the tensor.
pub type Spectra = BTreeMap<String, Spectrum>;

/// What is kept of spectra is called so; changes with how they are made.
pub const KEPT: &str = "spectra-4";

/// Walks through a model and prices every tensor whose name `wanted` takes. The walk is a plain one, weighted by `importances`.
/// `progress` learns how many tensors were looked at, and the last one; it returns whether to go on.
///
/// # Errors
/// Weights that cannot be read, [`TransformerError::Stopped`].
pub fn spectra(
    network: &TransformerNetwork,
    walk: Walk,
    weights: &dyn seedpress_model::Weights,
    importances: &Importances,
    wanted: &dyn Fn(&str) -> bool,
    progress: &mut dyn FnMut(usize, &str) -> bool,
) -> Result<Spectra, TransformerError> {
    let said = |error: seedpress_model::ModelError| TransformerError::Input(error.to_string());
    let mut walk = walk;
    let mut found = Spectra::new();
    for place in Walk::order(network) {
        let info = &network.tensors()[place];
        let statistics = walk.take(place).map_err(said)?;
        if !wanted(&info.name) {
            continue;
        }
        let tensor = weights.load(place).map_err(said)?;
        let columns = info.columns();
        let inputs = statistics.as_ref().map(|statistics| statistics.inputs().as_ref());
        let embeds = info.name == network.description().embedding.tokens;
        // Each token reads one row: an error of the table costs a row's share.
        let lookup = if embeds { importances.embedding() / info.rows() as f64 } else { 0.0 };
        let experts = if info.shape.len() > 2 { info.shape[0] as f64 } else { 1.0 };
        let scale = importances.scale(place).unwrap_or(0.0) / experts;
        found.insert(info.name.clone(), spectrum(tensor.values(), columns, inputs, scale, lookup));
        if !progress(found.len(), &info.name) {
            return Err(TransformerError::Stopped);
        }
    }
    average_unknown(&mut found);
    Ok(found)
}

/// Spectra as a safetensors file, for the next plan from the same text: of each tensor its rows and the costs of its columns.
pub fn to_bytes(spectra: &Spectra) -> Vec<u8> {
    let bytes = |spectrum: &Spectrum| -> Vec<u8> {
        let numbers = std::iter::once(spectrum.rows).chain(spectrum.costs.iter().copied());
        numbers.flat_map(f64::to_le_bytes).collect()
    };
    let data: Vec<(&str, Vec<u8>)> = spectra.iter().map(|(name, spectrum)| (name.as_str(), bytes(spectrum))).collect();
    let view = |bytes| TensorView::new(Dtype::F64, vec![<[u8]>::len(bytes) / 8], bytes).ok();
    let views = data.iter().filter_map(|(name, bytes)| Some((*name, view(bytes)?)));
    safetensors::serialize(views, None).unwrap_or_default()
}

/// What [`to_bytes`] wrote, where it holds every tensor of `wanted`; `None` for anything else.
pub fn from_bytes<'a>(bytes: &[u8], wanted: impl IntoIterator<Item = &'a str>) -> Option<Spectra> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let one = |name: &str| {
        let tensor = file.tensor(name).ok().filter(|tensor| tensor.dtype() == Dtype::F64)?;
        let (first, rest) = tensor.data().as_chunks::<8>().0.split_first()?;
        let costs = rest.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
        Some((name.to_owned(), Spectrum { rows: f64::from_le_bytes(*first), costs }))
    };
    wanted.into_iter().map(one).collect()
}

/// The columns of `scale / 2 tr(D H D^T)`, `H` with the [ridge](OutputWeights::ridge) of its outputs; of a table that is read and multiplies
/// nothing, those of `lookup / 2 |D|^2`.
///
/// Where outputs count differently, rows are channels too: each column is that of [`PARTS`] equal parts of the rows, ordered by their weighted
/// energy.
fn spectrum(values: &[f32], columns: usize, inputs: Option<&InputStatistics>, scale: f64, lookup: f64) -> Spectrum {
    let rows = values.len() / columns.max(1);
    let mut variances = vec![0f64; columns];
    let mut energies = Vec::with_capacity(rows);
    for row in values.chunks_exact(columns.max(1)) {
        let mut energy = 0.0;
        for (sum, &value) in variances.iter_mut().zip(row) {
            let square = f64::from(value) * f64::from(value);
            *sum += square;
            energy += square;
        }
        energies.push(energy);
    }
    let outputs = inputs.and_then(InputStatistics::outputs).filter(|outputs| outputs.values().len() == rows);
    let parts = outputs.map_or(vec![1.0], |outputs| parts(&energies, outputs));
    let (factors, price) = match inputs {
        None => (vec![1.0; columns], lookup),
        Some(inputs) => {
            let inputs = inputs.with_ridge();
            let factors = match Factor::new(&inputs, DAMPING, Order::Natural) {
                Some(factor) => factor.diagonal().to_vec(),
                None => inputs.mean_square().iter().map(|&square| f64::from(square)).collect(),
            };
            (factors, scale)
        }
    };
    let costs = variances.iter().zip(factors).map(|(sum, factor)| 0.5 * price * factor * sum / rows.max(1) as f64);
    let costs: Vec<f64> = costs.collect();
    let costs = parts.iter().flat_map(|part| costs.iter().map(move |cost| cost * part)).collect();
    Spectrum { rows: rows as f64 / parts.len() as f64, costs }
}

/// Parts that rows are taken for: enough to follow the distribution of their weights.
const PARTS: usize = 16;

/// The mean weighted energy of each part of the rows, in that of all.
fn parts(energies: &[f64], outputs: &OutputWeights) -> Vec<f64> {
    let mut weighted: Vec<f64> =
        energies.iter().zip(outputs.values()).map(|(energy, &weight)| energy * f64::from(weight)).collect();
    weighted.sort_unstable_by(f64::total_cmp);
    let mean = energies.iter().sum::<f64>() / energies.len() as f64;
    let count = PARTS.min(weighted.len());
    let edges = |part: usize| part * weighted.len() / count;
    let of = |part: usize| {
        let rows = &weighted[edges(part)..edges(part + 1)];
        rows.iter().sum::<f64>() / rows.len() as f64
    };
    (0..count).map(|part| if mean > 0.0 { of(part) / mean } else { 1.0 }).collect()
}

/// Tensors of which nothing is known (no token reached them, or their columns are outputs) cost what the others do on average.
fn average_unknown(found: &mut Spectra) {
    let known = |spectrum: &Spectrum| spectrum.costs.iter().any(|&cost| cost > 0.0);
    let (mut sum, mut count) = (0.0, 0.0);
    for spectrum in found.values().filter(|spectrum| known(spectrum)) {
        let costs = spectrum.costs.iter().filter(|&&cost| cost > 0.0);
        sum += spectrum.rows * costs.clone().map(|cost| cost.ln()).sum::<f64>();
        count += spectrum.rows * costs.count() as f64;
    }
    let average = if count > 0.0 { (sum / count).exp() } else { 1.0 };
    for spectrum in found.values_mut().filter(|spectrum| !known(spectrum)) {
        spectrum.costs.fill(average);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_spectra_are_read_back() {
        let spectrum = |first: f64| Spectrum { rows: 4.5, costs: vec![first, 0.1, 1e-300] };
        let spectra = Spectra::from([("a".to_owned(), spectrum(1.0)), ("b".to_owned(), spectrum(2.0))]);
        let bytes = to_bytes(&spectra);
        assert_eq!(from_bytes(&bytes, ["a", "b"]).as_ref(), Some(&spectra));
        assert_eq!(from_bytes(&bytes, ["a", "b", "c"]), None);
        assert!((0..bytes.len()).all(|cut| from_bytes(&bytes[..cut], ["a", "b"]).is_none()));
    }
}
