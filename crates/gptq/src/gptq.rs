//! `gptq`: columns are rounded one after another, each making up for the errors of those before it.
//!
//! Grids are those of GPTQ's quantiser, with binary16 scales from the start, so that codes are chosen for the numbers that are stored. A
//! group's grid is fitted when the sweep enters it, to the weights as updated by then; with `static_groups`, or one group a row, before
//! the sweep. In activation order, without `static_groups`, a group is what the sweep visits together, and every column stores its
//! group, as `g_idx` does in checkpoints.
//!
//! Without the second moment of a layer's inputs nothing can be made up for: codes are then plain rounding on the same grids.

use rayon::prelude::*;
use schemars::JsonSchema;
use seedpress_calibration::{Factor, Order, Quantizer, sweep};
use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Int, Limits, Number, TensorView,
};
use serde::{Deserialize, Serialize};

use crate::grid::{Grid, Rule};
use crate::statistics::statistics;
use crate::stream::{Contents, group_size, groups_of, power_for};

/// Rows that are swept together: about as many as fill the caches.
const STRIP: usize = 64;

/// Options of [`Gptq`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GptqOptions {
    /// Bits of a code: 2, 3, 4 and 8 are those checkpoints use. A scale comes on top, 16 / group bits a weight, and without a symmetric grid a
    /// zero point, bits / group.
    pub bits: Int<2, 8>,
    /// Columns that share a scale in a row; 0 is a whole row.
    pub group: Int<0, 65536>,
    /// Grids symmetric about zero; otherwise between the extremes of a group, with a zero point.
    pub symmetric: bool,
    /// Columns of the largest inputs first ("act-order", "desc_act").
    pub activation_order: bool,
    /// Fit all grids before the sweep: groups stay neighbours in activation order.
    pub static_groups: bool,
    /// Try grids shrunk down to a fifth and keep that of least squared error ("mse").
    pub search: bool,
    /// Added to the diagonal of the second moment, in parts of its mean.
    pub damping: Number<1, 1000>,
}

impl Default for GptqOptions {
    fn default() -> Self {
        Self {
            bits: Int::of(4),
            group: Int::of(128),
            symmetric: true,
            activation_order: false,
            static_groups: false,
            search: false,
            damping: Number::of(seedpress_calibration::DAMPING),
        }
    }
}

/// GPTQ.
#[derive(Debug, Clone)]
pub struct Gptq(GptqOptions);

impl Codec for Gptq {
    const ID: &'static str = "gptq";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str =
        "integers with error feedback from calibration data (GPTQ); without any, round-to-nearest on the same grid";
    type Config = GptqOptions;

    fn new(config: GptqOptions) -> Self {
        Self(config)
    }

    fn config(&self) -> &GptqOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { uses_calibration: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let columns = tensor.columns();
        let order = if self.0.activation_order { Order::Activation } else { Order::Natural };
        let statistics = statistics(context, columns);
        let factor = statistics.and_then(|statistics| Factor::new(statistics, self.0.damping.get(), order));
        context.check_cancelled()?;
        let power = power_for(tensor.values());
        let values = power.down_all(tensor.values());
        let plan = Plan::new(&self.0, columns, factor.as_ref());
        let strips: Vec<Strip<'_>> = values
            .par_chunks(STRIP * columns)
            .map(|values| {
                context.check_cancelled()?;
                let strip = plan.strip(values, factor.as_ref());
                context.advance(values.len());
                Ok(strip)
            })
            .collect::<Result<_, EncodeError>>()?;
        let grids = strips.iter().flat_map(|strip| strip.grids.iter().copied()).collect();
        let codes = strips.iter().flat_map(|strip| strip.codes.iter().copied()).collect();
        let group_of = plan.visited.then(|| plan.group_of.clone());
        let group = self.0.group.size();
        Ok(Contents { rule: plan.rule, columns, group, power, grids, group_of, inputs: None, codes }.encode())
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
        crate::stream::decode(encoded, out, limits)
    }
}

