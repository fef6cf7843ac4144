//! What a file of another format than `.sdp` holds, for `seedpress inspect`.

use std::collections::BTreeMap;
use std::path::Path;

use seedpress::codec::text::printable;
use seedpress_checkpoint::container::is_container;
use seedpress_exchange::{TensorEntry, TensorSource};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::inputs;
use crate::print::{bytes, line, table};

/// Characters of a metadata value that are shown.
pub(crate) const SHOWN: usize = 200;

/// Opens a file or folder of weights; `None` for `.sdp` files, by name or content, and for streams.
pub(crate) fn open(path: &Path) -> Result<Option<Box<dyn TensorSource>>, Failure> {
    let named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sdp"));
    if named || path == Path::new("-") || !(path.is_file() || path.is_dir()) || is_container(path) {
        return Ok(None);
    }
    seedpress_exchange::open(path).map(Some).map_err(Failure::data)
}

/// Bytes of a file, or of a folder's files of weights.
pub(crate) fn file_bytes(path: &Path) -> Result<u64, Failure> {
    let fault = |error: std::io::Error| Failure::data(format!("{}: {error}", path.display()));
    if path.is_file() {
        let files = inputs::files(&[path]);
        return files
            .iter()
            .map(|file| std::fs::metadata(file).map(|there| there.len()))
            .sum::<Result<u64, _>>()
            .map_err(fault);
    }
    let holds = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        ["safetensors", "gguf", "pt", "pth", "bin", "npz"].contains(&extension)
    };
    let mut total = 0;
    for entry in std::fs::read_dir(path).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if holds(&entry.path()) {
            total += std::fs::metadata(entry.path()).map_err(fault)?.len();
        }
    }
    Ok(total)
}

fn elements(entry: &TensorEntry) -> u64 {
    entry.shape.iter().fold(1u64, |count, &dim| count.saturating_mul(dim as u64))
}

fn bits(entry: &TensorEntry) -> f64 {
    entry.bytes as f64 * 8.0 / elements(entry).max(1) as f64
}

/// Tensors, bytes and weights of a type.
#[derive(Default)]
struct Kind {
    tensors: u64,
    elements: u64,
    bytes: u64,
}

fn kinds(source: &dyn TensorSource) -> BTreeMap<&str, Kind> {
    let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
    for entry in source.tensors() {
        let kind = kinds.entry(entry.stored.as_str()).or_default();
        kind.tensors += 1;
        kind.elements += elements(entry);
        kind.bytes += entry.bytes;
    }
    kinds
}

/// Lists it, without reading values.
pub(crate) fn print(source: &dyn TensorSource, path: &Path, as_json: bool) -> Outcome {
    if as_json {
        line!("{}", to_json(source));
        return Ok(());
    }
    let total: u64 = source.tensors().iter().map(|entry| entry.bytes).sum();
    let weights: u64 = source.tensors().iter().map(elements).sum();
    let (tensors, path) = (source.tensors().len(), path.display().to_string());
    let mean = total as f64 * 8.0 / weights.max(1) as f64;
    line!(
        "{}: {}, {tensors} tensors, {weights} elements, {}, {mean:.3} bits each",
        printable(&path),
        source.format(),
        bytes(total)
    );
    for entry in source.tensors() {
        let (name, stored) = (printable(&entry.name), printable(&entry.stored));
        line!("{name}: {stored} {:?}, {} bytes, {:.3} bits each", entry.shape, entry.bytes, bits(entry));
    }
    let row = |(stored, kind): (&str, Kind)| {
        let mean = kind.bytes as f64 * 8.0 / kind.elements.max(1) as f64;
        let stored = printable(stored).to_string();
        vec![stored, kind.tensors.to_string(), kind.elements.to_string(), bytes(kind.bytes), format!("{mean:.3}")]
    };
    let rows: Vec<Vec<String>> = kinds(source).into_iter().map(row).collect();
    line!("{}", table(&["type", "tensors", "elements", "bytes", "bits each"], &rows).trim_end());
    for (key, value) in source.metadata() {
        let shown: String = value.chars().take(SHOWN).collect();
        let more = if shown.len() < value.len() { format!("... ({} bytes)", value.len()) } else { String::new() };
        line!("metadata {}: {}{more}", printable(key), printable(&shown));
    }
    for note in source.notes() {
        line!("note: {}", printable(note));
    }
    Ok(())
}

fn to_json(source: &dyn TensorSource) -> serde_json::Value {
    let tensor = |entry: &TensorEntry| {
        json!({
            "name": entry.name, "type": entry.stored, "shape": entry.shape, "bytes": entry.bytes,
            "bits_per_element": bits(entry), "weights": entry.float.is_some(),
        })
    };
    json!({
        "format": source.format(), "bytes": source.tensors().iter().map(|entry| entry.bytes).sum::<u64>(),
        "elements": source.tensors().iter().map(elements).sum::<u64>(),
        "tensors": source.tensors().iter().map(tensor).collect::<Vec<_>>(),
        "metadata": source.metadata(), "notes": source.notes(),
    })
}
