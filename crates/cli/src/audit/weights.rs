//! Every tensor of a file beside the reference's, one at a time.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use seedpress_checkpoint::container::is_container;
use seedpress_checkpoint::{ContainerFile, Stored};
use seedpress_exchange::{FileSupply, Form, SdpSupply, Supply, TensorSource, Weights};
use seedpress_press::RowErrors;
use serde::Serialize;

use crate::common::container;
use crate::failure::Failure;
use crate::listing::file_bytes;

/// A tensor of the file.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Compared {
    /// Its name.
    pub name: String,
    /// Its type in the file.
    pub kind: String,
    /// Weights.
    pub weights: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// Relative error, `None` where there is nothing to compare with.
    pub error: Option<f64>,
    /// That of its worst row.
    pub worst_row: Option<f64>,
}

impl Compared {
    /// Bits a weight.
    pub(super) fn bits(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.weights.max(1) as f64
    }
}

/// What was found of all.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Table {
    /// The file's format.
    pub format: String,
    /// Bytes of all its files of weights.
    pub file_bytes: u64,
    /// Weights of the reference.
    pub reference_weights: u64,
    /// In the file's order.
    pub tensors: Vec<Compared>,
    /// Tensors of the reference that the file lacks.
    pub missing: Vec<String>,
}

impl Table {
    /// Bits of the whole file for each weight of the reference.
    pub(super) fn bits(&self) -> f64 {
        self.file_bytes as f64 * 8.0 / self.reference_weights.max(1) as f64
    }
}

/// A file as the audit sees it: values, and what it says of each tensor.
struct Subject<'a> {
    supply: Box<dyn Supply + 'a>,
    format: String,
    kinds: Vec<(String, u64)>,
}

impl<'a> Subject<'a> {
    fn open(path: &Path, registry: &'a seedpress::Registry) -> Result<Self, Failure> {
        if is_container(path) {
            let file = container(path, None)?;
            let kinds = (0..file.index().entries.len()).map(|entry| stored(&file, entry)).collect();
            return Ok(Self { supply: Box::new(SdpSupply::new(file, registry)), format: ".sdp".to_owned(), kinds });
        }
        let file = FileSupply::open(path).map_err(Failure::data)?;
        let source: &dyn TensorSource = file.source();
        let kinds = source.tensors().iter().map(|entry| (entry.stored.clone(), entry.bytes)).collect();
        let format = source.format();
        Ok(Self { supply: Box::new(file), format, kinds })
    }
}

/// Codec and bytes of an entry.
fn stored(file: &ContainerFile, entry: usize) -> (String, u64) {
    let own = &file.index().entries[entry].stored;
    let bytes: u64 = file.index().parts[entry].iter().map(|part| part.len).sum();
    let kind = match own {
        Stored::Record(header) | Stored::Narrow { header, .. } if header.stage.is_empty() => header.codec.clone(),
        Stored::Record(header) | Stored::Narrow { header, .. } => format!("{}+{}", header.codec, header.stage),
        Stored::Opaque { dtype, .. } => dtype.clone(),
        Stored::Alias(other) => format!("same as {}", file.index().entries[*other].name),
    };
    (kind, bytes)
}

/// Compares a file with a folder. `stop` says whether to give up.
pub(super) fn compare(path: &Path, reference: &Path, stop: &dyn Fn() -> bool) -> Result<Table, Failure> {
    let registry = seedpress::registry();
    let own = Subject::open(path, &registry)?;
    let theirs = Subject::open(reference, &registry)?;
    let originals: HashMap<String, usize> =
        theirs.supply.list().into_iter().enumerate().map(|(index, (name, _))| (name, index)).collect();
    let list = own.supply.list();
    let mut tensors = Vec::with_capacity(list.len());
    for (index, (name, shape)) in list.iter().enumerate() {
        if stop() {
            return Err(Failure::interrupted("stopped"));
        }
        let errors = match originals.get(name) {
            Some(&original) => errors(&own, index, &theirs, original, name)?,
            None => None,
        };
        let (kind, bytes) = own.kinds[index].clone();
        let weights = shape.iter().product::<usize>() as u64;
        let (error, worst_row) = (errors.map(|errors| errors.relative), errors.map(|errors| errors.worst_row));
        tensors.push(Compared { name: name.clone(), kind, weights, bytes, error, worst_row });
    }
    let names: HashSet<&String> = list.iter().map(|(name, _)| name).collect();
    let all = theirs.supply.list();
    let missing = all.iter().map(|(name, _)| name.clone()).filter(|name| !names.contains(name)).collect();
    let reference_weights = all.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
    Ok(Table { format: own.format, file_bytes: file_bytes(path)?, reference_weights, tensors, missing })
}

fn errors(
    own: &Subject<'_>,
    index: usize,
    theirs: &Subject<'_>,
    original: usize,
    name: &str,
) -> Result<Option<RowErrors>, Failure> {
    let load = |subject: &Subject<'_>, index| subject.supply.load(index, Form::Float).map_err(Failure::data);
    let (Weights::Float(decoded), Weights::Float(original)) = (load(own, index)?, load(theirs, original)?) else {
        return Ok(None);
    };
    if decoded.shape() != original.shape() {
        let (here, there) = (decoded.shape(), original.shape());
        return Err(Failure::data(format!("`{name}` is {here:?} in the file and {there:?} in the reference")));
    }
    Ok(Some(RowErrors::between(original.shape(), original.values(), decoded.values())))
}
