//! The multipliers of every prefix: least squares over the whole tensor. A longer prefix minimises over a larger space, so a layer never
//! adds to the error that counts.

use std::sync::Arc;

use rayon::prelude::*;
use seedpress_matrix::{View, product};

use crate::beam::{Code, Codes};
use crate::block::{Block, Counts};
use crate::codebook::Codebook;
use crate::config::Shape;
use crate::fed::OutputForm;
use crate::least_squares::Fit;
use crate::search::EVEN;

/// Rows whose products with a form are held together.
const STRIP: usize = 64;

/// The multipliers of every prefix.
pub(crate) fn multipliers(
    shape: &Shape,
    codebooks: &[Arc<Codebook>],
    blocks: &[Block<'_>],
    codes: &[Codes],
) -> Vec<Vec<f32>> {
    let stages = shape.stages();
    let partial = |(blocks, codes): (&[Block<'_>], &[Codes])| {
        let mut fit = Fit::new(stages);
        let mut terms = vec![0f64; stages];
        for (block, codes) in blocks.iter().zip(codes) {
            for (index, &value) in block.values.iter().enumerate() {
                for (term, (code, codebook)) in terms.iter_mut().zip(codes.iter().zip(codebooks)) {
                    *term = f64::from(contribution(codebook, *code, index, block.gain));
                }
                let mut value = f64::from(value);
                if let Counts::Each(importance) = &block.counts {
                    let root = (f64::from(importance[index]) / f64::from(EVEN)).sqrt();
                    terms.iter_mut().for_each(|term| *term *= root);
                    value *= root;
                }
                fit.add(&terms, value);
            }
        }
        fit
    };
    let parts: Vec<Fit> = blocks.par_chunks(1024).zip(codes.par_chunks(1024)).map(partial).collect();
    solved(shape, parts)
}

/// What a stage adds to a block's weight `index`, in units of the multiplier.
fn contribution(codebook: &Codebook, code: Code, index: usize, gain: f32) -> f32 {
    let value = codebook.values()[code.position as usize + index] * gain;
    match code {
        _ if code.position as usize >= codebook.len() => 0.0,
        Code { negative: true, .. } => -value,
        _ => value,
    }
}

/// Sums the parts in their order, not in that of the threads, and solves for every prefix.
fn solved(shape: &Shape, parts: Vec<Fit>) -> Vec<Vec<f32>> {
    let fit = parts.into_iter().fold(Fit::new(shape.stages()), Fit::plus);
    (1..=shape.layers).map(|layers| fit.solve(layers * shape.terms).iter().map(|&a| a as f32).collect()).collect()
}

/// The multipliers under the quadratic form of the output error. `values` in rows of the form's columns, cut into blocks without regard
/// to rows; a gain a block.
pub(crate) fn under_form(
    shape: &Shape,
    codebooks: &[Arc<Codebook>],
    form: &OutputForm<'_>,
    values: &[f32],
    gains: &[f32],
    codes: &[Codes],
) -> Vec<Vec<f32>> {
    let (stages, columns) = (shape.stages(), form.columns());
    let strip = STRIP * columns;
    let parts = values.par_chunks(strip).enumerate().map(|(number, values)| {
        let first = number * strip;
        // The weights, then what every stage adds, one matrix of rows below another.
        let mut rows = Vec::with_capacity((stages + 1) * values.len());
        rows.extend_from_slice(values);
        for (stage, codebook) in codebooks[..stages].iter().enumerate() {
            rows.extend((first..first + values.len()).map(|at| {
                let (block, index) = (at / shape.block, at % shape.block);
                contribution(codebook, codes[block][stage], index, gains[block])
            }));
        }
        let mut pulls = product(View::new(&rows, columns), View::new(form.moment, columns));
        pulls.iter_mut().zip(&rows).for_each(|(pull, &value)| *pull += form.ridge * value);
        let mut fit = Fit::new(stages);
        fit.add_products(&rows, &pulls);
        fit
    });
    solved(shape, parts.collect())
}
