//! How much each token of the calibration text counts for each tensor: one backward pass over the text.

use std::collections::HashMap;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use seedpress_calibration::{InputStatistics, Lookups, OutputWeights};
use seedpress_model::{Hidden, Network as _, RowWeights};

use crate::error::TransformerError;
use crate::gradient::importance;
use crate::network::TransformerNetwork;
use crate::weights::Weights;

/// What is kept of importances is called so; changes with how they are made.
pub const KEPT: &str = "importances-4";

/// Which way of telling how much tokens count: what is calibrated by it is made anew when it changes.
pub const TOKENS: &str = "importances-2";

/// By how much the answers depend on what each tensor makes of each token, see [`gradient`](crate::gradient).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Importances {
    /// By place of the tensor, then by sequence: one weight a row, of mean 1 over all.
    rows: HashMap<usize, Vec<Vec<f32>>>,
    /// By place of the tensor: the mean that was divided by, and how many rows a token of the text has (below 1 for experts).
    scales: HashMap<usize, f64>,
    /// By place of the tensor: how much each of its rows counts.
    outputs: HashMap<usize, Arc<OutputWeights>>,
    /// Mean square of the gradients by embedded tokens.
    embedding: f64,
    /// The place of a tensor that embeds and is a layer's weight too, and how much its rows count where they are read.
    lookups: Option<(usize, Lookups)>,
}

impl Importances {
    /// Runs every sequence forwards and backwards. `progress` learns how many are done; it returns whether to go on.
    ///
    /// # Errors
    /// An encoder, weights that cannot be read, [`TransformerError::Stopped`].
    pub fn new(
        network: &TransformerNetwork,
        weights: &dyn Weights,
        samples: &[Hidden],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Self, TransformerError> {
        let mut found = Self::default();
        let mut tokens = 0usize;
        let mut outputs: HashMap<usize, Vec<f64>> = HashMap::new();
        let table = network.find(&network.description().embedding.tokens);
        let mut readings = Readings::of(table.map_or(0, |place| network.tensors()[place].rows()));
        for (at, sample) in samples.iter().enumerate() {
            let ids: Vec<u32> = sample.values.iter().map(|&token| token as u32).collect();
            let own = importance(network.description(), weights, &ids, at as u64)?;
            for (tensor, rows) in own.rows {
                let Some(place) = network.find(&tensor) else { continue };
                let all = found.rows.entry(place).or_insert_with(|| vec![Vec::new(); samples.len()]);
                all[at] = rows;
            }
            for (tensor, squares) in own.outputs {
                let Some(place) = network.find(&tensor) else { continue };
                let sums = outputs.entry(place).or_default();
                sums.resize(sums.len().max(squares.len()), 0.0);
                sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
            }
            readings.add(&ids, &own.embedding);
            found.embedding += own.embedding.iter().map(|&square| f64::from(square)).sum::<f64>();
            tokens += ids.len();
            if !progress(at + 1) {
                return Err(TransformerError::Stopped);
            }
        }
        found.embedding /= tokens.max(1) as f64;
        for (place, mut sums) in outputs {
            let rows = network.tensors()[place].rows();
            // The last experts may have seen no token.
            sums.resize(rows.max(sums.len()), 0.0);
            let means: Vec<f32> = sums.iter().map(|sum| (sum / tokens.max(1) as f64) as f32).collect();
            // Gradients of nothing but zeros say nothing.
            let weights = OutputWeights::new(&means).ok().filter(|_| means.len() == rows);
            found.outputs.extend(weights.map(|weights| (place, Arc::new(weights))));
        }
        for (&place, all) in &mut found.rows {
            let count: usize = all.iter().map(Vec::len).sum();
            let sum: f64 = all.iter().flatten().map(|&weight| f64::from(weight)).sum();
            let mean = sum / count.max(1) as f64;
            found.scales.insert(place, sum / tokens.max(1) as f64);
            if mean > 0.0 && mean.is_finite() {
                all.iter_mut().flatten().for_each(|weight| *weight = (f64::from(*weight) / mean) as f32);
            } else {
                all.iter_mut().flatten().for_each(|weight| *weight = 1.0);
            }
        }
        found.lookups = table.and_then(|place| {
            let scale = found.scale(place).filter(|&scale| scale > 0.0)?;
            // Each token reads one row: an error of the table costs a row's share.
            let ridge = found.embedding / readings.sums.len() as f64 / scale;
            // Readings that count nothing say nothing.
            Some((place, Lookups::new(&readings.sums, &readings.times, ridge as f32).ok()?))
        });
        Ok(found)
    }

    /// What a unit of weighted output error of a tensor costs, in nats a token: `KL ~ scale / 2 tr(D H D^T)` with `H` the second moment of
    /// weighted inputs. `None` for a tensor that is not a layer's weight.
    pub fn scale(&self, tensor: usize) -> Option<f64> {
        self.scales.get(&tensor).copied()
    }

    /// The same of an error of the embedded tokens, each value by itself.
    pub fn embedding(&self) -> f64 {
        self.embedding
    }

    /// How much each row counts where tokens read it, of a tensor that embeds and is a layer's weight too.
    pub fn lookups(&self, tensor: usize) -> Option<&Lookups> {
        self.lookups.as_ref().filter(|(place, _)| *place == tensor).map(|(_, lookups)| lookups)
    }
}

/// Sums over the tokens of a text by the row of the table that each reads.
struct Readings {
    sums: Vec<f32>,
    times: Vec<u32>,
}

impl Readings {
    /// None yet of a table of so many rows.
    fn of(rows: usize) -> Self {
        Self { sums: vec![0.0; rows], times: vec![0; rows] }
    }

