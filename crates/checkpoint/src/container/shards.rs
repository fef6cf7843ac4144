//! A container in shards: files of a bounded size, each a container that decodes alone, and an index that names them.
//!
//! `model.sdp` in three shards is `model-00001-of-00003.sdp` and so on, and `model.sdp.index.json`, which comes last: a reader finds all
//! of them or no index. Tensors that refer to each other are in one shard. Every shard's own metadata says which of how many it is, and a
//! number that all shards of one run share, so that a file of another run is found out.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use seedpress_codec::Limits;
use seedpress_codec::text::printable;
use serde::{Deserialize, Serialize};

use super::entry::{CHECKSUM, IndexEntry, Stored};
use super::index::{FIXED, MAX_INDEX, declared_one};
use crate::error::CheckpointError;
use crate::output::Overwrite;

/// What an index says it is.
pub(crate) const FORMAT: &str = "sdp-shards";
const VERSION: u32 = 1;
/// How the name of an index ends.
const SUFFIX: &str = ".index.json";
/// The key of a shard's metadata that says which shard of which set it is.
pub(super) const KEY: &str = "sdp:shard";
/// Bytes of a file that tell whether it is an index.
pub(super) const START: u64 = 1024;
/// Shards that names of five digits can count.
const MOST: usize = 99_999;
/// Bytes of an index that are not entries or texts of metadata: order, filler, two counts, and the key above with its value.
const SLACK: u64 = 128;

/// How a container is cut.
#[derive(Debug, Clone)]
pub struct Shards {
    /// Largest length of a shard in bytes. A tensor that is longer, with those that refer to it, has a shard of its own.
    pub size: u64,
    /// Whether shards of another run may be replaced.
    pub overwrite: Overwrite,
    /// Files that no shard may replace.
    pub inputs: Vec<PathBuf>,
}

/// Where the index of a container lies that was asked for at `path`: `model.sdp.index.json` for `model.sdp`.
pub fn index_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(SUFFIX) { path.to_owned() } else { path.with_file_name(format!("{name}{SUFFIX}")) }
}

/// Whether a file is an index of shards, as far as its first bytes tell.
pub(crate) fn is_index(start: &[u8]) -> bool {
    start.trim_ascii_start().starts_with(b"{") && start.windows(FORMAT.len()).any(|part| part == FORMAT.as_bytes())
}

/// `model` of `model.sdp.index.json`.
fn stem(index: &Path) -> String {
    let name = index.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(SUFFIX).unwrap_or(&name);
    name.strip_suffix(".sdp").unwrap_or(name).to_owned()
}

/// The name of shard `number` of `count`, from 1 on.
pub(super) fn name(index: &Path, number: usize, count: usize) -> String {
    format!("{}-{number:05}-of-{count:05}.sdp", stem(index))
}

