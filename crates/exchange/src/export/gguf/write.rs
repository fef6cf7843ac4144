//! The file: header first, then tensors one after the other.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use seedpress_checkpoint::Output;
use seedpress_codec::tensor::element_count;
use seedpress_codec::{EncodeContext, Registry, Tensor};

use super::metadata::describe;
use super::types::{Wanted, choose, is_kept};
use super::vocabulary::vocabulary;
use crate::error::ExchangeError;
use crate::export::{Exported, Form, ModelFiles, Supply, Weights};
use crate::gguf::file::ALIGNMENT;
use crate::gguf::names::{Names, Target};
use crate::gguf::types::{TypeInfo, Values};
use crate::gguf::value::put_text;
use crate::gguf::{Value, by_name};
use crate::packed::parts::float_tensor;

const FORMAT: &str = "GGUF";

/// How a file is written.
pub struct GgufOptions<'a> {
    /// Types of tensors.
    pub wanted: Wanted,
    /// The type that a plan names for a tensor, by its name at Hugging Face's.
    pub planned: &'a dyn Fn(&str) -> Option<&'static TypeInfo>,
    /// Whether a pattern fits a name.
    pub matches: &'a dyn Fn(&str, &str) -> bool,
    /// The model's name in the file.
    pub name: String,
    /// Codecs named as GGUF types are.
    pub registry: &'a Registry,
}

/// A tensor of the file.
pub(crate) struct Planned {
    pub target: Target,
    /// Where it comes from: one place, or one for every expert.
    pub places: Vec<Option<usize>>,
    /// Values that follow from the configuration.
    given: Option<Vec<f32>>,
    pub shape: Vec<usize>,
    info: &'static TypeInfo,
}

impl Planned {
    pub(crate) fn size(&self) -> Result<usize, ExchangeError> {
        self.info.size(&self.shape).ok_or_else(|| ExchangeError::CannotHold {
            format: FORMAT,
            tensor: self.target.name.clone(),
            why: format!("rows of shape {:?} are no whole blocks of {}", self.shape, self.info.name),
            instead: "use f16 for it".to_owned(),
        })
    }
}

/// Writes a model.
///
/// # Errors
/// An architecture or tensors GGUF has no names for, tensors that cannot be read, the operating system's.
pub fn write_gguf(
    supply: &dyn Supply,
    files: &ModelFiles,
    options: &GgufOptions<'_>,
    mut output: Output,
    progress: &dyn Fn(&str),
) -> Result<Exported, ExchangeError> {
    let Prepared { header, planned, notes } = prepare(supply, files, options)?;
    let mut exported = Exported { notes, ..Exported::default() };
    let path = output.path().to_owned();
    let fault = |error: std::io::Error| ExchangeError::Io { path: path.clone(), source: error };
    output.write_all(&header).map_err(fault)?;
    for tensor in &planned {
        progress(&tensor.target.name);
        let mut written = 0;
        for place in &tensor.places {
            let bytes = encode(supply, tensor, *place, options, &mut exported.notes)?;
            output.write_all(&bytes).map_err(fault)?;
            written += bytes.len();
        }
        if written != tensor.size()? {
            return Err(ExchangeError::Model(format!(
                "`{}` became {written} bytes, which is a bug",
                tensor.target.name
            )));
        }
        output.write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written]).map_err(fault)?;
        exported.weights += element_count(&tensor.shape).unwrap_or(0) as u64;
        exported.tensors.push((tensor.target.name.clone(), tensor.info.name.to_owned()));
    }
    exported.bytes = output.finish()?;
    Ok(exported)
}

/// Everything but the values.
pub(crate) struct Prepared {
    pub header: Vec<u8>,
    pub planned: Vec<Planned>,
    notes: Vec<String>,
}

pub(crate) fn prepare(
    supply: &dyn Supply,
    files: &ModelFiles,
    options: &GgufOptions<'_>,
) -> Result<Prepared, ExchangeError> {
    let mut described = describe(files, &options.name)?;
    let mut notes = std::mem::take(&mut described.notes);
    let names = Names::new(described.architecture, described.heads.0, described.heads.1);
    let names = names.ok_or_else(|| ExchangeError::Model(format!("no names for `{}`", described.architecture)))?;
    let planned = plan(supply, &names, options, std::mem::take(&mut described.tensors), &mut notes)?;
    let mut values = described.values;
    values.push(("general.file_type".to_owned(), Value::U32(file_type(commonest(&planned)))));
    values.extend(vocabulary(files, described.vocabulary, &mut notes)?);
    Ok(Prepared { header: header(&values, &planned)?, planned, notes })
}

