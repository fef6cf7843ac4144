//! The work, tensor by tensor.

use std::collections::HashMap;

use seedpress_checkpoint::{Entry, SourceForm};
use seedpress_codec::{AnyCodec, InputStatistics, MAX_RANK, OutputWeights, Registry};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::assign::{Assign, Kept, Treatment};
use crate::control::Control;
use crate::error::PressError;
use crate::guide::{Guidance, Guide};
use crate::line::{self, Ends};
use crate::narrow::Forms;
use crate::source::Source;
use crate::summary::{Summary, TensorSummary};
use crate::worker::{Done, How, Job, Task, Worker, elements};

/// Bytes that a weight in work takes: the value, what it decodes to, and as much again for the encoder.
const BYTES_IN_WORK: u64 = 16;
/// The same of a weight in few bits: its errors are measured on what the checkpoint will hold.
const BYTES_IN_WORK_NARROW: u64 = 20;
/// Tensors of fewer bytes are not compared with each other: an entry of the index would cost about as much.
const TIED_FROM: usize = 256;
/// Values that are hashed together.
const HASHED: usize = 256;

/// A tensor as it comes out.
#[derive(Debug)]
pub struct Compressed {
    /// Its place in [`Source::tensors`].
    pub tensor: usize,
    /// Its name.
    pub name: String,
    /// What is stored.
    pub entry: Entry,
    /// What its bytes depend on, apart from the content of the source.
    pub key: u128,
    /// Bytes that decoding it took, or will take at least.
    pub memory: u64,
}

/// Takes tensors as they come out, in the source's order.
pub trait Sink {
    /// Whether this tensor is there already, made from the same source.
    fn has(&self, name: &str, key: u128) -> bool {
        let _ = (name, key);
        false
    }

    /// Takes the next tensor from there; returns bytes stored for it.
    ///
    /// # Errors
    /// Where it is not there.
    fn reuse(&mut self, name: &str, key: u128) -> Result<u64, PressError> {
        let _ = key;
        Err(PressError::Source { tensor: name.to_owned(), why: "it was not kept".to_owned() })
    }

    /// Takes the next tensor; returns bytes stored for it.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn push(&mut self, compressed: Compressed) -> Result<u64, PressError>;
}

/// Compresses every tensor of a source into a sink.
///
/// # Errors
/// The first thing that goes wrong. What the sink took until then is in order.
pub fn compress(
    source: &dyn Source,
    assign: &dyn Assign,
    guide: &mut dyn Guide,
    registry: &Registry,
    control: &Control<'_>,
    sink: &mut dyn Sink,
) -> Result<Summary, PressError> {
    let raw = registry.default_codec("raw").map_err(|error| PressError::Assignment(error.to_string()))?;
    let mut ends = Both {
        follows: guide.follows(),
        source,
        assign,
        guide,
        raw,
        control,
        sink,
        next: 0,
        forms: Forms::of(source.tensors()),
        seen: HashMap::new(),
        summary: Summary::default(),
    };
    let worker = Worker { source, registry, control, keeps_decoded: ends.follows };
    line::run(control, &mut ends, |job| worker.work(job))?;
    Ok(ends.summary)
}

struct Both<'a> {
    source: &'a dyn Source,
    assign: &'a dyn Assign,
    guide: &'a mut dyn Guide,
    follows: bool,
    raw: AnyCodec,
    control: &'a Control<'a>,
    sink: &'a mut dyn Sink,
    next: usize,
    /// Tensors by what is easily compared, and how they are stored.
    forms: Forms,
    seen: HashMap<(u128, String, Vec<usize>, String), Vec<usize>>,
    summary: Summary,
}

impl Both<'_> {
    fn task(&mut self, tensor: usize) -> Result<Task, PressError> {
        let info = &self.source.tensors()[tensor];
        let form = self.forms.form(tensor).cloned();
        if info.float().is_none() && form.is_none() {
            let kept = if self.forms.is_scales(tensor) { Kept::Scales } else { Kept::NoWeights };
            return Ok(Task::Opaque(kept));
        }
        if info.shape.len() > MAX_RANK {
            return Ok(Task::Opaque(Kept::Rank));
        }
        let treatment = match self.forms.is_scales(tensor) {
            true => Treatment::Keep(Kept::Scales),
            false => self.assign.treat(info)?,
        };
        let (how, kept) = match treatment {
            Treatment::Code(codec) => (How::One(codec.clone()), None),
            Treatment::Within(bounded) => (How::Within(bounded.clone()), None),
            Treatment::Keep(kept) if form.is_some() => return Ok(Task::Opaque(kept)),
            Treatment::Keep(kept) => (How::One(self.raw.clone()), Some(kept)),
        };
        // What loses nothing codes elements, which are fewer bits than products.
        let able = how.codec().capabilities();
        let form = form.map(|form| SourceForm { applied: form.applied && !able.lossless, ..form });
        let guided = self.follows || (kept.is_none() && able.uses_calibration);
        let guidance = if guided { self.guide.guide(tensor)? } else { Guidance::default() };
        Ok(Task::Encode { how, guidance, kept, form })
    }

    /// An earlier tensor of the same content that is stored in the same way.
    fn same(&mut self, tensor: usize, how: String) -> Result<Option<usize>, PressError> {
        let info = &self.source.tensors()[tensor];
        if !self.control.tie || info.bytes < TIED_FROM {
            return Ok(None);
        }
        let Some(sample) = self.source.sample(tensor)? else { return Ok(None) };
        let alike = self.seen.entry((sample, info.dtype.clone(), info.shape.clone(), how)).or_default();
        if !alike.is_empty() {
            let content = content(self.source, tensor)?;
            for &other in alike.iter() {
                if self::content(self.source, other)? == content {
                    return Ok(Some(other));
                }
            }
        }
        alike.push(tensor);
        Ok(None)
    }
}

