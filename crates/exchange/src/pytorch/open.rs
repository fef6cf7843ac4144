//! Where a PyTorch file keeps what: the pickle and the storages.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor as IoCursor, Read};
use std::ops::Range;
use std::path::Path;

use seedpress_codec::Limits;
use seedpress_codec::tensor::element_count;
use zip::{CompressionMethod, ZipArchive};

use crate::cursor::{Cursor, Why};
use crate::error::ExchangeError;
use crate::mapped::Mapped;
use crate::pytorch::pickle::{Node, Pickle};
use crate::pytorch::tensors::{Contents, Described, contents};
use crate::scalar::Scalar;
use crate::source::{Loaded, TensorEntry, TensorSource, repeated_name};
use crate::strided::gather;

const FORMAT: &str = "PyTorch";
/// 0x1950a86a20f9469cfc6c: what a file of before 1.6 starts with.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// An open PyTorch file.
#[derive(Debug)]
pub struct PyTorch {
    map: Mapped,
    format: &'static str,
    described: Vec<Described>,
    entries: Vec<TensorEntry>,
    /// Where the values of each storage lie in the file.
    storages: HashMap<String, Range<usize>>,
    metadata: BTreeMap<String, String>,
    notes: Vec<String>,
}

/// A pickle, and where storages lie.
struct Layout {
    format: &'static str,
    contents: Contents,
    storages: HashMap<String, Range<usize>>,
}

impl PyTorch {
    /// Opens a `.pt`, `.pth` or `.bin` file of either layout. Nothing in it is executed.
    ///
    /// # Errors
    /// A file that cannot be read, a pickle that describes no tensors, tensors beyond their storages or of kinds that are not read.
    pub fn open(path: &Path) -> Result<Self, ExchangeError> {
        let map = Mapped::open(path)?;
        let layout = if map.starts_with(b"PK") { zipped(&map) } else { legacy(&map) };
        layout.and_then(|layout| Self::new(map, layout)).map_err(|why| ExchangeError::Damaged {
            path: path.to_owned(),
            format: FORMAT,
            why,
        })
    }

    fn new(map: Mapped, layout: Layout) -> Result<Self, Why> {
        let Layout { format, contents, storages } = layout;
        if contents.tensors.is_empty() {
            let found =
                if contents.notes.is_empty() { "it holds no tensors".to_owned() } else { contents.notes.join("; ") };
            return Err(format!("{found}; save a model's `state_dict()`"));
        }
        // An expanded tensor takes memory the file does not have: together not more than a stream of this length may ask for.
        let mut budget = Limits::for_input(map.len());
        let mut entries = Vec::with_capacity(contents.tensors.len());
        for tensor in &contents.tensors {
            let name = tensor.name.escape_debug();
            let bytes = element_count(&tensor.shape).and_then(|count| count.checked_mul(tensor.scalar.size()));
            let bytes = bytes.ok_or_else(|| format!("tensor `{name}`: its shape overflows"))? as u64;
            budget.take(bytes).map_err(|error| format!("tensor `{name}`: {error}"))?;
            if !storages.contains_key(&tensor.storage) && bytes > 0 {
                return Err(format!("tensor `{name}`: its storage `{}` is missing", tensor.storage.escape_debug()));
            }
            entries.push(TensorEntry {
                name: tensor.name.clone(),
                shape: tensor.shape.clone(),
                stored: tensor.scalar.name().to_owned(),
                float: tensor.scalar.float(),
                bytes,
            });
        }
        if let Some(twice) = repeated_name(&entries) {
            return Err(format!("two tensors are named `{}`", twice.escape_debug()));
        }
        let metadata = contents.metadata.into_iter().collect();
        Ok(Self { map, format, described: contents.tensors, entries, storages, metadata, notes: contents.notes })
    }

    fn read(&self, index: usize) -> Result<Loaded, Why> {
        let tensor = &self.described[index];
        let size = tensor.scalar.size();
        let storage = self.storages.get(&tensor.storage).map_or(&[][..], |range| &self.map[range.clone()]);
        let start = tensor.offset.checked_mul(size).filter(|&start| start <= storage.len());
        let start = start.ok_or("it begins beyond its storage")?;
        let bytes = gather(&storage[start..], size, &tensor.shape, &tensor.strides)?;
        tensor.scalar.load(&tensor.shape, bytes)
    }
}