/// Tensors that are buffers of a module, not weights, and that llama.cpp makes itself.
fn is_buffer(name: &str) -> bool {
    [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias"].iter().any(|end| name.ends_with(end))
}

fn plan(
    supply: &dyn Supply,
    names: &Names,
    options: &GgufOptions<'_>,
    given: Vec<(String, Vec<f32>)>,
    notes: &mut Vec<String>,
) -> Result<Vec<Planned>, ExchangeError> {
    let list = supply.list();
    let tied = !list.iter().any(|(name, _)| name == "lm_head.weight");
    let mut planned: Vec<Planned> = Vec::new();
    let mut by_target: HashMap<String, usize> = HashMap::new();
    let float = by_name("F32").ok_or_else(|| ExchangeError::Model("no F32".to_owned()))?;
    for (name, values) in given {
        let target = Target { name, change: crate::gguf::change::Change::None, expert: None };
        planned.push(Planned {
            target,
            places: vec![None],
            shape: vec![values.len()],
            given: Some(values),
            info: float,
        });
    }
    let keeps = options.wanted.matrices.is_none();
    for (index, (name, shape)) in list.iter().enumerate() {
        let given = (options.planned)(name).or_else(|| supply.block_type(index).filter(|_| keeps));
        if is_buffer(name) {
            continue;
        }
        let target = names.gguf(name).ok_or_else(|| ExchangeError::CannotHold {
            format: FORMAT,
            tensor: name.clone(),
            why: "its architecture has no name for it".to_owned(),
            instead: "use --to safetensors and llama.cpp's own converter".to_owned(),
        })?;
        let mut shape = target.change.shape(shape);
        if let Some(expert) = target.expert {
            let at = *by_target.entry(target.name.clone()).or_insert(planned.len());
            if at == planned.len() {
                shape.insert(0, 0);
                let (info, why) = choose(&options.wanted, &target.name, &shape, given, tied, options.matches);
                notes.extend(why);
                planned.push(Planned { target, places: Vec::new(), given: None, shape, info });
            }
            let whole = &mut planned[at];
            whole.places.resize(whole.places.len().max(expert + 1), None);
            whole.places[expert] = Some(index);
            whole.shape[0] = whole.places.len();
            continue;
        }
        let (info, why) = choose(&options.wanted, &target.name, &shape, given, tied, options.matches);
        notes.extend(why);
        planned.push(Planned { target, places: vec![Some(index)], given: None, shape, info });
    }
    let hole = planned.iter().find(|tensor| tensor.given.is_none() && tensor.places.contains(&None));
    match hole {
        Some(tensor) => Err(ExchangeError::Model(format!("`{}`: an expert is missing", tensor.target.name))),
        None => Ok(planned),
    }
}

fn header(values: &[(String, Value)], planned: &[Planned]) -> Result<Vec<u8>, ExchangeError> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend_from_slice(&3u32.to_le_bytes());
    bytes.extend_from_slice(&(planned.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
    for (key, value) in values {
        put_text(&mut bytes, key);
        value.write(&mut bytes);
    }
    let mut offset = 0u64;
    for tensor in planned {
        put_text(&mut bytes, &tensor.target.name);
        bytes.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|&dim| bytes.extend_from_slice(&(dim as u64).to_le_bytes()));
        bytes.extend_from_slice(&tensor.info.number.to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
        offset += tensor.size()?.next_multiple_of(ALIGNMENT) as u64;
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    Ok(bytes)
}

/// The bytes of a tensor, or of one expert of it.
fn encode(
    supply: &dyn Supply,
    tensor: &Planned,
    place: Option<usize>,
    options: &GgufOptions<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<u8>, ExchangeError> {
    let name = &tensor.target.name;
    let wrong = |why: String| ExchangeError::Model(format!("`{name}`: {why}"));
    let weights = match (&tensor.given, place) {
        (Some(values), _) => Tensor::new(tensor.shape.clone(), values.clone(), seedpress_codec::DType::F32)
            .map_err(|error| wrong(error.to_string()))?,
        (None, Some(index)) => match supply.load(index, Form::Blocks(tensor.info))? {
            Weights::Blocks { shape, bytes, .. } => {
                let rows = shape.first().copied().unwrap_or(0);
                if let Some(bytes) = tensor.target.change.turn_rows(&bytes, rows, true).map_err(wrong)? {
                    return Ok(bytes);
                }
                notes.push(format!("`{name}`: GGUF has it turned round, which no block survives: quantised anew"));
                floats(supply, index, &wrong)?
            }
            Weights::Float(weights) => weights,
            Weights::Grid(grid) => {
                Tensor::new(vec![grid.rows, grid.columns], grid.dequantise(), seedpress_codec::DType::F32)
                    .map_err(|error| wrong(error.to_string()))?
            }
            Weights::Opaque { dtype, .. } => return Err(wrong(format!("it holds {dtype}, no weights"))),
        },
        (None, None) => return Err(wrong("it comes from nowhere".to_owned())),
    };
    let weights = tensor.target.change.apply(weights).map_err(wrong)?;
    match tensor.info.values {
        Values::Plain(scalar) => {
            let dtype = scalar.float().ok_or_else(|| wrong(format!("{} holds no weights", tensor.info.name)))?;
            Ok(float_tensor(dtype, Vec::new(), weights.values()).0.bytes)
        }
        _ => blocks(name, &weights, tensor.info, options.registry),
    }
}

/// A tensor as floats, whatever its file has it as.
pub(crate) fn floats(
    supply: &dyn Supply,
    index: usize,
    wrong: &dyn Fn(String) -> ExchangeError,
) -> Result<Tensor, ExchangeError> {
    match supply.load(index, Form::Float)? {
        Weights::Float(weights) => Ok(weights),
        _ => Err(wrong("it does not turn into floats".to_owned())),
    }
}

/// The type of most weights of matrices.
fn commonest(planned: &[Planned]) -> &'static str {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for tensor in planned.iter().filter(|tensor| !is_kept(&tensor.target.name, &tensor.shape)) {
        *counts.entry(tensor.info.name).or_default() += element_count(&tensor.shape).unwrap_or(0);
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or("F32", |(name, _)| name)
}

/// Blocks of the codec that is named as the type.
fn blocks(name: &str, weights: &Tensor, info: &TypeInfo, registry: &Registry) -> Result<Vec<u8>, ExchangeError> {
    let refuse = |why: String, instead: &str| ExchangeError::CannotHold {
        format: FORMAT,
        tensor: name.to_owned(),
        why,
        instead: instead.to_owned(),
    };
    let codec = registry.parse(&info.name.to_lowercase()).map_err(|_| {
        refuse(format!("nothing here writes {}", info.name), "choose a type that `seedpress codecs` lists")
    })?;
    let encoded = codec
        .encode_raw(&weights.view(name), &EncodeContext::default())
        .map_err(|error| refuse(error.to_string(), "use f16 or f32 for it"))?;
    let mut segments = encoded.layers.into_iter().flat_map(|layer| layer.segments);
    let Some(segment) = segments.next() else { return Err(refuse("it became nothing".to_owned(), "use f16 for it")) };
    let mut bytes = segment.bytes;
    // Our streams help scales that binary16 cannot hold with powers of two, which GGUF does not know.
    let shift = match *encoded.params.as_slice() {
        [low, high] => i16::from_le_bytes([low, high]),
        _ => {
            let why = "some of its weights are too large for 16-bit scales".to_owned();
            return Err(refuse(why, "use f32 for it"));
        }
    };
    if shift != 0 {
        shift_scales(&mut bytes, info, shift).ok_or_else(|| {
            refuse("its weights are too large or too small for 16-bit scales".to_owned(), "use f32 for it")
        })?;
    }
    Ok(bytes)
}

/// Where the 16-bit scales of a block are.
fn scales_at(name: &str) -> Option<&'static [usize]> {
    Some(match name {
        "Q4_0" | "Q5_0" | "Q8_0" | "IQ4_NL" => &[0],
        "Q4_1" | "Q5_1" | "Q4_K" | "Q5_K" => &[0, 2],
        "Q2_K" => &[80, 82],
        "Q3_K" => &[108],
        "Q6_K" => &[208],
        "TQ1_0" => &[52],
        "TQ2_0" => &[64],
        _ => return None,
    })
}

/// Multiplies the scales of every block by a power of two; `None` where one becomes infinite.
fn shift_scales(bytes: &mut [u8], info: &TypeInfo, shift: i16) -> Option<()> {
    let places = scales_at(info.name)?;
    for block in bytes.chunks_exact_mut(info.bytes) {
        for &at in places {
            let half = half::f16::from_le_bytes([block[at], block[at + 1]]);
            let shifted = half::f16::from_f64(half.to_f64() * f64::from(shift).exp2());
            if !shifted.is_finite() {
                return None;
            }
            block[at..at + 2].copy_from_slice(&shifted.to_le_bytes());
        }
    }
    Some(())
}

/// llama.cpp's number of a file that is mostly of one type.
fn file_type(name: &str) -> u32 {
    match name {
        "F32" => 0,
        "F16" => 1,
        "Q4_0" => 2,
        "Q4_1" => 3,
        "Q8_0" => 7,
        "Q5_0" => 8,
        "Q5_1" => 9,
        "Q2_K" => 10,
        "Q3_K" => 12,
        "Q4_K" => 15,
        "Q5_K" => 17,
        "Q6_K" => 18,
        "IQ4_NL" => 25,
        "IQ4_XS" => 30,
        "BF16" => 32,
        "TQ1_0" => 36,
        "TQ2_0" => 37,
        _ => 1024,
    }
}
