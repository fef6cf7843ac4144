//! `seedpress plan`.

use std::io::IsTerminal;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use seedpress::Registry;
use seedpress::codec::AnyCodec;
use seedpress_bench::cache::Cache;
use seedpress_bench::config::{Location, ModelSpec, Origin};
use seedpress_bench::planning::Planned;
use seedpress_bench::source::{OpenError, Source};
use seedpress_checkpoint::{Output, companions};
use seedpress_plan::{Context, Ladder, Plan, PlanError, Profile, Target};

use crate::bench::repository_root;
use crate::calibration::Text;
use crate::common::{Reporting, Threads, output};
use crate::compress::files;
use crate::failure::{Failure, Outcome};
use crate::language_plan::{self, Wanted};
use crate::print::{line, parse_bytes, text};
use crate::stop::stop_flag;

/// What to plan for and how small.
#[derive(Args)]
#[command(
    group = ArgGroup::new("size").required(true).args(["bits", "ratio", "target_bytes", "like"]),
    after_help = "A model of the zoo is measured: each tensor alone through each codec, on calibration data that no evaluation uses. A file has
no data: squared errors are weighed by a profile of its kind of model. Measurements are kept: a stopped plan goes on where it was.
  seedpress plan fashion-mlp --bits 3 -o plan.toml
  seedpress plan silero-vad --like trellis:bits=2 -o plan.toml
  seedpress plan smollm2-135m --calibration text.jsonl --target-bytes 50000000 --codec trellis:hessian=full -o plan.toml
  seedpress plan model.safetensors --ratio 30 --profile transformer --codec trellis --codec q8_0 -o plan.toml
  seedpress compress model.safetensors --plan plan.toml -o model.sdp"
)]
pub(crate) struct Arguments {
    /// A model of the zoo, or any file or folder of weights that compress reads; with --calibration a language model
    model: String,
    /// Bits per weight of the whole file, everything counted
    #[arg(long)]
    bits: Option<f64>,
    /// Times smaller than 32-bit floats
    #[arg(long)]
    ratio: Option<f64>,
    /// Bytes of the whole file, as 60000000 or 60MB
    #[arg(long, visible_alias = "size", value_name = "SIZE", value_parser = parse_bytes)]
    target_bytes: Option<u64>,
    /// The size of the file that this codec makes
    #[arg(long, value_name = "CODEC")]
    like: Option<String>,
    /// A codec to choose from, id or id:key=value,..; without a rate it stands for several; repeatable [default: trellis]
    #[arg(long, value_name = "CODEC")]
    codec: Vec<String>,
    #[command(flatten)]
    text: Text,
    /// Weigh squared errors for this kind of model instead of measuring: transformer, cnn, recurrent or embedding
    #[arg(long)]
    profile: Option<String>,
    /// Rounds of correction by what the whole model does
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Tensors with fewer weights, and those of rank 0 and 1, are kept as they are
    #[arg(long, value_name = "N", default_value_t = 1024)]
    keep_below: usize,
    /// Count no files beside the weights of a folder: for `compress --weights-only`
    #[arg(long)]
    weights_only: bool,
    /// The plan to write
    #[arg(short, long)]
    output: PathBuf,
    /// Replace the output if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    reporting: Reporting,
}

/// Makes a plan.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.reporting.begin();
    arguments.threads.begin()?;
    let registry = seedpress::registry();
    let read = [Some(Path::new(&arguments.model)), arguments.text.calibration.as_deref()];
    let read: Vec<&Path> = read.into_iter().flatten().collect();
    let file = output(&arguments.output, arguments.force, &read)?;
    let names = if arguments.codec.is_empty() { "trellis".to_owned() } else { arguments.codec.join(" ") };
    let ladder = Ladder::parse(&names, &registry).map_err(Failure::usage)?;
    let target = target(arguments, &registry)?;
    let profile = arguments.profile.as_deref().map(profile).transpose()?;

    let keep_below = arguments.keep_below;
    let keeps = |shape: &[usize], weights: usize| keep_below > 0 && (shape.len() <= 1 || weights < keep_below);
    if let Some(text) = &arguments.text.calibration {
        let (plan, otherwise) = with_text(arguments, text, &target, &keeps, &registry)?;
        return finish(arguments, file, &plan, &otherwise);
    }
    let origin = match seedpress_zoo::info(&arguments.model) {
        Some(info) => Origin::Zoo(info.name.to_owned()),
        None => Origin::File(PathBuf::from(&arguments.model)),
    };
    let at = Location { path: PathBuf::from(&arguments.model), line: 1, column: 1 };
    let spec =
        ModelSpec { name: arguments.model.clone(), origin, include: Vec::new(), exclude: Vec::new(), draws: None, at };
    let source = Source::open(&spec).map_err(|error| match error {
        OpenError::Absent(message) | OpenError::Wrong(message) => Failure::data(message),
    })?;
    let subject = Planned::new(&source, |info| keeps(&info.shape, info.weights)).map_err(Failure::data)?;

    let bar = progress_bar(arguments.reporting.quiet);
    let progress = |done: usize, total: usize, what: &str| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(what.to_owned());
    };
    let stop = stop_flag("the measurement at work")?;
    let cache = Cache::new(repository_root().join(".seedpress-cache"));
    let context = Context { registry: &registry, store: &cache, progress: &progress, stop: &stop };
    let made = seedpress_plan::plan(&subject, &ladder, &target, profile, arguments.rounds, &context);
    bar.finish_and_clear();
    let (plan, _) = made.map_err(|error| match error {
        PlanError::Stopped => Failure::interrupted("stopped: measurements are kept, the same command goes on"),
        PlanError::Config(error) => Failure::usage(error),
        error => Failure::data(error),
    })?;
    let otherwise = &ladder.rungs[ladder.rungs.len() - 1].codec;
    finish(arguments, file, &plan, otherwise)
}

