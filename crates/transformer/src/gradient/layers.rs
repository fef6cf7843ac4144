//! Gradients of products, norms, activations, networks and mixtures of experts by their inputs.

use rayon::prelude::*;
use seedpress_matrix::{View, multiply};

use super::seen::{Seen, Sight};
use crate::description::{Activation, Experts, First, Linear, Mlp, Norm, NormKind};
use crate::error::TransformerError;
use crate::experts::route;
use crate::layers::{CUBIC, SLOPE, activate, add, linear as forward, network as forward_network};
use crate::math::{erf, exp, sigmoid, sum};
use crate::weights::Weights;

/// Shows a product with its gradients, and returns those by its inputs.
pub(super) fn product(
    linear: &Linear,
    weights: &dyn Weights,
    inputs: &[f32],
    gradients: &[f32],
    sight: &mut Sight<'_>,
) -> Result<Vec<f32>, TransformerError> {
    sight(Seen { linear, inputs, gradients })?;
    let rows = gradients.len() / linear.outputs;
    let mut result = vec![0f32; rows * linear.inputs];
    if rows == 0 {
        return Ok(result);
    }
    let size = linear.inputs * linear.outputs;
    let start = linear.expert.unwrap_or(0) * size;
    let weight = weights.values(&linear.weight, start..start + size)?;
    let weight = match linear.transposed {
        true => View::new(&weight, linear.outputs).t(),
        false => View::new(&weight, linear.inputs),
    };
    multiply(&mut result, linear.inputs, View::new(gradients, linear.outputs), weight);
    Ok(result)
}

/// Through a norm of whole rows, where there is one.
pub(super) fn norm(
    norm: Option<&Norm>,
    weights: &dyn Weights,
    inputs: &[f32],
    mut gradients: Vec<f32>,
    width: usize,
) -> Result<Vec<f32>, TransformerError> {
    if let Some(norm) = norm {
        norm_of_parts(norm, weights, inputs, &mut gradients, width, [width, 0, 1, width])?;
    }
    Ok(gradients)
}

/// Through norms of parts of rows, in place: the layout is that of [`normalise`](crate::layers::normalise).
pub(super) fn norm_of_parts(
    norm: &Norm,
    weights: &dyn Weights,
    inputs: &[f32],
    gradients: &mut [f32],
    size: usize,
    [stride, offset, parts, step]: [usize; 4],
) -> Result<(), TransformerError> {
    let mut gain = weights.values(&norm.weight, 0..size)?.into_owned();
    gain.iter_mut().for_each(|gain| *gain += norm.offset);
    gradients.par_chunks_mut(stride).zip(inputs.par_chunks(stride)).for_each(|(gradients, inputs)| {
        let mut centred = vec![0f32; size];
        for part in 0..parts {
            let at = offset + part * step;
            let (gradient, input) = (&mut gradients[at..at + size], &inputs[at..at + size]);
            let layer = norm.kind == NormKind::Layer;
            let mean = if layer { sum(input) / size as f32 } else { 0.0 };
            centred.iter_mut().zip(input).for_each(|(centred, input)| *centred = input - mean);
            let square = centred.iter().map(|value| value * value).sum::<f32>() / size as f32;
            let scale = 1.0 / (square + norm.epsilon).sqrt();
            gradient.iter_mut().zip(&gain).for_each(|(gradient, gain)| *gradient *= gain);
            let along = gradient.iter().zip(&centred).map(|(g, x)| g * x).sum::<f32>();
            let pull = along * scale * scale / size as f32;
            gradient.iter_mut().zip(&centred).for_each(|(g, x)| *g = scale * (*g - pull * x));
            if layer {
                let mean = sum(gradient) / size as f32;
                gradient.iter_mut().for_each(|g| *g -= mean);
            }
        }
    });
    Ok(())
}

/// The derivative of an activation.
fn slope(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => {
            let s = sigmoid(x);
            s * (1.0 + x * (1.0 - s))
        }
        Activation::Gelu => {
            // The density of the standard normal distribution at 0.
            const DENSITY: f32 = 0.398_942_3;
            0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * DENSITY * exp(-0.5 * x * x)
        }
        Activation::GeluTanh => {
            let s = sigmoid(SLOPE * (x + CUBIC * x * x * x));
            s + x * s * (1.0 - s) * SLOPE * (1.0 + 3.0 * CUBIC * x * x)
        }
        Activation::Relu => f32::from(u8::from(x > 0.0)),
        Activation::ReluSquared => 2.0 * x.max(0.0),
    }
}

