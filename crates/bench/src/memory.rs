//! Peak memory of the process.

/// Starts a new peak where the system allows it (Linux); elsewhere the peak is that of the whole run.
pub(crate) fn reset_peak() {
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak resident memory in bytes since the last reset; outside Linux the memory resident now. 0 where unknown.
pub(crate) fn peak() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).map_or(0, |kib| kib << 10)
    }
    #[cfg(not(target_os = "linux"))]
    {
        memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem as u64)
    }
}
