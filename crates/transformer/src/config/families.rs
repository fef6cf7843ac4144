//! The families shaped like Llama, as a table: what each does differently is a row of [`FAMILIES`].

use super::rope;
use crate::description::{NormKind, NormSpan};

/// Whether a product has a bias.
#[derive(Clone, Copy)]
pub(super) enum Bias {
    Never,
    Always,
    Key(&'static str, bool),
}

/// Where a block's norms are.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Norms {
    /// Before attention and before the feed-forward network.
    Before,
    /// Behind both.
    Behind,
    /// Before and behind both.
    Around,
}

/// Which layers look through a window.
#[derive(Clone, Copy)]
pub(super) enum Windows {
    Never,
    /// All, where `sliding_window` is there; the default where the key is absent.
    All(Option<usize>),
    /// Where `use_sliding_window` is set: those that `layer_types` names, or all from `max_window_layers` on.
    Asked,
    /// Where `use_sliding_window` is set: all.
    AskedForAll,
    /// Those that `layer_types` names, or all but every n-th.
    Pattern(usize),
}

/// Names of the tensors of a mixture of experts below a block.
pub(super) struct ExpertNames {
    pub(super) part: &'static str,
    pub(super) gate: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
    pub(super) count: &'static [&'static str],
    pub(super) inner: &'static str,
    /// The weights of the chosen sum to one, whatever the configuration says.
    pub(super) renormalise: bool,
}

