//! The final passes over the whole tensor: the step is corrected from bytes really written.

use rayon::prelude::*;
use seedpress_codec::wire::Put;
use seedpress_codec::{EncodeError, Encoded, Role, Segment, Symbols};

use super::budget::Budget;
use super::rate_search::{OperatingPoint, RateSearch};
use super::tables::tables;
use crate::classes::Classes;
use crate::pass::{Outcome, Pass};
use crate::stream::{CHUNK, Params, fresh_models, write_chunk, write_models};

/// Passes after which the tables rest: the first ones still move them, so their rates make no bracket.
const MOVING: usize = 2;

impl RateSearch<'_> {
    /// Corrects the step on the whole tensor, from bytes really written. `row` is the length of a row of the stream.
    pub(crate) fn finish(
        &self,
        source: &impl Pass,
        budget: &Budget,
        point: OperatingPoint,
        row: usize,
    ) -> Result<Encoded, EncodeError> {
        let OperatingPoint { mut log_step, mut params, tables: mut costs } = point;
        let count = self.count as f64;
        // A byte more or less may be all there is to gain on a small tensor.
        let tolerance = self.search.tolerance.max(4.0 / count);
        let mut secant = Secant::default();
        let mut best: Option<(f64, Encoded)> = None;
        for pass in 0..self.search.passes {
            self.context.check_cancelled()?;
            let outcome = source.pass(true, &costs, params.step, params.shift);
            params.points = outcome.points(budget.most_points);
            let encoded = self.write(source, budget, &params, &outcome, row);
            let miss = encoded.payload_bytes() as f64 * 8.0 / count - budget.bits;
            if best.as_ref().is_none_or(|(least, _)| miss.abs() < *least) {
                best = Some((miss.abs(), encoded));
            }
            if miss.abs() <= tolerance || log_step <= budget.floor && miss < 0.0 || pass + 1 == self.search.passes {
                break;
            }
            log_step = budget.clamp(if pass < MOVING {
                costs = tables(&params, &outcome.counts, budget.lambda);
                log_step + miss.clamp(-2.0, 2.0)
            } else {
                secant.next(log_step, miss)
            });
            params.step = budget.step(log_step);
        }
        best.map(|(_, encoded)| encoded).ok_or_else(|| EncodeError::Internal("no pass was made".into()))
    }

    /// Writes what a pass chose.
    fn write(&self, source: &impl Pass, budget: &Budget, params: &Params, outcome: &Outcome, row: usize) -> Encoded {
        let classes = source.classes();
        let (models, table_bytes) = if outcome.choices.len() > 1 {
            write_models(&outcome.counts, params.shift)
        } else {
            (fresh_models(2 * usize::from(classes.count)), Vec::new())
        };
        let chunks: Vec<Vec<u8>> = outcome
            .choices
            .par_iter()
            .enumerate()
            .map(|(chunk, choice)| {
                let indices = choice.indices();
                let mut element_classes = vec![0u8; indices.len()];
                source.fill(chunk * CHUNK, &mut element_classes);
                let negative = |at: usize| choice.negative(at);
                write_chunk(self.code, params.shift, &models, &element_classes, &indices, negative)
            })
            .collect();
        let sides = [budget.weight_bytes.as_deref(), budget.class_bytes.as_deref()];
        assemble(params, classes, sides, table_bytes, &chunks, [self.count, row])
    }
}

/// The stream of coded column weights, classes and chunks of `count` weights in rows of `row`.
fn assemble(
    params: &Params,
    classes: &Classes,
    sides: [Option<&[u8]>; 2],
    table_bytes: Vec<u8>,
    chunks: &[Vec<u8>],
    [count, row]: [usize; 2],
) -> Encoded {
    let mut segments = Vec::new();
    for bytes in sides.into_iter().flatten() {
        segments.push(Segment::new(Role::Scales, Symbols::OPAQUE, bytes.to_vec()));
    }
    if let [heads @ .., _] = chunks
        && !heads.is_empty()
    {
        let mut bytes = Vec::new();
        heads.iter().for_each(|chunk| bytes.put_varint(chunk.len() as u64));
        bytes.extend(table_bytes);
        segments.push(Segment::new(Role::Tables, Symbols::OPAQUE, bytes));
    }
    // Coded already: the count is kept for reports, the packing says that there is nothing left to model.
    let symbols = Symbols { count: count as u64, row: u32::try_from(row).unwrap_or(0), ..Symbols::OPAQUE };
    segments.push(Segment::new(Role::Indices, symbols, chunks.concat()));
    let lengths: Vec<usize> = segments.iter().map(|segment| segment.bytes.len()).collect();
    Encoded::single(params.to_bytes(classes, lengths), segments)
}

/// Finds the zero of a falling function of slope about -1.
#[derive(Default)]
struct Secant {
    above: Option<(f64, f64)>,
    below: Option<(f64, f64)>,
}

impl Secant {
    fn next(&mut self, x: f64, y: f64) -> f64 {
        if y > 0.0 {
            self.above = Some((x, y))
        } else {
            self.below = Some((x, y))
        }
        match (self.above, self.below) {
            (Some((x0, y0)), Some((x1, y1))) => {
                // Regula falsi kept away from the ends, so that both of them move.
                let part = (y0 / (y0 - y1)).clamp(0.08, 0.92);
                x0 + (x1 - x0) * part
            }
            _ => x + y.clamp(-3.0, 3.0) * 1.02,
        }
    }
}
