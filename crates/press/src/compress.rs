//! The work, tensor by tensor.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use seedpress_checkpoint::{Content, Entry, SourceForm, TensorInfo};
use seedpress_codec::{AnyCodec, EncodeContext, Limits, MAX_RANK, Record, RecordView, Registry, Tensor};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::assign::{Assign, Kept, Treatment};
use crate::control::Control;
use crate::error::{PressError, panic_text};
use crate::errors::RowErrors;
use crate::guide::{Guidance, Guide};
use crate::line::{self, Ends};
use crate::narrow::{self, Forms};
use crate::source::Source;
use crate::summary::{Outcome, Summary, TensorSummary};

/// Bytes that a weight in work takes: the value, what it decodes to, and as much again for the encoder.
const BYTES_IN_WORK: u64 = 16;
/// Tensors of fewer bytes are not compared with each other: an entry of the index would cost about as much.
const TIED_FROM: usize = 256;

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

/// What is to be done with a tensor.
enum Task {
    Encode { codec: AnyCodec, guidance: Guidance, kept: Option<Kept>, form: Option<SourceForm> },
    Opaque(Kept),
    Same(usize),
    Reuse { codec: String, kept: Option<Kept> },
}

struct Job {
    tensor: usize,
    key: u128,
    task: Task,
}

struct Done {
    tensor: usize,
    key: u128,
    entry: Option<Entry>,
    memory: u64,
    outcome: Outcome,
    errors: Option<RowErrors>,
    decoded: Option<Tensor>,
    unguided: bool,
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
        let (codec, kept) = match treatment {
            Treatment::Code(codec) => (codec.clone(), None),
            Treatment::Keep(kept) if form.is_some() => return Ok(Task::Opaque(kept)),
            Treatment::Keep(kept) => (self.raw.clone(), Some(kept)),
        };
        // What loses nothing codes elements, which are fewer bits than products.
        let lossless = codec.capabilities().lossless;
        let form = form.map(|form| SourceForm { applied: form.applied && !lossless, ..form });
        let guided = self.follows || (kept.is_none() && codec.capabilities().uses_calibration);
        let guidance = if guided { self.guide.guide(tensor)? } else { Guidance::default() };
        Ok(Task::Encode { codec, guidance, kept, form })
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
            Task::Encode { codec, guidance, .. } => {
                let plain = guidance.statistics.is_none() && guidance.corrected.is_none() && !self.follows;
                plain.then(|| format!("{} {:?}", codec.name(), codec.formats()))
            }
            _ => Some(String::new()),
        };
        let form = self.forms.form(tensor);
        let key = xxh3_128(format!("{tensor} {how:?} {form:?} {:?} {:?}", info.dtype, info.shape).as_bytes());
        if let Some(how) = how
            && let Some(other) = self.same(tensor, how)?
        {
            task = Task::Same(other);
        }
        if !self.follows
            && let Task::Encode { codec, kept, .. } = &task
            && self.sink.has(&info.name, key)
        {
            task = Task::Reuse { codec: codec.name(), kept: *kept };
        }
        let cost = match &task {
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
            unguided: done.unguided,
        });
        Ok(())
    }

    fn one_at_a_time(&self) -> bool {
        self.follows
    }
}

fn elements(info: &TensorInfo) -> u64 {
    info.shape.iter().fold(1u64, |product, &dim| product.saturating_mul(dim as u64))
}

struct Worker<'a> {
    source: &'a dyn Source,
    registry: &'a Registry,
    control: &'a Control<'a>,
    keeps_decoded: bool,
}

