//! Where a config is wrong and what would be right.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A place in a config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// One thing that is wrong with a config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct Problem {
    /// Where.
    pub at: Location,
    /// What, naming the key and the legal values.
    pub message: String,
}

/// Everything that is wrong with a config, in file order: found before any work starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Collects problems while a text is read.
pub(super) struct Collector<'t> {
    path: &'t Path,
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Collector<'t> {
    pub(super) fn new(path: &'t Path, text: &'t str) -> Self {
        Self { path, text, problems: Vec::new() }
    }

    /// The place of a byte offset.
    pub(super) fn locate(&self, offset: usize) -> Location {
        let boundary = (0..=offset.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0);
        let before = &self.text[..boundary];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Location {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    pub(super) fn add(&mut self, span: &Range<usize>, message: impl Into<String>) {
        let problem = Problem { at: self.locate(span.start), message: message.into() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Problems so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    /// A relative path as the config means it: beside the config file where it exists there, else from the working directory.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        let beside = self.path.parent().unwrap_or(Path::new("")).join(path);
        if beside.exists() { beside } else { path.to_owned() }
    }

    /// Everything found, in file order.
    pub(super) fn into_problems(mut self) -> Problems {
        self.problems.sort_by_key(|problem| (problem.at.line, problem.at.column));
        Problems(self.problems)
    }
}

/// ", did you mean `x`?" where a known word is close to the given one; empty otherwise.
pub(super) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let tolerance = 1 + given.len() / 4;
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(given, word), word))
        .filter(|&(distance, _)| distance <= tolerance)
        .min()
        .map_or_else(String::new, |(_, word)| format!(", did you mean `{word}`?"))
}
