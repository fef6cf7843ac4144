//! How far a run of the matrix is: a bar with the time left on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use seedpress_bench::progress::Progress;

use crate::print::{is_quiet, note};

/// Seconds between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows progress in weights.
pub(crate) struct RunMeter {
    bar: Option<ProgressBar>,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    last_line: Instant,
    done: u64,
    total: u64,
}

impl RunMeter {
    /// Shows nothing yet.
    pub(crate) fn new() -> Self {
        let bar = (std::io::stderr().is_terminal() && !is_quiet()).then(|| {
            let bar = ProgressBar::new(0);
            let style = "{bar:30} {percent:>3}%  {elapsed} + {eta}  {wide_msg}";
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let now = Instant::now();
        Self { bar, started: now, state: Mutex::new(State { last_line: now, done: 0, total: 0 }) }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for RunMeter {
    fn start(&self, weights: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(weights);
        }
        if let Ok(mut state) = self.state.lock() {
            state.total = weights;
        }
    }

    fn working_on(&self, what: &str) {
        if let Some(bar) = &self.bar {
            return bar.set_message(what.to_owned());
        }
        let Ok(mut state) = self.state.lock() else { return };
        if state.last_line.elapsed() <= PAUSE {
            return;
        }
        state.last_line = Instant::now();
        let elapsed = self.started.elapsed().as_secs_f64();
        let left = match state.done {
            0 => String::new(),
            done => format!(", {:.0} s left", elapsed * (state.total - done.min(state.total)) as f64 / done as f64),
        };
        note!("{:3.0} %{left}  {what}", 100.0 * state.done as f64 / state.total.max(1) as f64);
    }

    fn advance(&self, weights: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(weights);
        }
        if let Ok(mut state) = self.state.lock() {
            state.done += weights;
        }
    }

    fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note!("{line}"),
        }
    }
}