/// The size to plan for.
fn target(arguments: &Arguments, registry: &Registry) -> Result<Target, Failure> {
    let positive = |key: &str, value: f64| {
        let sound = value.is_finite() && value > 0.0;
        if sound { Ok(value) } else { Err(Failure::usage(format!("--{key} must be a number above 0"))) }
    };
    Ok(match (arguments.bits, arguments.ratio, arguments.target_bytes, &arguments.like) {
        (Some(bits), ..) => Target::Bits(positive("bits", bits)?),
        (_, Some(ratio), ..) => Target::Ratio(positive("ratio", ratio)?),
        (_, _, Some(bytes), _) => Target::Bytes(bytes),
        (.., like) => Target::Like(registry.parse(like.as_deref().unwrap_or_default()).map_err(Failure::usage)?),
    })
}

fn profile(name: &str) -> Result<Profile, Failure> {
    let legal = Profile::ALL.map(Profile::name).join(", ");
    let unknown = || Failure::usage(format!("--profile: unknown profile `{name}`: legal values are {legal}"));
    Profile::from_name(name).ok_or_else(unknown)
}

/// A plan of one codec for a language model with calibration text, and the codec.
fn with_text(
    arguments: &Arguments,
    text: &Path,
    target: &Target,
    keep: &dyn Fn(&[usize], usize) -> bool,
    registry: &Registry,
) -> Result<(Plan, AnyCodec), Failure> {
    let codec = match arguments.codec.as_slice() {
        [] => "trellis:hessian=full",
        [codec] => codec,
        _ => return Err(Failure::usage("--codec: a plan with calibration text shares the bits of one codec")),
    };
    let otherwise = registry.parse(codec).map_err(Failure::usage)?;
    if !otherwise.capabilities().targets_bits {
        return Err(Failure::usage(format!("--codec {codec}: only codecs of any rate can be planned with text")));
    }
    let model = Path::new(&arguments.model);
    let beside = if arguments.weights_only { 0 } else { companions::packed_len(&files(model)?) };
    let wanted = Wanted { codec, target, beside, keep };
    Ok((language_plan::plan(model, &arguments.text, text, &wanted, registry)?, otherwise))
}

/// Hidden where nobody looks.
fn progress_bar(quiet: bool) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() && !quiet { ProgressBar::new(1) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed}  {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// Writes the plan and shows it.
fn finish(arguments: &Arguments, mut file: Output, plan: &Plan, otherwise: &AnyCodec) -> Outcome {
    let command: Vec<String> = std::iter::once("seedpress".to_owned()).chain(std::env::args().skip(1)).collect();
    let text = seedpress_plan::file::to_toml(plan, &command.join(" "), arguments.keep_below, otherwise);
    file.write_all(text.as_bytes()).map_err(Failure::data)?;
    file.finish().map_err(Failure::data)?;
    if arguments.reporting.json {
        line!("{}", as_json(arguments, plan));
        return Ok(());
    }
    if arguments.reporting.quiet {
        return Ok(());
    }
    text!("{}", table(plan));
    line!(
        "{}: {} bytes of {} allowed, {:.3} bits per weight",
        arguments.output.display(),
        plan.bytes,
        plan.target,
        plan.bits()
    );
    Ok(())
}

/// The plan as programs read it.
fn as_json(arguments: &Arguments, plan: &Plan) -> serde_json::Value {
    let one = |assignment: &seedpress_plan::Assignment| {
        serde_json::json!({
            "tensor": assignment.tensor, "codec": assignment.codec.name(), "weights": assignment.weights,
            "bytes": assignment.bytes, "divergence": assignment.cost,
        })
    };
    serde_json::json!({
        "output": arguments.output.display().to_string(), "model": plan.model, "target": plan.target,
        "bytes": plan.bytes, "weights": plan.weights, "divergence": plan.joint, "divergence_at_one_rate": plan.uniform,
        "assumptions": plan.assumptions, "tensors": plan.assignments.iter().map(one).collect::<Vec<_>>(),
    })
}

/// The plan as people read it.
fn table(plan: &Plan) -> String {
    let wide = plan.assignments.iter().map(|assignment| assignment.tensor.len()).max().unwrap_or(0).max(6);
    let name = |codec: &AnyCodec| codec.name();
    let long = plan.assignments.iter().map(|assignment| name(&assignment.codec).len()).max().unwrap_or(0).max(5);
    let mut text = format!(
        "{:wide$}  {:long$}  {:>11}  {:>9}  {:>10}\n",
        "tensor", "codec", "bits/weight", "of file", "divergence"
    );
    for assignment in &plan.assignments {
        let bits = 8.0 * assignment.bytes as f64 / assignment.weights as f64;
        let share = 100.0 * assignment.bytes as f64 / plan.bytes as f64;
        let (tensor, codec, cost) = (&assignment.tensor, name(&assignment.codec), assignment.cost);
        text += &format!("{tensor:wide$}  {codec:long$}  {bits:>11.3}  {share:>7.1} %  {cost:>10.3e}\n");
    }
    for assumption in &plan.assumptions {
        text += &format!("assumed: {assumption}\n");
    }
    if let Some(joint) = plan.joint {
        let uniform = plan.uniform.map_or_else(String::new, |value| format!(", {value:.3e} at one rate for all"));
        text += &format!("divergence of the whole model on calibration data: {joint:.3e}{uniform}\n");
    }
    text
}
