//! How far the work is: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seedpress::codec::text::printable;
use seedpress_press::Progress;

use crate::print::{bytes, note};

/// Seconds between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// Shows progress in bytes.
pub(crate) struct Meter {
    bar: Option<ProgressBar>,
    total: u64,
    done: AtomicU64,
    start: Instant,
    shown: Mutex<Instant>,
    name: Mutex<String>,
    hidden: bool,
}

impl Meter {
    /// For work on `total` bytes.
    pub(crate) fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            let template =
                "{bar:30} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, total, hidden: false, ..Self::hidden() }
    }

    /// Shows nothing.
    pub(crate) fn hidden() -> Self {
        let now = Instant::now();
        Self {
            bar: None,
            total: 0,
            done: AtomicU64::new(0),
            start: now,
            shown: Mutex::new(now),
            name: Mutex::new(String::new()),
            hidden: true,
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn tell(&self, done: u64) {
        // Whoever finds another thread at it leaves the line to that.
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.elapsed() < EVERY {
            return;
        }
        *shown = Instant::now();
        let name = self.name.lock().map(|name| name.clone()).unwrap_or_default();
        note!("{}", report(done, self.total, self.start.elapsed(), &name));
    }
}

/// `34 %: 120 MB of 350 MB, 12.3 MB a second, 0:19 left, layers.3.weight`
fn report(done: u64, total: u64, elapsed: Duration, name: &str) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
    let percent = 100.0 * done as f64 / total.max(1) as f64;
    let left = match rate > 0.0 {
        true => {
            let seconds = (total.saturating_sub(done) as f64 / rate).round() as u64;
            format!("{}:{:02} left", seconds / 60, seconds % 60)
        }
        false => "time left unknown".to_owned(),
    };
    format!("{percent:.0} %: {} of {}, {} a second, {left}, {name}", bytes(done), bytes(total), bytes(rate as u64))
}

impl Progress for Meter {
    fn begin(&self, name: &str) {
        let name = printable(name);
        if let Some(bar) = &self.bar {
            bar.set_message(name.clone().into_owned());
        }
        if let Ok(mut current) = self.name.lock() {
            *current = name.into_owned();
        }
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        match &self.bar {
            Some(bar) => bar.inc(bytes),
            None if !self.hidden => self.tell(done),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_people_ask() {
        let line = report(120_000_000, 350_000_000, Duration::from_secs(10), "a.weight");
        assert_eq!(line, "34 %: 120 MB of 350 MB, 12.0 MB a second, 0:19 left, a.weight");
        assert!(report(0, 0, Duration::ZERO, "").contains("unknown"));
    }
}
