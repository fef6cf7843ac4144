//! A mixture of experts: each token goes to the few that the router chooses.

use rayon::prelude::*;

use crate::description::Experts;
use crate::error::TransformerError;
use crate::layers::{Inputs, Tap, linear, network};
use crate::math::{sigmoid, softmax};
use crate::weights::Weights;

/// The experts of each token, best first, with their weights.
pub(crate) fn route(
    experts: &Experts,
    weights: &dyn Weights,
    x: &[f32],
) -> Result<Vec<(usize, f32)>, TransformerError> {
    let mut scores = linear(&experts.router, weights, x)?;
    let count = experts.experts.len();
    let choose = |scores: &mut [f32]| {
        softmax(scores);
        let mut order: Vec<usize> = (0..count).collect();
        // Equal scores: the first, so that the choice is defined.
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        order.truncate(experts.chosen);
        let total: f32 = order.iter().map(|&expert| scores[expert]).sum();
        let scale = if experts.renormalise { 1.0 / total } else { 1.0 };
        order.into_iter().map(|expert| (expert, scores[expert] * scale)).collect::<Vec<_>>()
    };
    Ok(scores.par_chunks_exact_mut(count).flat_map_iter(choose).collect())
}

/// What the experts add to each row.
pub(crate) fn mixture(
    experts: &Experts,
    weights: &dyn Weights,
    x: &[f32],
    width: usize,
    tap: &mut Tap<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let mut first = vec![&experts.router];
    first.extend(experts.shared.as_ref().and_then(|shared| shared.gate.as_ref()));
    tap(Inputs { weights: &first, rows: x, columns: width })?;
    let chosen = route(experts, weights, x)?;
    let mut result = match &experts.shared {
        None => vec![0f32; x.len()],
        Some(shared) => {
            let mut result = network(&shared.network, weights, x, width, tap)?;
            if let Some(gate) = &shared.gate {
                let gate = linear(gate, weights, x)?;
                for (row, &gate) in result.chunks_exact_mut(width).zip(&gate) {
                    let gate = sigmoid(gate);
                    row.iter_mut().for_each(|value| *value *= gate);
                }
            }
            result
        }
    };
    for (index, expert) in experts.experts.iter().enumerate() {
        let mut rows = Vec::new();
        let mut inputs = Vec::new();
        for (at, &(choice, weight)) in chosen.iter().enumerate() {
            if choice == index {
                let row = at / experts.chosen;
                rows.push((row, weight));
                inputs.extend_from_slice(&x[row * width..][..width]);
            }
        }
        if rows.is_empty() {
            continue;
        }
        let outputs = network(expert, weights, &inputs, width, tap)?;
        for ((row, weight), output) in rows.into_iter().zip(outputs.chunks_exact(width)) {
            let target = &mut result[row * width..][..width];
            target.iter_mut().zip(output).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    Ok(result)
}
