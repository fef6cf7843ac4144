//! What a file holds, without decoding.

use seedpress_checkpoint::{Index, Order, Stored};
use seedpress_codec::{RecordHeader, Role};
use serde_json::{Map, Value, json};

/// What an index says of a file of which the first `at_hand` bytes are there, as JSON: whole, and tensor by tensor.
pub fn inspect(index: &Index, at_hand: u64) -> Value {
    let order = match index.order {
        Order::TensorMajor => "tensor-major",
        Order::QualityMajor => "quality-major",
    };
    json!({
        "complete": at_hand == index.whole_len,
        "bytes": at_hand,
        "whole_bytes": index.whole_len,
        "index_bytes": index.index_len,
        "order": order,
        "metadata": index.metadata,
        "tensors": (0..index.entries.len()).map(|entry| tensor(index, entry, at_hand)).collect::<Vec<_>>(),
    })
}

fn tensor(index: &Index, entry: usize, at_hand: u64) -> Value {
    let listed = &index.entries[entry];
    let mut object = match &listed.stored {
        Stored::Record(header) | Stored::Narrow { header, .. } => {
            let cost = Cost::of(header);
            json!({
                "kind": "weights", "codec": cost.codec, "dtype": header.dtype.name(), "shape": header.shape,
                "bytes": cost.bytes, "bits_per_weight": cost.bits_per_weight, "bytes_by_role": roles(header),
            })
        }
        Stored::Opaque { dtype, shape, len } => {
            json!({ "kind": "kept", "dtype": dtype, "shape": shape, "bytes": len })
        }
        Stored::Alias(other) => json!({ "kind": "same", "as": index.entries[*other].name }),
    };
    if let Stored::Narrow { form, .. } = &listed.stored {
        object["source_dtype"] = json!(form.dtype);
        object["scales"] = json!(form.scale.map(|scale| &index.entries[scale].name));
    }
    object["name"] = json!(listed.name);
    object["layers_present"] = json!(index.present(entry, at_hand));
    object["layers"] = json!(index.parts[index.target(entry)].len());
    object
}

fn roles(header: &RecordHeader) -> Map<String, Value> {
    let bytes = |role: Role| {
        let segments = header.layers.iter().flatten().filter(|(of, _)| *of == role);
        segments.map(|(_, len)| *len as u64).sum::<u64>()
    };
    let named = Role::ALL.iter().map(|&role| (role.name().to_owned(), bytes(role)));
    named.filter(|(_, bytes)| *bytes != 0).map(|(name, bytes)| (name, json!(bytes))).collect()
}

/// What a record takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Codec and stage: `rtn+zstd`.
    pub codec: String,
    /// Bytes of the record, header and checksums included.
    pub bytes: usize,
    /// The same in bits for each weight.
    pub bits_per_weight: f64,
}

impl Cost {
    /// As its header says.
    pub fn of(header: &RecordHeader) -> Self {
        let stage = if header.stage.is_empty() { String::new() } else { format!("+{}", header.stage) };
        let layers: usize = (0..header.layers.len()).map(|index| header.layer_len(index)).sum();
        let bytes = layers + header.to_bytes().len();
        let bits_per_weight = 8.0 * bytes as f64 / header.weights().max(1) as f64;
        Self { codec: format!("{}{stage}", header.codec), bytes, bits_per_weight }
    }
}
