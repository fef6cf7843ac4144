//! A GGUF file: its header, and tensors by the names of Hugging Face.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use seedpress_codec::tensor::element_count;
use seedpress_codec::{DType, Tensor};

use crate::cursor::{Cursor, Why};
use crate::error::ExchangeError;
use crate::gguf::change::Change;
use crate::gguf::names::Names;
use crate::gguf::types::{TypeInfo, Values, by_number};
use crate::gguf::value::{Value, length, text};
use crate::mapped::Mapped;
use crate::source::{Loaded, TensorEntry, TensorSource, repeated_name};

const FORMAT: &str = "GGUF";
/// ggml's own limit.
const MAX_RANK: usize = 4;
/// Where values begin, unless the file says otherwise.
pub(crate) const ALIGNMENT: usize = 32;
/// Longer arrays (vocabularies) are no metadata of a checkpoint.
const MAX_SHOWN: usize = 64;
/// Tensors that no checkpoint of Hugging Face has: converters write them for what `config.json` says of the rotary embedding.
const DERIVED: &[&str] = &["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];
/// Blocks a parallel task turns into weights.
const TASK: usize = 256;

/// A tensor as the file describes it.
#[derive(Debug, Clone)]
struct Stored {
    name: String,
    /// Outermost first; the file has them the other way round.
    shape: Vec<usize>,
    info: &'static TypeInfo,
    range: Range<usize>,
}

/// The header.
#[derive(Debug)]
struct Header {
    version: u32,
    values: Vec<(String, Value)>,
    tensors: Vec<Stored>,
}

/// Which part of a stored tensor a listed tensor is, and what turns it into Hugging Face's.
#[derive(Debug)]
struct Place {
    stored: usize,
    /// Of how many equal parts along the first dimension, and which: experts lie in one tensor.
    part: (usize, usize),
    change: Change,
}

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf {
    map: Mapped,
    version: u32,
    values: Vec<(String, Value)>,
    stored: Vec<Stored>,
    places: Vec<Place>,
    entries: Vec<TensorEntry>,
    metadata: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl Gguf {
    /// Opens a GGUF file of version 1 to 3.
    ///
    /// # Errors
    /// A file that cannot be read, is cut short, or describes tensors beyond its end or of types that are not known.
    pub fn open(path: &Path) -> Result<Self, ExchangeError> {
        let map = Mapped::open(path)?;
        let damaged = |why| ExchangeError::Damaged { path: path.to_owned(), format: FORMAT, why };
        let header = Header::parse(&map).map_err(damaged)?;
        Self::new(map, header).map_err(damaged)
    }

    fn new(map: Mapped, header: Header) -> Result<Self, Why> {
        let Header { version, values, tensors: stored } = header;
        let names = Names::of(&values);
        let mut gguf = Self {
            map,
            version,
            values,
            stored,
            places: Vec::new(),
            entries: Vec::new(),
            metadata: BTreeMap::new(),
            notes: Vec::new(),
        };
        if names.is_none() {
            gguf.notes
                .push("its architecture is not known here: names and the order of rows are GGUF's own".to_owned());
        }
        for index in 0..gguf.stored.len() {
            gguf.list(index, names.as_ref());
        }
        if let Some(twice) = repeated_name(&gguf.entries) {
            return Err(format!("two tensors are named `{}`", twice.escape_debug()));
        }
        for (key, value) in &gguf.values {
            match value {
                Value::Array(array) if array.len() > MAX_SHOWN => {
                    gguf.notes.push(format!(
                        "`{}`, {} values, is no tensor: left out",
                        key.escape_debug(),
                        array.len()
                    ));
                }
                _ => drop(gguf.metadata.insert(key.clone(), value.to_string())),
            }
        }
        Ok(gguf)
    }

    /// Lists a stored tensor: as itself, or as the experts in it.
    fn list(&mut self, index: usize, names: Option<&Names>) {
        let stored = &self.stored[index];
        if names.is_some() && DERIVED.contains(&stored.name.as_str()) {
            self.notes.push(format!("`{}` follows from the model's configuration: left out", stored.name));
            return;
        }
        let (mapped, change) = names
            .map_or((vec![stored.name.clone()], Change::None), |names| names.hugging_face(&stored.name, &stored.shape));
        let parts = mapped.len();
        let mut shape = change.shape(&stored.shape);
        if parts > 1 {
            shape.remove(0);
        }
        for (part, name) in mapped.into_iter().enumerate() {
            self.entries.push(TensorEntry {
                name,
                shape: shape.clone(),
                stored: stored.info.name.to_owned(),
                float: match stored.info.values {
                    Values::Plain(scalar) => scalar.float(),
                    Values::Blocks(_) | Values::Unread => Some(DType::F32),
                },
                bytes: (stored.range.len() / parts) as u64,
            });
            self.places.push(Place { stored: index, part: (part, parts), change: change.clone() });
        }
    }

    /// All metadata, in the file's order.
    pub fn values(&self) -> &[(String, Value)] {
        &self.values
    }

    /// Bytes and shape of a listed tensor as the file has them.
    fn bytes(&self, index: usize) -> (&[u8], Vec<usize>) {
        let place = &self.places[index];
        let stored = &self.stored[place.stored];
        let (part, parts) = place.part;
        let step = stored.range.len() / parts;
        let mut shape = stored.shape.clone();
        if parts > 1 {
            shape.remove(0);
        }
        (&self.map[stored.range.start + part * step..][..step], shape)
    }

    fn read(&self, index: usize) -> Result<Loaded, Why> {
        let place = &self.places[index];
        let stored = &self.stored[place.stored];
        let (bytes, shape) = self.bytes(index);
        let loaded = match stored.info.values {
            Values::Plain(scalar) => scalar.load(&shape, bytes.to_vec())?,
            Values::Blocks(dequantise) => {
                let mut values = vec![0f32; element_count(&shape).ok_or("its shape overflows")?];
                let (weights, size) = (stored.info.weights, stored.info.bytes);
                values.par_chunks_mut(TASK * weights).zip(bytes.par_chunks(TASK * size)).for_each(|(values, bytes)| {
                    for (values, bytes) in values.chunks_exact_mut(weights).zip(bytes.chunks_exact(size)) {
                        dequantise(bytes, values);
                    }
                });
                Tensor::new(shape, values, DType::F32).map(Loaded::Float).map_err(|error| error.to_string())?
            }
            Values::Unread => return Err(format!("no file holds weights of the type {}", stored.info.name)),
        };
        match loaded {
            Loaded::Float(tensor) => place.change.undo(tensor).map(Loaded::Float),
            opaque => Ok(opaque),
        }
    }
}

impl TensorSource for Gguf {
    fn format(&self) -> String {
        format!("GGUF v{}", self.version)
    }

    fn tensors(&self) -> &[TensorEntry] {
        &self.entries
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn blocks(&self, index: usize) -> Result<Option<Vec<u8>>, ExchangeError> {
        let place = &self.places[index];
        let (bytes, shape) = self.bytes(index);
        if !matches!(self.stored[place.stored].info.values, Values::Blocks(_)) {
            return Ok(None);
        }
        let turned = place.change.turn_rows(bytes, shape.first().copied().unwrap_or(0), false);
        turned.map_err(|why| ExchangeError::tensor(self.map.path(), &self.entries[index].name, why))
    }

    fn load(&self, index: usize) -> Result<Loaded, ExchangeError> {
        self.read(index).map_err(|why| ExchangeError::tensor(self.map.path(), &self.entries[index].name, why))
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, Why> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(4)? != b"GGUF" {
            return Err("it does not start with GGUF".to_owned());
        }
        let version = cursor.u32()?;
        let wide = match version {
            1 => false,
            2 | 3 => true,
            _ if version.swap_bytes() <= 3 => return Err("it is big-endian, which is not read".to_owned()),
            _ => return Err(format!("version {version} is not known")),
        };
        let tensor_count = length(&mut cursor, wide)?;
        let value_count = length(&mut cursor, wide)?;
        // A key, a type and a byte; a name, a rank, a type and an offset.
        let value_count = cursor.count(value_count, 9)?;
        let mut values = Vec::with_capacity(value_count);
        let mut keys = HashSet::with_capacity(value_count);
        for _ in 0..value_count {
            let key = text(&mut cursor, wide)?;
            let value =
                Value::read(&mut cursor, wide).map_err(|why| format!("metadata `{}`: {why}", key.escape_debug()))?;
            if !keys.insert(key.clone()) {
                return Err(format!("metadata `{}` occurs twice", key.escape_debug()));
            }
            values.push((key, value));
        }
        let tensor_count = cursor.count(tensor_count, 20)?;
        let mut tensors = Vec::with_capacity(tensor_count);
        for _ in 0..tensor_count {
            tensors.push(describe(&mut cursor, wide)?);
        }
        let tensors = place(bytes, cursor.position(), alignment(&values)?, tensors)?;
        Ok(Self { version, values, tensors })
    }
}

fn alignment(values: &[(String, Value)]) -> Result<usize, Why> {
    let Some((_, value)) = values.iter().find(|(key, _)| key == "general.alignment") else { return Ok(ALIGNMENT) };
    let alignment =
        value.as_u64().and_then(|value| usize::try_from(value).ok()).filter(|value| value.is_power_of_two());
    alignment.ok_or_else(|| format!("an alignment of {value}"))
}

/// Name, shape, type and offset.
fn describe(cursor: &mut Cursor<'_>, wide: bool) -> Result<(String, Vec<usize>, &'static TypeInfo, u64), Why> {
    let name = text(cursor, wide)?;
    let fault = |why: String| format!("tensor `{}`: {why}", name.escape_debug());
    let rank = cursor.u32()? as usize;
    if rank > MAX_RANK {
        return Err(fault(format!("{rank} dimensions, {MAX_RANK} are allowed")));
    }
    let mut shape = Vec::with_capacity(rank);
    for _ in 0..rank {
        let dim = length(cursor, wide)?;
        shape.push(usize::try_from(dim).map_err(|_| fault(format!("a dimension of {dim}")))?);
    }
    shape.reverse();
    let number = cursor.u32()?;
    let info =
        by_number(number).ok_or_else(|| fault(format!("its type has the number {number}, which is not known")))?;
    Ok((name, shape, info, cursor.u64()?))
}

/// Where the values of each tensor lie; they begin at the first multiple of the alignment behind the header.
fn place(
    bytes: &[u8],
    header: usize,
    alignment: usize,
    tensors: Vec<(String, Vec<usize>, &'static TypeInfo, u64)>,
) -> Result<Vec<Stored>, Why> {
    let base = header.checked_next_multiple_of(alignment).ok_or("the alignment overflows")?;
    let mut placed = Vec::with_capacity(tensors.len());
    for (name, shape, info, offset) in tensors {
        let fault = |why: String| format!("tensor `{}`: {why}", name.escape_debug());
        let size = info.size(&shape).ok_or_else(|| {
            fault(format!("rows of shape {shape:?} are no whole blocks of {} {} weights", info.weights, info.name))
        })?;
        let range = usize::try_from(offset)
            .ok()
            .and_then(|offset| base.checked_add(offset))
            .and_then(|start| Some(start..start.checked_add(size)?))
            .filter(|range| range.end <= bytes.len())
            .ok_or_else(|| fault(format!("{size} bytes at {offset} reach beyond the end of the file")))?;
        placed.push(Stored { name, shape, info, range });
    }
    // Tensors that share bytes would let a small file ask for any amount of memory and time.
    let mut ranges: Vec<&Range<usize>> =
        placed.iter().map(|tensor| &tensor.range).filter(|range| !range.is_empty()).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    if ranges.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return Err("two tensors overlap".to_owned());
    }
    Ok(placed)
}
