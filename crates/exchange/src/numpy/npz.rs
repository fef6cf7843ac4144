//! A zip of arrays.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use zip::ZipArchive;

use crate::cursor::Why;
use crate::error::ExchangeError;
use crate::mapped::Mapped;
use crate::numpy::npy::{Header, MAX_HEADER};
use crate::source::{Loaded, TensorEntry, TensorSource, repeated_name};

const FORMAT: &str = "npz";
/// Deflate writes at least one byte for every 1032.
const MAX_INFLATION: u64 = 1032;

/// A `.npz` file: a tensor for every array in it.
pub struct Npz {
    map: Mapped,
    archive: ZipArchive<Cursor<Mapped>>,
    entries: Vec<TensorEntry>,
    /// The place in the zip and the header of each entry.
    places: Vec<(usize, Header)>,
    metadata: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl std::fmt::Debug for Npz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Npz").field("path", &self.map.path()).field("tensors", &self.entries.len()).finish()
    }
}

impl Npz {
    /// Opens a `.npz` file.
    ///
    /// # Errors
    /// A file that cannot be read, or holds no array of numbers.
    pub fn open(path: &Path) -> Result<Self, ExchangeError> {
        let map = Mapped::open(path)?;
        let damaged = |why| ExchangeError::Damaged { path: path.to_owned(), format: FORMAT, why };
        let archive = ZipArchive::new(Cursor::new(map.clone())).map_err(|error| damaged(error.to_string()))?;
        let mut npz = Self {
            map,
            archive,
            entries: Vec::new(),
            places: Vec::new(),
            metadata: BTreeMap::new(),
            notes: Vec::new(),
        };
        for index in 0..npz.archive.len() {
            let (name, size, header) = npz.header(index).map_err(damaged)?;
            let Some(name) = name.strip_suffix(".npy") else {
                npz.notes.push(format!("`{name}` is no numpy array: left out"));
                continue;
            };
            match header {
                Ok(header) => {
                    npz.entries.push(header.entry(name.to_owned(), size));
                    npz.places.push((index, header));
                }
                Err(why) => npz.notes.push(format!("`{name}`: {why}: left out")),
            }
        }
        if let Some(twice) = repeated_name(&npz.entries) {
            return Err(damaged(format!("it holds `{twice}` twice")));
        }
        if npz.entries.is_empty() && !npz.notes.is_empty() {
            return Err(damaged(npz.notes.join("; ")));
        }
        Ok(npz)
    }

    /// Name, compressed size and header of an entry.
    fn header(&mut self, index: usize) -> Result<(String, u64, Result<Header, Why>), Why> {
        let mut file = self.archive.by_index(index).map_err(|error| error.to_string())?;
        let mut start = Vec::new();
        let name = file.name().map_err(|error| error.to_string())?.into_owned();
        let size = file.compressed_size();
        file.by_ref()
            .take(MAX_HEADER as u64 + 16)
            .read_to_end(&mut start)
            .map_err(|error| format!("`{name}`: {error}"))?;
        Ok((name, size, Header::parse(&start)))
    }

    fn read(&self, index: usize) -> Result<Loaded, Why> {
        let (place, header) = &self.places[index];
        // The directory is shared; what a reader changes is its own.
        let mut archive = self.archive.clone();
        let mut file = archive.by_index(*place).map_err(|error| error.to_string())?;
        if header.bytes as u64 > file.compressed_size().saturating_mul(MAX_INFLATION).saturating_add(MAX_HEADER as u64)
        {
            return Err(format!(
                "{} compressed bytes cannot hold the {} of its shape",
                file.compressed_size(),
                header.bytes
            ));
        }
        let whole = header.start as u64 + header.bytes as u64;
        let mut bytes = Vec::with_capacity(whole as usize);
        file.by_ref().take(whole + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 != whole {
            let have = bytes.len().saturating_sub(header.start);
            return Err(format!("its shape needs {} bytes of values, {have} or more are there", header.bytes));
        }
        bytes.drain(..header.start);
        header.load(bytes)
    }
}

impl TensorSource for Npz {
    fn format(&self) -> String {
        "numpy arrays (npz)".to_owned()
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
