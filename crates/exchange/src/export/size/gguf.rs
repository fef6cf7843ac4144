//! Types of GGUF's for a size.

use std::collections::BTreeMap;

use seedpress_codec::tensor::element_count;

use super::allot::{Choice, allot, total};
use super::{Worth, loss, sample};
use crate::error::ExchangeError;
use crate::export::gguf::types::is_kept;
use crate::export::gguf::write::{Planned, floats, prepare};
use crate::export::{GgufOptions, ModelFiles, Supply};
use crate::gguf::file::ALIGNMENT;
use crate::gguf::types::{TypeInfo, by_name};

/// Types that are tried. Ternary ones are not: weights that were not trained for them do not survive.
const TRIED: &[&str] =
    &["Q2_K", "Q3_K", "Q4_0", "IQ4_NL", "Q4_K", "Q4_1", "Q5_0", "Q5_K", "Q5_1", "Q6_K", "Q8_0", "F16"];
/// Experts of a layer that are tried.
const EXPERTS: usize = 2;

/// A type for every matrix by its name at Hugging Face's, so that the file that [`write_gguf`](crate::export::write_gguf) makes of them has at
/// most `size` bytes, and hardly less. Types that `options` give by pattern stay.
///
/// # Errors
/// As writing; a size that is too small for the model.
pub fn fit_gguf(
    supply: &dyn Supply,
    files: &ModelFiles,
    options: &GgufOptions<'_>,
    size: u64,
    worth: Worth<'_>,
    progress: &dyn Fn(&str),
) -> Result<BTreeMap<String, &'static TypeInfo>, ExchangeError> {
    let (prepared, names) = (prepare(supply, files, options)?, supply.list());
    let mut fixed = prepared.header.len() as u64;
    let mut tensors: Vec<(&Planned, Vec<&'static TypeInfo>)> = Vec::new();
    let mut choices = Vec::new();
    for tensor in &prepared.planned {
        let given = options.wanted.patterns.iter().any(|(pattern, _)| (options.matches)(pattern, &tensor.target.name));
        if given || is_kept(&tensor.target.name, &tensor.shape) {
            fixed += tensor.size()?.next_multiple_of(ALIGNMENT) as u64;
            continue;
        }
        progress(&tensor.target.name);
        let (types, mut own) = tried(supply, tensor, options)?;
        // One type for all experts of a layer.
        let places = tensor.places.iter().flatten();
        let sum: f64 = places.clone().map(|&place| worth(&names[place].0)).sum();
        own.iter_mut().for_each(|choice| choice.loss *= sum / places.clone().count().max(1) as f64);
        tensors.push((tensor, types));
        choices.push(own);
    }
    let budget = size.saturating_sub(fixed);
    let Some(chosen) = allot(&choices, budget) else {
        let smallest = choices.iter().map(|own| own.iter().map(|choice| choice.bytes).min().unwrap_or(0)).sum::<u64>();
        return Err(ExchangeError::Model(format!(
            "a GGUF file of this model takes {} bytes at least, {size} are asked for",
            fixed + smallest
        )));
    };
    debug_assert!(total(&choices, &chosen) <= budget);
    let mut found = BTreeMap::new();
    for ((tensor, types), at) in tensors.into_iter().zip(chosen) {
        for &place in tensor.places.iter().flatten() {
            found.insert(names[place].0.clone(), types[at]);
        }
    }
    Ok(found)
}

fn tried(
    supply: &dyn Supply,
    tensor: &Planned,
    options: &GgufOptions<'_>,
) -> Result<(Vec<&'static TypeInfo>, Vec<Choice>), ExchangeError> {
    let name = &tensor.target.name;
    let wrong = |why: String| ExchangeError::Model(format!("`{name}`: {why}"));
    let mut rows = Vec::new();
    for &place in tensor.places.iter().flatten().take(EXPERTS) {
        let weights = tensor.target.change.apply(floats(supply, place, &wrong)?).map_err(wrong)?;
        rows.push(sample(&weights)?);
    }
    let weights = element_count(&tensor.shape).unwrap_or(0) as f64;
    let (mut types, mut choices) = (Vec::new(), Vec::new());
    for info in TRIED.iter().filter_map(|name| by_name(name)) {
        let Some(bytes) = info.size(&tensor.shape) else { continue };
        let codec = options.registry.parse(&info.name.to_lowercase()).map_err(|error| wrong(error.to_string()))?;
        let mut sum = 0.0;
        for rows in &rows {
            sum += loss(rows, &codec, options.registry, name)?;
        }
        types.push(info);
        choices.push(Choice {
            bytes: bytes.next_multiple_of(ALIGNMENT) as u64,
            loss: weights * sum / rows.len().max(1) as f64,
        });
    }
    Ok((types, choices))
}
