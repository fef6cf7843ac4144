//! Bits and groups of compressed-tensors and MLX for a size.

use std::collections::BTreeMap;

use seedpress_codec::{AnyCodec, DType, Registry};

use super::allot::{Choice, allot};
use super::{Worth, loss, sample};
use crate::error::ExchangeError;
use crate::export::packed::is_linear;
use crate::export::{Form, Supply, Target, Weights};

/// Widths and groups that are tried.
const GROUPS: &[usize] = &[32, 64, 128];
/// Bytes of a file's header beside those of its tensors: its length, metadata, filler.
const HEADER: u64 = 48;

/// A codec for every matrix that is quantised, by its name, so that the file of weights that [`write_packed`](crate::export::write_packed)
/// makes of them has at most `size` bytes, and hardly less.
///
/// # Errors
/// A layout whose `config.json` knows one width; a size that is too small for the model.
pub fn fit_packed(
    supply: &dyn Supply,
    target: Target,
    keep: &dyn Fn(&str) -> bool,
    registry: &Registry,
    size: u64,
    worth: Worth<'_>,
    progress: &dyn Fn(&str),
) -> Result<BTreeMap<String, AnyCodec>, ExchangeError> {
    let (widths, symmetric) = widths(target)?;
    let digits = size.max(1).ilog10() as usize + 1;
    let mut fixed = HEADER;
    let (mut names, mut codecs, mut choices) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (name, shape)) in supply.list().into_iter().enumerate() {
        let quantised = is_linear(&name, &shape) && !keep(&name);
        let weights = supply.load(index, Form::Float)?;
        let tensor = match weights {
            Weights::Float(tensor) if quantised => tensor,
            Weights::Float(tensor) => {
                let bytes = tensor.values().len() * tensor.dtype().size();
                fixed += entry(&name, tensor.dtype().name(), tensor.shape(), digits) + bytes as u64;
                continue;
            }
            Weights::Opaque { dtype, bytes, shape } => {
                fixed += entry(&name, &dtype, &shape, digits) + bytes.len() as u64;
                continue;
            }
            _ => continue,
        };
        progress(&name);
        let rows = sample(&tensor)?;
        let stem = name.trim_end_matches(".weight");
        let (mut own_codecs, mut own) = (Vec::new(), Vec::new());
        for (bits, group) in settings(widths, shape[1]) {
            let text = format!("rtn:bits={bits},group={group},symmetric={symmetric}");
            let codec = registry.parse(&text).map_err(|error| ExchangeError::Model(error.to_string()))?;
            let loss = worth(&name) * tensor.values().len() as f64 * loss(&rows, &codec, registry, &name)?;
            own.push(Choice { bytes: parts(stem, &shape, bits, group, target, digits), loss });
            own_codecs.push(codec);
        }
        if own.is_empty() {
            return Err(ExchangeError::Model(format!(
                "`{name}`: groups of 32, 64 and 128 do not divide its {} inputs; leave it as it is (--exclude)",
                shape[1]
            )));
        }
        names.push(name);
        codecs.push(own_codecs);
        choices.push(own);
    }
    let Some(chosen) = allot(&choices, size.saturating_sub(fixed)) else {
        let smallest = choices.iter().map(|own| own.iter().map(|choice| choice.bytes).min().unwrap_or(0)).sum::<u64>();
        return Err(ExchangeError::Model(format!(
            "this model takes {} bytes at least in this layout, {size} are asked for: embedding and head stay floats",
            fixed + smallest
        )));
    };
    Ok(names.into_iter().zip(codecs).zip(chosen).map(|((name, codecs), at)| (name, codecs[at].clone())).collect())
}

/// The widths of a layout, and whether its codes are symmetric.
fn widths(target: Target) -> Result<(&'static [u8], bool), ExchangeError> {
    match target {
        Target::CompressedTensors => Ok((&[2, 3, 4, 5, 6, 7, 8], true)),
        Target::Mlx => Ok((&[2, 3, 4, 5, 6, 8], false)),
        _ => Err(ExchangeError::Model(
            "its config.json knows one width for all: a size is met by gguf, compressed-tensors and mlx".to_owned(),
        )),
    }
}

/// Every width with every group that divides the columns.
fn settings(widths: &[u8], columns: usize) -> impl Iterator<Item = (u8, usize)> {
    let groups = move || GROUPS.iter().copied().filter(move |&group| columns.is_multiple_of(group));
    widths.iter().flat_map(move |&bits| groups().map(move |group| (bits, group)))
}

/// Bytes of a tensor in a header: `"name":{"dtype":"I32","shape":[64,8],"data_offsets":[0,2048]},`, its offsets as long as they may be.
fn entry(name: &str, dtype: &str, shape: &[usize], digits: usize) -> u64 {
    const REST: usize = r#""":{"dtype":"","shape":[],"data_offsets":[,]},"#.len();
    let shape: usize = shape.iter().map(|dim| dim.max(&1).ilog10() as usize + 2).sum::<usize>().saturating_sub(1);
    (REST + name.len() + dtype.len() + shape + 2 * digits) as u64
}

/// Bytes of all parts of a matrix with their entries.
fn parts(stem: &str, shape: &[usize], bits: u8, group: usize, target: Target, digits: usize) -> u64 {
    let (rows, columns) = (shape[0], shape[1]);
    let (words, groups) = ((columns * usize::from(bits)).div_ceil(32), columns / group);
    let codes = |name: &'static str, dtype: &'static str| (name, dtype, vec![rows, words], 4 * rows * words);
    let scales = |name: &'static str| (name, "F32", vec![rows, groups], DType::F32.size() * rows * groups);
    let parts = match target {
        Target::Mlx => vec![codes("weight", "U32"), scales("scales"), scales("biases")],
        _ => vec![codes("weight_packed", "I32"), scales("weight_scale"), ("weight_shape", "I64", vec![2], 16)],
    };
    let size = |(part, dtype, shape, bytes): &(&str, &str, Vec<usize>, usize)| {
        entry(&format!("{stem}.{part}"), dtype, shape, digits) + *bytes as u64
    };
    parts.iter().map(size).sum()
}
