//! The codec of CONTRIBUTING.md, word for word, passes the suite.

use schemars::JsonSchema;
use seedpress_codec::packing::{BitReader, pack_bits};
use seedpress_codec::wire::{Put, Reader};
use seedpress_codec::*;
use serde::{Deserialize, Serialize};

/// Options of [`Sign`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

/// A sign a weight and one magnitude a tensor.
pub struct Sign(Config);

impl Codec for Sign {
    const ID: &'static str = "sign";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "one bit a weight: its sign, times the mean magnitude";
    type Config = Config;

    fn new(config: Config) -> Self {
        Self(config)
    }

    fn config(&self) -> &Config {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, tensor: &TensorView<'_>, _: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let sum: f64 = tensor.values().iter().map(|v| f64::from(v.abs())).sum();
        let mut params = Vec::new();
        params.put_f32((sum / tensor.len() as f64) as f32);
        let signs = pack_bits(tensor.values().iter().map(|&v| u32::from(v < 0.0)), 1);
        let symbols = Symbols::bits(1, tensor.len(), tensor.columns());
        Ok(Encoded::single(params, vec![Segment::new(Role::Signs, symbols, signs)]))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let mut params = Reader::new(encoded.params);
        let magnitude = params.finite_f32()?;
        params.finish()?;
        let [signs] = encoded.single([Role::Signs])?;
        let signs = BitReader::new(signs, 1, out.len())?;
        for (index, value) in out.iter_mut().enumerate() {
            *value = if signs.get(index) == 0 { magnitude } else { -magnitude };
        }
        Ok(())
    }
}

#[test]
fn the_guide_shows_this_codec() {
    let guide = include_str!("../../../CONTRIBUTING.md");
    let shown =
        guide.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the guide has a code block");
    assert!(
        include_str!("contributing.rs").contains(shown),
        "CONTRIBUTING.md shows another codec than the one tested here"
    );
}

#[test]
fn the_guide_leads_to_a_sound_codec() {
    use seedpress_conformance::{description, determinism, hostile, round_trip};
    let registry = Registry::default().with::<Sign>();
    let codec = registry.parse("sign").expect("registered");
    description::options_are_described(&registry, "sign").expect("described");
    description::name_parses_back(&registry, &codec).expect("named");
    round_trip::every_input(&registry, &codec).expect("round trip");
    round_trip::non_finite_values(&registry, &codec).expect("non-finite values");
    round_trip::every_prefix(&registry, &codec).expect("prefixes");
    determinism::any_thread_count(&registry, &codec).expect("determinism");
    hostile::record_bytes(&registry, &codec).expect("record bytes");
    hostile::below_the_checksums(&registry, &codec).expect("below the checksums");
}
