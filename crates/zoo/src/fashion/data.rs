//! The images and their classes, from committed files or a package.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assets;
use crate::error::ZooError;
use crate::fetch::command;

/// Pixels of an image.
pub const PIXELS: usize = 28 * 28;

/// Mean and standard deviation of the training pixels in [0, 1].
pub(super) const MEAN: f32 = 0.2860;
pub(super) const DEVIATION: f32 = 0.3530;

/// Training images committed for calibration.
pub const CALIBRATION_IMAGES: usize = 2048;

/// Images with their classes.
#[derive(Debug, Clone)]
pub struct Images {
    /// Row-major pixels, 0 black, [`PIXELS`] an image.
    pub pixels: Vec<u8>,
    /// Class of each image, 0..10.
    pub labels: Vec<u8>,
}

impl Images {
    /// The images that measure models and are never trained or calibrated on.
    ///
    /// # Errors
    /// Where the committed file cannot be read.
    pub fn held_out() -> Result<Self, ZooError> {
        Self::read(&assets::asset("fashion-mnist"), "t10k")
    }

    /// The first [`CALIBRATION_IMAGES`] training images.
    ///
    /// # Errors
    /// Where the committed file cannot be read.
    pub fn calibration() -> Result<Self, ZooError> {
        Self::read(&assets::asset("fashion-mnist"), "calibration")
    }

    /// All training images, from `folder`, an installed package, or one fetched into the cache.
    ///
    /// # Errors
    /// Where the data is nowhere and cannot be fetched.
    pub fn training(folder: Option<&Path>) -> Result<Self, ZooError> {
        Self::read(&training_folder(folder)?, "train")
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// One image.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * PIXELS..(index + 1) * PIXELS]
    }

    fn read(folder: &Path, prefix: &str) -> Result<Self, ZooError> {
        let images = folder.join(format!("{prefix}-images-idx3-ubyte.gz"));
        let labels = folder.join(format!("{prefix}-labels-idx1-ubyte.gz"));
        let (pixels, labels_read) = (read_idx(&images, &[28, 28])?, read_idx(&labels, &[])?);
        if pixels.len() != labels_read.len() * PIXELS {
            return Err(ZooError::bad_file(&labels, "not as many labels as images"));
        }
        if labels_read.iter().any(|&label| label > 9) {
            return Err(ZooError::bad_file(&labels, "a label above 9"));
        }
        Ok(Self { pixels, labels: labels_read })
    }
}

/// The payload of a gzipped IDX file of bytes: magic `00 00 08 rank`, big-endian dimensions, values.
fn read_idx(path: &Path, inner: &[u32]) -> Result<Vec<u8>, ZooError> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(assets::read(path)?.as_slice()).read_to_end(&mut bytes).map_err(ZooError::io(path))?;
    let header = 4 * (inner.len() + 2);
    let word = |index: usize| bytes.get(4 * index..4 * index + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let count = word(1).unwrap_or(0) as usize * inner.iter().product::<u32>() as usize;
    let expected = std::iter::once(0x800 + inner.len() as u32 + 1).map(Some);
    let found = std::iter::once(word(0));
    let shape = (2..).map(word).take(inner.len());
    if !expected.eq(found) || !shape.eq(inner.iter().copied().map(Some)) || bytes.len() != header + count {
        return Err(ZooError::bad_file(path, "not an IDX file of the expected shape"));
    }
    Ok(bytes.split_off(header))
}

fn training_folder(given: Option<&Path>) -> Result<PathBuf, ZooError> {
    if let Some(folder) = given {
        return Ok(folder.to_path_buf());
    }
    let cached = assets::cache().join("fashion-mnist");
    let unpacked = cached.join("usr/share/datasets/fashion-mnist");
    for folder in [PathBuf::from("/usr/share/datasets/fashion-mnist"), unpacked.clone()] {
        if folder.join("train-images-idx3-ubyte.gz").is_file() {
            return Ok(folder);
        }
    }
    std::fs::create_dir_all(&cached).map_err(ZooError::io(&cached))?;
    command(Command::new("apt-get").args(["download", "dataset-fashion-mnist"]).current_dir(&cached))?;
    let listing = std::fs::read_dir(&cached).map_err(ZooError::io(&cached))?;
    let package = listing
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| ZooError::bad_file(&cached, "no package arrived"))?;
    command(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&cached))?;
    Ok(unpacked)
}
