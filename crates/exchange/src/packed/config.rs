//! What a folder's `config.json` says of how its weights are quantised.

use std::path::Path;

use serde_json::Value;

use super::gptq::Version;
use crate::error::ExchangeError;

/// The folder whose `config.json` speaks of a path: itself, or the one that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) }
}

/// A layout, and what reading it takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// compressed-tensors, pack-quantized, with the widths its groups name, in order.
    CompressedTensors {
        /// Bits of a code.
        widths: Vec<u8>,
    },
    /// GPTQ.
    Gptq {
        /// Bits of a code.
        bits: u8,
        /// Which zero points are stored.
        version: Version,
    },
    /// AWQ, gemm.
    Awq,
    /// MLX, affine.
    Mlx {
        /// Bits of a code.
        bits: u8,
        /// Layers whose bits differ.
        layers: Vec<(String, u8)>,
    },
}

impl Layout {
    /// The name of the layout.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CompressedTensors { .. } => "compressed-tensors",
            Self::Gptq { version: Version::V1, .. } => "GPTQ",
            Self::Gptq { version: Version::V2, .. } => "GPTQ v2",
            Self::Awq => "AWQ",
            Self::Mlx { .. } => "MLX",
        }
    }

    /// What the files of a folder say; `None` where its weights are not quantised.
    ///
    /// # Errors
    /// Files that cannot be read; a layout that is not read.
    pub fn of_folder(folder: &Path) -> Result<Option<Self>, ExchangeError> {
        let config = json(&folder.join("config.json"))?;
        // MLX writes both keys, and the second for others to read.
        let mlx = config.as_ref().and_then(|config| config.get("quantization")).filter(|mlx| mlx.is_object());
        if let Some(mlx) = mlx {
            return Self::mlx(mlx).map(Some);
        }
        let section = config.as_ref().and_then(|config| {
            ["quantization_config", "compression_config"]
                .iter()
                .find_map(|key| config.get(key))
                .filter(|s| s.is_object())
        });
        match section {
            Some(section) => Self::of(section).map(Some),
            // AutoGPTQ and AutoAWQ of before transformers knew them.
            None => match (json(&folder.join("quantize_config.json"))?, json(&folder.join("quant_config.json"))?) {
                (Some(gptq), _) => Self::gptq(&gptq).map(Some),
                (None, Some(awq)) if awq.get("w_bit").is_some() => Ok(Some(Self::Awq)),
                _ => Ok(None),
            },
        }
    }

    fn of(section: &Value) -> Result<Self, ExchangeError> {
        let method = section.get("quant_method").and_then(Value::as_str).unwrap_or_default();
        match method {
            "gptq" => Self::gptq(section),
            "awq" => match section.get("version").and_then(Value::as_str).unwrap_or("gemm").to_lowercase().as_str() {
                "gemm" => Ok(Self::Awq),
                other => Err(unread(&format!("AWQ of the version `{other}`"), "gemm is")),
            },
            "compressed-tensors" => match section.get("format").and_then(Value::as_str).unwrap_or("pack-quantized") {
                "pack-quantized" => {
                    let groups = section.get("config_groups").and_then(Value::as_object);
                    let bits = |group: &Value| group.get("weights")?.get("num_bits")?.as_u64();
                    let widths = groups.into_iter().flat_map(|groups| groups.values()).filter_map(bits);
                    let mut widths: Vec<u8> = widths.filter_map(|bits| width(bits).ok()).collect();
                    widths.sort_unstable();
                    widths.dedup();
                    Ok(Self::CompressedTensors { widths })
                }
                other => Err(unread(&format!("compressed-tensors of the format `{other}`"), "pack-quantized is")),
            },
            other => Err(unread(&format!("quantised with `{other}`"), "compressed-tensors, GPTQ, AWQ and MLX are")),
        }
    }

    fn gptq(section: &Value) -> Result<Self, ExchangeError> {
        let bits = width(section.get("bits").and_then(Value::as_u64).unwrap_or(4))?;
        let version = match section.get("checkpoint_format").and_then(Value::as_str).unwrap_or("gptq") {
            "gptq" => Version::V1,
            "gptq_v2" => Version::V2,
            other => return Err(unread(&format!("GPTQ of the format `{other}`"), "gptq and gptq_v2 are")),
        };
        Ok(Self::Gptq { bits, version })
    }

    fn mlx(section: &Value) -> Result<Self, ExchangeError> {
        match section.get("mode").and_then(Value::as_str).unwrap_or("affine") {
            "affine" => {}
            other => return Err(unread(&format!("MLX of the mode `{other}`"), "affine is")),
        }
        let bits = width(section.get("bits").and_then(Value::as_u64).unwrap_or(4))?;
        let own = |(name, value): (&String, &Value)| Some((name.clone(), width(value.get("bits")?.as_u64()?).ok()?));
        let layers = section.as_object().into_iter().flatten().filter_map(own).collect();
        Ok(Self::Mlx { bits, layers })
    }
}

fn width(bits: u64) -> Result<u8, ExchangeError> {
    let width = u8::try_from(bits).ok().filter(|bits| (1..=8).contains(bits));
    width.ok_or_else(|| ExchangeError::Model(format!("config.json says {bits} bits a weight, which no layout has")))
}

fn unread(what: &str, instead: &str) -> ExchangeError {
    ExchangeError::Model(format!("its weights are {what}, which is not read; {instead}"))
}

/// A JSON file, `None` where there is none.
pub(crate) fn json(path: &Path) -> Result<Option<Value>, ExchangeError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| ExchangeError::Damaged {
            path: path.to_owned(),
            format: "JSON",
            why: error.to_string(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ExchangeError::io(path)(error)),
    }
}