/// A family's differences from Llama.
pub(super) struct Family {
    pub(super) model_type: &'static str,
    /// Sizes where the configuration leaves them out.
    pub(super) defaults: &'static [(&'static str, usize)],
    pub(super) rope: rope::Defaults,
    /// Base of the layers with windows, where it is another.
    pub(super) window_base: Option<(f64, &'static str)>,
    pub(super) epsilon: (&'static str, f64),
    pub(super) norm: NormKind,
    pub(super) norm_offset: f32,
    pub(super) norms: Norms,
    pub(super) head_norms: Option<NormSpan>,
    pub(super) activation: (&'static str, &'static str),
    pub(super) qkv_bias: Bias,
    pub(super) output_bias: Bias,
    pub(super) mlp_bias: Bias,
    pub(super) windows: Windows,
    pub(super) tied: bool,
    /// Embeddings are multiplied by the root of the width.
    pub(super) embedding_scaled: bool,
    /// Scores are scaled by this key's value instead of the head size.
    pub(super) query_scalar: bool,
    /// Caps on scores and logits.
    pub(super) soft_caps: [Option<f64>; 2],
    /// Queries, keys and values in one tensor, gate and up in one.
    pub(super) fused: bool,
    /// A plain network with these names of its layers.
    pub(super) plain: Option<[&'static str; 2]>,
    pub(super) experts: Option<&'static ExpertNames>,
}

const ROPE: rope::Defaults =
    rope::Defaults { base: 10_000.0, share: 1.0, base_key: "rope_theta", share_key: "partial_rotary_factor" };

const LLAMA: Family = Family {
    model_type: "llama",
    defaults: &[("max_position_embeddings", 2048)],
    rope: ROPE,
    window_base: None,
    epsilon: ("rms_norm_eps", 1e-6),
    norm: NormKind::Rms,
    norm_offset: 0.0,
    norms: Norms::Before,
    head_norms: None,
    activation: ("hidden_act", "silu"),
    qkv_bias: Bias::Key("attention_bias", false),
    output_bias: Bias::Key("attention_bias", false),
    mlp_bias: Bias::Key("mlp_bias", false),
    windows: Windows::Never,
    tied: false,
    embedding_scaled: false,
    query_scalar: false,
    soft_caps: [None, None],
    fused: false,
    plain: None,
    experts: None,
};

const QWEN2: Family = Family {
    model_type: "qwen2",
    defaults: &[("max_position_embeddings", 32_768), ("num_key_value_heads", 32)],
    qkv_bias: Bias::Always,
    output_bias: Bias::Never,
    mlp_bias: Bias::Never,
    windows: Windows::Asked,
    ..LLAMA
};

const GEMMA: Family = Family {
    model_type: "gemma",
    defaults: &[("head_dim", 256), ("max_position_embeddings", 8192), ("num_key_value_heads", 16)],
    norm_offset: 1.0,
    // Google's models are trained with the hyperbolic form; early configurations say `gelu` under the other key.
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    mlp_bias: Bias::Never,
    tied: true,
    embedding_scaled: true,
    ..LLAMA
};

const EXPERTS_OF_MIXTRAL: ExpertNames = ExpertNames {
    part: "block_sparse_moe",
    gate: "w1",
    up: "w3",
    down: "w2",
    count: &["num_local_experts"],
    inner: "intermediate_size",
    renormalise: true,
};

const EXPERTS_OF_QWEN: ExpertNames = ExpertNames {
    part: "mlp",
    gate: "gate_proj",
    up: "up_proj",
    down: "down_proj",
    count: &["num_experts", "num_local_experts"],
    inner: "moe_intermediate_size",
    renormalise: false,
};

pub(super) const FAMILIES: &[Family] = &[
    LLAMA,
    Family {
        model_type: "mistral",
        defaults: &[("max_position_embeddings", 131_072), ("num_key_value_heads", 8)],
        qkv_bias: Bias::Never,
        output_bias: Bias::Never,
        mlp_bias: Bias::Never,
        windows: Windows::All(Some(4096)),
        ..LLAMA
    },
    Family {
        model_type: "mixtral",
        defaults: &[("max_position_embeddings", 131_072), ("num_key_value_heads", 8), ("num_experts_per_tok", 2)],
        rope: rope::Defaults { base: 1e6, ..ROPE },
        epsilon: ("rms_norm_eps", 1e-5),
        qkv_bias: Bias::Never,
        output_bias: Bias::Never,
        mlp_bias: Bias::Never,
        windows: Windows::All(None),
        experts: Some(&EXPERTS_OF_MIXTRAL),
        ..LLAMA
    },
    QWEN2,
    Family {
        model_type: "qwen2_moe",
        defaults: &[("max_position_embeddings", 32_768), ("num_key_value_heads", 16), ("num_experts_per_tok", 4)],
        qkv_bias: Bias::Key("qkv_bias", true),
        experts: Some(&EXPERTS_OF_QWEN),
        ..QWEN2
    },
    Family {
        model_type: "qwen3",
        defaults: &[("head_dim", 128), ("max_position_embeddings", 32_768), ("num_key_value_heads", 32)],
        qkv_bias: Bias::Key("attention_bias", false),
        output_bias: Bias::Key("attention_bias", false),
        head_norms: Some(NormSpan::Head),
        ..QWEN2
    },
    Family {
        model_type: "qwen3_moe",
        defaults: &[("max_position_embeddings", 32_768), ("num_key_value_heads", 4), ("num_experts_per_tok", 8)],
        qkv_bias: Bias::Key("attention_bias", false),
        output_bias: Bias::Key("attention_bias", false),
        head_norms: Some(NormSpan::Head),
        windows: Windows::AskedForAll,
        experts: Some(&EXPERTS_OF_QWEN),
        ..QWEN2
    },
    GEMMA,
    Family {
        model_type: "gemma2",
        defaults: &[
            ("head_dim", 256),
            ("max_position_embeddings", 8192),
            ("num_key_value_heads", 4),
            ("sliding_window", 4096),
            ("query_pre_attn_scalar", 256),
        ],
        norms: Norms::Around,
        windows: Windows::Pattern(2),
        query_scalar: true,
        soft_caps: [Some(50.0), Some(30.0)],
        ..GEMMA
    },
    Family {
        model_type: "gemma3_text",
        defaults: &[
            ("vocab_size", 262_208),
            ("num_attention_heads", 8),
            ("num_key_value_heads", 4),
            ("head_dim", 256),
            ("max_position_embeddings", 131_072),
            ("sliding_window", 4096),
            ("query_pre_attn_scalar", 256),
        ],
        rope: rope::Defaults { base: 1e6, ..ROPE },
        window_base: Some((10_000.0, "rope_local_base_freq")),
        norms: Norms::Around,
        head_norms: Some(NormSpan::Head),
        windows: Windows::Pattern(6),
        query_scalar: true,
        ..GEMMA
    },
    Family {
        model_type: "phi3",
        defaults: &[("max_position_embeddings", 4096)],
        epsilon: ("rms_norm_eps", 1e-5),
        qkv_bias: Bias::Never,
        output_bias: Bias::Never,
        mlp_bias: Bias::Never,
        windows: Windows::All(None),
        fused: true,
        ..LLAMA
    },
    Family {
        model_type: "olmo2",
        epsilon: ("rms_norm_eps", 1e-5),
        norms: Norms::Behind,
        head_norms: Some(NormSpan::All),
        mlp_bias: Bias::Never,
        ..LLAMA
    },
    Family {
        model_type: "starcoder2",
        defaults: &[("max_position_embeddings", 4096), ("num_key_value_heads", 2)],
        epsilon: ("norm_epsilon", 1e-5),
        norm: NormKind::Layer,
        activation: ("hidden_act", "gelu_pytorch_tanh"),
        qkv_bias: Bias::Key("use_bias", true),
        output_bias: Bias::Key("use_bias", true),
        mlp_bias: Bias::Key("use_bias", true),
        windows: Windows::All(None),
        tied: true,
        plain: Some(["c_fc", "c_proj"]),
        ..LLAMA
    },
];
