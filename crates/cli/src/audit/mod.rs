//! `seedpress audit`: what anybody's compressed language model costs and keeps.
//!
//! | module | idea |
//! | --- | --- |
//! | [`weights`] | every tensor beside the reference's: type, bytes, error |
//! | [`overlap`] | how much of the text the calibration text holds already |
//! | [`findings`] | everything that was found, as text and as JSON |
//! | [`page`] | the same as one self-contained page |

mod findings;
mod overlap;
mod page;
mod weights;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use seedpress_transformer::evaluate::{Subject, evaluate};
use seedpress_transformer::text::windows;

use crate::common::{Reporting, Threads, output};
use crate::failure::{Failure, Outcome};
use crate::language::{self, Language, folder};
use crate::print::{line, note};
use crate::stop::stop_flag;
use findings::Findings;

/// What to audit, against what, on what text.
#[derive(Args)]
#[command(after_help = "  seedpress audit model.gguf --reference model-folder --text held-out.txt
  seedpress audit gptq-folder --reference model-folder --text held-out.jsonl --calibration calibration.txt --html audit.html
  seedpress audit model.sdp --reference smollm2-135m --text held-out.txt --json
The file may have any format that compress reads. Sizes are those of the whole file, embedding and head counted, over the weights of the
reference. Divergence is KL(reference || file) in nats a token; intervals are 95 %, by resampling documents (windows where there are fewer than
five). Scores of a few hundred tokens are held at a time, never all.")]
pub(crate) struct Arguments {
    /// The compressed model: a file or a folder
    model: PathBuf,
    /// The folder of the model that it was made from, or a language model that was fetched
    #[arg(long, value_name = "FOLDER")]
    reference: PathBuf,
    /// Held-out text; repeatable
    #[arg(long, required = true, value_name = "FILE")]
    text: Vec<PathBuf>,
    /// Text that the file was calibrated with: says how much of --text it holds; repeatable
    #[arg(long, value_name = "FILE")]
    calibration: Vec<PathBuf>,
    /// The folder whose config.json and tokenizer.json the file takes [default: the reference]
    #[arg(long, value_name = "FOLDER")]
    config: Option<PathBuf>,
    /// Tokens that a prediction may look back on, at most [default: 1024, or what the model was made for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    context: Option<u32>,
    /// Relative error of a tensor above which it is named
    #[arg(long, value_name = "E", default_value_t = 0.2)]
    threshold: f64,
    /// Do not measure how far the reference is from itself in bf16, which takes a third of the time
    #[arg(long)]
    no_noise_floor: bool,
    /// Also write a page of it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    reporting: Reporting,
}

/// Audits a file.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.reporting.begin();
    arguments.threads.begin()?;
    let stop = stop_flag("the stretch of text at work")?;
    let reference_folder = folder(&arguments.reference)?;
    let read = [arguments.model.as_path(), &reference_folder].into_iter();
    let read: Vec<&Path> =
        read.chain(arguments.text.iter().chain(&arguments.calibration).map(PathBuf::as_path)).collect();
    // Written anew each time, as a report is.
    let html = arguments.html.as_deref().map(|path| output(path, true, &read)).transpose()?;
    let reference = Language::open(&reference_folder, None)?;
    let model = Language::open(&arguments.model, arguments.config.as_deref().or(Some(&reference_folder)))?;
    let description = model.model.description();
    let most = description.context.min(reference.model.description().context);
    let context = arguments.context.map_or(Ok(most.min(1024)), |asked| language::context(asked, most))?;
    let tokens = language::tokens(&reference_folder, &arguments.text)?;
    let overlap = match arguments.calibration.as_slice() {
        [] => None,
        paths => Some(overlap::Overlap::of(&tokens, &language::tokens(&reference_folder, paths)?)),
    };
    let say = |text: &str| {
        if !arguments.reporting.quiet {
            note!("{text}");
        }
    };
    say("comparing weights");
    let weights = weights::compare(&arguments.model, &reference_folder, &|| stop.load(Ordering::Relaxed))?;
    let stride = (context / 2).max(1);
    let windows = windows(&tokens, context, stride);
    say(&format!("{} windows of text", windows.len()));
    let mut progress = |_: usize| !stop.load(Ordering::Relaxed);
    let own = Subject { description, weights: model.model.weights() };
    let theirs = Subject { description: reference.model.description(), weights: reference.model.weights() };
    let evaluation = evaluate(own, Some(theirs), !arguments.no_noise_floor, &tokens, &windows, &mut progress)?;
    let findings = Findings {
        model: arguments.model.display().to_string(),
        reference: arguments.reference.display().to_string(),
        threshold: arguments.threshold,
        context,
        stride,
        weights,
        evaluation,
        overlap,
    };
    if let Some(mut html) = html {
        html.write_all(page::page(&findings).as_bytes()).map_err(Failure::data)?;
        html.finish().map_err(Failure::data)?;
    }
    match arguments.reporting.json {
        true => line!("{}", findings.to_json()),
        false => line!("{}", findings.to_text().trim_end()),
    }
    Ok(())
}