/// What encoders see of a tensor's inputs.
fn fingerprint(inputs: &InputStatistics) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&inputs.samples().to_le_bytes());
    let outputs = inputs.outputs().map(OutputWeights::values);
    hash.update(&inputs.ridge().to_le_bytes());
    for values in [Some(inputs.mean_square()), inputs.mean_abs(), inputs.second_moment(), outputs] {
        // Absent and empty differ from each other, and from what follows.
        hash.update(&values.map_or(u64::MAX, |values| values.len() as u64).to_le_bytes());
        for block in values.unwrap_or_default().chunks(HASHED) {
            let mut bytes = [0; 4 * HASHED];
            for (to, value) in bytes.chunks_exact_mut(4).zip(block) {
                to.copy_from_slice(&value.to_bits().to_le_bytes());
            }
            hash.update(&bytes[..4 * block.len()]);
        }
    }
    hash.digest128()
}

fn content(source: &dyn Source, tensor: usize) -> Result<u128, PressError> {
    let mut hash = Xxh3::new();
    source.blocks(tensor, &mut |block| hash.update(block))?;
    Ok(hash.digest128())
}

impl Ends for Both<'_> {
    type Job = Job;
    type Done = Done;

    fn next(&mut self) -> Result<Option<(Job, u64)>, PressError> {
        let tensor = self.next;
        let Some(info) = self.source.tensors().get(tensor) else { return Ok(None) };
        self.next += 1;
        self.control.progress.begin(&info.name);
        let mut task = self.task(tensor)?;
        let how = match &task {
            Task::Encode { how, guidance, .. } => {
                let inputs = guidance.statistics.as_deref().map(fingerprint);
                format!("{} {inputs:?}", how.key())
            }
            _ => String::new(),
        };
        let form = self.forms.form(tensor);
        let key = xxh3_128(format!("{tensor} {how:?} {form:?} {:?} {:?}", info.dtype, info.shape).as_bytes());
        // What was put in place of a tensor is like no other.
        let corrected = matches!(&task, Task::Encode { guidance, .. } if guidance.corrected.is_some());
        let alike = (!self.follows && !corrected).then_some(how);
        if let Some(alike) = alike
            && let Some(other) = self.same(tensor, alike)?
        {
            task = Task::Same(other);
        }
        if !self.follows
            && let Task::Encode { how, kept, .. } = &task
            && self.sink.has(&info.name, key)
        {
            task = Task::Reuse { codec: how.name(), kept: *kept };
        }
        let cost = match &task {
            Task::Encode { form: Some(_), .. } => elements(info).saturating_mul(BYTES_IN_WORK_NARROW),
            Task::Encode { .. } => elements(info).saturating_mul(BYTES_IN_WORK),
            Task::Opaque(_) => 3 * info.bytes as u64,
            Task::Same(_) | Task::Reuse { .. } => 0,
        };
        Ok(Some((Job { tensor, key, task }, cost)))
    }

    fn take(&mut self, done: Done) -> Result<(), PressError> {
        let info = &self.source.tensors()[done.tensor];
        let name = info.name.clone();
        let stored_bytes = match done.entry {
            Some(entry) => {
                let Done { tensor, key, memory, .. } = done;
                self.sink.push(Compressed { tensor, name: name.clone(), entry, key, memory })?
            }
            None => {
                self.summary.reused += 1;
                self.sink.reuse(&name, done.key)?
            }
        };
        if let Some(decoded) = &done.decoded {
            self.guide.compressed(done.tensor, decoded)?;
        }
        self.summary.tensors.push(TensorSummary {
            name,
            dtype: info.dtype.clone(),
            elements: elements(info),
            source_bytes: info.bytes as u64,
            stored_bytes,
            outcome: done.outcome,
            errors: done.errors,
            rate: done.rate,
            unguided: done.unguided,
            rows: done.rows,
            scarce: done.scarce,
        });
        Ok(())
    }

    fn ready(&self) -> bool {
        !self.follows || self.guide.is_known(self.next)
    }
}
