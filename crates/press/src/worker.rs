//! What is done with one tensor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seedpress_checkpoint::{Content, Entry, SourceForm, TensorInfo};
use seedpress_codec::{
    AnyCodec, DecodeError, EncodeContext, Limits, Record, RecordHeader, RecordView, Registry, Tensor,
};

use crate::assign::Kept;
use crate::bounded::Bounded;
use crate::control::Control;
use crate::error::{PressError, panic_text};
use crate::errors::RowErrors;
use crate::guide::Guidance;
use crate::narrow::scales::Scales;
use crate::narrow::{self, Written};
use crate::source::Source;
use crate::summary::Outcome;

/// Bytes by which a coded tensor may exceed the one at the source: stages put a byte or two before what they cannot compress.
const SLACK: u64 = 64;
/// Of a tensor that is kept, what part of its bytes may be exceptions before it is kept without meaning.
const EXCESS: u64 = 16;

/// What is to be done with a tensor.
pub(crate) enum Task {
    Encode { how: How, guidance: Guidance, kept: Option<Kept>, form: Option<SourceForm> },
    Opaque(Kept),
    Same(usize),
    Reuse { codec: String, kept: Option<Kept> },
}

/// By what a tensor is coded.
pub(crate) enum How {
    One(AnyCodec),
    Within(Arc<Bounded>),
}

impl How {
    /// As tables call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::One(codec) => codec.name(),
            Self::Within(bounded) => bounded.name(),
        }
    }

    /// Everything that decides the bytes, beside weights and inputs.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::One(codec) => format!("{} {:?}", codec.name(), codec.code()),
            Self::Within(bounded) => bounded.key(),
        }
    }

    /// The codec, or one of those at different rates.
    pub(crate) fn codec(&self) -> &AnyCodec {
        match self {
            Self::One(codec) => codec,
            Self::Within(bounded) => bounded.codec(),
        }
    }
}

pub(crate) struct Job {
    pub(crate) tensor: usize,
    pub(crate) key: u128,
    pub(crate) task: Task,
}

pub(crate) struct Done {
    pub(crate) tensor: usize,
    pub(crate) key: u128,
    pub(crate) entry: Option<Entry>,
    pub(crate) memory: u64,
    pub(crate) outcome: Outcome,
    pub(crate) errors: Option<RowErrors>,
    pub(crate) rate: Option<f64>,
    pub(crate) decoded: Option<Tensor>,
    pub(crate) unguided: bool,
    pub(crate) rows: Option<u64>,
    pub(crate) scarce: Option<u64>,
}

impl Done {
    fn blank(tensor: usize, outcome: Outcome) -> Self {
        let (entry, errors, rate, decoded) = (None, None, None, None);
        let (rows, scarce) = (None, None);
        Self { tensor, key: 0, entry, memory: 0, outcome, errors, rate, decoded, unguided: false, rows, scarce }
    }
}

/// A tensor of the source as numbers.
struct Original {
    weights: Tensor,
    /// How the source wrote them, where that is in few bits.
    written: Option<Written>,
}

impl Original {
    /// Errors of what decoded, as whoever restores the checkpoint will see them.
    fn errors(&self, decoded: &Tensor) -> Result<RowErrors, String> {
        match &self.written {
            Some(written) => written.errors(decoded.shape(), decoded.values().to_vec()),
            None => Ok(RowErrors::between(self.weights.shape(), self.weights.values(), decoded.values())),
        }
    }
}

pub(crate) fn elements(info: &TensorInfo) -> u64 {
    info.shape.iter().fold(1u64, |product, &dim| product.saturating_mul(dim as u64))
}

pub(crate) struct Worker<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) registry: &'a Registry,
    pub(crate) control: &'a Control<'a>,
    pub(crate) keeps_decoded: bool,
}

