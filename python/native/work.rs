//! Work outside the interpreter's lock: Ctrl-C is heard, progress is told, threads are those of this process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use seedpress_press::{Control, Progress};

use crate::errors;

/// Between two looks at signals, and two calls of a progress callback.
const EVERY: Duration = Duration::from_millis(100);

/// How far the work is.
#[derive(Default)]
pub(crate) struct Meter {
    done: AtomicU64,
    name: Mutex<String>,
}

impl Progress for Meter {
    fn begin(&self, name: &str) {
        name.clone_into(&mut self.name.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn advance(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }
}

impl Meter {
    fn tell(&self, callback: &Bound<'_, PyAny>, total: u64) -> PyResult<()> {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner).clone();
        callback.call1((self.done.load(Ordering::Relaxed).min(total), total, name)).map(|_| ())
    }
}

/// What the work is given.
pub(crate) struct Hands<'a> {
    /// To be told.
    pub meter: &'a Meter,
    /// Set when it should end.
    pub stop: &'a AtomicBool,
}

impl Hands<'_> {
    /// How `press` is to work.
    pub(crate) fn control(&self, threads: usize, max_memory: Option<u64>) -> Control<'_> {
        Control { threads, max_memory, progress: self.meter, cancel: self.stop, ..Control::default() }
    }
}

/// Does work on another thread, without the interpreter's lock. This thread looks for Ctrl-C meanwhile and calls `progress` with the
/// count done, `total` and what is worked on. A signal's exception, or the callback's, ends the work and is raised.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    total: u64,
    work: impl FnOnce(&Hands<'_>) -> T + Send,
) -> PyResult<T> {
    let (meter, stop) = (Meter::default(), AtomicBool::new(false));
    let callback = progress.map(|callback| callback.clone().unbind());
    let told = |py: Python<'_>| callback.as_ref().map_or(Ok(()), |callback| meter.tell(callback.bind(py), total));
    let done = py.detach(|| {
        std::thread::scope(|scope| {
            let (sender, finished) = channel();
            let hands = Hands { meter: &meter, stop: &stop };
            scope.spawn(move || {
                let _ = sender.send(catch_unwind(AssertUnwindSafe(|| work(&hands))));
            });
            let mut raised = None;
            loop {
                match finished.recv_timeout(EVERY) {
                    Ok(done) => break raised.map_or(Ok(Some(done)), Err),
                    Err(RecvTimeoutError::Disconnected) => break Ok(None),
                    Err(RecvTimeoutError::Timeout) if raised.is_none() => {
                        let heard = Python::attach(|py| py.check_signals().and_then(|()| told(py)));
                        stop.store(heard.is_err(), Ordering::Relaxed);
                        raised = heard.err();
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
        })
    })?;
    match done {
        Some(Ok(done)) => {
            // What came between the last look and the end.
            py.check_signals()?;
            told(py)?;
            Ok(done)
        }
        Some(Err(payload)) => Err(errors::panicked(py, payload.as_ref())),
        None => Err(errors::panicked(py, &"a worker ended")),
    }
}

/// Threads by the process they run in and their number.
static POOL: Mutex<Option<(u32, usize, Arc<ThreadPool>)>> = Mutex::new(None);

/// Runs work in a pool of `threads` threads (0: every processor). A child made by `fork` has none of its parent's threads and gets its
/// own.
pub(crate) fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    let process = std::process::id();
    let pool = {
        let mut kept = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref() {
            Some((owner, count, pool)) if (*owner, *count) == (process, threads) => Arc::clone(pool),
            _ => {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build();
                let pool = Arc::new(pool.map_err(|error| format!("threads cannot be started: {error}"))?);
                if let Some((owner, _, old)) = kept.replace((process, threads, Arc::clone(&pool)))
                    && owner != process
                {
                    // Ending it would wait for threads that this process does not have.
                    std::mem::forget(old);
                }
                pool
            }
        }
    };
    Ok(pool.install(work))
}
