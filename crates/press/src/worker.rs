//! What is done with one tensor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use seedpress_checkpoint::{Content, Entry, SourceForm, TensorInfo};
use seedpress_codec::{
    AnyCodec, DecodeError, EncodeContext, Limits, Record, RecordHeader, RecordView, Registry, Tensor,
};

use crate::assign::Kept;
use crate::control::Control;
use crate::error::{PressError, panic_text};
use crate::errors::RowErrors;
use crate::guide::Guidance;
use crate::narrow;
use crate::source::Source;
use crate::summary::Outcome;

/// Bytes by which a coded tensor may exceed the one at the source: stages put a byte or two before what they cannot compress.
const SLACK: u64 = 64;
/// What is to be done with a tensor.
pub(crate) enum Task {
    Encode { codec: AnyCodec, guidance: Guidance, kept: Option<Kept>, form: Option<SourceForm> },
    Opaque(Kept),
    Same(usize),
    Reuse { codec: String, kept: Option<Kept> },
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
    pub(crate) decoded: Option<Tensor>,
    pub(crate) unguided: bool,
    pub(crate) rows: Option<u64>,
    pub(crate) scarce: Option<u64>,
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

impl Worker<'_> {
    /// Does what is to be done.
    pub(crate) fn work(&self, Job { tensor, key, task }: Job) -> Result<Done, PressError> {
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
            rows: None,
            scarce: None,
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
        stored > self.source.tensors()[tensor].bytes as u64 + SLACK
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
        let (rows, scarce) = (guidance.statistics.as_ref().map(|inputs| inputs.samples()), guidance.scarce);
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
            rows,
            scarce,
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
