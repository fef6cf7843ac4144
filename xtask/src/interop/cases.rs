//! Which exports run in which engines, and what counts as the same.

/// An engine: its name in `logits.py`, and the packages it takes.
pub(super) struct Engine {
    pub(super) name: &'static str,
    pub(super) environment: &'static str,
    pub(super) packages: &'static [&'static str],
    /// Packages that have no wheel and are built from source.
    pub(super) sources: &'static [&'static str],
    /// Packages that are installed without what they ask for: old versions that are not needed.
    pub(super) alone: &'static [&'static str],
    /// Root mean square of the differences of logits, in standard deviations of ours, that counts as the same.
    pub(super) tolerance: f64,
    /// Who is held to its tolerance instead, with the weights that the export decodes to in 32-bit floats: an engine that rounds activations
    /// where weights are blocks.
    pub(super) exact: Option<&'static Engine>,
}

const TORCH: &[&str] = &["torch", "transformers", "accelerate", "compressed-tensors", "numpy"];
pub(super) const TRANSFORMERS: Engine = Engine {
    name: "transformers",
    environment: "transformers",
    packages: TORCH,
    sources: &[],
    alone: &[],
    tolerance: 1e-4,
    exact: None,
};
const DEQUANTIZED: Engine = Engine { name: "transformers-dequantized", ..TRANSFORMERS };
const PACKERS: &[&str] = &["auto-gptq", "autoawq"];
const AUTO_GPTQ: Engine = Engine { name: "auto-gptq", environment: "gptq-awq", alone: PACKERS, ..TRANSFORMERS };
const GPTQMODEL: Engine = Engine {
    name: "gptqmodel",
    environment: "gptqmodel",
    packages: &["numpy", "gptqmodel==7.7.0", "optimum"],
    // All but the fourth, which is a binding of PCRE, are Python alone.
    sources: &["gptqmodel", "tokenicer", "defuser", "pypcre", "logbar", "device-smi"],
    ..TRANSFORMERS
};
/// Its kernel for AWQ unpacks into 16 bits.
const GPTQMODEL_AWQ: Engine = Engine { tolerance: 1e-2, ..GPTQMODEL };
/// What transformers makes of such a folder, with GPTQModel's kernels, which compute in 16 bits.
const TRANSFORMERS_GPTQ: Engine = Engine { name: "transformers-gptq", tolerance: 2e-2, ..GPTQMODEL };
const AUTO_AWQ: Engine = Engine { name: "auto-awq", ..AUTO_GPTQ };
const LLAMA_CPP: Engine = Engine {
    name: "llama.cpp",
    environment: "llama-cpp",
    // The second gives declarations for the library of the first: both are of build 11548 or the next.
    packages: &["numpy", "cffi", "gguf", "tokenizers", "xllamacpp==2026.10.11549"],
    sources: &[],
    alone: &["llama-cpp-py-sync==0.11548"],
    tolerance: 1e-4,
    exact: None,
};
/// Its GELU is a table of binary16.
const LLAMA_CPP_GELU: Engine = Engine { tolerance: 1e-2, ..LLAMA_CPP };
/// Activations are rounded to 8 bits before they meet quantised weights.
const LLAMA_CPP_BLOCKS: Engine = Engine { exact: Some(&LLAMA_CPP), ..LLAMA_CPP };
const LLAMA_CPP_GELU_BLOCKS: Engine = Engine { exact: Some(&LLAMA_CPP_GELU), ..LLAMA_CPP };
const MLX: Engine = Engine {
    name: "mlx",
    environment: "mlx",
    packages: &["numpy", "mlx[cpu]", "mlx-lm"],
    sources: &[],
    alone: &[],
    tolerance: 1e-3,
    exact: None,
};

/// One row of the table.
pub(super) struct Case {
    pub(super) engine: &'static Engine,
    pub(super) model: Model,
    /// Arguments of `seedpress export` behind the model.
    pub(super) export: &'static str,
    /// Tokens that are looked at.
    pub(super) tokens: usize,
}

