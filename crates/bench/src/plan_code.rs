//! What a row of plans may choose from: whether its options are legal, and the code that decides its bytes.

use seedpress_codec::{AnyCodec, ConfigError, Registry};
use seedpress_plan::Options;
use seedpress_results::Code;

use crate::key;

/// Checks what the types of a plan's options cannot; fine for everything that is no plan.
pub(crate) fn check(codec: &AnyCodec, staged: bool, registry: &Registry) -> Result<(), ConfigError> {
    let Some(options) = Options::of(codec) else { return Ok(()) };
    if staged {
        let why = "`then` does not go with a plan: put stages into its ladder, such as `ladder = \"rtn+ans\"`";
        return Err(ConfigError::new(why));
    }
    options.check(registry)
}

/// Adds the code that decides what a row stores, if it is a plan: the search, and every codec that it may choose.
pub(crate) fn add_code(code: &mut Code, codec: &AnyCodec, registry: &Registry) {
    if Options::of(codec).is_some() {
        code.0.insert("plan".to_owned(), seedpress_plan::VERSION.to_string());
        codecs(codec, registry).iter().for_each(|codec| key::add_code(code, codec));
    }
}

/// The codecs that a plan chooses from and is as large as; none of another codec.
pub(crate) fn codecs(codec: &AnyCodec, registry: &Registry) -> Vec<AnyCodec> {
    let Some(options) = Options::of(codec) else { return Vec::new() };
    let rungs = options.ladder(registry).map(|ladder| ladder.rungs).unwrap_or_default();
    rungs.into_iter().map(|rung| rung.codec).chain(registry.parse(&options.like).ok()).collect()
}
