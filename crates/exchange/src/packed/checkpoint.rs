//! Safetensors files, plain or packed in one of the layouts: packed matrices become weights of one name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use seedpress_checkpoint::{Checkpoint, Content};
use seedpress_codec::{DType, Tensor};

use super::config::{Layout, folder_of};
use super::grid::Grid;
use super::parts::Parts;
use super::{awq, compressed_tensors, experts, gptq, mlx};
use crate::cursor::Why;
use crate::error::ExchangeError;
use crate::source::{Loaded, TensorEntry, TensorSource};

/// An open safetensors checkpoint.
#[derive(Debug)]
pub struct PackedCheckpoint {
    checkpoint: Checkpoint,
    /// Where in the checkpoint a name is.
    index: HashMap<String, usize>,
    layout: Option<Layout>,
    entries: Vec<TensorEntry>,
    places: Vec<Place>,
    metadata: BTreeMap<String, String>,
}

/// Where an entry's values are.
#[derive(Debug)]
enum Place {
    /// A tensor as it is.
    Plain(usize),
    /// A matrix whose parts' names begin so.
    Packed(String),
    /// The matrix of an expert in a stack whose parts' names begin so.
    Expert(String, usize),
}

/// Last parts of names: the one a packed matrix is told by, and those that belong to it.
fn suffixes(layout: &Layout) -> (&'static str, &'static [&'static str]) {
    match layout {
        Layout::CompressedTensors { .. } => {
            ("weight_packed", &["weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx"])
        }
        Layout::Gptq { .. } => ("qweight", &["qzeros", "scales", "g_idx"]),
        Layout::Awq => ("qweight", &["qzeros", "scales"]),
        Layout::Mlx { .. } => ("weight", &["scales", "biases"]),
    }
}

impl PackedCheckpoint {
    /// [`TensorSource::format`] of safetensors that are not packed.
    pub const PLAIN: &'static str = "safetensors";

    /// Opens a file, an index, or a folder. How weights are packed is what the `config.json` beside them says.
    ///
    /// # Errors
    /// Files that cannot be read, a layout that is not read.
    pub fn open(path: &Path) -> Result<Self, ExchangeError> {
        let layout = Layout::of_folder(folder_of(path))?;
        Ok(Self::new(Checkpoint::open(path)?, layout))
    }

    /// A checkpoint in a layout.
    pub fn new(checkpoint: Checkpoint, layout: Option<Layout>) -> Self {
        let metadata = checkpoint.metadata().clone();
        let index = checkpoint.tensors().iter().enumerate().map(|(index, info)| (info.name.clone(), index)).collect();
        let mut packed = Self { checkpoint, index, layout, entries: Vec::new(), places: Vec::new(), metadata };
        let stems = packed.stems();
        for (index, info) in packed.checkpoint.tensors().iter().enumerate() {
            let (stem, last) = info.name.rsplit_once('.').unwrap_or(("", &info.name));
            let main = packed.layout.as_ref().map(suffixes).filter(|_| stems.contains(stem));
            match main {
                Some((main, _)) if last == main => {
                    let (shape, stored, bytes) = packed.about(stem);
                    let stacked = packed.stacked(stem).unwrap_or_default();
                    for expert in 0..stacked {
                        let name = experts::expert_of(stem, expert).unwrap_or_default() + ".weight";
                        let (shape, stored, bytes) = (shape.clone(), stored.clone(), bytes / stacked as u64);
                        packed.entries.push(TensorEntry { name, shape, stored, float: Some(DType::F32), bytes });
                        packed.places.push(Place::Expert(stem.to_owned(), expert));
                    }
                    if stacked == 0 {
                        let name = format!("{stem}.weight");
                        packed.entries.push(TensorEntry { name, shape, stored, float: Some(DType::F32), bytes });
                        packed.places.push(Place::Packed(stem.to_owned()));
                    }
                }
                Some((_, beside)) if beside.contains(&last) => {}
                _ => {
                    packed.entries.push(TensorEntry {
                        name: info.name.clone(),
                        shape: info.shape.clone(),
                        stored: info.dtype.clone(),
                        float: info.float(),
                        bytes: info.bytes as u64,
                    });
                    packed.places.push(Place::Plain(index));
                }
            }
        }
        packed
    }

    /// The layout its packed matrices have, `None` where nothing is packed.
    pub fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// The files as they are.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Names, without their last part, of packed matrices: those of which the main part and scales are there.
    fn stems(&self) -> HashSet<String> {
        let Some(layout) = &self.layout else { return HashSet::new() };
        let (main, beside) = suffixes(layout);
        let scales = beside.iter().find(|part| part.contains("scale")).copied().unwrap_or_default();
        let of = |last: &str| -> HashSet<String> {
            let infos = self.checkpoint.tensors().iter();
            infos
                .filter_map(|info| info.name.rsplit_once('.'))
                .filter(|(_, l)| *l == last)
                .map(|(s, _)| s.to_owned())
                .collect()
        };
        of(main).intersection(&of(scales)).cloned().collect()
    }

    /// How many experts a packed matrix is a stack of, where it is one.
    fn stacked(&self, stem: &str) -> Option<usize> {
        let Some(Layout::Mlx { .. }) = &self.layout else { return None };
        let name = experts::expert_of(stem, 0)?;
        let shape = Parts::new(&self.checkpoint, &self.index, stem).shape("weight")?;
        // A name that is there already would be there twice.
        let free = !self.index.contains_key(&format!("{name}.weight"));
        match *shape {
            [experts, height, width] if free && height * width > 0 && experts <= experts::MOST => Some(experts),
            _ => None,
        }
    }

    /// Shape, spelling and bytes of a packed matrix, as far as shapes alone tell.
    fn about(&self, stem: &str) -> (Vec<usize>, String, u64) {
        let Some(layout) = &self.layout else { return (Vec::new(), String::new(), 0) };
        let parts = Parts::new(&self.checkpoint, &self.index, stem);
        let (main, beside) = suffixes(layout);
        let (height, width) = match parts.shape(main) {
            Some(&[height, width]) => (height, width),
            Some(&[_, height, width]) if self.stacked(stem).is_some() => (height, width),
            _ => (0, 0),
        };
        let codes = |words: usize, bits: u8| words.saturating_mul(32) / usize::from(bits.max(1));
        let (shape, bits) = match layout {
            // Small: the exact shape is a tensor of its own.
            Layout::CompressedTensors { widths } => {
                let shape = parts.integers("weight_shape").unwrap_or_default();
                let shape = shape.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
                (shape, widths.first().copied().unwrap_or(4))
            }
            Layout::Gptq { bits, .. } => {
                let columns = match parts.shape("g_idx") {
                    Some(&[columns]) => columns,
                    _ => codes(height, *bits),
                };
                (vec![width, columns], *bits)
            }
            Layout::Awq => (vec![width.saturating_mul(8), height], 4),
            Layout::Mlx { .. } => {
                let bits = self.mlx_bits(stem);
                (vec![height, codes(width, bits)], bits)
            }
        };
        let of_part = |part: &&str| {
            let place = self.index.get(&format!("{stem}.{part}"));
            place.map_or(0, |&place| self.checkpoint.tensors()[place].bytes as u64)
        };
        let bytes = std::iter::once(&main).chain(beside).map(of_part).sum();
        (shape, format!("{} {bits} bits", layout.name()), bytes)
    }

    fn mlx_bits(&self, stem: &str) -> u8 {
        match &self.layout {
            Some(Layout::Mlx { bits, layers }) => {
                layers.iter().find(|(name, _)| name == stem).map_or(*bits, |(_, bits)| *bits)
            }
            _ => 0,
        }
    }

    /// The codes, scales and zero points of a packed matrix; `None` for a tensor that is not packed.
    ///
    /// # Errors
    /// Parts that are missing or do not fit each other.
    pub fn grid(&self, index: usize) -> Result<Option<Grid>, ExchangeError> {
        match &self.places[index] {
            Place::Plain(_) => Ok(None),
            Place::Packed(stem) => self.unpack(stem, None).map(Some).map_err(|why| self.fault(index, why)),
            Place::Expert(stem, expert) => {
                self.unpack(stem, Some(*expert)).map(Some).map_err(|why| self.fault(index, why))
            }
        }
    }

    fn unpack(&self, stem: &str, expert: Option<usize>) -> Result<Grid, Why> {
        let parts = Parts::new(&self.checkpoint, &self.index, stem).of_expert(expert);
        match &self.layout {
            Some(Layout::CompressedTensors { widths }) => compressed_tensors::read(&parts, widths),
            Some(Layout::Gptq { bits, version }) => gptq::read(&parts, *bits, *version),
            Some(Layout::Awq) => awq::read(&parts),
            Some(Layout::Mlx { .. }) => mlx::read(&parts, self.mlx_bits(stem)),
            None => Err("nothing says how it is packed".to_owned()),
        }
    }

    fn fault(&self, index: usize, why: Why) -> ExchangeError {
        ExchangeError::tensor(self.checkpoint.path(), &self.entries[index].name, why)
    }
}

impl TensorSource for PackedCheckpoint {
    fn format(&self) -> String {
        match &self.layout {
            Some(layout) => format!("safetensors, {}", layout.name()),
            None => Self::PLAIN.to_owned(),
        }
    }

    fn tensors(&self) -> &[TensorEntry] {
        &self.entries
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    fn notes(&self) -> &[String] {
        &[]
    }

    fn load(&self, index: usize) -> Result<Loaded, ExchangeError> {
        match (&self.places[index], self.grid(index)?) {
            (_, Some(grid)) => {
                let shape = vec![grid.rows, grid.columns];
                if shape != self.entries[index].shape {
                    return Err(self.fault(index, format!("its parts say the shape {shape:?}")));
                }
                let tensor = Tensor::new(shape, grid.dequantise(), DType::F32);
                tensor.map(Loaded::Float).map_err(|error| self.fault(index, error.to_string()))
            }
            (Place::Plain(place), None) => Ok(match self.checkpoint.load(*place)? {
                Content::Float(tensor) => Loaded::Float(tensor),
                Content::Opaque(bytes) => Loaded::Opaque { dtype: self.entries[index].stored.clone(), bytes },
            }),
            (Place::Packed(_) | Place::Expert(..), None) => Err(self.fault(index, "it is not packed".to_owned())),
        }
    }
}
