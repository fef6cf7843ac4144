//! `seedpress inspect`.

use std::path::PathBuf;

use clap::Args;
use seedpress::codec::text::printable;
use seedpress::codec::{RecordHeader, Role};
use seedpress_checkpoint::{ContainerFile, Order, Stored};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::print::line;

/// Characters of a metadata value that are shown.
const SHOWN: usize = 200;

/// The file to look at.
#[derive(Args)]
#[command(after_help = "Reads the index and nothing else, so it is quick whatever the size of the file.
  seedpress inspect model.sdp
  seedpress inspect model.sdp --json | jq '.tensors[].name'")]
pub struct Arguments {
    /// The .sdp file, or - for standard input
    input: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Lists what a file holds, without decoding.
pub fn run(arguments: &Arguments) -> Outcome {
    let file = ContainerFile::open(&arguments.input, None).map_err(Failure::data)?;
    if arguments.json {
        line!("{}", to_json(&file));
        return Ok(());
    }
    let order = match file.index().order {
        Order::TensorMajor => "tensor after tensor",
        Order::QualityMajor => "base layers first",
    };
    let state = if file.is_complete() { "complete" } else { "cut short" };
    let (have, whole, index) = (file.at_hand(), file.index().whole_len, file.index().index_len);
    line!("{state}: {have} of {whole} bytes, index {index} bytes, {order}");
    for (entry, listed) in file.index().entries.iter().enumerate() {
        let (present, all) = file.layers(entry);
        let name = printable(&listed.name);
        match &listed.stored {
            Stored::Record(header) => {
                let (what, stored, bits) = cost(header);
                let (dtype, shape) = (header.dtype.name(), &header.shape);
                line!(
                    "{name}: {what}, {dtype} {shape:?}, {stored} bytes, {bits:.3} bits/weight, layers {present}/{all}"
                );
            }
            Stored::Narrow { header, form } => {
                let (what, stored, bits) = cost(header);
                let (dtype, shape) = (printable(&form.dtype), &header.shape);
                line!(
                    "{name}: {what}, {dtype} {shape:?}, {stored} bytes, {bits:.3} bits/weight, layers {present}/{all}"
                );
            }
            Stored::Opaque { dtype, shape, .. } => {
                line!("{name}: kept as it is, {} {shape:?}, present {present}/{all}", printable(dtype));
            }
            Stored::Alias(other) => {
                line!("{name}: the same as {}", printable(&file.index().entries[*other].name));
            }
        }
    }
    for (key, value) in &file.index().metadata {
        let shown: String = value.chars().take(SHOWN).collect();
        let more = if shown.len() < value.len() { format!("... ({} bytes)", value.len()) } else { String::new() };
        line!("metadata {}: {}{more}", printable(key), printable(&shown));
    }
    Ok(())
}

/// Codec and stage, bytes stored and bits per weight.
fn cost(header: &RecordHeader) -> (String, usize, f64) {
    let stage = if header.stage.is_empty() { String::new() } else { format!("+{}", header.stage) };
    let layers: usize = (0..header.layers.len()).map(|index| header.layer_len(index)).sum();
    let stored = layers + header.to_bytes().len();
    let bits = 8.0 * stored as f64 / header.weights().max(1) as f64;
    (format!("{}{stage}", header.codec), stored, bits)
}

fn to_json(file: &ContainerFile) -> serde_json::Value {
    let entry = |entry: usize| {
        let listed = &file.index().entries[entry];
        let (present, all) = file.layers(entry);
        let mut object = match &listed.stored {
            Stored::Record(header) | Stored::Narrow { header, .. } => {
                let (what, stored, bits) = cost(header);
                let roles = |role: Role| {
                    let segments = header.layers.iter().flatten().filter(|(of, _)| *of == role);
                    segments.map(|(_, len)| *len as u64).sum::<u64>()
                };
                let roles: serde_json::Map<_, _> = Role::ALL
                    .iter()
                    .map(|&role| (role.name().to_owned(), json!(roles(role))))
                    .filter(|(_, bytes)| *bytes != json!(0))
                    .collect();
                json!({
                    "kind": "weights", "codec": what, "dtype": header.dtype.name(), "shape": header.shape,
                    "bytes": stored, "bits_per_weight": bits, "bytes_by_role": roles,
                })
            }
            Stored::Opaque { dtype, shape, len } => {
                json!({ "kind": "kept", "dtype": dtype, "shape": shape, "bytes": len })
            }
            Stored::Alias(other) => json!({ "kind": "same", "as": file.index().entries[*other].name }),
        };
        if let Stored::Narrow { form, .. } = &listed.stored {
            object["source_dtype"] = json!(form.dtype);
            object["scales"] = json!(form.scale.map(|scale| &file.index().entries[scale].name));
        }
        object["name"] = json!(listed.name);
        object["layers_present"] = json!(present);
        object["layers"] = json!(all);
        object
    };
    json!({
        "complete": file.is_complete(), "bytes": file.at_hand(), "whole_bytes": file.index().whole_len,
        "index_bytes": file.index().index_len,
        "order": match file.index().order { Order::TensorMajor => "tensor-major", Order::QualityMajor => "quality-major" },
        "metadata": file.index().metadata,
        "tensors": (0..file.index().entries.len()).map(entry).collect::<Vec<_>>(),
    })
}
