//! Hidden states of many batches between two blocks, in memory up to a limit and in a temporary file beyond it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::ModelError;
use crate::network::Hidden;

/// How many bytes of hidden states memory may hold, and where the others go. Clones share both.
#[derive(Debug, Clone)]
pub struct Storage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: u64,
    folder: PathBuf,
    /// Bytes in memory.
    held: AtomicU64,
}

impl Storage {
    /// All in memory.
    pub fn memory() -> Self {
        Self::new(u64::MAX, Path::new(""))
    }

    /// At most `limit` bytes in memory, the others in files without a name in `folder`, which are gone with the process.
    pub fn new(limit: u64, folder: &Path) -> Self {
        Self(Arc::new(Shared { limit, folder: folder.to_owned(), held: AtomicU64::new(0) }))
    }

    /// Takes bytes of memory, if there are as many.
    fn take(&self, bytes: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|&held| held <= self.0.limit);
        self.0.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Hidden states, one for each batch.
#[derive(Debug)]
pub struct States {
    storage: Storage,
    places: Vec<Place>,
    spill: Spill,
}

/// Where a state is.
#[derive(Debug)]
enum Place {
    Memory(Hidden),
    /// The state without its values, which begin at `offset`.
    File {
        offset: u64,
        count: usize,
        width: usize,
        lengths: Vec<usize>,
    },
}

/// The file of one list of states, made when it is first needed.
#[derive(Debug, Default)]
struct Spill(Mutex<Option<(File, u64)>>);

impl States {
    /// The states of batches 0 to `count`, made side by side.
    ///
    /// # Errors
    /// Whatever `make` returns, a file that cannot be written.
    pub fn new(
        count: usize,
        storage: &Storage,
        make: impl Fn(usize) -> Result<Hidden, ModelError> + Sync,
    ) -> Result<Self, ModelError> {
        let spill = Spill::default();
        let place = |batch: usize| spill.store(make(batch)?, None, storage);
        let places = (0..count).into_par_iter().map(place).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { storage: storage.clone(), places, spill })
    }

    /// Of no batch.
    pub fn none() -> Self {
        Self { storage: Storage::memory(), places: Vec::new(), spill: Spill::default() }
    }

    /// Batches.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The state of a batch.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn at(&self, batch: usize) -> Result<Cow<'_, Hidden>, ModelError> {
        self.spill.load(&self.places[batch])
    }

    /// Puts `step` of every state in its place, side by side.
    ///
    /// # Errors
    /// Whatever `step` returns, a file that cannot be read or written.
    pub fn update(&mut self, step: impl Fn(&Hidden) -> Result<Hidden, ModelError> + Sync) -> Result<(), ModelError> {
        let (spill, storage) = (&self.spill, &self.storage);
        self.places.par_iter_mut().try_for_each(|place| {
            let next = step(&*spill.load(place)?)?;
            let offset = match place {
                Place::Memory(state) => {
                    storage.give_back(bytes(state.values.len()));
                    None
                }
                Place::File { offset, count, .. } => (*count >= next.values.len()).then_some(*offset),
            };
            *place = spill.store(next, offset, storage)?;
            Ok(())
        })
    }

    /// The same states once more.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn duplicate(&self) -> Result<Self, ModelError> {
        Self::new(self.len(), &self.storage, |batch| self.at(batch).map(Cow::into_owned))
    }
}

impl Drop for States {
    fn drop(&mut self) {
        for place in &self.places {
            if let Place::Memory(state) = place {
                self.storage.give_back(bytes(state.values.len()));
            }
        }
    }
}

impl Spill {
    /// Keeps a state in memory where there is room, else in the file: at `offset`, where it fits, or at the end.
    fn store(&self, state: Hidden, offset: Option<u64>, storage: &Storage) -> Result<Place, ModelError> {
        if storage.take(bytes(state.values.len())) {
            return Ok(Place::Memory(state));
        }
        let Hidden { values, width, lengths } = state;
        let mut spill = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = || {
            let (file, end) = match &mut *spill {
                Some(open) => open,
                none => none.insert((tempfile::tempfile_in(&storage.0.folder)?, 0)),
            };
            let place = offset.unwrap_or(*end);
            file.seek(SeekFrom::Start(place))?;
            let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            file.write_all(&raw)?;
            *end = (*end).max(place + raw.len() as u64);
            Ok(place)
        };
        let offset = write().map_err(failed)?;
        Ok(Place::File { offset, count: values.len(), width, lengths })
    }

    fn load<'p>(&self, place: &'p Place) -> Result<Cow<'p, Hidden>, ModelError> {
        let (offset, count, width, lengths) = match place {
            Place::Memory(state) => return Ok(Cow::Borrowed(state)),
            Place::File { offset, count, width, lengths } => (*offset, *count, *width, lengths),
        };
        let mut raw = vec![0; 4 * count];
        let mut spill = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, _) = spill.as_mut().ok_or_else(|| failed(ErrorKind::NotFound.into()))?;
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut raw)).map_err(failed)?;
        drop(spill);
        let values = raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Ok(Cow::Owned(Hidden { values, width, lengths: lengths.clone() }))
    }
}

fn failed(error: std::io::Error) -> ModelError {
    ModelError::Data(format!("temporary file of hidden states: {error}"))
}

fn bytes(values: usize) -> u64 {
    4 * values as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(batch: usize, width: usize) -> Hidden {
        let values = (0..3 * width).map(|at| (batch * 100 + at) as f32).collect();
        Hidden::new(values, width, vec![1, 2]).unwrap()
    }

    #[test]
    fn states_are_the_same_wherever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        for limit in [0, 100, 130, u64::MAX] {
            let storage = Storage::new(limit, folder.path());
            let mut states = States::new(7, &storage, |batch| Ok(state(batch, 4))).unwrap();
            let copy = states.duplicate().unwrap();
            // Wider, then narrower.
            states.update(|old| Ok(state(old.values[0] as usize / 100, 9))).unwrap();
            for batch in 0..7 {
                assert_eq!(*copy.at(batch).unwrap(), state(batch, 4));
                assert_eq!(*states.at(batch).unwrap(), state(batch, 9));
            }
            states.update(|old| Ok(state(old.values[0] as usize / 100, 2))).unwrap();
            assert!((0..7).all(|batch| *states.at(batch).unwrap() == state(batch, 2)));
            let held = storage.0.held.load(Ordering::Relaxed);
            assert!(held <= limit && (limit < u64::MAX || held == 7 * (4 * 3 * 4 + 4 * 3 * 2)), "{held}");
            drop((states, copy));
            assert_eq!(storage.0.held.load(Ordering::Relaxed), 0);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn errors_are_passed_on() {
        let lost = Storage::new(0, Path::new("/nonexistent/folder"));
        assert!(matches!(States::new(1, &lost, |batch| Ok(state(batch, 4))), Err(ModelError::Data(_))));
        let made = States::new(2, &Storage::memory(), |_| Err(ModelError::Enough));
        assert!(matches!(made, Err(ModelError::Enough)));
    }
}