/// What all rows have in common.
struct Plan {
    rule: Rule,
    search: bool,
    columns: usize,
    size: usize,
    groups: usize,
    /// Grids are fitted during the sweep.
    moving: bool,
    /// Groups are what the sweep visits together.
    visited: bool,
    group_of: Vec<u32>,
}

impl Plan {
    fn new(options: &GptqOptions, columns: usize, factor: Option<&Factor>) -> Self {
        let (size, groups) = (group_size(columns, options.group.size()), groups_of(columns, options.group.size()));
        let moving = factor.is_some() && groups > 1 && !options.static_groups;
        let mut group_of: Vec<u32> = (0..columns).map(|column| (column / size) as u32).collect();
        let visited = moving && options.activation_order;
        if let Some(factor) = factor.filter(|_| visited) {
            factor.order().iter().enumerate().for_each(|(at, &column)| group_of[column] = (at / size) as u32);
        }
        let rule = Rule { bits: options.bits.get() as u8, symmetric: options.symmetric };
        Self { rule, search: options.search, columns, size, groups, moving, visited, group_of }
    }

    /// Quantises some rows.
    fn strip(&self, values: &[f32], factor: Option<&Factor>) -> Strip<'_> {
        let rows = values.len() / self.columns;
        let mut strip = Strip {
            plan: self,
            grids: vec![Grid::default(); rows * self.groups],
            codes: vec![0; values.len()],
            entered: 0,
        };
        if !self.moving {
            let groups = values.chunks_exact(self.columns).flat_map(|row| row.chunks(self.size));
            strip.grids.iter_mut().zip(groups).for_each(|(grid, group)| *grid = self.fit(group));
        }
        match factor {
            Some(factor) => {
                sweep(factor, values, 1, &mut strip);
            }
            None => {
                for (at, &value) in values.iter().enumerate() {
                    strip.round(at / self.columns, at % self.columns, value);
                }
            }
        }
        strip
    }

    fn fit(&self, values: &[f32]) -> Grid {
        /// The steps of GPTQ's own search.
        const STEPS: u8 = 80;
        let (low, high) = values.iter().fold((0f32, 0f32), |(low, high), &value| (low.min(value), high.max(value)));
        let full = self.rule.between(low, high);
        if !self.search {
            return full;
        }
        let mut best = (f64::INFINITY, full);
        for step in 0..STEPS {
            let shrink = 1.0 - f32::from(step) / 100.0;
            let grid = self.rule.between(low * shrink, high * shrink);
            let miss = |&value: &f32| f64::from(value - grid.value(self.rule.code(grid, value))).powi(2);
            let error = values.iter().map(miss).sum();
            if error < best.0 {
                best = (error, grid);
            }
        }
        best.1
    }
}

/// Some rows as quantised so far.
struct Strip<'a> {
    plan: &'a Plan,
    grids: Vec<Grid>,
    codes: Vec<u8>,
    /// Groups that the sweep has entered.
    entered: usize,
}

impl Strip<'_> {
    fn round(&mut self, row: usize, column: usize, value: f32) -> f32 {
        let grid = self.grids[row * self.plan.groups + self.plan.group_of[column] as usize];
        let code = self.plan.rule.code(grid, value);
        self.codes[row * self.plan.columns + column] = code;
        grid.value(code)
    }
}

impl Quantizer for Strip<'_> {
    fn group(&self) -> usize {
        if self.plan.moving { self.plan.size } else { 0 }
    }

    fn prepare(&mut self, columns: &[usize], aims: &[f32]) {
        let rows = aims.len() / columns.len();
        for row in 0..rows {
            let values: Vec<f32> = aims[row..].iter().step_by(rows).copied().collect();
            self.grids[row * self.plan.groups + self.entered] = self.plan.fit(&values);
        }
        self.entered += 1;
    }

    fn quantize(&mut self, columns: &[usize], aims: &[f32], out: &mut [f32]) {
        let rows = aims.len() / columns.len();
        for (at, (&aim, out)) in aims.iter().zip(out).enumerate() {
            *out = self.round(at % rows, columns[at / rows], aim);
        }
    }
}
