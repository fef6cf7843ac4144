//! Products with weights, norms and activations on rows.

use rayon::prelude::*;
use seedpress_matrix::{View, multiply};

use crate::description::{Activation, First, Linear, Mlp, Norm, NormKind};
use crate::error::TransformerError;
use crate::math::{erf, sigmoid, sum, sum_of_squares};
use crate::weights::Weights;

/// Rows that a product's inputs are, as a tap sees them.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The weights they are multiplied by: those that share them come together.
    pub weights: &'a [&'a Linear],
    /// One vector a row.
    pub rows: &'a [f32],
    /// Values of a row.
    pub columns: usize,
}

/// Sees what each weight multiplies, before it does.
pub type Tap<'a> = dyn FnMut(Inputs<'_>) -> Result<(), TransformerError> + 'a;

/// `y = x w^T + b`.
pub(crate) fn linear(linear: &Linear, weights: &dyn Weights, x: &[f32]) -> Result<Vec<f32>, TransformerError> {
    let rows = x.len() / linear.inputs;
    let mut y = vec![0f32; rows * linear.outputs];
    if rows == 0 {
        return Ok(y);
    }
    let size = linear.inputs * linear.outputs;
    let start = linear.expert.unwrap_or(0) * size;
    let weight = weights.values(&linear.weight, start..start + size)?;
    let weight = match linear.transposed {
        true => View::new(&weight, linear.outputs),
        false => View::new(&weight, linear.inputs).t(),
    };
    multiply(&mut y, linear.outputs, View::new(x, linear.inputs), weight);
    if let Some(bias) = &linear.bias {
        let bias = weights.values(bias, 0..linear.outputs)?;
        y.par_chunks_exact_mut(linear.outputs).for_each(|row| {
            row.iter_mut().zip(bias.iter()).for_each(|(value, bias)| *value += bias);
        });
    }
    Ok(y)
}

/// Normalises rows that start `stride` values apart, in place: `parts` parts of each from `offset` on, `step` values from one to the
/// next.
pub(crate) fn normalise(
    norm: &Norm,
    weights: &dyn Weights,
    values: &mut [f32],
    size: usize,
    [stride, offset, parts, step]: [usize; 4],
) -> Result<(), TransformerError> {
    let mut gain = weights.values(&norm.weight, 0..size)?.into_owned();
    gain.iter_mut().for_each(|gain| *gain += norm.offset);
    let bias = norm.bias.as_ref().map(|bias| weights.values(bias, 0..size)).transpose()?;
    values.par_chunks_mut(stride).for_each(|row| {
        for part in 0..parts {
            let part = &mut row[offset + part * step..][..size];
            if norm.kind == NormKind::Layer {
                let mean = sum(part) / size as f32;
                part.iter_mut().for_each(|value| *value -= mean);
            }
            let scale = 1.0 / (sum_of_squares(part) / size as f32 + norm.epsilon).sqrt();
            part.iter_mut().zip(&gain).for_each(|(value, gain)| *value *= scale * gain);
            if let Some(bias) = &bias {
                part.iter_mut().zip(bias.iter()).for_each(|(value, bias)| *value += bias);
            }
        }
    });
    Ok(())
}

/// Normalises whole rows, where there is a norm.
pub(crate) fn normalised(
    norm: Option<&Norm>,
    weights: &dyn Weights,
    mut rows: Vec<f32>,
    width: usize,
) -> Result<Vec<f32>, TransformerError> {
    if let Some(norm) = norm {
        normalise(norm, weights, &mut rows, width, [width, 0, 1, width])?;
    }
    Ok(rows)
}

/// Of the hyperbolic tangent that stands for `Phi`: twice the root of 2 / pi, as `1 + tanh(x) = 2 sigmoid(2 x)`.
pub(crate) const SLOPE: f32 = 1.595_769;
/// What it counts the cube.
pub(crate) const CUBIC: f32 = 0.044_715;

#[inline(always)]
pub(crate) fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => x * sigmoid(SLOPE * (x + CUBIC * x * x * x)),
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0) * x.max(0.0),
    }
}

/// Values of a task of element-wise work.
const STRETCH: usize = 1 << 14;

fn apply(activation: Activation, values: &mut [f32]) {
    values.par_chunks_mut(STRETCH).for_each(|values| {
        values.iter_mut().for_each(|value| *value = activate(activation, *value));
    });
}

fn apply_gated(activation: Activation, gate: &mut [f32], up: &[f32]) {
    gate.par_chunks_mut(STRETCH).zip(up.par_chunks(STRETCH)).for_each(|(gate, up)| {
        gate.iter_mut().zip(up).for_each(|(gate, up)| *gate = activate(activation, *gate) * up);
    });
}

/// A network of two layers.
pub(crate) fn network(
    mlp: &Mlp,
    weights: &dyn Weights,
    x: &[f32],
    width: usize,
    tap: &mut Tap<'_>,
) -> Result<Vec<f32>, TransformerError> {
    let mut see = |weights: &[&Linear]| tap(Inputs { weights, rows: x, columns: width });
    let inner = match &mlp.first {
        First::Plain(up) => {
            see(&[up])?;
            let mut values = linear(up, weights, x)?;
            apply(mlp.activation, &mut values);
            values
        }
        First::Gated { gate, up } => {
            see(&[gate, up])?;
            let mut values = linear(gate, weights, x)?;
            apply_gated(mlp.activation, &mut values, &linear(up, weights, x)?);
            values
        }
        First::FusedGated(both) => {
            see(&[both])?;
            let both = linear(both, weights, x)?;
            let mut values = vec![0f32; both.len() / 2];
            let rows = values.par_chunks_exact_mut(mlp.inner).zip(both.par_chunks_exact(2 * mlp.inner));
            rows.for_each(|(row, both)| {
                let (gate, up) = both.split_at(mlp.inner);
                for ((value, &gate), &up) in row.iter_mut().zip(gate).zip(up) {
                    *value = activate(mlp.activation, gate) * up;
                }
            });
            values
        }
    };
    tap(Inputs { weights: &[&mlp.down], rows: &inner, columns: mlp.inner })?;
    linear(&mlp.down, weights, &inner)
}

/// `x += y`.
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    x.par_chunks_mut(STRETCH).zip(y.par_chunks(STRETCH)).for_each(|(x, y)| {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    });
}
