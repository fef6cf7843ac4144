//! Rows whose codecs a plan chooses: `codec = "plan"`.
//!
//! A plan is made per model when its first cell is measured, from sensitivities kept in the cache, and leaves behind what it was made
//! of: `plans.jsonl` for the report, and `plans/<model>-<row>.toml` to edit and to follow.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use seedpress_codec::{AnyCodec, InputStatistics, Registry, Tensor};
use seedpress_plan::gradient;
use seedpress_plan::options::Costs;
use seedpress_plan::{Context, Ladder, Options, Part, Plan, Sensitivity, Subject};
use seedpress_results::{AssignmentRow, PlanRow, SensitivityRow};
use seedpress_transformer::CalibrationText;
use seedpress_transformer::calibration_text::Step;

use crate::cache::write_atomically;
use crate::config::CodecRow;
use crate::matrix::Matrix;
use crate::source::{Source, TensorInfo};

/// A model as the planner sees it.
pub struct Planned<'a> {
    source: &'a Source,
    parts: Vec<Part>,
    divergence: bool,
}

impl<'a> Planned<'a> {
    /// A model under a small-tensor policy.
    ///
    /// # Errors
    /// Calibration data that cannot be read.
    pub fn new(source: &'a Source, keeps: impl Fn(&TensorInfo) -> bool) -> Result<Self, String> {
        let part = |info: &TensorInfo| Part {
            name: info.name.clone(),
            shape: info.shape.clone(),
            weights: info.weights as u64,
            layer_type: info.layer_type.clone(),
            hash: info.hash.clone(),
            kept: keeps(info),
        };
        let parts = source.tensors.iter().map(part).collect();
        Ok(Self { source, parts, divergence: source.has_divergence()? })
    }
}

impl Subject for Planned<'_> {
    fn name(&self) -> &str {
        &self.source.name
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn load(&self, part: usize) -> Result<Tensor, String> {
        self.source.load(&self.source.tensors[part])
    }

    fn file(&self, records: Vec<seedpress_codec::Record>) -> Result<seedpress_checkpoint::Container, String> {
        self.source.container(records)
    }

    fn calibration(&self, part: usize) -> Result<Option<&InputStatistics>, String> {
        self.source.calibration(&self.source.tensors[part])
    }

    fn has_divergence(&self) -> bool {
        self.divergence
    }

    fn divergence(&self, tensors: &[Tensor]) -> Result<f64, String> {
        self.source.divergence(tensors)
    }
}

/// Makes the plan of a row for a model and writes down what it was made of; the codec of each tensor that is not kept.
///
/// # Errors
/// Why there is no plan, in one line.
pub(crate) fn make(
    model: &Source,
    row: &CodecRow,
    options: &Options,
    matrix: &Matrix,
    context: &Context<'_>,
    out: &Path,
) -> Result<HashMap<String, AnyCodec>, String> {
    let command = format!("row {} of run {}", row.name(), matrix.run.name);
    if let Some(text) = model.weighted_text().filter(|_| by_gradients(options, context.registry)) {
        let plan = shared(model, text, options, matrix, context).map_err(|error| format!("no plan: {error}"))?;
        let otherwise = context.registry.parse(&options.ladder).map_err(|error| error.to_string())?;
        return write(plan, row, (&command, &otherwise), matrix, Vec::new(), out);
    }
    let planned = Planned::new(model, |info| matrix.run.keeps(&info.shape, info.weights))?;
    let ladder = options.ladder(context.registry).map_err(|error| error.to_string())?;
    let target = options.target(context.registry).map_err(|error| error.to_string())?;
    let (profile, rounds) = (options.costs.profile(), options.rounds.size());
    let (plan, sensitivity) = seedpress_plan::plan(&planned, &ladder, &target, profile, rounds, context)
        .map_err(|error| format!("no plan: {error}"))?;
    let otherwise = &ladder.rungs[ladder.rungs.len() - 1].codec;
    let sensitivities = sensitivities(&planned, &ladder, &plan, &sensitivity);
    write(plan, row, (&command, otherwise), matrix, sensitivities, out)
}