/// Bytes of all segments; 0 of what is no record.
fn stored(done: &Done) -> u64 {
    match &done.entry {
        Some(Entry::Record(record) | Entry::Narrow { record, .. }) => {
            record.layers.iter().flat_map(|layer| &layer.segments).map(|segment| segment.bytes.len() as u64).sum()
        }
        _ => 0,
    }
}

impl Worker<'_> {
    /// Does what is to be done.
    pub(crate) fn work(&self, Job { tensor, key, task }: Job) -> Result<Done, PressError> {
        self.control.check()?;
        let bytes = self.source.tensors()[tensor].bytes as u64;
        let blank = |outcome| Done { key, ..Done::blank(tensor, outcome) };
        let done = match task {
            Task::Same(other) => Done { entry: Some(Entry::Alias(other)), ..blank(Outcome::Same(other)) },
            Task::Reuse { codec, kept } => blank(kept.map_or(Outcome::Coded(codec), Outcome::Kept)),
            Task::Opaque(kept) => Done { entry: Some(self.opaque(tensor)?), ..blank(Outcome::Kept(kept)) },
            Task::Encode { how, guidance, kept, form } => {
                let outcome = kept.map_or(Outcome::Coded(how.name()), Outcome::Kept);
                let Some(done) = self.encode(tensor, &how, guidance, form)? else {
                    return Ok(Done { key, ..self.keep(tensor, Kept::Error)? });
                };
                if self.is_larger(tensor, &done) {
                    return Ok(Done { key, unguided: done.unguided, ..self.keep(tensor, Kept::Larger)? });
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
        stored(done) > self.source.tensors()[tensor].bytes as u64 + SLACK
    }

    /// The tensor as it is, instead of what it was coded to.
    fn keep(&self, tensor: usize, why: Kept) -> Result<Done, PressError> {
        let outcome = Outcome::Kept(why);
        let at_source = self.source.tensors()[tensor].bytes as u64;
        if self.source.tensors()[tensor].float().is_none() {
            return Ok(Done { entry: Some(self.opaque(tensor)?), ..Done::blank(tensor, outcome) });
        }
        let raw = self.registry.default_codec("raw").map_err(|error| PressError::Assignment(error.to_string()))?;
        let original = self.original(tensor, None)?;
        let record = self.record(tensor, &original, &raw, &Guidance::default(), 0)?;
        let done = self.done(tensor, &original, record, self.decodes())?;
        // Many NaN or infinite weights: each takes an exception beside its own bytes.
        if stored(&done) > at_source + at_source / EXCESS + SLACK {
            return Ok(Done { entry: Some(self.opaque(tensor)?), ..Done::blank(tensor, outcome) });
        }
        Ok(Done { outcome, ..done })
    }

    /// Whether what was encoded is decoded whatever it is coded by.
    fn decodes(&self) -> bool {
        self.control.verify || self.keeps_decoded
    }

    /// A tensor as numbers, and how the source wrote it where that is not as a record would.
    fn original(&self, tensor: usize, form: Option<SourceForm>) -> Result<Original, PressError> {
        let info = &self.source.tensors()[tensor];
        let wrong = |why: String| PressError::Source { tensor: info.name.clone(), why };
        match (self.source.load(tensor)?, form) {
            (Content::Float(weights), _) => Ok(Original { weights, written: None }),
            (Content::Opaque(_), None) => Err(wrong("it holds no weights".to_owned())),
            (Content::Opaque(bytes), Some(mut form)) => {
                let scales = narrow::load_scales(self.source, &form)?.filter(|scales| scales.fit(&info.shape));
                // Weights that cannot be divided by their scales again are coded without.
                form.applied &= scales.as_ref().is_some_and(Scales::are_sound);
                let used = scales.as_ref().filter(|_| form.applied);
                let weights = narrow::widen(&form, &info.shape, &bytes, used).map_err(wrong)?;
                Ok(Original { weights, written: Some(Written { form, scales, bytes }) })
            }
        }
    }

    /// Codes a tensor; `None` where no rate is within the error asked for.
    fn encode(
        &self,
        tensor: usize,
        how: &How,
        guidance: Guidance,
        form: Option<SourceForm>,
    ) -> Result<Option<Done>, PressError> {
        let total = self.source.tensors()[tensor].bytes as u64;
        let unguided = guidance.statistics.is_none() && how.codec().capabilities().uses_calibration;
        let (rows, scarce) = (guidance.statistics.as_ref().map(|inputs| inputs.samples()), guidance.scarce);
        let original = self.original(tensor, form)?;
        let done = match how {
            How::One(codec) => {
                let record = self.record(tensor, &original, codec, &guidance, total)?;
                drop(guidance);
                Some(self.done(tensor, &original, record, self.decodes())?)
            }
            How::Within(bounded) => {
                // How many trials there will be is not known: each counts for half of what is left.
                let mut left = total;
                let found = bounded.search(|codec| {
                    let share = left / 2;
                    left -= share;
                    let record = self.record(tensor, &original, codec, &guidance, share)?;
                    let done = self.done(tensor, &original, record, true)?;
                    let error = done.errors.map_or(f64::NAN, |errors| errors.judged());
                    Ok((done, error))
                })?;
                self.control.progress.advance(left);
                found.map(|(bits, done)| Done { rate: Some(bits), ..done })
            }
        };
        Ok(done.map(|done| Done { unguided, rows, scarce, ..done }))
    }

    /// A record with what is known of it: `decode` measures errors and memory on what its bytes decode to.
    fn done(&self, tensor: usize, original: &Original, record: Record, decode: bool) -> Result<Done, PressError> {
        let info = &self.source.tensors()[tensor];
        let mut done = Done { memory: 4 * elements(info), ..Done::blank(tensor, Outcome::Coded(String::new())) };
        if decode {
            let (decoded, memory) = self.decode(info, &record)?;
            if decoded.shape() != original.weights.shape() || decoded.dtype() != original.weights.dtype() {
                let why = "it decodes to another shape or type, which is a bug of seedpress".to_owned();
                return Err(PressError::Source { tensor: info.name.clone(), why });
            }
            let wrong = |why: String| PressError::Source { tensor: info.name.clone(), why };
            done.errors = Some(original.errors(&decoded).map_err(wrong)?);
            done.memory = memory;
            done.decoded = self.keeps_decoded.then_some(decoded);
        }
        done.entry = Some(match &original.written {
            Some(written) => Entry::Narrow { record, form: written.form.clone() },
            None => Entry::Record(record),
        });
        Ok(done)
    }

    /// What a codec makes of a tensor. It stands for `total` bytes of progress.
    fn record(
        &self,
        tensor: usize,
        original: &Original,
        codec: &AnyCodec,
        guidance: &Guidance,
        total: u64,
    ) -> Result<Record, PressError> {
        // Encoders count weights, now and then or never: what they leave out is made up for at the end.
        let info = &self.source.tensors()[tensor];
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
        let view = guidance.corrected.as_ref().unwrap_or(&original.weights).view(&info.name);
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
        let fault = |error: DecodeError| PressError::Unreadable(error.in_tensor(&info.name));
        let parts: Vec<Vec<u8>> = (0..record.layers.len()).map(|layer| record.layer_bytes(layer)).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let header = RecordHeader::parse(&record.header.to_bytes()).map_err(fault)?.0;
        let view = RecordView::assemble(header, &parts).map_err(fault)?;
        let mut limits = Limits::new(u64::MAX);
        let decoded = catch_unwind(AssertUnwindSafe(|| self.registry.decode(&view, &mut limits)));
        let decoded = decoded
            .map_err(|payload| PressError::Panicked { tensor: info.name.clone(), why: panic_text(payload.as_ref()) })?;
        Ok((decoded.map_err(fault)?.tensor, u64::MAX - limits.remaining()))
    }
}
