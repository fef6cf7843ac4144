//! English sentences that measure and calibrate sentence encoders: see `assets/sentences/README.md`.

use crate::assets;
use crate::error::ZooError;

/// Two sentences and how alike they are in meaning, 0 (unrelated) to 5 (the same).
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The label.
    pub label: f64,
    /// One sentence and the other.
    pub sentences: [String; 2],
}

fn read(name: &str) -> Result<String, ZooError> {
    let path = assets::asset(&format!("sentences/{name}"));
    std::fs::read_to_string(&path).map_err(ZooError::io(&path))
}

/// The sentences whose similarities measure.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn held_out() -> Result<Vec<String>, ZooError> {
    Ok(read("held-out.txt")?.lines().map(str::to_owned).collect())
}

/// The sentences that calibrate: none of those that measure, and from other addresses and chapters.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn calibration() -> Result<Vec<String>, ZooError> {
    Ok(read("calibration.txt")?.lines().map(str::to_owned).collect())
}

/// The labelled pairs.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn labelled_pairs() -> Result<Vec<Pair>, ZooError> {
    let text = read("pairs.tsv")?;
    let parse = |line: &str| {
        let mut fields = line.split('\t');
        let label = fields.next()?.parse().ok()?;
        let sentences = [fields.next()?.to_owned(), fields.next()?.to_owned()];
        Some(Pair { label, sentences })
    };
    let bad = |line: &str| ZooError::bad_file(&assets::asset("sentences/pairs.tsv"), format!("no pair: {line}"));
    text.lines().map(|line| parse(line).ok_or_else(|| bad(line))).collect()
}