/// Through a network of two layers.
pub(super) fn network(
    mlp: &Mlp,
    weights: &dyn Weights,
    x: &[f32],
    gradients: &[f32],
    sight: &mut Sight<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let activation = mlp.activation;
    match &mlp.first {
        First::Plain(up) => {
            let mut before = forward(up, weights, x)?;
            let inner: Vec<f32> = before.iter().map(|&value| activate(activation, value)).collect();
            let by_inner = product(&mlp.down, weights, &inner, gradients, sight)?;
            before.iter_mut().zip(by_inner).for_each(|(value, by)| *value = by * slope(activation, *value));
            product(up, weights, x, &before, sight)
        }
        First::Gated { gate, up } => {
            let (mut gates, mut ups) = (forward(gate, weights, x)?, forward(up, weights, x)?);
            let inner: Vec<f32> = gates.iter().zip(&ups).map(|(&gate, &up)| activate(activation, gate) * up).collect();
            let by_inner = product(&mlp.down, weights, &inner, gradients, sight)?;
            gated(activation, &mut gates, &mut ups, &by_inner);
            let mut result = product(gate, weights, x, &gates, sight)?;
            add(&mut result, &product(up, weights, x, &ups, sight)?);
            Ok(result)
        }
        First::FusedGated(both) => {
            let mut values = forward(both, weights, x)?;
            let mut inner = Vec::with_capacity(values.len() / 2);
            for row in values.chunks_exact(2 * mlp.inner) {
                let (gate, up) = row.split_at(mlp.inner);
                inner.extend(gate.iter().zip(up).map(|(&gate, &up)| activate(activation, gate) * up));
            }
            let by_inner = product(&mlp.down, weights, &inner, gradients, sight)?;
            for (row, by_inner) in values.chunks_exact_mut(2 * mlp.inner).zip(by_inner.chunks_exact(mlp.inner)) {
                let (gate, up) = row.split_at_mut(mlp.inner);
                gated(activation, gate, up, by_inner);
            }
            product(both, weights, x, &values, sight)
        }
    }
}

/// Puts the gradients by gates and scaled values in their place.
fn gated(activation: Activation, gates: &mut [f32], ups: &mut [f32], by_inner: &[f32]) {
    gates.par_iter_mut().zip(ups).zip(by_inner).for_each(|((gate, up), by)| {
        (*gate, *up) = (by * *up * slope(activation, *gate), by * activate(activation, *gate));
    });
}

/// Through a mixture of experts: the choice stays, the weights of the chosen move.
pub(super) fn mixture(
    experts: &Experts,
    weights: &dyn Weights,
    x: &[f32],
    width: usize,
    gradients: &[f32],
    sight: &mut Sight<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let chosen = route(experts, weights, x)?;
    let mut result = vec![0f32; x.len()];
    if let Some(shared) = &experts.shared {
        let mut given = gradients.to_vec();
        if let Some(gate) = &shared.gate {
            let gates = forward(gate, weights, x)?;
            let answers = forward_network(&shared.network, weights, x, width, &mut |_| Ok(()))?;
            let rows = given.chunks_exact_mut(width).zip(answers.chunks_exact(width));
            let by_gate: Vec<f32> = rows
                .zip(&gates)
                .map(|((given, answers), &gate)| {
                    let s = sigmoid(gate);
                    let by = given.iter().zip(answers).map(|(g, a)| g * a).sum::<f32>() * s * (1.0 - s);
                    given.iter_mut().for_each(|g| *g *= s);
                    by
                })
                .collect();
            add(&mut result, &product(gate, weights, x, &by_gate, sight)?);
        }
        add(&mut result, &network(&shared.network, weights, x, &given, sight)?);
    }
    // Gradients by the weight of each choice, in the order of `chosen`.
    let mut by_choice = vec![0f32; chosen.len()];
    for (index, expert) in experts.experts.iter().enumerate() {
        let (mut own, mut inputs, mut given) = (Vec::new(), Vec::new(), Vec::new());
        for (at, &(_, weight)) in chosen.iter().enumerate().filter(|(_, (choice, _))| *choice == index) {
            let row = at / experts.chosen * width;
            own.push(at);
            inputs.extend_from_slice(&x[row..row + width]);
            given.extend(gradients[row..row + width].iter().map(|g| g * weight));
        }
        if own.is_empty() {
            continue;
        }
        let answers = forward_network(expert, weights, &inputs, width, &mut |_| Ok(()))?;
        let by_inputs = network(expert, weights, &inputs, &given, sight)?;
        for ((&at, answers), by) in own.iter().zip(answers.chunks_exact(width)).zip(by_inputs.chunks_exact(width)) {
            let row = at / experts.chosen * width;
            by_choice[at] = gradients[row..row + width].iter().zip(answers).map(|(g, a)| g * a).sum();
            result[row..row + width].iter_mut().zip(by).for_each(|(sum, by)| *sum += by);
        }
    }
    let by_scores = router(experts, weights, x, &chosen, &by_choice)?;
    add(&mut result, &product(&experts.router, weights, x, &by_scores, sight)?);
    Ok(result)
}

/// Gradients by the router's scores of all experts.
fn router(
    experts: &Experts,
    weights: &dyn Weights,
    x: &[f32],
    chosen: &[(usize, f32)],
    by_choice: &[f32],
) -> Result<Vec<f32>, TransformerError> {
    let mut scores = forward(&experts.router, weights, x)?;
    let rows = scores.chunks_exact_mut(experts.experts.len());
    for ((scores, chosen), by) in rows.zip(chosen.chunks_exact(experts.chosen)).zip(by_choice.chunks(experts.chosen)) {
        crate::math::softmax(scores);
        // Weights are probabilities, or their shares of the chosen ones' sum; by the scores both have a softmax's derivative.
        let mean: f32 = chosen.iter().zip(by).map(|((_, weight), by)| weight * by).sum();
        let probabilities = scores.to_vec();
        let outside = if experts.renormalise { 0.0 } else { mean };
        scores.iter_mut().zip(&probabilities).for_each(|(score, p)| *score = -p * outside);
        for (&(expert, weight), &by) in chosen.iter().zip(by) {
            scores[expert] += weight * if experts.renormalise { by - mean } else { by };
        }
    }
    Ok(scores)
}
