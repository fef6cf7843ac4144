//! `seedpress inspect`.

use std::path::PathBuf;

use clap::Args;
use seedpress::codec::text::printable;
use seedpress_checkpoint::{Order, Stored};
use seedpress_press::inspect::Cost;

use crate::common::{Reporting, container};
use crate::failure::Outcome;
use crate::listing;
use crate::print::line;

/// The file to look at.
#[derive(Args)]
#[command(after_help = "Reads the index and nothing else, so it is quick whatever the size of the file.
  seedpress inspect model.sdp
  seedpress inspect model.gguf
  seedpress inspect model-folder
  seedpress inspect model.sdp --json | jq '.tensors[].name'")]
pub(crate) struct Arguments {
    /// An .sdp file, or - for one from standard input; or any file or folder of weights that compress reads
    input: PathBuf,
    #[command(flatten)]
    reporting: Reporting,
}

/// Lists what a file holds, without decoding.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    arguments.reporting.begin();
    if let Some(source) = listing::open(&arguments.input)? {
        return listing::print(source.as_ref(), &arguments.input, arguments.reporting.json);
    }
    let file = container(&arguments.input, None)?;
    if arguments.reporting.json {
        let mut found = seedpress_press::inspect(file.index(), file.at_hand());
        if file.files().len() > 1 {
            found["shards"] = file.files().map(|path| path.display().to_string()).collect();
        }
        line!("{found}");
        return Ok(());
    }
    let order = match file.index().order {
        Order::TensorMajor => "tensor after tensor",
        Order::QualityMajor => "base layers first",
    };
    let state = if file.is_complete() { "complete" } else { "cut short" };
    let (have, whole, index) = (file.at_hand(), file.index().whole_len, file.index().index_len);
    let shards = match file.files().len() {
        1 => String::new(),
        count => format!(", in {count} shards"),
    };
    line!("{state}: {have} of {whole} bytes, index {index} bytes, {order}{shards}");
    for (entry, listed) in file.index().entries.iter().enumerate() {
        let (present, all) = file.layers(entry);
        let name = printable(&listed.name);
        match &listed.stored {
            Stored::Record(header) => {
                let Cost { codec: what, bytes: stored, bits_per_weight: bits } = Cost::of(header);
                let (dtype, shape) = (header.dtype.name(), &header.shape);
                line!(
                    "{name}: {what}, {dtype} {shape:?}, {stored} bytes, {bits:.3} bits/weight, layers {present}/{all}"
                );
            }
            Stored::Narrow { header, form } => {
                let Cost { codec: what, bytes: stored, bits_per_weight: bits } = Cost::of(header);
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
        let shown: String = value.chars().take(listing::SHOWN).collect();
        let more = if shown.len() < value.len() { format!("... ({} bytes)", value.len()) } else { String::new() };
        line!("metadata {}: {}{more}", printable(key), printable(&shown));
    }
    Ok(())
}
