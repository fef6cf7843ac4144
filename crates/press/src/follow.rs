//! Restoring a file while it arrives: the output is written anew with every layer that is complete.
//!
//! The first output needs the first layer of every tensor; each further one the next layer of all tensors that have one; the last the whole
//! file. What is written is what [`decompress`] makes of the bytes at hand at that time, whole or not at all.

use std::time::Duration;

use seedpress_checkpoint::container::{Arrived, Growing};
use seedpress_checkpoint::{ContainerFile, Index, Output};
use seedpress_codec::Registry;

use crate::control::Control;
use crate::decompress::{Restore, Restored, decompress};
use crate::error::PressError;

/// Between two looks at how much is there.
const PAUSE: Duration = Duration::from_millis(50);

/// An output that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is in it.
    pub restored: Restored,
    /// Bytes of the file that were there.
    pub bytes: u64,
    /// Bytes of the whole file.
    pub whole: u64,
}

/// Restores a file as far as it is there, again and again until it is whole. `output` opens the output each time, for the file as far as it is
/// there; `tell` hears of it when it is in its place.
///
/// # Errors
/// As [`decompress`]; a stream that ends before the file does. Outputs that were written stay.
pub fn follow<E: From<PressError>>(
    growing: &Growing,
    registry: &Registry,
    restore: &Restore,
    control: &Control<'_>,
    output: &mut dyn FnMut(&ContainerFile) -> Result<Output, E>,
    tell: &mut dyn FnMut(Step),
) -> Result<(), E> {
    let mut marks: Option<Vec<u64>> = None;
    let (mut seen, mut written) = (0, 0);
    loop {
        control.check()?;
        let Arrived { bytes, over } = growing.arrived().map_err(PressError::from)?;
        if marks.is_none() {
            marks = growing.container(bytes).map_err(PressError::from)?.map(|file| milestones(file.index()));
        }
        if let Some(marks) = &marks {
            let whole = marks[marks.len() - 1];
            // Whatever follows the file is not a part of it.
            let bytes = bytes.min(whole);
            let reached = marks.partition_point(|&mark| mark <= bytes);
            let reopened = if reached > seen { growing.container(bytes) } else { Ok(None) };
            let file = reopened.map_err(PressError::from)?;
            if let Some(file) = file {
                seen = reached;
                // Few layers may justify less memory than the whole file does: then they are waited for.
                if reached == marks.len() || restore.memory.check(&file).is_ok() {
                    let restored = decompress(&file, registry, restore, control, output(&file)?)?;
                    written = reached;
                    tell(Step { restored, bytes, whole });
                }
            }
            if seen == marks.len() {
                return Ok(());
            }
        }
        // What arrived since is looked at once more: `over` was known before.
        if over && growing.arrived().map_err(PressError::from)?.bytes == bytes {
            let (needed, whole) = marks.as_ref().map_or((bytes, bytes), |marks| (marks[0], marks[marks.len() - 1]));
            let path = growing.path().to_owned();
            let error = match (&marks, written) {
                (Some(_), 0) => PressError::TooShort { path, have: bytes, needed, whole },
                (Some(_), _) => PressError::Ended { path, have: bytes, whole },
                (None, _) => PressError::NoIndex { path, have: bytes },
            };
            return Err(error.into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Bytes from which on a file holds the first layer of every tensor, the first two, and so on, ascending; the last is the whole file.
fn milestones(index: &Index) -> Vec<u64> {
    let deepest = index.parts.iter().map(Vec::len).max().unwrap_or(0);
    let reached = |layer: usize| {
        let ends = index.parts.iter().filter_map(|parts| parts.get(layer.min(parts.len().wrapping_sub(1))));
        ends.map(|part| part.offset + part.len).max().unwrap_or(index.whole_len)
    };
    let mut marks: Vec<u64> = (0..deepest).map(reached).chain([index.whole_len]).collect();
    marks.sort_unstable();
    marks.dedup();
    marks
}
