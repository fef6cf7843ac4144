//! Rotary positions of a configuration, in the spelling of either generation: `rope_parameters`, or `rope_theta` and `rope_scaling`.

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::description::{Rotary, Scaling};
use crate::error::TransformerError;

/// What a family says of its rotary positions.
#[derive(Clone, Copy)]
pub(super) struct Defaults {
    pub(super) base: f64,
    /// Share of a head's values that turn.
    pub(super) share: f64,
    /// Keys of the older spelling.
    pub(super) base_key: &'static str,
    pub(super) share_key: &'static str,
}

/// Rotary positions of one kind of layer; `kind` is a key of a nested `rope_parameters`.
pub(super) fn read(
    fields: &Fields<'_>,
    kind: &str,
    defaults: Defaults,
    head_size: usize,
    context: usize,
) -> Result<Rotary, TransformerError> {
    let mut given = fields.object("rope_parameters")?.cloned().unwrap_or_default();
    let nested = |key: &str| given.get(key).is_some_and(Value::is_object);
    if nested("full_attention") || nested("sliding_attention") {
        given = given.get(kind).and_then(Value::as_object).cloned().unwrap_or_default();
    }
    if let Some(scaling) = fields.object("rope_scaling")? {
        // Windows of Gemma 3 are not scaled, nor is there a base for them under the common key.
        if kind == "full_attention" {
            given.extend(scaling.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    let reader = Fields::new(&given, &[]);
    let base = reader.positive("rope_theta")?.or(fields.positive(defaults.base_key)?).unwrap_or(defaults.base);
    let outer = fields.number(defaults.share_key)?;
    let share = reader.number("partial_rotary_factor")?.or(outer).unwrap_or(defaults.share);
    let size = (head_size as f64 * share) as usize;
    if size == 0 || size > head_size || !size.is_multiple_of(2) {
        return Err(TransformerError::config(
            "partial_rotary_factor",
            format!("{share} of {head_size} is no even size"),
        ));
    }
    let scaling = scaling(&reader, fields, size, context)?;
    reader.pass_over(&["type", "rope_type", "attention_factor", "original_max_position_embeddings"]);
    refuse_unknown(&reader, &given)?;
    Ok(Rotary { size, base, scaling })
}

fn scaling(given: &Fields<'_>, fields: &Fields<'_>, size: usize, context: usize) -> Result<Scaling, TransformerError> {
    let kind = given.text("rope_type")?.or(given.text("type")?).unwrap_or("default");
    let missing = |key: &str| TransformerError::config(key, format!("is missing for rotary positions `{kind}`"));
    let factor = || given.positive("factor")?.ok_or_else(|| missing("factor"));
    // Phi-3 keeps the trained context outside; that one is preferred.
    let trained = || -> Result<usize, TransformerError> {
        let outside = fields.count("original_max_position_embeddings")?;
        Ok(outside.or(given.count("original_max_position_embeddings")?).unwrap_or(context))
    };
    fields.pass_over(&["original_max_position_embeddings"]);
    match kind {
        "default" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear { factor: factor()? }),
        "dynamic" => Ok(Scaling::Dynamic { factor: factor()?, trained: context }),
        "llama3" => {
            let low = given.positive("low_freq_factor")?.ok_or_else(|| missing("low_freq_factor"))?;
            let high = given.positive("high_freq_factor")?.ok_or_else(|| missing("high_freq_factor"))?;
            if high <= low {
                return Err(TransformerError::config("high_freq_factor", format!("{high} is not above {low}")));
            }
            Ok(Scaling::Llama3 { factor: factor()?, low, high, trained: trained()? })
        }
        "yarn" => {
            let trained = trained()?;
            let factor = given.positive("factor")?.unwrap_or(context as f64 / trained as f64);
            let plain = |scale: f64, slope: f64| if scale <= 1.0 { 1.0 } else { 0.1 * slope * libm::log(scale) + 1.0 };
            let sharpness = match (given.number("mscale")?, given.number("mscale_all_dim")?) {
                (Some(one), Some(all)) if one != 0.0 && all != 0.0 => plain(factor, one) / plain(factor, all),
                _ => plain(factor, 1.0),
            };
            Ok(Scaling::Yarn {
                factor,
                fast: given.positive("beta_fast")?.unwrap_or(32.0),
                slow: given.positive("beta_slow")?.unwrap_or(1.0),
                truncate: given.flag("truncate")?.unwrap_or(true),
                trained,
                sharpness: given.positive("attention_factor")?.unwrap_or(sharpness),
            })
        }
        "longrope" | "su" => {
            let trained = trained()?;
            let factor = given.positive("factor")?.unwrap_or(context as f64 / trained as f64);
            let sharpness =
                if factor <= 1.0 { 1.0 } else { (1.0 + libm::log(factor) / libm::log(trained as f64)).sqrt() };
            let divisors = |key: &str| divisors(key, given.list(key)?.ok_or_else(|| missing(key))?, size / 2);
            Ok(Scaling::Long {
                short: divisors("short_factor")?,
                long: divisors("long_factor")?,
                trained,
                sharpness: given.positive("attention_factor")?.unwrap_or(sharpness),
            })
        }
        other => Err(TransformerError::config("rope_type", format!("`{other}` is not implemented"))),
    }
}

/// By what each of `count` frequencies is divided.
fn divisors(key: &str, list: &[Value], count: usize) -> Result<Vec<f64>, TransformerError> {
    let values: Vec<f64> = list.iter().filter_map(Value::as_f64).filter(|&value| value > 0.0).collect();
    match values.len() == list.len() && values.len() == count {
        true => Ok(values),
        false => Err(TransformerError::config(key, format!("wants {count} numbers above zero"))),
    }
}

fn refuse_unknown(reader: &Fields<'_>, given: &Map<String, Value>) -> Result<(), TransformerError> {
    // Llama 2 configurations carry the scaling's defaults without asking for it.
    match given.is_empty() {
        true => Ok(()),
        false => reader.finish(),
    }
}
