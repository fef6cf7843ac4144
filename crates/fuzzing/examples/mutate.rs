//! A fuzzer without instrumentation, on stable Rust: mutations of the committed corpus for as long as asked.
//!
//! ```console
//! $ cargo run --release --example mutate -- 600            # every target, ten minutes each
//! $ cargo run --release --example mutate -- 60 container   # one
//! ```
//!
//! An input that panics, takes above [`MEMORY`] or above [`TIME`] although it is short is written to `fuzz/artifacts`.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use seedpress_fuzzing::{TARGETS, Target};
use seedpress_testing::Noise;
use seedpress_testing::allocator::{self, Counting};

#[path = "../tests/common/mutations.rs"]
mod mutations;

use mutations::mutated;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that an input of [`SHORT`] may take.
const MEMORY: usize = 64 << 20;
const SHORT: usize = 1024;
/// What a short input may take.
const TIME: Duration = Duration::from_secs(1);

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(fuzz_folder().join("corpus").join(target.name)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// Mutates until the time is over; whether nothing was found.
fn run(target: Target, duration: Duration) -> bool {
    let corpus = corpus(&target);
    let mut random = Noise::new(0x9E37_79B9_7F4A_7C15 ^ target.name.len() as u64);
    let (begin, mut count, mut found) = (Instant::now(), 0u64, 0);
    let (mut slowest, mut largest) = (Duration::ZERO, 0);
    while begin.elapsed() < duration {
        let input = mutated(&corpus, &mut random);
        allocator::reset();
        let start = Instant::now();
        let outcome = catch_unwind(|| (target.run)(&input));
        let (took, peak) = (start.elapsed(), allocator::most());
        count += 1;
        let short = input.len() <= SHORT;
        if short {
            (slowest, largest) = (slowest.max(took), largest.max(peak));
        }
        if outcome.is_err() || short && (took > TIME || peak > MEMORY) {
            found += 1;
            let folder = fuzz_folder().join("artifacts").join(target.name);
            let path = folder.join(format!("{count}.bin"));
            let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, &input));
            println!("{}: {took:?}, {peak} bytes, panic {}: {path:?} {written:?}", target.name, outcome.is_err());
        }
    }
    println!(
        "{}: {count} inputs in {:?} from {} seeds, {found} findings; of inputs up to {SHORT} bytes the slowest took {slowest:?}, the largest {largest} bytes",
        target.name,
        begin.elapsed(),
        corpus.len()
    );
    found == 0
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(60);
    let wanted: Vec<String> = arguments.collect();
    let chosen =
        TARGETS.into_iter().filter(|target| wanted.is_empty() || wanted.iter().any(|name| name == target.name));
    let fine: Vec<bool> = chosen.map(|target| run(target, Duration::from_secs(seconds))).collect();
    if fine.is_empty() || fine.contains(&false) {
        std::process::exit(1);
    }
}