/// The files of a folder that are named as shards of this index, of whatever number; with `temporary` what a killed run left of them.
pub(super) fn named_like(index: &Path, temporary: bool) -> Vec<PathBuf> {
    let folder = index.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (start, end) = match temporary {
        true => (format!(".{}-", stem(index)), ".sdp.seedpress-tmp"),
        false => (format!("{}-", stem(index)), ".sdp"),
    };
    let is_numbers = |text: &str| {
        let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.split_once("-of-").is_some_and(|(number, count)| digits(number) && digits(count))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.filter(|entry| {
        let name = entry.file_name();
        let middle = name.to_str().and_then(|name| name.strip_prefix(start.as_str())?.strip_suffix(end));
        middle.is_some_and(is_numbers)
    });
    let mut paths: Vec<PathBuf> = paths.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// What a shard's metadata says of it.
pub(super) fn mark(number: usize, count: usize, set: &str) -> String {
    format!("{number}/{count} {set}")
}

/// Number and count of a [`mark`].
pub(super) fn read_mark(mark: &str) -> Option<(usize, usize)> {
    let (number, count) = mark.split_once(' ')?.0.split_once('/')?;
    Some((number.parse().ok()?, count.parse().ok()?))
}

/// The places of tensors by shard, ascending in each. `memory` is what decoding each takes.
pub(super) fn partition(
    entries: &[IndexEntry],
    memory: &[u64],
    metadata: &BTreeMap<String, String>,
    size: u64,
) -> Vec<Vec<usize>> {
    let head = (FIXED + CHECKSUM) as u64 + SLACK;
    let texts: u64 = metadata.iter().map(|(key, value)| (key.len() + value.len()) as u64 + 20).sum();
    let mut shards: Vec<Vec<usize>> = vec![Vec::new()];
    let mut load = Load { bytes: head + texts, ..Load::default() };
    for group in groups(entries) {
        let own = group.iter().fold(Load::default(), |load, &place| load.with(entries, place, memory[place]));
        let last = shards.len() - 1;
        if !shards[last].is_empty() && load.and(own).file() > size {
            shards.push(Vec::new());
            load = Load { bytes: head, ..Load::default() };
        }
        load = load.and(own);
        let last = shards.len() - 1;
        shards[last].extend(group);
    }
    shards.iter_mut().for_each(|shard| shard.sort_unstable());
    shards
}

/// What tensors ask of a file.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// Their parts and their lines of the index, as if that were not coded.
    bytes: u64,
    declared: u64,
    memory: u64,
}

impl Load {
    fn with(self, entries: &[IndexEntry], place: usize, memory: u64) -> Self {
        let mut line = Vec::new();
        entries[place].put(&mut line);
        let parts: u64 = entries[place].stored.part_lens().iter().sum();
        self.and(Self { bytes: line.len() as u64 + parts, declared: declared_one(entries, place), memory })
    }

    fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            declared: self.declared.saturating_add(other.declared),
            memory: self.memory.max(other.memory),
        }
    }

    /// An upper bound of the file's length, filler included.
    fn file(self) -> u64 {
        self.bytes.max(Limits::least_input(self.declared, self.memory))
    }
}

/// Tensors that refer to each other, in the order of their first ones.
fn groups(entries: &[IndexEntry]) -> Vec<Vec<usize>> {
    let mut root: Vec<usize> = (0..entries.len()).collect();
    fn find(root: &mut [usize], mut place: usize) -> usize {
        while root[place] != place {
            root[place] = root[root[place]];
            place = root[place];
        }
        place
    }
    for (place, entry) in entries.iter().enumerate() {
        let Some(other) = reference(&entry.stored) else { continue };
        let (a, b) = (find(&mut root, place), find(&mut root, other));
        // The first one stands for all.
        root[a.max(b)] = a.min(b);
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for place in 0..entries.len() {
        groups.entry(find(&mut root, place)).or_default().push(place);
    }
    groups.into_values().collect()
}

/// The tensor that another refers to.
fn reference(stored: &Stored) -> Option<usize> {
    match stored {
        Stored::Alias(other) => Some(*other),
        Stored::Narrow { form, .. } => form.scale,
        Stored::Record(_) | Stored::Opaque { .. } => None,
    }
}

/// Entries of a shard, references by their places there. `places` are those in the whole, ascending.
pub(super) fn localised(entries: &[IndexEntry], places: &[usize]) -> Vec<IndexEntry> {
    let mut shard: Vec<IndexEntry> = places.iter().map(|&place| entries[place].clone()).collect();
    let local = |place: usize| places.binary_search(&place).unwrap_or(0);
    shard.iter_mut().for_each(|entry| entry.stored.refer(local));
    shard
}

/// The index, as JSON has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SetIndex {
    format: String,
    version: u32,
    /// What all shards of a run share, 32 hexadecimal digits.
    pub(super) set: String,
    /// Bytes of all shards.
    total_bytes: u64,
    pub(super) shards: Vec<ShardLine>,
    /// The shard of every tensor.
    pub(super) weight_map: BTreeMap<String, String>,
}

/// A shard, as the index has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShardLine {
    pub(super) file: String,
    pub(super) bytes: u64,
}

