//! Names parse back, every option has a help text.

use seedpress_codec::{AnyCodec, Registry};

use crate::Verdict;

/// The canonical name builds the same codec again.
///
/// # Errors
/// The first broken promise.
pub fn name_parses_back(registry: &Registry, codec: &AnyCodec) -> Verdict {
    let name = codec.name();
    let again = registry.parse(&name).map_err(|error| format!("`{name}` does not parse: {error}"))?;
    if again.name() == name && again.options() == codec.options() {
        Ok(())
    } else {
        Err(format!("`{name}` parses to `{}`", again.name()))
    }
}

/// Every option is described; a codec that says it hits a rate has the common option `bits`; an unknown option is refused by name.
///
/// # Errors
/// The first broken promise.
pub fn options_are_described(registry: &Registry, id: &str) -> Verdict {
    let entry = registry.codec(id).map_err(|error| error.to_string())?;
    let schema = entry.schema();
    let options = schema.get("properties").and_then(|p| p.as_object()).cloned().unwrap_or_default();
    for (option, schema) in &options {
        if schema.get("description").is_none() {
            return Err(format!("option `{option}` has no description"));
        }
    }
    let codec = registry.default_codec(id).map_err(|error| error.to_string())?;
    if codec.capabilities().targets_bits && !options.contains_key("bits") {
        return Err("targets a rate, but has no option `bits`".into());
    }
    match registry.parse(&format!("{id}:no-such-option=1")) {
        Err(error) if error.message.contains("no-such-option") => Ok(()),
        Err(error) => Err(format!("the error about an unknown option does not name it: {error}")),
        Ok(_) => Err("an unknown option is accepted".into()),
    }
}
