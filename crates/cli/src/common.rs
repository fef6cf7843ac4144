//! What commands that work on files have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use seedpress_checkpoint::{ContainerFile, Output, Overwrite};
use seedpress_press::{Control, PressError};

use crate::bench::stop_flag;
use crate::failure::Failure;
use crate::inputs;
use crate::print::{note, parse_bytes};
use crate::progress::Meter;

/// How the work is done and told.
#[derive(Args)]
pub struct Common {
    /// Threads; 0 takes every processor. They never change the result
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print a line for every tensor
    #[arg(long, short)]
    pub verbose: bool,
}

/// Memory that work in parallel may take.
#[derive(Args)]
pub struct InWork {
    /// Memory that tensors in work at the same time may take together; a larger one is worked on alone [default: 384MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub max_memory: Option<u64>,
}

impl Common {
    /// Runs work that can be watched and stopped.
    pub fn run<T>(
        &self,
        total: u64,
        max_memory: Option<u64>,
        after: &'static str,
        work: impl FnOnce(Control<'_>) -> Result<T, PressError>,
    ) -> Result<T, Failure> {
        let meter = if self.quiet { Meter::hidden() } else { Meter::new(total) };
        let done = self.untold(max_memory, after, |control| work(Control { progress: &meter, ..control }))?;
        meter.finish();
        done.map_err(Failure::from)
    }

    /// Runs work that can be stopped and says itself how far it is.
    pub fn untold<T>(
        &self,
        max_memory: Option<u64>,
        after: &'static str,
        work: impl FnOnce(Control<'_>) -> T,
    ) -> Result<T, Failure> {
        let stop: Arc<AtomicBool> = stop_flag(after)?;
        let threads = usize::from(self.threads);
        Ok(work(Control { threads, max_memory, cancel: &stop, ..Control::default() }))
    }
}

/// Opens an `.sdp` file or the index of its shards. A shard that is opened alone is told, as it holds a part of the tensors.
pub fn container(path: &Path, max_bytes: Option<u64>) -> Result<ContainerFile, Failure> {
    let file = ContainerFile::open(path, max_bytes).map_err(Failure::data)?;
    if let Some((number, count)) = file.shard() {
        let path = path.display();
        note!("note: {path} is shard {number} of {count}: the .sdp.index.json beside it stands for all of them");
    }
    Ok(file)
}

/// Opens an output; what is wrong with it is known before any work is done. `inputs` are the paths that the command reads: a file behind
/// any of them is refused.
pub fn output(path: &Path, force: bool, inputs: &[&Path]) -> Result<Output, Failure> {
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
