//! Whether a file is what it should be: every checksum, every tensor, and how far from the original.

use std::collections::HashSet;

use seedpress_checkpoint::{Checkpoint, ContainerFile, Content, Stored};
use seedpress_codec::Registry;

use crate::control::Control;
use crate::decompress::{Memory, scales};
use crate::error::PressError;
use crate::errors::RowErrors;
use crate::line::{self, Ends};
use crate::narrow::Written;

/// Bytes that a weight takes while it is compared: itself, what it decodes to, and as much again for whatever it is decoded from.
const BYTES_IN_WORK: u64 = 12;

/// What still passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Largest relative error of a tensor, and of its middle row.
    pub error: f64,
    /// Largest relative error of any row.
    pub row_error: f64,
}

impl Default for Bounds {
    /// Nine tenths of the way to zeros, for tensors and their middle rows; any error for a single row, since rows of small weights are
    /// rightly dropped at low rates.
    fn default() -> Self {
        Self { error: 0.9, row_error: f64::INFINITY }
    }
}

/// What was found of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its name.
    pub name: String,
    /// Its errors, where it holds weights and there is something to compare with.
    pub errors: Option<RowErrors>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// What was found in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Tensors of the file.
    pub tensors: usize,
    /// Tensors with a problem, missing ones included.
    pub problems: usize,
}

/// Decodes everything, and compares it with a checkpoint where one is given. Every finding is told, in the file's order.
///
/// # Errors
/// A file that does not decode; what is merely different is a finding.
pub fn verify(
    file: &ContainerFile,
    registry: &Registry,
    against: Option<&Checkpoint>,
    bounds: Bounds,
    memory: Memory,
    control: &Control<'_>,
    tell: &mut dyn FnMut(&Finding),
) -> Result<Verdict, PressError> {
    memory.check(file)?;
    let mut ends = Both { file, control, tell, next: 0, verdict: Verdict::default() };
    line::run(control, &mut ends, |entry| {
        control.check()?;
        look(file, registry, against, bounds, memory, entry)
    })?;
    let mut verdict = ends.verdict;
    if let Some(original) = against {
        let names: HashSet<&str> = file.index().entries.iter().map(|entry| entry.name.as_str()).collect();
        for info in original.tensors().iter().filter(|info| !names.contains(info.name.as_str())) {
            let problem = Some("it is missing".to_owned());
            tell(&Finding { name: info.name.clone(), errors: None, problem });
            verdict.problems += 1;
        }
    }
    Ok(verdict)
}

fn look(
    file: &ContainerFile,
    registry: &Registry,
    against: Option<&Checkpoint>,
    bounds: Bounds,
    memory: Memory,
    entry: usize,
) -> Result<Finding, PressError> {
    let name = file.index().entries[entry].name.clone();
    let finding = |errors, problem| Ok(Finding { name: name.clone(), errors, problem });
    let decoded = match file.stored(entry) {
        Stored::Opaque { .. } => Err(file.opaque_bytes(entry)?),
        _ => Ok(file.decode(entry, registry, None, &mut memory.limits(file))?.tensor),
    };
    let Some(original) = against else { return finding(None, None) };
    let Some(place) = original.find(&name) else {
        return finding(None, Some("the original has no such tensor".to_owned()));
    };
    let info = &original.tensors()[place];
    let (dtype, shape) = kind(file.stored(entry));
    if dtype != info.dtype || shape != info.shape {
        let problem = format!("it is {dtype} {shape:?}, the original {} {:?}", info.dtype, info.shape);
        return finding(None, Some(problem));
    }
    if let (Stored::Narrow { form, .. }, Ok(decoded)) = (file.stored(entry), &decoded) {
        let wrong = |why: String| PressError::Source { tensor: name.clone(), why };
        let scales = scales(file, registry, memory, form)?;
        if scales.as_ref().is_some_and(|scales| !scales.fit(shape)) {
            return finding(None, Some("its scales do not fit its shape".to_owned()));
        }
        let written = Written { form: form.as_ref().clone(), scales, bytes: original.bytes(place)? };
        let errors = written.errors(shape, decoded.values().to_vec()).map_err(wrong)?;
        return finding(Some(errors), judge(&errors, bounds));
    }
    match (decoded, original.load(place)?) {
        (Ok(decoded), Content::Float(weights)) => {
            let errors = RowErrors::between(weights.shape(), weights.values(), decoded.values());
            finding(Some(errors), judge(&errors, bounds))
        }
        (Err(bytes), Content::Opaque(expected)) => {
            finding(None, (bytes != expected).then(|| "its values differ, and it holds no weights".to_owned()))
        }
        (Err(bytes), Content::Float(weights)) => {
            finding(None, (bytes != weights.to_le_bytes()).then(|| "its values differ".to_owned()))
        }
        (Ok(_), Content::Opaque(_)) => finding(None, Some("it holds weights, the original none".to_owned())),
    }
}

fn kind(stored: &Stored) -> (String, &[usize]) {
    match stored {
        Stored::Opaque { dtype, shape, .. } => (dtype.clone(), shape),
        Stored::Record(header) => (header.dtype.name().to_uppercase(), &header.shape),
        Stored::Narrow { header, form } => (form.dtype.clone(), &header.shape),
        Stored::Alias(_) => (String::new(), &[]),
    }
}

/// What is wrong with these errors. Comparisons are such that NaN is wrong too.
fn judge(errors: &RowErrors, bounds: Bounds) -> Option<String> {
    let within = |error: f64, bound: f64| error <= bound;
    if errors.non_finite > 0 {
        return Some(format!("{} values are NaN or infinite on one side only", errors.non_finite));
    }
    if !within(errors.relative, bounds.error) {
        return Some(format!("its error {:.6} is above {}", errors.relative, bounds.error));
    }
    if !within(errors.median_row, bounds.error) {
        return Some(format!("the error {:.6} of its middle row is above {}", errors.median_row, bounds.error));
    }
    if !within(errors.worst_row, bounds.row_error) {
        return Some(format!("the error {:.6} of its worst row is above {}", errors.worst_row, bounds.row_error));
    }
    None
}

struct Both<'a> {
    file: &'a ContainerFile,
    control: &'a Control<'a>,
    tell: &'a mut dyn FnMut(&Finding),
    next: usize,
    verdict: Verdict,
}

impl Ends for Both<'_> {
    type Job = usize;
    type Done = Finding;

    fn next(&mut self) -> Result<Option<(usize, u64)>, PressError> {
        let entry = self.next;
        let Some(listed) = self.file.index().entries.get(entry) else { return Ok(None) };
        self.next += 1;
        self.control.progress.begin(&listed.name);
        let cost = match self.file.stored(entry) {
            Stored::Opaque { len, .. } => len.saturating_mul(2),
            stored => stored.record().map_or(0, |header| header.weights() as u64).saturating_mul(BYTES_IN_WORK),
        };
        Ok(Some((entry, cost)))
    }

    fn take(&mut self, done: Finding) -> Result<(), PressError> {
        let parts = &self.file.index().parts[self.file.index().target(self.verdict.tensors)];
        self.control.progress.advance(parts.iter().map(|part| part.len).sum());
        self.verdict.tensors += 1;
        self.verdict.problems += usize::from(done.problem.is_some());
        (self.tell)(&done);
        Ok(())
    }
}
