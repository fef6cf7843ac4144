//! `zeros`: the floor row. Whatever a codec costs, it must beat storing nothing, whose relative error is 1.

use seedpress_codec::{
    Capabilities, Codec, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Limits, TensorView,
};

use crate::no_options::NoOptions;

/// Stores nothing; every weight decodes to zero.
#[derive(Debug, Clone)]
pub struct Zeros(NoOptions);

impl Codec for Zeros {
    const ID: &'static str = "zeros";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "stores nothing, decodes to zeros: the floor every codec must beat";
    type Config = NoOptions;

    fn new(config: NoOptions) -> Self {
        Self(config)
    }

    fn config(&self) -> &NoOptions {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { local_scales: true, keeps_zeros: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, context: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        context.advance(tensor.len());
        Ok(Encoded::single(Vec::new(), Vec::new()))
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        let [] = encoded.single([])?;
        if !encoded.params.is_empty() {
            return Err(DecodeError::corrupt("parameters where none are expected"));
        }
        out.fill(0.0);
        Ok(())
    }
}
