//! The header of one safetensors file: which bytes of it are which tensor.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::Metadata;

use crate::error::CheckpointError;
use crate::input::{self, Input, Opened};
use crate::source::info::TensorInfo;

/// The format's own limit.
const LONGEST: u64 = 100_000_000;
const PREFIX: usize = 8;

/// One file: its tensors in the order of their bytes, where each begins, and the file's own metadata.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) input: Input,
    pub(super) tensors: Vec<(TensorInfo, u64)>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Opens a file and reads its header, nothing else.
pub(super) fn open(path: &Path) -> Result<Shard, CheckpointError> {
    let fault = |why: &str| CheckpointError::Safetensors { path: path.to_owned(), why: why.to_owned() };
    match input::open(path)? {
        Opened::File(input) => {
            if input.len() < PREFIX as u64 {
                return Err(fault(short(input.len() as usize)));
            }
            let len = header_len(&input.bytes(0, PREFIX)?, &fault)?;
            if input.len() - (PREFIX as u64) < len {
                return Err(fault("it ends inside its header"));
            }
            let header = input.bytes(PREFIX as u64, len as usize)?;
            parse(path, input, &header)
        }
        Opened::Stream(mut stream) => {
            let io = CheckpointError::io(path);
            let mut start = Vec::new();
            (&mut stream).take(PREFIX as u64).read_to_end(&mut start).map_err(&io)?;
            if start.len() < PREFIX {
                return Err(fault(short(start.len())));
            }
            let (len, mut head) = (header_len(&start, &fault)?, start);
            let got = (&mut stream).take(len).read_to_end(&mut head).map_err(&io)?;
            if (got as u64) < len {
                return Err(fault("it ends inside its header"));
            }
            let declared = read(path, &head[PREFIX..])?.data_len() as u64;
            let input = Input::spool(path, &head, &mut stream, declared)?;
            parse(path, input, &head[PREFIX..])
        }
    }
}

/// What is wrong with a file of fewer bytes than the length of its header takes.
fn short(len: usize) -> &'static str {
    if len == 0 { "it is empty" } else { "it ends inside the length of its header" }
}

fn header_len(prefix: &[u8], fault: &dyn Fn(&str) -> CheckpointError) -> Result<u64, CheckpointError> {
    let len = prefix.iter().rev().fold(0u64, |len, &byte| len << 8 | u64::from(byte));
    match len {
        0..2 => Err(fault("its first 8 bytes, the length of its header, are too small for any")),
        2..=LONGEST => Ok(len),
        _ => Err(fault("its first 8 bytes, the length of its header, are too large for any")),
    }
}

fn read(path: &Path, header: &[u8]) -> Result<Metadata, CheckpointError> {
    // Deserialising checks what the format asks for: no holes, no overlaps, sizes that fit their shapes.
    serde_json::from_slice(header)
        .map_err(|error| CheckpointError::Safetensors { path: path.to_owned(), why: error.to_string() })
}

fn parse(path: &Path, input: Input, header: &[u8]) -> Result<Shard, CheckpointError> {
    let parsed = read(path, header)?;
    let base = (PREFIX + header.len()) as u64;
    let declared = base + parsed.data_len() as u64;
    if declared != input.len() {
        let why = format!("its header declares a file of {declared} bytes, but it has {}", input.len());
        return Err(CheckpointError::Safetensors { path: path.to_owned(), why });
    }
    let mut tensors: Vec<(TensorInfo, u64)> = parsed
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let (start, end) = info.data_offsets;
            let shape = info.shape.clone();
            (TensorInfo { name, dtype: info.dtype.to_string(), shape, bytes: end - start }, base + start as u64)
        })
        .collect();
    // Empty tensors share an offset: their names order them.
    tensors.sort_by(|(a, at), (b, bt)| (at, a.bytes, &a.name).cmp(&(bt, b.bytes, &b.name)));
    let metadata = parsed.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(Shard { input, tensors, metadata })
}
