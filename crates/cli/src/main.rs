//! The seedpress command-line tool.

mod audit;
mod bench;
mod buffers;
mod calibration;
mod catalogue;
mod choice;
mod common;
mod compress;
mod decompress;
mod evaluate;
mod export;
mod failure;
mod foreign;
mod inputs;
mod inspect;
mod language;
mod language_plan;
mod listing;
mod manual;
mod plan;
mod print;
mod progress;
mod report;
mod run_meter;
mod stop;
mod summary;
mod verify;
mod zoo;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use seedpress::codec::text::printable;

use crate::failure::{Failure, Outcome};

/// Compress neural-network weights, and measure how well it went.
#[derive(Parser)]
#[command(name = "seedpress", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  seedpress bench configs/quick.toml
  seedpress bench configs/full.toml --only codec=bitnet --only model=fashion-mlp
  seedpress plan model.safetensors --ratio 10 -o plan.toml
  seedpress compress model.safetensors --codec rtn --bits 4 --then zstd -o model.sdp
  seedpress decompress model.sdp -o back.safetensors
  seedpress export model-folder --to gguf --type q4_k -o model.gguf
  seedpress evaluate model.sdp --against checkpoint-folder --text held-out.txt

Exit status: 0 success, 1 bad data or a failed cell, 2 wrong command line or config, 130 stopped by Ctrl-C.";

#[derive(Subcommand)]
enum Command {
    /// Run an experiment: a matrix of codecs and models from a TOML file
    Bench(bench::Arguments),
    /// Redraw tables and charts from stored results, without measuring
    Report(report::Arguments),
    /// Show what changed between two runs
    Compare(report::CompareArguments),
    /// List codecs and stages, or the options of one codec
    Codecs(catalogue::CodecsArguments),
    /// List, fetch or train the models of the zoo
    Models(catalogue::ModelsArguments),
    /// Choose a codec and a rate for each tensor of a model, for a size
    Plan(plan::Arguments),
    /// Compress a checkpoint into an .sdp file
    Compress(compress::Arguments),
    /// Turn an .sdp file, or the beginning of one, back into a checkpoint
    Decompress(decompress::Arguments),
    /// Write a model as GGUF, compressed-tensors, GPTQ, AWQ, MLX or safetensors, for the engines that load these
    Export(export::Arguments),
    /// Measure how well a language model predicts text, and how far it is from another
    Evaluate(evaluate::Arguments),
    /// Say what anybody's compressed language model costs and keeps: bytes, divergence, errors of every tensor
    Audit(audit::Arguments),
    /// Show what an .sdp file, or any other file or folder of weights, holds
    Inspect(inspect::Arguments),
    /// Decode an .sdp file and check every checksum
    Verify(verify::Arguments),
    /// Print the completions of a shell
    Completions(manual::CompletionsArguments),
    /// Print the manual page, or write the pages of all commands to a folder
    Man(manual::ManArguments),
}

fn main() -> ExitCode {
    // `--bits -3` is a wrong value, not another option.
    let command = Arguments::command().mut_subcommands(|command| command.allow_negative_numbers(true));
    let arguments = Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    // A level that is passed over in silence would be measured as what it is not.
    let level = seedpress_simd::requested().map_err(Failure::usage);
    match level.and_then(|_| run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.message.lines() {
                print::err(format_args!("error: {}", printable(line)));
            }
            ExitCode::from(failure.status)
        }
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Compare(arguments) => report::compare(&arguments),
        Command::Codecs(arguments) => catalogue::codecs(&arguments),
        Command::Models(arguments) => catalogue::models(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Compress(arguments) => compress::run(&arguments),
        Command::Decompress(arguments) => decompress::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments, Arguments::command()),
        Command::Man(arguments) => manual::man(&arguments, Arguments::command()),
    }
}