impl SetIndex {
    pub(super) fn new(set: &str, shards: Vec<ShardLine>, weight_map: BTreeMap<String, String>) -> Self {
        let total_bytes = shards.iter().map(|shard| shard.bytes).sum();
        Self { format: FORMAT.to_owned(), version: VERSION, set: set.to_owned(), total_bytes, shards, weight_map }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads an index and checks what needs no shard: names lead nowhere else and differ.
    pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Self, CheckpointError> {
        let fault = |why: String| CheckpointError::ShardIndex { path: path.to_owned(), why };
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| fault(error.to_string()))?;
        if value["format"] != FORMAT {
            return Err(fault(format!("it does not say `\"format\": \"{FORMAT}\"`")));
        }
        match value["version"].as_u64() {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                return Err(fault(format!("version {version}: this program reads version {VERSION}")));
            }
            None => return Err(fault("it has no version".to_owned())),
        }
        let index: Self = serde_json::from_value(value).map_err(|error| fault(error.to_string()))?;
        if index.shards.is_empty() || index.shards.len() > MOST {
            return Err(fault(format!("it names {} shards", index.shards.len())));
        }
        let mut names = HashSet::new();
        for ShardLine { file, .. } in &index.shards {
            // A shard lies beside its index: a path that leads elsewhere is an attack or a mistake.
            let plain = Path::new(file).file_name().is_some_and(|name| name == file.as_str());
            if !plain || file.contains(['/', '\\', ':', '\0']) {
                return Err(fault(format!("shard `{}` is not a plain file name", printable(file))));
            }
            if !names.insert(file.as_str()) {
                return Err(fault(format!("it names shard `{}` twice", printable(file))));
            }
        }
        Ok(index)
    }

    /// Files that an index on disk names; none where there is no readable one.
    pub(super) fn files(path: &Path) -> Vec<PathBuf> {
        let len = std::fs::metadata(path).map_or(u64::MAX, |there| there.len());
        let text = if len <= MAX_INDEX as u64 { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
        let index = Self::parse(path, &text);
        index.map_or_else(
            |_| Vec::new(),
            |index| index.shards.iter().map(|line| path.with_file_name(&line.file)).collect(),
        )
    }
}

/// Fails for more shards than names can count.
pub(super) fn check_count(path: &Path, count: usize) -> Result<(), CheckpointError> {
    if count <= MOST {
        return Ok(());
    }
    let why = format!("it would have {count} shards, more than {MOST}: choose larger ones");
    Err(CheckpointError::Unusable { path: path.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opaque(name: &str, len: u64) -> IndexEntry {
        IndexEntry { name: name.into(), stored: Stored::Opaque { dtype: "U8".into(), shape: vec![len as usize], len } }
    }

    fn alias(name: &str, other: usize) -> IndexEntry {
        IndexEntry { name: name.into(), stored: Stored::Alias(other) }
    }

    #[test]
    fn shards_keep_to_their_size_and_what_belongs_together_stays_so() {
        let entries =
            [opaque("a", 400), opaque("b", 400), opaque("c", 2000), alias("d", 0), opaque("e", 100), opaque("f", 100)];
        let cut = |size: u64| partition(&entries, &[0; 6], &BTreeMap::new(), size);
        assert_eq!(cut(1 << 20), [vec![0, 1, 2, 3, 4, 5]]);
        assert_eq!(cut(850), [vec![0, 3], vec![1], vec![2], vec![4, 5]]);
        assert_eq!(cut(1), [vec![0, 3], vec![1], vec![2], vec![4], vec![5]]);
        assert_eq!(partition(&[], &[], &BTreeMap::new(), 10), [Vec::<usize>::new()]);
        assert_eq!(localised(&entries, &[0, 3])[1].stored, Stored::Alias(0));
        assert_eq!(localised(&[entries.to_vec(), vec![alias("g", 2)]].concat(), &[2, 6])[1].stored, Stored::Alias(0));
    }

    #[test]
    fn names() {
        let index = index_path(Path::new("a/model.sdp"));
        assert_eq!(index, Path::new("a/model.sdp.index.json"));
        assert_eq!((index_path(&index), name(&index, 2, 31)), (index.clone(), "model-00002-of-00031.sdp".to_owned()));
        assert_eq!(name(&index_path(Path::new("x")), 1, 1), "x-00001-of-00001.sdp");
        assert_eq!(read_mark(&mark(3, 12, "00ff")), Some((3, 12)));
    }
}
