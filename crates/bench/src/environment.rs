//! Where a run was made, and the roof of what the machine can do.

use std::process::Command;
use std::time::Instant;

use seedpress_results::Environment;

/// Describes this machine and build.
pub(crate) fn detect() -> Environment {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned()),
        // Reports are what a run writes: they do not make the code another one.
        dirty: git(&["status", "--porcelain", "--", ":/", ":(top,exclude)reports"])
            .is_some_and(|text| !text.is_empty()),
        rustc: env!("SEEDPRESS_RUSTC").to_owned(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        cpu: cpu(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        features: features(),
        os: std::env::consts::OS.to_owned(),
    }
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// What kernels may use: less than the machine has where the run is held to a level.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<String> {
    use seedpress_simd::Level;
    let level = Level::fastest();
    let known = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2") && level >= Level::Avx2),
        ("fma", is_x86_feature_detected!("fma") && level >= Level::Avx2),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("avx512f", is_x86_feature_detected!("avx512f") && level >= Level::Avx512Base),
    ];
    known.into_iter().filter(|&(_, present)| present).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<String> {
    vec![std::env::consts::ARCH.to_owned()]
}

/// Bytes per second of a plain copy on one thread, beyond the caches: the roof of every decode speed. The best of five.
pub(crate) fn memcpy_bytes_per_second() -> f64 {
    let source = vec![1u8; 64 << 20];
    let mut target = vec![0u8; source.len()];
    let copies = (0..5).map(|_| {
        let start = Instant::now();
        target.copy_from_slice(std::hint::black_box(&source));
        std::hint::black_box(&target);
        source.len() as f64 / start.elapsed().as_secs_f64()
    });
    copies.fold(0.0, f64::max)
}