    fn add(&mut self, tokens: &[u32], squares: &[f32]) {
        for (&token, square) in tokens.iter().zip(squares) {
            let row = token as usize;
            if let (Some(sum), Some(times)) = (self.sums.get_mut(row), self.times.get_mut(row)) {
                *sum += square;
                *times += 1;
            }
        }
    }
}

impl Importances {
    /// As a safetensors file, to be kept for the next plan or file from the same text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut places: Vec<usize> = self.rows.keys().copied().collect();
        places.sort_unstable();
        let mut data: Vec<(String, Dtype, Vec<u8>)> = Vec::new();
        for place in places {
            let all = &self.rows[&place];
            let lengths = all.iter().flat_map(|rows| (rows.len() as u64).to_le_bytes()).collect();
            let rows = all.iter().flatten().flat_map(|weight| weight.to_le_bytes()).collect();
            let scale = self.scales.get(&place).copied().unwrap_or(0.0).to_le_bytes().to_vec();
            data.push((format!("lengths.{place}"), Dtype::U64, lengths));
            data.push((format!("rows.{place}"), Dtype::F32, rows));
            data.push((format!("scale.{place}"), Dtype::F64, scale));
        }
        let mut places: Vec<usize> = self.outputs.keys().copied().collect();
        places.sort_unstable();
        for place in places {
            let values = self.outputs[&place].values().iter().flat_map(|value| value.to_le_bytes()).collect();
            data.push((format!("outputs.{place}"), Dtype::F32, values));
        }
        if let Some((place, lookups)) = &self.lookups {
            let rows = lookups.rows().iter().flat_map(|row| row.to_le_bytes()).collect();
            data.push((format!("lookups.{place}"), Dtype::F32, rows));
            data.push((format!("ridge.{place}"), Dtype::F32, lookups.ridge().to_le_bytes().to_vec()));
        }
        data.push(("embedding".to_owned(), Dtype::F64, self.embedding.to_le_bytes().to_vec()));
        let views = data.iter().filter_map(|(name, dtype, bytes)| {
            let count = bytes.len() * 8 / dtype.bitsize();
            Some((name.as_str(), TensorView::new(*dtype, vec![count], bytes).ok()?))
        });
        safetensors::serialize(views, None).unwrap_or_default()
    }

    /// What [`to_bytes`](Self::to_bytes) wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let read = |name: &str, dtype: Dtype| {
            file.tensor(name).ok().filter(|tensor| tensor.dtype() == dtype).map(|tensor| tensor.data())
        };
        let float = |name: &str| Some(f64::from_le_bytes(read(name, Dtype::F64)?.try_into().ok()?));
        let floats = |name: &str| {
            let bytes = read(name, Dtype::F32)?.as_chunks::<4>().0;
            Some(bytes.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect::<Vec<f32>>())
        };
        let mut found = Self { embedding: float("embedding")?, ..Self::default() };
        for name in file.names() {
            if let Some(place) = name.strip_prefix("outputs.") {
                found.outputs.insert(place.parse().ok()?, Arc::new(OutputWeights::kept(floats(name)?).ok()?));
            }
            if let Some(place) = name.strip_prefix("lookups.") {
                let [ridge] = floats(&format!("ridge.{place}"))?[..] else { return None };
                found.lookups = Some((place.parse().ok()?, Lookups::kept(floats(name)?, ridge).ok()?));
            }
            let Some(place) = name.strip_prefix("rows.") else { continue };
            let rows = floats(name)?;
            let lengths = read(&format!("lengths.{place}"), Dtype::U64)?.as_chunks::<8>().0;
            let total: u64 = lengths.iter().map(|&bytes| u64::from_le_bytes(bytes)).try_fold(0u64, u64::checked_add)?;
            if total != rows.len() as u64 {
                return None;
            }
            let mut rest = rows.into_iter();
            let all = lengths.iter().map(|&bytes| rest.by_ref().take(u64::from_le_bytes(bytes) as usize).collect());
            let all = all.collect();
            let place: usize = place.parse().ok()?;
            found.scales.insert(place, float(&format!("scale.{place}"))?);
            found.rows.insert(place, all);
        }
        Some(found)
    }
}

impl RowWeights for Importances {
    fn of(&self, tensor: usize, batch: usize) -> Option<&[f32]> {
        self.rows.get(&tensor)?.get(batch).map(Vec::as_slice)
    }

    fn outputs(&self, tensor: usize, inputs: &InputStatistics) -> Option<Arc<OutputWeights>> {
        let outputs = self.outputs.get(&tensor)?;
        Some(match self.lookups(tensor) {
            Some(lookups) => Arc::new(lookups.joined(outputs, inputs)),
            None => outputs.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let rows =
            HashMap::from([(3, vec![vec![1.0, 0.5], vec![], vec![2.5]]), (0, vec![vec![1.0], vec![1.0], vec![1.0]])]);
        let weights = OutputWeights::new(&[1.0, 3.0]).unwrap();
        let outputs = HashMap::from([(3, Arc::new(weights))]);
        let scales = HashMap::from([(3, 0.25), (0, 1e-9)]);
        let lookups = Lookups::new(&[1.0, 3.0], &[1, 2], 0.5).unwrap();
        let found = Importances { rows, scales, embedding: 7e-5, outputs, lookups: Some((3, lookups)) };
        let bytes = found.to_bytes();
        assert_eq!(Importances::from_bytes(&bytes).as_ref(), Some(&found));
        assert_eq!(found.of(3, 2), Some([2.5].as_slice()));
        assert_eq!((found.of(3, 3), found.of(1, 0)), (None, None));
        for cut in 0..bytes.len() {
            assert_eq!(Importances::from_bytes(&bytes[..cut]), None);
        }
    }
}
