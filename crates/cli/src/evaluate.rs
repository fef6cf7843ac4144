//! `seedpress evaluate`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use seedpress_transformer::evaluate::{Comparison, Estimate, Evaluation, Subject, evaluate};
use seedpress_transformer::text::windows;
use serde_json::json;

use crate::common::{Reporting, Threads};
use crate::failure::{Failure, Outcome};
use crate::language::{self, Language};
use crate::print::{line, note};
use crate::stop::stop_flag;

/// What to evaluate, and on what.
#[derive(Args)]
#[command(after_help = "  seedpress evaluate checkpoint-folder --text held-out.txt
  seedpress evaluate model.sdp --against checkpoint-folder --text held-out-folder
  seedpress evaluate model.sdp --against smollm2-135m --text held-out.jsonl --noise-floor --json
A model is a folder with config.json, weights and tokenizer.json, a language model that `seedpress models fetch` brought, or an .sdp file or
any other file that compress reads, which takes configuration and tokenizer from --config, from its own folder or from the reference. Text is a plain file (one document), a
.jsonl file (a document {\"text\": ..} a line) or a folder of these. Intervals are 95 %, by resampling documents. Do not evaluate on text
that calibrated the model.")]
pub(crate) struct Arguments {
    /// A checkpoint folder, a fetched language model, an .sdp file, or any file of weights that compress reads
    model: PathBuf,
    /// The model that it is compared with
    #[arg(long, value_name = "REFERENCE")]
    against: Option<PathBuf>,
    /// Text to predict; repeatable
    #[arg(long, required = true, value_name = "FILE")]
    text: Vec<PathBuf>,
    /// The folder whose config.json and tokenizer.json a file takes [default: the reference, or the file's own]
    #[arg(long, value_name = "FOLDER")]
    config: Option<PathBuf>,
    /// Tokens that a prediction may look back on, at most [default: 1024, or what the model was made for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    context: Option<u32>,
    /// Tokens from one window to the next; smaller ones leave each prediction more context [default: half the context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    stride: Option<u32>,
    /// Also say how far the reference is from itself in bf16
    #[arg(long, requires = "against")]
    noise_floor: bool,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    reporting: Reporting,
}

/// Seconds between two lines about how far the work is.
const EVERY: Duration = Duration::from_secs(5);

/// Evaluates a model.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.reporting.begin();
    arguments.threads.begin()?;
    let stop = stop_flag("the stretch of text at work")?;
    let reference = arguments.against.as_deref().map(|path| Language::open(path, None)).transpose()?;
    let config = match (&arguments.config, &reference) {
        (Some(folder), _) => Some(folder.as_path()),
        (None, Some(reference)) => Some(reference.model.folder()),
        (None, None) => None,
    };
    let model = Language::open(&arguments.model, config)?;
    let description = model.model.description();
    let most = description.context;
    let context = arguments.context.map_or(Ok(most.min(1024)), |asked| language::context(asked, most))?;
    let stride = arguments.stride.map_or((context / 2).max(1), |stride| stride as usize);
    if stride >= context {
        return Err(Failure::usage(format!("--stride {stride} must be below the context of {context}")));
    }
    let tokens = language::tokens(model.model.folder(), &arguments.text)?;
    let windows = windows(&tokens, context, stride);
    let (start, mut shown) = (Instant::now(), Instant::now());
    let mut progress = |done: usize| {
        if !arguments.reporting.quiet && shown.elapsed() >= EVERY {
            shown = Instant::now();
            let left = start.elapsed().as_secs_f64() / done as f64 * (windows.len() - done) as f64;
            note!("{done} of {} windows, {left:.0} s left", windows.len());
        }
        !stop.load(Ordering::Relaxed)
    };
    let own = Subject { description, weights: model.model.weights() };
    let theirs = reference
        .as_ref()
        .map(|reference| Subject { description: reference.model.description(), weights: reference.model.weights() });
    let found = evaluate(own, theirs, arguments.noise_floor, &tokens, &windows, &mut progress)?;
    print(arguments, &found, context, stride);
    Ok(())
}

fn print(arguments: &Arguments, found: &Evaluation, context: usize, stride: usize) {
    if arguments.reporting.json {
        let settings = json!({
            "model": arguments.model.display().to_string(),
            "against": arguments.against.as_ref().map(|path| path.display().to_string()),
            "context": context,
            "stride": stride,
            "result": found,
        });
        line!("{settings}");
        return;
    }
    let show = |what: &str, estimate: &Estimate| {
        line!("{what:<26} {:>10.4}  [{:.4}, {:.4}]", estimate.value, estimate.low, estimate.high);
    };
    let Evaluation { predictions, bytes, documents, resampled, .. } = found;
    line!(
        "{predictions} predictions, {bytes} bytes, {documents} documents; context {context}, stride {stride}; intervals over {resampled}"
    );
    show("perplexity", &found.perplexity);
    show("nats a token", &found.nats);
    show("bits a byte", &found.bits_per_byte);
    let Some(against) = &found.against else { return };
    let Comparison { divergence_median, divergence_99, divergence_999, .. } = against;
    show("reference, nats a token", &against.reference_nats);
    show("added nats a token", &against.added_nats);
    show("divergence, nats a token", &against.divergence);
    line!("  median {divergence_median:.5}, 99 % {divergence_99:.4}, 99.9 % {divergence_999:.4}");
    show("same likeliest token", &against.same_top);
    if let Some(floor) = against.noise_floor {
        line!("divergence of the reference in bf16 from itself: {floor:.6}");
    }
}
