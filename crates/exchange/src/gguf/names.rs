//! Tensor names of GGUF and of Hugging Face, one table an architecture.
//!
//! Source: the tensor names of llama.cpp's `gguf` package.

use crate::gguf::change::Change;
use crate::gguf::value::Value;

/// Pairs of GGUF's and Hugging Face's name, without `.weight` and `.bias`.
type Pairs = &'static [(&'static str, &'static str)];

/// An architecture's names.
#[derive(Debug)]
pub(crate) struct Family {
    /// GGUF's name of the architecture.
    pub architecture: &'static str,
    top: Pairs,
    /// Before the number of a layer at Hugging Face.
    layers: &'static str,
    block: Pairs,
    /// `(GGUF, before the expert's number, behind it)`.
    experts: &'static [(&'static str, &'static str, &'static str)],
    permuted: bool,
    plus_one: bool,
    transposed: bool,
}

const TOP: Pairs = &[("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];
const LAYERS: &str = "model.layers.";

const BLOCK: Pairs = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_inp_shexp", "mlp.shared_expert_gate"),
    ("ffn_gate_shexp", "mlp.shared_expert.gate_proj"),
    ("ffn_up_shexp", "mlp.shared_expert.up_proj"),
    ("ffn_down_shexp", "mlp.shared_expert.down_proj"),
];

const EXPERTS: &[(&str, &str, &str)] = &[
    ("ffn_gate_exps", "mlp.experts.", ".gate_proj"),
    ("ffn_up_exps", "mlp.experts.", ".up_proj"),
    ("ffn_down_exps", "mlp.experts.", ".down_proj"),
];

/// Llama, and Mixtral, which GGUF calls a llama with experts.
const BLOCK_LLAMA: Pairs = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_gate_inp", "block_sparse_moe.gate"),
];

const EXPERTS_MIXTRAL: &[(&str, &str, &str)] = &[
    ("ffn_gate_exps", "block_sparse_moe.experts.", ".w1"),
    ("ffn_down_exps", "block_sparse_moe.experts.", ".w2"),
    ("ffn_up_exps", "block_sparse_moe.experts.", ".w3"),
];

/// Gemma 2 and 3 have a norm on either side of both parts of a layer.
const BLOCK_GEMMA2: Pairs = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Phi-3 keeps q, k and v, and gate and up, in one matrix each.
const BLOCK_PHI3: Pairs = &[
    ("attn_norm", "input_layernorm"),
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_up", "mlp.gate_up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// OLMo 2 norms what comes out of attention and of the perceptron, not what goes in.
const BLOCK_OLMO2: Pairs = &[
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

const BLOCK_STARCODER2: Pairs = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_up", "mlp.c_fc"),
    ("ffn_down", "mlp.c_proj"),
];

const TOP_GPT2: Pairs = &[
    ("token_embd", "transformer.wte"),
    ("position_embd", "transformer.wpe"),
    ("output_norm", "transformer.ln_f"),
    ("output", "lm_head"),
];
const BLOCK_GPT2: Pairs = &[
    ("attn_norm", "ln_1"),
    ("attn_qkv", "attn.c_attn"),
    ("attn_output", "attn.c_proj"),
    ("ffn_norm", "ln_2"),
    ("ffn_up", "mlp.c_fc"),
    ("ffn_down", "mlp.c_proj"),
];

const fn plain(architecture: &'static str, block: Pairs) -> Family {
    Family {
        architecture,
        top: TOP,
        layers: LAYERS,
        block,
        experts: &[],
        permuted: false,
        plus_one: false,
        transposed: false,
    }
}

static FAMILIES: &[Family] = &[
    Family { permuted: true, experts: EXPERTS_MIXTRAL, ..plain("llama", BLOCK_LLAMA) },
    plain("qwen2", BLOCK),
    Family { experts: EXPERTS, ..plain("qwen2moe", BLOCK) },
    plain("qwen3", BLOCK),
    Family { experts: EXPERTS, ..plain("qwen3moe", BLOCK) },
    Family { plus_one: true, ..plain("gemma", BLOCK) },
    Family { plus_one: true, ..plain("gemma2", BLOCK_GEMMA2) },
    Family { plus_one: true, ..plain("gemma3", BLOCK_GEMMA2) },
    plain("phi3", BLOCK_PHI3),
    plain("olmo2", BLOCK_OLMO2),
    plain("starcoder2", BLOCK_STARCODER2),
    Family { top: TOP_GPT2, layers: "transformer.h.", transposed: true, ..plain("gpt2", BLOCK_GPT2) },
];

/// The names of one model.
#[derive(Debug)]
pub struct Names {
    family: &'static Family,
    heads: usize,
    key_heads: usize,
}

/// Where a tensor of Hugging Face's goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// GGUF's name.
    pub name: String,
    /// What is done to its values.
    pub change: Change,
    /// The expert it is of, where GGUF keeps all experts in one tensor.
    pub expert: Option<usize>,
}

