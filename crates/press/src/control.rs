//! Threads, memory, progress, stopping.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::PressError;

/// What [`Control::max_memory`] stands for where it says nothing.
pub const DEFAULT_MEMORY: u64 = 384 << 20;

/// Learns how far the work is. Called from several threads.
pub trait Progress: Sync {
    /// A tensor is being worked on.
    fn begin(&self, name: &str) {
        let _ = name;
    }

    /// Source bytes that are done, inside a tensor too.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

static NEVER: AtomicBool = AtomicBool::new(false);

/// How the work is done. Nothing here changes a byte of the result.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Threads; 0 takes every processor.
    pub threads: usize,
    /// Bytes that tensors in work at the same time may take together; `None` takes a default of 384 MiB.
    pub max_memory: Option<u64>,
    /// Told how far it is.
    pub progress: &'a dyn Progress,
    /// Set by the caller to stop.
    pub cancel: &'a AtomicBool,
    /// Decode what was encoded before it counts as done.
    pub verify: bool,
    /// Store tensors with the same content once.
    pub tie: bool,
    /// Keep finished tensors for the next run where this one is stopped.
    pub keep: bool,
}

impl Default for Control<'_> {
    fn default() -> Self {
        Self { threads: 0, max_memory: None, progress: &Silent, cancel: &NEVER, verify: true, tie: true, keep: false }
    }
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("threads", &self.threads).field("max_memory", &self.max_memory).finish()
    }
}

impl Control<'_> {
    pub(crate) fn pool(&self) -> Result<ThreadPool, PressError> {
        let pool = ThreadPoolBuilder::new().num_threads(self.threads).build();
        pool.map_err(|error| PressError::Assignment(format!("threads cannot be started: {error}")))
    }

    pub(crate) fn memory(&self) -> u64 {
        self.max_memory.unwrap_or(DEFAULT_MEMORY)
    }

    pub(crate) fn check(&self) -> Result<(), PressError> {
        if self.cancel.load(Ordering::Relaxed) { Err(PressError::Cancelled) } else { Ok(()) }
    }
}