impl TensorSource for PyTorch {
    fn format(&self) -> String {
        self.format.to_owned()
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

    fn load(&self, index: usize) -> Result<Loaded, ExchangeError> {
        self.read(index).map_err(|why| ExchangeError::tensor(self.map.path(), &self.entries[index].name, why))
    }
}

/// The zip of PyTorch since 1.6.
fn zipped(map: &Mapped) -> Result<Layout, Why> {
    let mut archive = ZipArchive::new(IoCursor::new(map.clone())).map_err(|error| error.to_string())?;
    let names: Vec<String> = archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let pickle = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let pickle = pickle.ok_or("it has no data.pkl")?;
    let folder = &pickle[..pickle.len() - "data.pkl".len()];
    let scripted = names.iter().any(|name| name.strip_prefix(folder) == Some("constants.pkl"));

    let mut storages = HashMap::new();
    let mut described = None;
    for (index, name) in names.iter().enumerate() {
        let Some(inner) = name.strip_prefix(folder) else { continue };
        if inner != "data.pkl" && inner != "byteorder" && !inner.starts_with("data/") {
            continue;
        }
        let mut file = archive.by_index_raw(index).map_err(|error| format!("{name}: {error}"))?;
        if file.compression() != CompressionMethod::Stored || file.encrypted() {
            return Err(format!("{name} is compressed or encrypted, which PyTorch itself refuses: save it anew"));
        }
        let start = file.data_start().and_then(|start| usize::try_from(start).ok());
        let end = start.zip(usize::try_from(file.size()).ok()).and_then(|(start, size)| start.checked_add(size));
        let range = start.zip(end).map(|(start, end)| start..end).filter(|range| range.end <= map.len());
        let range = range.ok_or_else(|| format!("{name} reaches beyond the end of the file"))?;
        match inner {
            "data.pkl" => described = Some(Pickle::parse(&mut Cursor::new(&map[range]))?),
            "byteorder" => {
                let mut order = String::new();
                file.by_ref().take(16).read_to_string(&mut order).map_err(|error| error.to_string())?;
                if order.trim() != "little" {
                    return Err("it was written on a big-endian machine".to_owned());
                }
            }
            _ => drop(storages.insert(inner["data/".len()..].to_owned(), range)),
        }
    }
    let contents = contents(&described.ok_or("it has no data.pkl")?)?;
    let format = if scripted { "TorchScript" } else { "PyTorch (zip)" };
    Ok(Layout { format, contents, storages })
}

/// The row of pickles of before 1.6; or a pickle of another kind, which is named.
fn legacy(map: &Mapped) -> Result<Layout, Why> {
    let mut cursor = Cursor::new(map);
    let magic = Pickle::parse(&mut cursor)?;
    if magic.node(magic.root()) != &Node::Long(MAGIC.to_vec()) {
        return Err(
            "this is a Python pickle that PyTorch did not write: save the weights as .npz or .safetensors".to_owned()
        );
    }
    let version = Pickle::parse(&mut cursor)?;
    if version.int(version.root()) != Some(1001) {
        return Err("its protocol version is not 1001".to_owned());
    }
    let system = Pickle::parse(&mut cursor)?;
    let little = system.get(system.root(), "little_endian").map(|id| system.node(id).clone());
    if little == Some(Node::Bool(false)) {
        return Err("it was written on a big-endian machine".to_owned());
    }
    let described = Pickle::parse(&mut cursor)?;
    let keys = Pickle::parse(&mut cursor)?;
    let sizes = element_sizes(&described);
    let mut storages = HashMap::new();
    for &key in keys.items(keys.root()).ok_or("its storage keys are no list")? {
        let key = match keys.node(key) {
            Node::Text(key) => key.clone(),
            Node::Int(key) => key.to_string(),
            _ => return Err("a storage key is no text".to_owned()),
        };
        let escaped = key.escape_debug();
        let size = *sizes.get(&key).ok_or_else(|| format!("the storage `{escaped}` belongs to no tensor"))?;
        let count = cursor.u64()?;
        let count = cursor.count(count, size).map_err(|why| format!("storage `{escaped}`: {why}"))?;
        let start = cursor.position();
        cursor.take(count * size)?;
        storages.insert(key, start..cursor.position());
    }
    Ok(Layout { format: "PyTorch (before 1.6)", contents: contents(&described)?, storages })
}

/// Bytes of an element of every storage a pickle names.
fn element_sizes(pickle: &Pickle) -> HashMap<String, usize> {
    let storages = (0..pickle.len()).filter_map(|id| match pickle.node(id) {
        Node::Persistent(about) => crate::pytorch::tensors::storage_of(pickle, *about).ok(),
        _ => None,
    });
    storages.map(|(scalar, key, _, _): (Scalar, String, usize, usize)| (key, scalar.size())).collect()
}