impl Worker<'_> {
    fn work(&self, Job { tensor, key, task }: Job) -> Result<Done, PressError> {
        self.control.check()?;
        let bytes = self.source.tensors()[tensor].bytes as u64;
        let blank = |outcome| Done {
            tensor,
            key,
            entry: None,
            memory: 0,
            outcome,
            errors: None,
            decoded: None,
            unguided: false,
        };
        let done = match task {
            Task::Same(other) => Done { entry: Some(Entry::Alias(other)), ..blank(Outcome::Same(other)) },
            Task::Reuse { codec, kept } => blank(kept.map_or(Outcome::Coded(codec), Outcome::Kept)),
            Task::Opaque(kept) => Done { entry: Some(self.opaque(tensor)?), ..blank(Outcome::Kept(kept)) },
            Task::Encode { codec, guidance, kept, form } => {
                let outcome = kept.map_or(Outcome::Coded(codec.name()), Outcome::Kept);
                let done = self.encode(tensor, &codec, guidance, form)?;
                if self.is_larger(tensor, &done) {
                    return Ok(Done { key, ..self.keep(tensor, done)? });
                }
                return Ok(Done { key, outcome, ..done });
            }
        };
        self.control.progress.advance(bytes);
        Ok(done)
    }

    fn opaque(&self, tensor: usize) -> Result<Entry, PressError> {
        let info = &self.source.tensors()[tensor];
        let bytes = match self.source.load(tensor)? {
            Content::Opaque(bytes) => bytes,
            Content::Float(tensor) => tensor.to_le_bytes(),
        };
        Ok(Entry::Opaque { dtype: info.dtype.clone(), shape: info.shape.clone(), bytes })
    }

    /// Whether a tensor takes more bytes than at the source. What is kept for its size or asked for as it is takes a header more.
    fn is_larger(&self, tensor: usize, done: &Done) -> bool {
        let stored: u64 = match &done.entry {
            Some(Entry::Record(record) | Entry::Narrow { record, .. }) => {
                record.layers.iter().flat_map(|layer| &layer.segments).map(|segment| segment.bytes.len() as u64).sum()
            }
            _ => 0,
        };
        stored > self.source.tensors()[tensor].bytes as u64
    }

    /// The tensor as it is, instead of what it was coded to.
    fn keep(&self, tensor: usize, done: Done) -> Result<Done, PressError> {
        let info = &self.source.tensors()[tensor];
        let outcome = Outcome::Kept(Kept::Larger);
        if info.float().is_none() {
            return Ok(Done { entry: Some(self.opaque(tensor)?), errors: None, outcome, ..done });
        }
        let raw = self.registry.default_codec("raw").map_err(|error| PressError::Assignment(error.to_string()))?;
        let kept = self.encode(tensor, &raw, Guidance::default(), None)?;
        Ok(Done { outcome, ..kept })
    }

    /// A tensor as numbers, and how the source wrote it where that is not as a record would.
    fn weights(&self, tensor: usize, form: Option<SourceForm>) -> Result<(Tensor, Option<SourceForm>), PressError> {
        let info = &self.source.tensors()[tensor];
        let wrong = |why: String| PressError::Source { tensor: info.name.clone(), why };
        match (self.source.load(tensor)?, form) {
            (Content::Float(weights), _) => Ok((weights, None)),
            (Content::Opaque(_), None) => Err(wrong("it holds no weights".to_owned())),
            (Content::Opaque(bytes), Some(mut form)) => {
                let scales = narrow::load_scales(self.source, &form)?;
                let sound = scales.as_ref().is_some_and(|scales| scales.fit(&info.shape) && scales.are_sound());
                // Weights that cannot be divided by their scales again are coded without.
                form.applied &= sound;
                let scales = scales.filter(|_| form.applied);
                let weights = narrow::widen(&form, &info.shape, &bytes, scales.as_ref()).map_err(wrong)?;
                Ok((weights, Some(form)))
            }
        }
    }

    fn encode(
        &self,
        tensor: usize,
        codec: &AnyCodec,
        guidance: Guidance,
        form: Option<SourceForm>,
    ) -> Result<Done, PressError> {
        let info = &self.source.tensors()[tensor];
        let (weights, form) = self.weights(tensor, form)?;
        let unguided = guidance.statistics.is_none() && codec.capabilities().uses_calibration;
        let record = self.record(info, &weights, codec, &guidance)?;
        drop(guidance);
        let mut done = Done {
            tensor,
            key: 0,
            entry: None,
            memory: 4 * elements(info),
            outcome: Outcome::Coded(String::new()),
            errors: None,
            decoded: None,
            unguided,
        };
        if self.control.verify || self.keeps_decoded {
            let (decoded, memory) = self.decode(info, &record)?;
            if decoded.shape() != weights.shape() || decoded.dtype() != weights.dtype() {
                let why = "it decodes to another shape or type, which is a bug of seedpress".to_owned();
                return Err(PressError::Source { tensor: info.name.clone(), why });
            }
            done.errors = Some(RowErrors::between(weights.shape(), weights.values(), decoded.values()));
            done.memory = memory;
            done.decoded = self.keeps_decoded.then_some(decoded);
        }
        done.entry = Some(match form {
            Some(form) => Entry::Narrow { record, form },
            None => Entry::Record(record),
        });
        Ok(done)
    }

    fn record(
        &self,
        info: &TensorInfo,
        weights: &Tensor,
        codec: &AnyCodec,
        guidance: &Guidance,
    ) -> Result<Record, PressError> {
        // Encoders count weights, now and then or never: what they leave out is made up for at the end.
        let total = info.bytes as u64;
        let count = elements(info).max(1);
        let told = AtomicU64::new(0);
        let progress = |weights: u64| {
            let bytes = (u128::from(weights) * u128::from(total) / u128::from(count)) as u64;
            let step = bytes.min(total.saturating_sub(told.fetch_add(bytes, Ordering::Relaxed)));
            self.control.progress.advance(step);
        };
        let context = EncodeContext {
            calibration: guidance.statistics.as_deref(),
            progress: Some(&progress),
            cancel: Some(self.control.cancel),
            ..EncodeContext::default()
        };
        let view = guidance.corrected.as_ref().unwrap_or(weights).view(&info.name);
        let encoded = catch_unwind(AssertUnwindSafe(|| codec.encode(&view, &context)));
        let panicked = |payload: Box<dyn std::any::Any + Send>| PressError::Panicked {
            tensor: info.name.clone(),
            why: panic_text(payload.as_ref()),
        };
        let record = encoded.map_err(panicked)??;
        self.control.progress.advance(total.saturating_sub(told.load(Ordering::Relaxed)));
        Ok(record)
    }

    /// What the record's bytes decode to, and the memory that took.
    fn decode(&self, info: &TensorInfo, record: &Record) -> Result<(Tensor, u64), PressError> {
        let fault = |error: seedpress_codec::DecodeError| PressError::Unreadable(error.in_tensor(&info.name));
        let parts: Vec<Vec<u8>> = (0..record.layers.len()).map(|layer| record.layer_bytes(layer)).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let header = seedpress_codec::RecordHeader::parse(&record.header.to_bytes()).map_err(fault)?.0;
        let view = RecordView::assemble(header, &parts).map_err(fault)?;
        let mut limits = Limits::new(u64::MAX);
        let decoded = catch_unwind(AssertUnwindSafe(|| self.registry.decode(&view, &mut limits)));
        let decoded = decoded
            .map_err(|payload| PressError::Panicked { tensor: info.name.clone(), why: panic_text(payload.as_ref()) })?;
        Ok((decoded.map_err(fault)?.tensor, u64::MAX - limits.remaining()))
    }
}
