//! Weights that a source wrote in 8, 6 or 4 bits: read as numbers, written back as they were.
//!
//! A weight is an element times a scale of its block, where the checkpoint has scales: `NAME_scale_inv` (blocks of 128 by 128 as
//! DeepSeek has them; it is multiplied by, whatever its name says), `NAME_scale` (one a tensor, a row or a block) or `NAME.scale`. Scales
//! are kept as they are. A codec sees the products, so that its errors are those of the weights; one that loses nothing sees the
//! elements alone, which a `bf16` holds exactly.

pub(crate) mod element;
pub(crate) mod scales;

use seedpress_checkpoint::{Content, SourceForm, TensorInfo};
use seedpress_codec::packing::{BitReader, pack_bits};
use seedpress_codec::{DType, Tensor};

use crate::error::PressError;
use crate::errors::RowErrors;
use crate::source::Source;
use element::Element;
use scales::{Scales, holds_scales};

/// What the tensor of scales of a weight may be called.
const SUFFIXES: [&str; 4] = ["_scale_inv", "_scale", ".scale_inv", ".scale"];

/// How each narrow tensor of a source is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms {
    /// By tensor.
    forms: Vec<Option<SourceForm>>,
    /// Tensors that are scales of others.
    scales: Vec<bool>,
}

impl Forms {
    /// Looks at names and shapes.
    pub(crate) fn of(tensors: &[TensorInfo]) -> Self {
        let mut forms = vec![None; tensors.len()];
        let mut scales = vec![false; tensors.len()];
        if tensors.iter().all(|info| Element::of(&info.dtype).is_none()) {
            return Self { forms, scales };
        }
        let places: std::collections::HashMap<&str, usize> =
            tensors.iter().enumerate().map(|(place, info)| (info.name.as_str(), place)).collect();
        for (tensor, info) in tensors.iter().enumerate() {
            let of_another = holds_scales(info) && is_scale_of_another(info, &places);
            if Element::of(&info.dtype).is_none() || of_another {
                continue;
            }
            let found = SUFFIXES.iter().find_map(|suffix| {
                let place = *places.get(format!("{}{suffix}", info.name).as_str())?;
                let block = scales::block(&info.shape, &tensors[place].shape)?;
                holds_scales(&tensors[place]).then_some((place, block))
            });
            if let Some((place, _)) = found {
                scales[place] = true;
            }
            let (scale, block) = found.map_or((None, Vec::new()), |(place, block)| (Some(place), block));
            forms[tensor] = Some(SourceForm { dtype: info.dtype.clone(), scale, block, applied: scale.is_some() });
        }
        Self { forms, scales }
    }

    /// How a tensor is written, if in few bits.
    pub(crate) fn form(&self, tensor: usize) -> Option<&SourceForm> {
        self.forms[tensor].as_ref()
    }

    /// Whether a tensor holds scales of another.
    pub(crate) fn is_scales(&self, tensor: usize) -> bool {
        self.scales[tensor]
    }
}

fn is_scale_of_another(info: &TensorInfo, places: &std::collections::HashMap<&str, usize>) -> bool {
    SUFFIXES.iter().any(|suffix| info.name.strip_suffix(suffix).is_some_and(|name| places.contains_key(name)))
}

/// The scales of a form, from the source.
pub(crate) fn load_scales(source: &dyn Source, form: &SourceForm) -> Result<Option<Scales>, PressError> {
    let Some(place) = form.scale else { return Ok(None) };
    let info = &source.tensors()[place];
    let values = match source.load(place)? {
        Content::Float(tensor) => Some(tensor.into_values()),
        Content::Opaque(bytes) => scales::values(&info.dtype, &bytes),
    };
    Ok(values.map(|values| Scales { values, block: form.block.clone() }))
}

/// A tensor as the source has it in few bits.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) form: SourceForm,
    /// Its scales, applied or not, where they fit its shape.
    pub(crate) scales: Option<Scales>,
    pub(crate) bytes: Vec<u8>,
}

impl Written {
    /// Errors of the weights that the checkpoint will hold, by its own scales, where `values` were decoded: those of the original's scales
    /// are counted with the tensor that holds them.
    pub(crate) fn errors(&self, shape: &[usize], mut values: Vec<f32>) -> Result<RowErrors, String> {
        let (form, scales) = (&self.form, self.scales.as_ref());
        let bytes = narrow(form, shape, &mut values, scales.filter(|_| form.applied))?;
        drop(values);
        let back = widen(form, shape, &bytes, scales)?;
        let weights = widen(form, shape, &self.bytes, scales)?;
        Ok(RowErrors::between(shape, weights.values(), back.values()))
    }
}

/// The numbers that bytes of a narrow type stand for: products with their scales where the form says so.
pub(crate) fn widen(
    form: &SourceForm,
    shape: &[usize],
    bytes: &[u8],
    scales: Option<&Scales>,
) -> Result<Tensor, String> {
    let element = Element::of(&form.dtype).ok_or_else(|| format!("unknown data type {}", form.dtype))?;
    let decoder = element.decoder();
    let bits = element.bits() as u8;
    let count = bytes.len() * 8 / usize::from(bits);
    let mut values = Vec::with_capacity(count);
    match bits {
        8 => values.extend(bytes.iter().map(|&code| decoder[usize::from(code)])),
        _ => {
            let codes = BitReader::new(bytes, bits, count).map_err(|error| error.to_string())?;
            values.extend((0..count).map(|index| decoder[codes.get(index) as usize]));
        }
    }
    if let Some(scales) = scales {
        scales.apply(shape, &mut values, false);
    }
    let dtype = if scales.is_some() { DType::F32 } else { DType::BF16 };
    Tensor::new(shape.to_vec(), values, dtype).map_err(|error| error.to_string())
}

/// The bytes of a narrow type that stand for numbers.
pub(crate) fn narrow(
    form: &SourceForm,
    shape: &[usize],
    values: &mut [f32],
    scales: Option<&Scales>,
) -> Result<Vec<u8>, String> {
    let element = Element::of(&form.dtype).ok_or_else(|| format!("unknown data type {}", form.dtype))?;
    if let Some(scales) = scales {
        scales.apply(shape, values, true);
    }
    let encoder = element.encoder();
    Ok(match element.bits() {
        8 => values.iter().map(|&value| encoder.code(value)).collect(),
        bits => pack_bits(values.iter().map(|&value| u32::from(encoder.code(value))), bits as u8),
    })
}
