//! Rows gathered in batches of [`BATCH`], whatever portions they come in.

/// Rows whose products are summed in `f32`; also those among which [`cap`] takes the median.
pub(crate) const BATCH: usize = 256;

/// Rows that wait until their batch is full.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    pub rows: Vec<f32>,
    pub weights: Vec<f32>,
}

impl Batch {
    /// Appends rows and hands over every batch that is full.
    pub(crate) fn push(
        &mut self,
        rows: &[f32],
        weights: Option<&[f32]>,
        columns: usize,
        mut full: impl FnMut(&[f32], &mut [f32]),
    ) {
        let count = rows.len().checked_div(columns).unwrap_or(0);
        let mut at = 0;
        while at < count {
            let take = (BATCH - self.weights.len()).min(count - at);
            let part = &rows[at * columns..(at + take) * columns];
            match weights {
                Some(weights) => self.weights.extend_from_slice(&weights[at..at + take]),
                None => self.weights.extend(std::iter::repeat_n(1.0, take)),
            }
            if take == BATCH {
                full(part, &mut self.weights);
                self.weights.clear();
            } else {
                self.rows.extend_from_slice(part);
                if self.weights.len() == BATCH {
                    full(&self.rows, &mut self.weights);
                    self.rows.clear();
                    self.weights.clear();
                }
            }
            at += take;
        }
    }
}

/// Turns down the weights of rows of more than `times` the median energy.
pub(crate) fn cap(rows: &[f32], columns: usize, times: f32, weights: &mut [f32]) {
    let energy = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    let energies: Vec<f64> = rows.chunks_exact(columns).map(energy).collect();
    let mut heard: Vec<f64> = energies.iter().copied().filter(|&energy| energy > 0.0).collect();
    heard.sort_by(f64::total_cmp);
    let Some(median) = heard.get(heard.len() / 2) else { return };
    let most = f64::from(times) * median;
    for (weight, energy) in weights.iter_mut().zip(energies) {
        if energy > most {
            *weight = (f64::from(*weight) * (most / energy)) as f32;
        }
    }
}

/// Rows times the roots of their weights; `None` where all are 1.
pub(crate) fn scaled(rows: &[f32], columns: usize, weights: &[f32]) -> Option<Vec<f32>> {
    if weights.iter().all(|&weight| weight == 1.0) {
        return None;
    }
    let rows = rows.chunks_exact(columns).zip(weights);
    Some(rows.flat_map(|(row, &weight)| row.iter().map(move |&x| x * weight.sqrt())).collect())
}
