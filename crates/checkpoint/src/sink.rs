//! Safetensors out, one tensor at a time: the header needs names, types and shapes only, and those are known before any bytes are.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use seedpress_codec::tensor::element_count;
use seedpress_codec::text::printable;
use serde::Serialize;
use serde::ser::SerializeMap;

use crate::error::CheckpointError;
use crate::output::{Output, Overwrite, Unnamed};

/// The header's length is a multiple of this, so that the first tensor is aligned.
const ALIGNMENT: usize = 8;
/// The format's own limit.
const LONGEST: usize = 100_000_000;

/// A tensor to be saved, in the bytes of its data type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTensor {
    /// The data type as safetensors spells it, e.g. `F32`.
    pub dtype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Little-endian values.
    pub bytes: Vec<u8>,
}

/// A tensor that will be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// The data type as safetensors spells it, e.g. `F32`.
    pub dtype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// A safetensors file in the making: tensors come in the order of [`order`](Self::order), each in blocks as it likes.
#[derive(Debug)]
pub struct SafetensorsWriter {
    output: Output,
    order: Vec<usize>,
    /// Where each tensor of `order` ends, from the first byte of the first.
    ends: Vec<u64>,
    header: u64,
}

#[derive(Serialize)]
struct Info<'a> {
    dtype: &'a str,
    shape: &'a [usize],
    data_offsets: (u64, u64),
}

/// Metadata first, then the tensors in their order: any order is legal, one order is deterministic.
struct Header<'a> {
    metadata: &'a BTreeMap<String, String>,
    tensors: Vec<(&'a str, Info<'a>)>,
}

impl Serialize for Header<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry("__metadata__", self.metadata)?;
        }
        for (name, info) in &self.tensors {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

impl SafetensorsWriter {
    /// Writes the header. Tensors go by data type, the largest elements first, then by name: as the format's own library has them.
    ///
    /// # Errors
    /// The operating system's; an unknown data type, a shape without a size, a header above the format's limit.
    pub fn new(
        mut output: Output,
        tensors: &[Declared],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, CheckpointError> {
        let path = output.path().to_owned();
        let fault = |why: String| CheckpointError::Unusable { path: path.clone(), why };
        let mut sizes = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let name = printable(&tensor.name);
            let dtype: Dtype = serde_json::from_value(serde_json::Value::String(tensor.dtype.clone()))
                .map_err(|_| fault(format!("`{name}` has the unknown data type `{}`", printable(&tensor.dtype))))?;
            let bits = element_count(&tensor.shape).and_then(|count| count.checked_mul(dtype.bitsize()));
            match bits.filter(|bits| bits.is_multiple_of(8)) {
                Some(bits) => sizes.push((dtype, bits as u64 / 8)),
                None => return Err(fault(format!("`{name}` of shape {:?} has no whole size", tensor.shape))),
            }
            if tensor.name == "__metadata__" {
                return Err(fault("a tensor is named `__metadata__`, which the format keeps for itself".to_owned()));
            }
        }
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by(|&a, &b| (sizes[b].0, &tensors[a].name).cmp(&(sizes[a].0, &tensors[b].name)));
        let mut ends = Vec::with_capacity(order.len());
        let mut listed = Vec::with_capacity(order.len());
        let mut at = 0u64;
        for &index in &order {
            let (tensor, start) = (&tensors[index], at);
            at = at.checked_add(sizes[index].1).ok_or_else(|| fault("the sizes overflow".to_owned()))?;
            ends.push(at);
            let info = Info { dtype: &tensor.dtype, shape: &tensor.shape, data_offsets: (start, at) };
            listed.push((tensor.name.as_str(), info));
        }
        let header = Header { metadata, tensors: listed };
        let mut header = serde_json::to_vec(&header).map_err(|error| fault(error.to_string()))?;
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        if header.len() > LONGEST {
            return Err(fault("its header would be longer than the format allows".to_owned()));
        }
        output.expect((8 + header.len() as u64).saturating_add(at));
        let io = CheckpointError::io(&path);
        output.write_all(&(header.len() as u64).to_le_bytes()).map_err(&io)?;
        output.write_all(&header).map_err(&io)?;
        let header = output.written();
        Ok(Self { output, order, ends, header })
    }

    /// The tensors, by their places in the list given, in the order in which their bytes must come.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// The operating system's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.output.write_all(bytes).map_err(|error| CheckpointError::io(self.output.path())(error))
    }

    /// Checks that tensor `place` of [`order`](Self::order), and all before it, are written to the byte.
    ///
    /// # Errors
    /// A tensor that had more or fewer bytes than its shape says.
    pub fn end(&self, place: usize) -> Result<(), CheckpointError> {
        let (written, expected) = (self.output.written() - self.header, self.ends[place]);
        if written == expected {
            return Ok(());
        }
        let why = format!("{written} bytes of tensors were written where {expected} belong");
        Err(CheckpointError::Unusable { path: self.output.path().to_owned(), why })
    }

    /// Puts the file in its place; returns its length.
    ///
    /// # Errors
    /// The operating system's; tensors that are missing.
    pub fn finish(self) -> Result<u64, CheckpointError> {
        self.complete()?.finish()
    }

    /// The output with everything in it, not yet in its place.
    fn complete(self) -> Result<Output, CheckpointError> {
        if let Some(last) = self.ends.len().checked_sub(1) {
            self.end(last)?;
        }
        Ok(self.output)
    }
}

/// Writes a safetensors file of tensors in memory, whole or not at all.
///
/// # Errors
/// The operating system's; an unknown data type or a size that does not fit its shape.
pub fn save_safetensors(
    path: &Path,
    tensors: &[(String, SavedTensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    write(path, tensors, metadata)?.finish().map(|_| ())
}

/// [`save_safetensors`] into a file that gets its name later. `path` stands for it until then.
///
/// # Errors
/// As there.
pub fn save_unnamed(
    path: &Path,
    tensors: &[(String, SavedTensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<Unnamed, CheckpointError> {
    write(path, tensors, metadata)?.unnamed()
}

fn write(
    path: &Path,
    tensors: &[(String, SavedTensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<Output, CheckpointError> {
    let declare = |(name, tensor): &(String, SavedTensor)| Declared {
        name: name.clone(),
        dtype: tensor.dtype.clone(),
        shape: tensor.shape.clone(),
    };
    let declared: Vec<Declared> = tensors.iter().map(declare).collect();
    let output = Output::create(path, Overwrite::Allow, &[])?;
    let mut writer = SafetensorsWriter::new(output, &declared, metadata)?;
    for place in 0..tensors.len() {
        let tensor = &tensors[writer.order()[place]].1;
        writer.write(&tensor.bytes)?;
        writer.end(place)?;
    }
    writer.complete()
}
