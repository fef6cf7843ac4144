//! `awq`: inputs that are large get their weights enlarged before rounding, so that these err less.
//!
//! Input `i` gets the scale `s_i = mean|x_i|^a`, normalised by the square root of the largest times the least; of 20 exponents `a` that of
//! the least output error wins. Then every group's extremes are shrunk in ten steps down to .55, again by the output error of the group
//! alone. The outputs' error over the calibration data is the quadratic form of the inputs' second moment, so that nothing is sampled.
//!
//! Published AWQ folds the scales into the layer before. A tensor's codec sees one layer only: the scales are stored, 16 bits an input,
//! and counted. Without calibration data nothing of the method is left but round-to-nearest on its grid.

use half::f16;
use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_calibration::{InputStatistics, output_error};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, TensorView,
};
use seedpress_entropy::binary::log2;
use serde::{Deserialize, Serialize};

use crate::grid::{Grid, Rule};
use crate::statistics::statistics;
use crate::stream::{Contents, group_size, power_for};

/// Exponents that are tried, and how far apart they are.
const EXPONENTS: u8 = 20;
const EXPONENT_STEP: f64 = 0.05;
/// Clipped ranges that are tried, and how far apart they are.
const CLIPS: u8 = 10;
const CLIP_STEP: f32 = 0.05;
/// Rows by which an exponent is judged, evenly spread: they agree on it.
const JUDGES: usize = 256;

/// Options of [`Awq`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwqOptions {
    /// Bits of a code. Scales and zero points come on top, (16 + bits) / group bits a weight, and 16 bits an input.
    pub bits: Int<2, 8>,
    /// Columns that share a scale in a row; 0 is a whole row.
    pub group: Int<0, 65536>,
    /// Search for clipped ranges.
    pub clip: bool,
}

impl Default for AwqOptions {
    fn default() -> Self {
        Self { bits: Int::of(4), group: Int::of(128), clip: true }
    }
}

/// AWQ.
#[derive(Debug, Clone)]
pub struct Awq(AwqOptions);

impl Codec for Awq {
    const ID: &'static str = "awq";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "integers, inputs scaled by their magnitudes in calibration data (AWQ); without any, round-to-nearest";
    type Config = AwqOptions;

    fn new(config: AwqOptions) -> Self {
        Self(config)
    }

    fn config(&self) -> &AwqOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { uses_calibration: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let (columns, group) = (tensor.columns(), self.0.group.size());
        let power = power_for(tensor.values());
        let values = power.down_all(tensor.values());
        let statistics = statistics(context, columns);
        let mut search = Search {
            rule: Rule { bits: self.0.bits.get() as u8, symmetric: false },
            columns,
            size: group_size(columns, group),
            clips: None,
        };
        let inputs = statistics.map(|statistics| search.inputs(&values, statistics));
        context.check_cancelled()?;
        let inputs = inputs.filter(|inputs| inputs.iter().any(|&scale| scale != f16::ONE));
        search.clips = statistics.filter(|_| self.0.clip);
        let rows: Vec<Row> = values.par_chunks(columns).map(|row| search.row(row, inputs.as_deref())).collect();
        context.advance(tensor.len());
        let grids = rows.iter().flat_map(|row| row.grids.iter().copied()).collect();
        let codes = rows.iter().flat_map(|row| row.codes.iter().copied()).collect();
        let rule = search.rule;
        Ok(Contents { rule, columns, group, power, grids, group_of: None, inputs, codes }.encode())
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        crate::stream::decode(encoded, out, limits)
    }
}

struct Search<'a> {
    rule: Rule,
    columns: usize,
    size: usize,
    /// By which ranges are clipped.
    clips: Option<&'a InputStatistics>,
}

struct Row {
    grids: Vec<Grid>,
    codes: Vec<u8>,
}