impl Names {
    /// The names of an architecture, `None` where it is not known.
    pub fn new(architecture: &str, heads: usize, key_heads: usize) -> Option<Self> {
        let family = FAMILIES.iter().find(|family| family.architecture == architecture)?;
        Some(Self { family, heads, key_heads })
    }

    /// The names of a file.
    pub(crate) fn of(values: &[(String, Value)]) -> Option<Self> {
        let get = |key: &str| values.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let architecture = get("general.architecture")?.as_text()?;
        let number =
            |key: &str| get(&format!("{architecture}.{key}")).and_then(Value::as_u64).map(|value| value as usize);
        let heads = number("attention.head_count").unwrap_or(0);
        Self::new(architecture, heads, number("attention.head_count_kv").unwrap_or(heads))
    }

    /// Hugging Face's names of a GGUF tensor (one for each expert where it holds all of a layer's), and what was done to its values.
    /// A name that is not known stays.
    pub fn hugging_face(&self, name: &str, shape: &[usize]) -> (Vec<String>, Change) {
        let unknown = || (vec![name.to_owned()], Change::None);
        let Some((stem, kind)) = name.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias")) else {
            return unknown();
        };
        let Some((layer, inner)) = stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
            let Some(&(_, mapped)) = self.family.top.iter().find(|(own, _)| *own == stem) else { return unknown() };
            return (vec![format!("{mapped}.{kind}")], self.change(stem, kind));
        };
        let layers = self.family.layers;
        if let Some(&(_, mapped)) = self.family.block.iter().find(|(own, _)| *own == inner) {
            return (vec![format!("{layers}{layer}.{mapped}.{kind}")], self.change(inner, kind));
        }
        match (self.family.experts.iter().find(|(own, _, _)| *own == inner), shape) {
            (Some((_, before, behind)), &[experts, _, _]) if experts > 0 => {
                let name = |expert: usize| format!("{layers}{layer}.{before}{expert}{behind}.{kind}");
                ((0..experts).map(name).collect(), Change::None)
            }
            _ => unknown(),
        }
    }

    /// Where a tensor of Hugging Face's goes; `None` where GGUF has no name for it.
    pub fn gguf(&self, name: &str) -> Option<Target> {
        let (stem, kind) = name.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
        // The smallest GPT-2's own files lack the prefix.
        let prefixed = format!("transformer.{stem}");
        let stem = if self.family.transposed && !stem.contains("transformer.") && stem != "lm_head" {
            &prefixed
        } else {
            stem
        };
        if let Some((own, _)) = self.family.top.iter().find(|(_, mapped)| *mapped == stem) {
            return Some(Target { name: format!("{own}.{kind}"), change: self.change(own, kind), expert: None });
        }
        let (layer, inner) = stem.strip_prefix(self.family.layers)?.split_once('.')?;
        layer.parse::<usize>().ok()?;
        if let Some((own, _)) = self.family.block.iter().find(|(_, mapped)| *mapped == inner) {
            let name = format!("blk.{layer}.{own}.{kind}");
            return Some(Target { name, change: self.change(own, kind), expert: None });
        }
        self.family.experts.iter().find_map(|(own, before, behind)| {
            let expert = inner.strip_prefix(before)?.strip_suffix(behind)?.parse().ok()?;
            Some(Target { name: format!("blk.{layer}.{own}.{kind}"), change: Change::None, expert: Some(expert) })
        })
    }

    fn change(&self, own: &str, kind: &str) -> Change {
        match own {
            "attn_q" if self.family.permuted => Change::Permute { heads: self.heads },
            "attn_k" if self.family.permuted => Change::Permute { heads: self.key_heads },
            _ if self.family.plus_one && own.contains("norm") => Change::PlusOne,
            "attn_qkv" | "attn_output" | "ffn_up" | "ffn_down" if self.family.transposed && kind == "weight" => {
                Change::Transpose
            }
            _ => Change::None,
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_there_and_back() {
        for family in FAMILIES {
            let names = Names::new(family.architecture, 4, 2).unwrap();
            let tops = family.top.iter().map(|(own, _)| format!("{own}.weight"));
            let blocks = family.block.iter().map(|(own, _)| format!("blk.11.{own}.weight"));
            for own in tops.chain(blocks) {
                let (mapped, change) = names.hugging_face(&own, &[8, 8]);
                let target = names.gguf(&mapped[0]).unwrap();
                assert_eq!((target.name, target.change), (own, change), "{}", family.architecture);
            }
            for (own, _, _) in family.experts {
                let own = format!("blk.3.{own}.weight");
                let (mapped, _) = names.hugging_face(&own, &[5, 8, 8]);
                assert_eq!(mapped.len(), 5);
                assert_eq!(
                    names.gguf(&mapped[4]).unwrap(),
                    Target { name: own, change: Change::None, expert: Some(4) }
                );
            }
        }
    }
}
