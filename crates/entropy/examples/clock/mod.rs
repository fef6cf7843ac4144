//! Time that a busy machine distorts little.

use std::time::Instant;

/// Seconds this process has run on a processor, where the system tells (Linux); seconds since the first call elsewhere.
pub fn seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds: u64 = threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum();
    if nanoseconds > 0 {
        return nanoseconds as f64 / 1e9;
    }
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}
