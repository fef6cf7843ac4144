//! Screening a batch of vectors: kernels pass over all windows and tell of those that may survive.

use seedpress_simd::Level;

use crate::kernel::{self, LANES, Pass, QUAD};
#[cfg(target_arch = "x86_64")]
use crate::projections::Projections;
use crate::subspace::{BATCH, Subspaces};
use crate::survivors::Survivors;

impl Subspaces {
    /// Screens up to [`BATCH`] unit vectors (scaled by the emphasis already, if there is one) against every window. `vectors` holds
    /// `rows` values each.
    pub fn screen(&self, vectors: &[f32], survivors: &mut [Survivors]) {
        self.screen_with(Level::fastest(), vectors, survivors);
    }

    /// [`screen`](Self::screen) at a level of one's choice.
    pub fn screen_with(&self, level: Level, vectors: &[f32], survivors: &mut [Survivors]) {
        assert!(vectors.len() == survivors.len() * self.rows && survivors.len() <= BATCH);
        let projections = self.projections.as_ref().filter(|_| level == Level::Avx512);
        self.screen_exactly(level, projections.is_none(), vectors, survivors);
        #[cfg(target_arch = "x86_64")]
        if let Some(projections) = projections {
            self.screen_projections(projections, vectors, survivors);
        }
    }

    /// Computes what windows capture: those with a basis of their own, and all others where `whitened`.
    fn screen_exactly(&self, level: Level, whitened: bool, vectors: &[f32], survivors: &mut [Survivors]) {
        let basis_weights = in_quads(vectors, self.rows);
        // The sequence knows nothing of the emphasis, the bases do.
        let sequence_weights = match &self.emphasis {
            None => basis_weights.clone(),
            Some(emphasis) => {
                let mut vectors = vectors.to_vec();
                vectors.chunks_exact_mut(self.rows).for_each(|vector| emphasis.apply_transposed(vector));
                in_quads(&vectors, self.rows)
            }
        };
        // Lanes without a vector never reach their threshold.
        let mut thresholds = vec![[f32::INFINITY; QUAD]; survivors.len().div_ceil(QUAD)];
        for (vector, survivors) in survivors.iter().enumerate() {
            thresholds[vector / QUAD][vector % QUAD] = survivors.threshold;
        }
        let pass = Pass {
            values: &self.sequence.values()[1..],
            whitening: if whitened { &self.whitening } else { &[] },
            bases: &self.bases,
            rows: self.rows,
            sequence_weights: &sequence_weights,
            basis_weights: &basis_weights,
        };
        kernel::screen(level, self.columns, &pass, &mut thresholds, &mut |basis, vector, group, energies| {
            let survivors = &mut survivors[vector];
            for (lane, &energy) in energies.iter().enumerate() {
                let slot = group * LANES + lane;
                let window = if basis { self.steep.get(slot).copied() } else { Some(slot as u32) };
                if let Some(window) = window.filter(|&window| (window as usize) < self.windows)
                    && energy >= survivors.threshold
                {
                    survivors.push(energy, window);
                }
            }
            survivors.threshold
        });
    }

    /// Passes over windows by their rounded projections and asks only the few left what they capture.
    #[cfg(target_arch = "x86_64")]
    fn screen_projections(&self, projections: &Projections, vectors: &[f32], survivors: &mut [Survivors]) {
        let limits: Vec<f64> = survivors.iter().map(Survivors::open).collect();
        let mut told = |vector: usize, window: u32| {
            let survivors = &mut survivors[vector];
            let captured = self.captured(window as usize, &vectors[vector * self.rows..][..self.rows]);
            if captured >= survivors.threshold {
                survivors.push(captured, window);
            }
            survivors.open()
        };
        projections.screen(vectors, &limits, &mut told);
    }

    /// The energy of a vector that a window captures, as kernels compute it; nothing where the window has a basis of its own.
    #[cfg(target_arch = "x86_64")]
    fn captured(&self, window: usize, vector: &[f32]) -> f32 {
        match self.columns {
            1 => self.captured_by::<1>(window, vector),
            2 => self.captured_by::<2>(window, vector),
            3 => self.captured_by::<3>(window, vector),
            4 => self.captured_by::<4>(window, vector),
            5 => self.captured_by::<5>(window, vector),
            _ => self.captured_by::<6>(window, vector),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn captured_by<const P: usize>(&self, window: usize, vector: &[f32]) -> f32 {
        let entries = const { P * (P + 1) / 2 };
        let triangle = &self.whitening[window / LANES * entries..][..entries];
        let mut products = [0f32; P];
        let values = &self.sequence.values()[1 + window..][..self.rows * P];
        for (row, weight) in values.as_chunks::<P>().0.iter().zip(vector) {
            products.iter_mut().zip(row).for_each(|(product, value)| *product += value * weight);
        }
        let (mut energy, mut entry) = (0f32, 0);
        for row in 0..P {
            let mut sum = 0f32;
            for product in &products[..=row] {
                sum += product * triangle[entry][window % LANES];
                entry += 1;
            }
            energy += sum * sum;
        }
        energy
    }
}

/// Vectors side by side, `[quad][row][vector]`; zeros where there is none.
fn in_quads(vectors: &[f32], rows: usize) -> Vec<[f32; QUAD]> {
    let quads = (vectors.len() / rows).div_ceil(QUAD);
    let mut weights = vec![[0f32; QUAD]; quads * rows];
    for (vector, values) in vectors.chunks_exact(rows).enumerate() {
        for (row, &value) in values.iter().enumerate() {
            weights[vector / QUAD * rows + row][vector % QUAD] = value;
        }
    }
    weights
}
