//! What commands that work on files have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use seedpress::codec::text::printable;
use seedpress_checkpoint::{Checkpoint, ContainerFile, Output, Overwrite};
use seedpress_press::{Control, PressError};

use crate::failure::Failure;
use crate::inputs;
use crate::print::{hush, note, parse_bytes};
use crate::progress::Meter;
use crate::stop::stop_flag;

/// How the work is done and reported, for commands that go through a file tensor by tensor.
#[derive(Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub threads: Threads,
    #[command(flatten)]
    pub reporting: Reporting,
    /// Print a line for every tensor
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// What is printed, and how. The same for every command.
#[derive(Args)]
pub(crate) struct Reporting {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no progress and no notes, and nothing at all where the result is a file
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl Reporting {
    /// Silences what is not wanted; for the beginning of a command.
    pub(crate) fn begin(&self) {
        if self.quiet {
            hush();
        }
    }
}

/// By how many threads the work is done.
#[derive(Args)]
pub(crate) struct Threads {
    /// Threads; 0 takes every processor. They never change the result
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: u16,
}

impl Threads {
    /// The number; 0 for every processor.
    pub(crate) fn count(&self) -> usize {
        usize::from(self.threads)
    }

    /// Makes all further parallel work use so many; for the beginning of a command.
    pub(crate) fn begin(&self) -> Result<(), Failure> {
        match self.count() {
            0 => Ok(()),
            count => rayon::ThreadPoolBuilder::new().num_threads(count).build_global().map_err(Failure::data),
        }
    }
}

/// How much memory work in parallel may take.
#[derive(Args)]
pub(crate) struct MemoryLimit {
    /// Memory that tensors in work at the same time may take together; a larger one is worked on alone [default: 384MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub max_memory: Option<u64>,
}

impl Common {
    /// Runs work that can be watched and stopped.
    pub(crate) fn run<T>(
        &self,
        total: u64,
        max_memory: Option<u64>,
        after: &'static str,
        work: impl FnOnce(Control<'_>) -> Result<T, PressError>,
    ) -> Result<T, Failure> {
        let meter = if self.reporting.quiet { Meter::hidden() } else { Meter::new(total) };
        let done =
            self.run_without_meter(max_memory, after, |control| work(Control { progress: &meter, ..control }))?;
        meter.finish();
        done.map_err(Failure::from)
    }

    /// Runs work that can be stopped and says itself how far it is.
    pub(crate) fn run_without_meter<T>(
        &self,
        max_memory: Option<u64>,
        after: &'static str,
        work: impl FnOnce(Control<'_>) -> T,
    ) -> Result<T, Failure> {
        let stop: Arc<AtomicBool> = stop_flag(after)?;
        let threads = self.threads.count();
        Ok(work(Control { threads, max_memory, cancel: &stop, ..Control::default() }))
    }
}

/// Opens an `.sdp` file or the index of its shards. For a shard that is opened alone there is a note, as it holds a part of the tensors.
pub(crate) fn container(path: &Path, max_bytes: Option<u64>) -> Result<ContainerFile, Failure> {
    let file = ContainerFile::open(path, max_bytes).map_err(Failure::data)?;
    if let Some((number, count)) = file.shard() {
        let path = path.display();
        note!("note: {path} is shard {number} of {count}: the .sdp.index.json beside it stands for all of them");
    }
    Ok(file)
}

/// Opens a checkpoint in safetensors, and tells what of its folder is not read.
pub(crate) fn checkpoint(path: &Path) -> Result<Checkpoint, Failure> {
    let checkpoint = Checkpoint::open(path).map_err(Failure::data)?;
    let path = path.display();
    if let Some((number, count)) = checkpoint.shard() {
        note!(
            "note: {path} is shard {number} of {count}: the index beside it, or their folder, stands for all of them"
        );
    }
    let name = |file: &PathBuf| printable(&file.file_name().unwrap_or_default().to_string_lossy()).to_string();
    let names: Vec<String> = checkpoint.left_out().iter().map(name).collect();
    match names.as_slice() {
        [] => {}
        [one] => note!("note: {one} lies there too and is not read"),
        [one, rest @ ..] => {
            note!("note: {one} and {} other files of weights lie there too and are not read", rest.len())
        }
    }
    Ok(checkpoint)
}

/// Refuses an output that is named like a file of another kind.
pub(crate) fn named_for(path: &Path, others: &[&str], what: &str) -> Result<(), Failure> {
    let extension = path.extension().unwrap_or_default();
    match others.iter().any(|other| extension.eq_ignore_ascii_case(other)) {
        true => Err(Failure::usage(format!("{}: {what}", path.display()))),
        false => Ok(()),
    }
}

/// Opens an output; what is wrong with it is known before any work is done. `inputs` are the paths that the command reads: a file behind
/// any of them is refused.
pub(crate) fn output(path: &Path, force: bool, inputs: &[&Path]) -> Result<Output, Failure> {
    let overwrite = if force { Overwrite::Allow } else { Overwrite::Refuse };
    if path == Path::new("-") && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return Err(Failure::usage("-o - would write to a terminal: redirect it to a file or a pipe"));
    }
    let missing = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    if let Some(folder) = missing {
        return Err(Failure::data(format!("{}: there is no folder {}", path.display(), folder.display())));
    }
    let inputs = inputs::files(inputs);
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    Output::create(path, overwrite, &inputs).map_err(|error| match error {
        seedpress_checkpoint::CheckpointError::Unusable { .. } => Failure::usage(error),
        error => Failure::data(error),
    })
}