/// `2^x` for `|x| < 1000`, from plain arithmetic.
fn exp2(x: f64) -> f64 {
    let whole = x.floor();
    let t = (x - whole) * std::f64::consts::LN_2;
    let series = (1..=18).rev().fold(1.0, |sum, k| 1.0 + sum * t / f64::from(k));
    series * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// The scales of an exponent. Inputs that were always silent have none; they count neither for the largest nor for the least.
fn scales(mean_abs: &[f32], exponent: f64) -> Vec<f16> {
    /// As published: magnitudes below count as this.
    const LEAST: f64 = 1e-4;
    let raw: Vec<Option<f64>> =
        mean_abs.iter().map(|&x| (x > 0.0).then(|| exp2(exponent * log2(f64::from(x))).max(LEAST))).collect();
    let largest = raw.iter().flatten().copied().fold(0.0, f64::max);
    let least = raw.iter().flatten().copied().fold(largest, f64::min);
    let middle = (largest * least).sqrt();
    let scale = |raw: &Option<f64>| {
        let scale = raw.map_or(1.0, |raw| raw / middle);
        f16::from_f64(scale.clamp(f64::from(f16::MIN_POSITIVE), 65504.0))
    };
    raw.iter().map(scale).collect()
}

impl Search<'_> {
    /// The scales of least output error.
    fn inputs(&self, values: &[f32], statistics: &InputStatistics) -> Vec<f16> {
        let Some(mean_abs) = statistics.mean_abs() else { return vec![f16::ONE; self.columns] };
        let rows = values.len() / self.columns;
        let judges = rows.min(JUDGES);
        let chosen: Vec<f32> = (0..judges)
            .flat_map(|at| values[at * rows / judges * self.columns..][..self.columns].iter().copied())
            .collect();
        let error = |step: u8| {
            let inputs = scales(mean_abs, f64::from(step) * EXPONENT_STEP);
            let decoded: Vec<f32> =
                chosen.chunks_exact(self.columns).flat_map(|row| self.decoded(row, &inputs)).collect();
            let error = output_error(&chosen, &decoded, statistics).map_or(f64::INFINITY, |error| error.error);
            (error, inputs)
        };
        let tried: Vec<(f64, Vec<f16>)> = (0..EXPONENTS).into_par_iter().map(error).collect();
        let best = tried.into_iter().reduce(|best, next| if next.0 < best.0 { next } else { best });
        best.map_or_else(|| vec![f16::ONE; self.columns], |best| best.1)
    }

    /// What a row decodes to with these scales, nothing clipped.
    fn decoded(&self, row: &[f32], inputs: &[f16]) -> Vec<f32> {
        let groups = row.chunks(self.size).zip(inputs.chunks(self.size));
        groups
            .flat_map(|(weights, inputs)| {
                let scaled: Vec<f32> = weights.iter().zip(inputs).map(|(w, s)| w * s.to_f32()).collect();
                let grid = self.rule.fit(scaled.iter().copied());
                let decode = move |(w, s): (f32, &f16)| grid.value(self.rule.code(grid, w)) / s.to_f32();
                scaled.into_iter().zip(inputs).map(decode).collect::<Vec<f32>>()
            })
            .collect()
    }

    /// Grids and codes of a row.
    fn row(&self, row: &[f32], inputs: Option<&[f16]>) -> Row {
        let mut result = Row { grids: Vec::new(), codes: Vec::with_capacity(row.len()) };
        for (number, weights) in row.chunks(self.size).enumerate() {
            let first = number * self.size;
            let inputs: Vec<f32> = (first..first + weights.len())
                .map(|column| inputs.map_or(1.0, |inputs| inputs[column].to_f32()))
                .collect();
            let scaled: Vec<f32> = weights.iter().zip(&inputs).map(|(w, s)| w * s).collect();
            let grid = match self.clips {
                Some(statistics) => self.clipped(&scaled, &inputs, statistics, first),
                None => self.rule.fit(scaled.iter().copied()),
            };
            result.codes.extend(scaled.iter().map(|&value| self.rule.code(grid, value)));
            result.grids.push(grid);
        }
        result
    }

    /// The grid of least error at the output of a group alone.
    fn clipped(&self, scaled: &[f32], inputs: &[f32], statistics: &InputStatistics, first: usize) -> Grid {
        let largest = scaled.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let mut best = (f64::INFINITY, self.rule.fit(scaled.iter().copied()));
        for step in 0..CLIPS {
            let limit = largest * (1.0 - CLIP_STEP * f32::from(step));
            let grid = self.rule.fit(scaled.iter().map(|value| value.clamp(-limit, limit)));
            let miss = |(&value, &scale): (&f32, &f32)| (value - grid.value(self.rule.code(grid, value))) / scale;
            let errors: Vec<f32> = scaled.iter().zip(inputs).map(miss).collect();
            let error = form(&errors, statistics, first);
            if error < best.0 {
                best = (error, grid);
            }
        }
        best.1
    }
}

/// The quadratic form of errors in the columns from `first` on.
fn form(errors: &[f32], statistics: &InputStatistics, first: usize) -> f64 {
    let squares = &statistics.mean_square()[first..];
    let Some(moment) = statistics.second_moment() else {
        return errors.iter().zip(squares).map(|(e, s)| f64::from(e * e) * f64::from(*s)).sum();
    };
    let rows = moment.chunks_exact(statistics.columns()).skip(first);
    let inner = |row: &[f32]| -> f64 {
        let mut lanes = [0f32; 8];
        for (row, errors) in row[first..first + errors.len()].chunks(8).zip(errors.chunks(8)) {
            lanes.iter_mut().zip(row.iter().zip(errors)).for_each(|(lane, (&h, &e))| *lane += h * e);
        }
        f64::from(lanes.iter().sum::<f32>())
    };
    errors.iter().zip(rows).map(|(&error, row)| f64::from(error) * inner(row)).sum()
}