#[derive(Clone, Copy)]
pub(super) enum Model {
    /// A tiny checkpoint of `crates/transformer/tests/families`.
    Family(&'static str),
    /// A small model of `models.py`, whose rows K-quants fit.
    Small(&'static str),
    /// The folder that was given.
    Real,
}

/// What every sequence begins with; all tokens are below the smallest vocabulary.
pub(super) const TOKENS: [u32; 16] = [1, 5, 17, 30, 42, 51, 9, 9, 10, 25, 7, 3, 40, 21, 8, 13];
/// Below every window that llama.cpp does not apply.
const SHORT: usize = 6;
/// Tokens by which the real model continues greedily.
pub(super) const CONTINUED: usize = 32;

const fn family(engine: &'static Engine, name: &'static str, export: &'static str) -> Case {
    Case { engine, model: Model::Family(name), export, tokens: TOKENS.len() }
}

/// A family with a window that llama.cpp does not apply: shorter sequences are the same.
const fn windowed(engine: &'static Engine, name: &'static str) -> Case {
    Case { engine, model: Model::Family(name), export: F32, tokens: SHORT }
}

const fn small(engine: &'static Engine, name: &'static str, export: &'static str) -> Case {
    Case { engine, model: Model::Small(name), export, tokens: TOKENS.len() }
}

const fn real(engine: &'static Engine, export: &'static str) -> Case {
    Case { engine, model: Model::Real, export, tokens: TOKENS.len() }
}

const F32: &str = "--to gguf --type f32";
const F16: &str = "--to gguf --type f16";
const Q8_0: &str = "--to gguf --type q8_0";
const Q4_0: &str = "--to gguf --type q4_0";
const Q4_K: &str = "--to gguf --type q4_k";

pub(super) const CASES: &[Case] = &[
    family(&LLAMA_CPP, "llama", F32),
    family(&LLAMA_CPP, "llama-linear", F32),
    family(&LLAMA_CPP, "llama-llama3", F32),
    family(&LLAMA_CPP, "llama-yarn", F32),
    family(&LLAMA_CPP, "smollm2", F32),
    windowed(&LLAMA_CPP, "mistral"),
    family(&LLAMA_CPP, "mixtral", F32),
    family(&LLAMA_CPP, "qwen2", F32),
    windowed(&LLAMA_CPP, "qwen2-window"),
    family(&LLAMA_CPP, "qwen2-moe", F32),
    family(&LLAMA_CPP, "qwen3", F32),
    small(&LLAMA_CPP, "qwen3_moe", F32),
    family(&LLAMA_CPP_GELU, "gemma", F32),
    small(&LLAMA_CPP_GELU, "gemma2", F32),
    small(&LLAMA_CPP_GELU, "gemma3", F32),
    windowed(&LLAMA_CPP, "phi3"),
    family(&LLAMA_CPP, "olmo2", F32),
    windowed(&LLAMA_CPP_GELU, "starcoder2"),
    family(&LLAMA_CPP_GELU, "gpt2", F32),
    family(&LLAMA_CPP_BLOCKS, "llama", Q8_0),
    family(&LLAMA_CPP_BLOCKS, "mixtral", Q4_0),
    family(&LLAMA_CPP_BLOCKS, "qwen2-moe", Q8_0),
    small(&LLAMA_CPP_BLOCKS, "llama", Q8_0),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q6_k"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q5_k"),
    small(&LLAMA_CPP_BLOCKS, "llama", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q3_k"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q2_k"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q5_1"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q5_0"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type q4_1"),
    small(&LLAMA_CPP_BLOCKS, "llama", Q4_0),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type iq4_nl"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type tq2_0"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --type tq1_0"),
    small(&LLAMA_CPP_BLOCKS, "llama", "--to gguf --size 1MB"),
    small(&LLAMA_CPP_BLOCKS, "qwen2", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "qwen3", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "qwen3_moe", Q4_K),
    small(&LLAMA_CPP_GELU_BLOCKS, "gemma2", Q4_K),
    small(&LLAMA_CPP_BLOCKS, "phi3", Q4_K),
    small(&LLAMA_CPP_GELU_BLOCKS, "gpt2", Q4_K),
    real(&LLAMA_CPP, F32),
    real(&LLAMA_CPP_BLOCKS, F16),
    real(&LLAMA_CPP_BLOCKS, Q8_0),
    real(&LLAMA_CPP_BLOCKS, Q4_K),
    real(&LLAMA_CPP_BLOCKS, "--to gguf --size 90MB"),
    family(&TRANSFORMERS, "llama", "--to safetensors --dtype f32 --shard-size 10kB"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --bits 2 --group 64"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --bits 3 --group 64"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --bits 8 --group 128"),
    small(&TRANSFORMERS, "llama", "--to compressed-tensors --size 1800kB"),
    small(&DEQUANTIZED, "llama", "--to compressed-tensors --bits 4 --group 64 --asymmetric"),
    small(&TRANSFORMERS, "qwen2", "--to compressed-tensors --bits 6 --group 64"),
    small(&TRANSFORMERS, "qwen3", "--to compressed-tensors --bits 5 --group 64"),
    small(&TRANSFORMERS, "gemma2", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "phi3", "--to compressed-tensors --bits 4 --group 64"),
    real(&TRANSFORMERS, "--to compressed-tensors --bits 4 --group 64"),
    small(&AUTO_GPTQ, "llama", "--to gptq --bits 2 --group 64"),
    small(&AUTO_GPTQ, "llama", "--to gptq --bits 3 --group 64"),
    small(&AUTO_GPTQ, "llama", "--to gptq --bits 4 --group 64"),
    small(&AUTO_GPTQ, "llama", "--to gptq --bits 8 --group 64"),
    small(&AUTO_GPTQ, "qwen2", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "llama", "--to gptq --bits 2 --group 64"),
    small(&GPTQMODEL, "llama", "--to gptq --bits 3 --group 64"),
    small(&GPTQMODEL, "llama", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "llama", "--to gptq --bits 8 --group 64"),
    small(&GPTQMODEL, "llama", "--to gptq-v2 --bits 4 --group 64 --asymmetric"),
    small(&GPTQMODEL, "qwen2", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "qwen3", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL_AWQ, "llama", "--to awq --group 64"),
    small(&TRANSFORMERS_GPTQ, "llama", "--to gptq --bits 4 --group 64"),
    small(&TRANSFORMERS_GPTQ, "gemma2", "--to gptq --bits 4 --group 64"),
    small(&TRANSFORMERS_GPTQ, "phi3", "--to gptq --bits 4 --group 64"),
    real(&TRANSFORMERS_GPTQ, "--to gptq --bits 4 --group 64"),
    real(&GPTQMODEL, "--to gptq --bits 4 --group 64"),
    small(&AUTO_AWQ, "llama", "--to awq --group 64"),
    small(&AUTO_AWQ, "qwen3", "--to awq --group 64"),
    small(&MLX, "llama", "--to mlx --bits 2 --group 64"),
    small(&MLX, "llama", "--to mlx --bits 3 --group 64"),
    small(&MLX, "llama", "--to mlx --bits 4 --group 64"),
    small(&MLX, "llama", "--to mlx --bits 6 --group 128"),
    small(&MLX, "llama", "--to mlx --size 1900kB"),
    small(&MLX, "qwen3", "--to mlx --bits 4 --group 64"),
    small(&TRANSFORMERS, "mistral", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "olmo2", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "starcoder2", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "gpt_neox", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "gemma", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "gemma3", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "mixtral", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "qwen2_moe", "--to compressed-tensors --bits 4 --group 64"),
    small(&TRANSFORMERS, "qwen3_moe", "--to compressed-tensors --bits 4 --group 64"),
    small(&GPTQMODEL, "mistral", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "olmo2", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "starcoder2", "--to gptq --bits 4 --group 64"),
    small(&TRANSFORMERS_GPTQ, "gpt_neox", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "gemma", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "gemma3", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "qwen2_moe", "--to gptq --bits 4 --group 64"),
    small(&GPTQMODEL, "qwen3_moe", "--to gptq --bits 4 --group 64"),
    small(&MLX, "mistral", "--to mlx --bits 4 --group 64"),
    small(&MLX, "olmo2", "--to mlx --bits 4 --group 64"),
    small(&MLX, "gpt_neox", "--to mlx --bits 4 --group 64"),
    small(&MLX, "gemma", "--to mlx --bits 4 --group 64"),
    small(&MLX, "gemma3", "--to mlx --bits 4 --group 64"),
    small(&MLX, "mixtral", "--to mlx --bits 4 --group 64"),
    small(&MLX, "qwen3_moe", "--to mlx --bits 4 --group 64"),
    real(&MLX, "--to mlx --bits 4 --group 64"),
];
