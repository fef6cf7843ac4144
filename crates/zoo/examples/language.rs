//! The figures of the language models' cards: `cargo run --release -p seedpress-zoo --example language -- references`, or a model's
//! name for its bits per byte on all held-out text. `commit` writes the committed text anew from the package.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use seedpress_zoo::load;
use seedpress_zoo::sotu::{data, whole};

/// A context model of order three: what followed the last three bytes, blended with what followed the last two, one and none by
/// Witten and Bell's (1991) method C: a context in which `n` bytes were seen, `d` of them different, leaves `d / (n + d)` to the
/// shorter one.
#[derive(Default)]
struct Order3 {
    /// Counts by order and last bytes.
    contexts: HashMap<(usize, u32), Vec<(u8, u32)>>,
    history: u32,
}

impl Order3 {
    /// The cost of a byte in bits; the model learns it.
    fn read(&mut self, byte: u8) -> f64 {
        let mut probability = 1.0 / 256.0;
        for order in 0..=3 {
            let context = self.history & ((1u32 << (8 * order)) - 1);
            let counts = self.contexts.entry((order, context)).or_default();
            let seen: u32 = counts.iter().map(|entry| entry.1).sum();
            let different = counts.len() as f64;
            match counts.iter_mut().find(|entry| entry.0 == byte) {
                Some(entry) => {
                    probability = (f64::from(entry.1) + different * probability) / (f64::from(seen) + different);
                    entry.1 += 1;
                }
                None => {
                    if seen > 0 {
                        probability *= different / (f64::from(seen) + different);
                    }
                    counts.push((byte, 1));
                }
            }
        }
        self.history = self.history << 8 | u32::from(byte);
        -probability.log2()
    }
}

/// Bits per byte after a compressor of the system.
fn compressed(program: &str, level: &str, text: &[u8]) -> Result<f64, Box<dyn std::error::Error>> {
    let mut child = Command::new(program).args([level, "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or("no input")?;
    let copy = text.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&copy));
    let mut packed = Vec::new();
    child.stdout.take().ok_or("no output")?.read_to_end(&mut packed)?;
    writer.join().map_err(|_| "the writer failed")??;
    Ok(8.0 * packed.len() as f64 / text.len() as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("references, commit or which model?")?;
    if name == "commit" {
        return Ok(data::commit(None)?);
    }
    if name != "references" {
        let start = std::time::Instant::now();
        let metric = whole(&load(&name)?)?;
        let [low, high] = metric.interval;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{name}: {:.4} [{low:.4}, {high:.4}] bits per byte of {} ({seconds:.0} s)",
            metric.value, metric.samples
        );
        return Ok(());
    }
    let text = data::held_out()?.concat();
    for (program, level) in [("gzip", "-9"), ("xz", "-9e")] {
        println!("{program} {level}: {:.4} bits per byte of {}", compressed(program, level, &text)?, text.len());
    }
    for primed in [false, true] {
        let mut model = Order3::default();
        if primed {
            data::addresses(None, data::Part::Training)?.concat().into_iter().for_each(|byte| {
                model.read(byte);
            });
        }
        let bits: f64 = text.iter().map(|&byte| model.read(byte)).sum();
        let how = if primed { "after all training text" } else { "from nothing" };
        println!("order 3, {how}: {:.4} bits per byte", bits / text.len() as f64);
    }
    Ok(())
}
