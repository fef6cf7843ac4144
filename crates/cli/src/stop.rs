//! Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::failure::{Failure, Outcome};
use crate::print::note;

/// One handler a process: a command that works in steps asks for it at each. Not set by a handler that ends the process.
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// A flag that Ctrl-C sets; the second press ends the process.
pub(crate) fn stop_flag(after: &'static str) -> Result<Arc<AtomicBool>, Failure> {
    if let Some(stop) = STOP.get() {
        return Ok(Arc::clone(stop));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            seedpress_checkpoint::remove_temporaries();
            std::process::exit(130);
        }
        note!("stopping after {after}; press Ctrl-C again to stop at once");
    })
    .map_err(Failure::data)?;
    Ok(Arc::clone(STOP.get_or_init(|| stop)))
}

/// Lets Ctrl-C end the process at once, with nothing half-written left: for work that keeps nothing anyway. What asks for a flag after that
/// gets one that stays as it is.
pub(crate) fn leave_nothing_when_stopped() -> Outcome {
    ctrlc::set_handler(|| {
        seedpress_checkpoint::remove_temporaries();
        std::process::exit(130);
    })
    .map_err(Failure::data)?;
    STOP.get_or_init(Arc::default);
    Ok(())
}
