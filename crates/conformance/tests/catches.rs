//! The suite itself can fail: each of these codecs breaks one promise, and one check says so.

use std::sync::atomic::{AtomicU64, Ordering};

use seedpress_codec::{
    AnyCodec, Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, Registry,
    Role, Segment, Symbols, TensorView,
};
use seedpress_conformance::{Verdict, description, determinism, hostile, round_trip};

#[derive(Default, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    undocumented: bool,
}

/// Stores values as they are; `FLAW` says which promise it breaks.
struct Flawed<const FLAW: u8>(Options);

const SOUND: u8 = 0;
const PANICS: u8 = 1;
const FORGETS_THE_LAST: u8 = 2;
const COUNTS_CALLS: u8 = 3;
const OVERSHOOTS: u8 = 4;

static CALLS: AtomicU64 = AtomicU64::new(0);

impl<const FLAW: u8> Codec for Flawed<FLAW> {
    const ID: &'static str = "flawed";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "breaks one promise";
    type Config = Options;

    fn new(config: Options) -> Self {
        Self(config)
    }

    fn config(&self) -> &Options {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { lossless: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, _: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let mut bytes: Vec<u8> = tensor.values().iter().flat_map(|v| v.to_le_bytes()).collect();
        if FLAW == COUNTS_CALLS {
            bytes.push(CALLS.fetch_add(1, Ordering::Relaxed) as u8);
        }
        Ok(Encoded::single(Vec::new(), vec![Segment::new(Role::Raw, Symbols::OPAQUE, bytes)]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let segment = encoded.layers.first().and_then(|layer| layer.segments.first());
        let bytes = segment.ok_or(DecodeError::truncated(1, 0))?.bytes;
        if FLAW != PANICS && bytes.len() < out.len() * 4 {
            return Err(DecodeError::truncated(out.len() * 4, bytes.len()));
        }
        let keep = if FLAW == FORGETS_THE_LAST { out.len() - 1 } else { out.len() };
        for (index, value) in out.iter_mut().enumerate().take(keep) {
            let word = &bytes[index * 4..index * 4 + 4];
            *value = f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            if FLAW == OVERSHOOTS {
                *value *= -3.0;
            }
        }
        Ok(())
    }
}

fn parts<const FLAW: u8>() -> (Registry, AnyCodec) {
    (Registry::default().with::<Flawed<FLAW>>(), AnyCodec::new(Flawed::<FLAW>(Options::default())))
}

fn complaint(verdict: Verdict) -> String {
    verdict.expect_err("the flaw went unnoticed")
}

#[test]
fn a_sound_codec_passes() {
    let (registry, codec) = parts::<SOUND>();
    round_trip::every_input(&registry, &codec).expect("sound");
    round_trip::non_finite_values(&registry, &codec).expect("sound");
    round_trip::every_prefix(&registry, &codec).expect("sound");
    determinism::any_thread_count(&registry, &codec).expect("sound");
    hostile::record_bytes(&registry, &codec).expect("sound");
    hostile::below_the_checksums(&registry, &codec).expect("sound");
}

#[test]
fn panics_are_caught_and_named() {
    let (registry, codec) = parts::<PANICS>();
    let complaint = complaint(hostile::below_the_checksums(&registry, &codec));
    assert!(complaint.contains("panic on part 1, cut to 0 bytes"), "{complaint}");
}

#[test]
fn lost_weights_are_noticed() {
    let (registry, codec) = parts::<FORGETS_THE_LAST>();
    assert!(complaint(round_trip::every_input(&registry, &codec)).contains("lossless"));
}

#[test]
fn bytes_that_change_from_call_to_call_are_noticed() {
    let (registry, codec) = parts::<COUNTS_CALLS>();
    assert!(complaint(determinism::any_thread_count(&registry, &codec)).contains("depend on the number of threads"));
}

#[test]
fn errors_beyond_zeros_are_noticed() {
    let (registry, codec) = parts::<OVERSHOOTS>();
    assert!(complaint(round_trip::every_input(&registry, &codec)).contains("worse than storing zeros"));
}

#[test]
fn options_without_help_are_noticed() {
    let (registry, _) = parts::<SOUND>();
    assert!(complaint(description::options_are_described(&registry, "flawed")).contains("no description"));
}
