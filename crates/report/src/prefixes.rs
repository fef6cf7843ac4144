//! Sums over what a progressive stream gives when only its first layers are read.

use seedpress_results::{TensorRow, derive};

use crate::contender::Contender;
use crate::study::{Scope, Study};

/// Bits per weight and squared relative error after each layer of the progressive contenders, over the tensors of a scope.
pub(crate) fn prefix_sums(study: &Study, scope: Scope) -> Vec<(&Contender, Vec<(f64, f64)>)> {
    let mut curves = Vec::new();
    for contender in &study.contenders {
        let rows: Vec<&TensorRow> = study
            .measured()
            .filter(|row| {
                row.codec == contender.codec && row.synthetic == (scope != Scope::Real) && row.prefixes.len() > 1
            })
            .collect();
        let layers = rows.iter().map(|row| row.prefixes.len()).max().unwrap_or(0);
        let weights: u64 = rows.iter().map(|row| row.weights).sum();
        let energy: f64 = rows.iter().map(|row| row.energy).sum();
        let curve: Vec<(f64, f64)> = (0..layers)
            .map(|layer| {
                // A tensor with fewer layers is complete at its last one.
                let prefixes = rows.iter().filter_map(|row| row.prefixes.get(layer).or(row.prefixes.last()));
                let (bytes, error) =
                    prefixes.fold((0, 0.0), |(b, e), prefix| (b + prefix.bytes, e + prefix.squared_error));
                (derive::bits_per_weight(bytes, weights), derive::relative_mse(error, energy))
            })
            .collect();
        if curve.len() > 1 {
            curves.push((contender, curve));
        }
    }
    curves
}
