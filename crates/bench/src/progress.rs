//! What the user sees while a run works.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with the time left on a terminal; a plain line every few seconds elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
    done: u64,
    total: u64,
}

/// Between plain lines.
const PAUSE: Duration = Duration::from_secs(5);

impl Progress {
    /// Progress over `total` weights.
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = "{bar:30} {percent:>3}%  {elapsed} + {eta}  {wide_msg}";
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let now = Instant::now();
        Self { bar, started: now, last_line: now, done: 0, total }
    }

    /// Says what is being worked on.
    pub fn working_on(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        } else if self.last_line.elapsed() > PAUSE {
            self.last_line = Instant::now();
            let elapsed = self.started.elapsed().as_secs_f64();
            let left = match self.done {
                0 => String::new(),
                done => format!(", {:.0} s left", elapsed * (self.total - done.min(self.total)) as f64 / done as f64),
            };
            eprintln!("{:3.0} %{left}  {what}", 100.0 * self.done as f64 / self.total.max(1) as f64);
        }
    }

    /// Counts finished weights.
    pub fn advance(&mut self, weights: u64) {
        self.done += weights;
        if let Some(bar) = &self.bar {
            bar.inc(weights);
        }
    }

    /// A line that stays.
    pub fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