/// Whether a plan is made of the gradients of a language model: its costs are measured ones, and its one codec minimises them.
fn by_gradients(options: &Options, registry: &Registry) -> bool {
    let fits = |codec: AnyCodec| codec.capabilities().targets_bits && codec.capabilities().uses_calibration;
    let one = !options.ladder.contains(char::is_whitespace);
    options.costs == Costs::Measured && one && registry.parse(&options.ladder).is_ok_and(fits)
}

/// A plan by what errors cost, without encoding anything, as `seedpress plan --calibration` makes it.
fn shared(
    model: &Source,
    text: &CalibrationText,
    options: &Options,
    matrix: &Matrix,
    context: &Context<'_>,
) -> Result<Plan, String> {
    let free = model.tensors.iter().filter(|info| !matrix.run.keeps(&info.shape, info.weights));
    let names: HashSet<&str> = free.map(|info| info.name.as_str()).collect();
    let mut watch = |step: Step<'_>| {
        match step {
            Step::Weighed(done, count) => (context.progress)(done, count, "weighed sequences"),
            Step::Priced(done, name) => (context.progress)(done, names.len(), name),
        }
        !context.stop.load(Ordering::Relaxed)
    };
    let spectra = text.spectra(&|name| names.contains(name), context.store, &mut watch);
    let spectra = spectra.map_err(|error| error.to_string())?;
    let target = options.target(context.registry).map_err(|error| error.to_string())?;
    let target = target.bytes(model.weight_count());
    let target = target.ok_or("`like` needs sizes that were encoded: name `bits` for a plan by gradients")?;
    let tensors = model.tensors.iter().map(|info| gradient::Tensor {
        name: &info.name,
        weights: info.weights as u64,
        bytes: (info.weights * info.dtype.size()) as u64,
    });
    let tensors: Vec<gradient::Tensor<'_>> = tensors.collect();
    let plan = gradient::plan(&model.name, &tensors, &spectra, &options.ladder, 0, target, context.registry);
    plan.map_err(|error| error.to_string())
}

/// Writes down a plan and what it was made of; the codec of each tensor it decided about.
fn write(
    plan: Plan,
    row: &CodecRow,
    (command, otherwise): (&str, &AnyCodec),
    matrix: &Matrix,
    mut rows: Vec<PlanRow>,
    out: &Path,
) -> Result<HashMap<String, AnyCodec>, String> {
    let name = row.name();
    rows.extend(assignments(&plan, &name));
    seedpress_results::append_plans(out, &rows).map_err(|error| error.to_string())?;
    let slug: String = format!("{}-{name}", plan.model)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let text = seedpress_plan::file::to_toml(&plan, command, matrix.run.keep_below.size(), otherwise);
    let folder = out.join("plans");
    write_atomically(&folder, &folder.join(format!("{slug}.toml")), text.as_bytes())
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(plan.assignments.into_iter().map(|assignment| (assignment.tensor, assignment.codec)).collect())
}

fn sensitivities(model: &Planned<'_>, ladder: &Ladder, plan: &Plan, sensitivity: &Sensitivity) -> Vec<PlanRow> {
    let mut rows = Vec::new();
    for (&part, points) in sensitivity.free.iter().zip(&sensitivity.points) {
        let part = &model.parts[part];
        for (rung, point) in ladder.rungs.iter().zip(points) {
            rows.push(PlanRow::Sensitivity(SensitivityRow {
                model: plan.model.clone(),
                tensor: part.name.clone(),
                layer_type: part.layer_type.clone(),
                codec: rung.codec.name(),
                weights: part.weights,
                bytes: point.bytes,
                squared_error: point.squared_error,
                energy: point.energy,
                divergence: point.divergence,
            }));
        }
    }
    rows
}

fn assignments<'a>(plan: &'a Plan, name: &'a str) -> impl Iterator<Item = PlanRow> + 'a {
    plan.assignments.iter().map(move |assignment| {
        PlanRow::Assignment(AssignmentRow {
            model: plan.model.clone(),
            plan: name.to_owned(),
            tensor: assignment.tensor.clone(),
            codec: assignment.codec.name(),
            weights: assignment.weights,
            bytes: assignment.bytes,
            divergence: assignment.cost,
            file_bytes: plan.bytes,
            profile: plan.profile.map_or_else(String::new, |profile| profile.name().to_owned()),
            joint: plan.joint,
            uniform: plan.uniform,
        })
    })
}
