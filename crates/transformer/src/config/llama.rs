//! A model shaped like Llama, read from its configuration by the rules of its [`Family`].

use serde_json::Value;

use super::families::{Bias, ExpertNames, Family, Norms, Windows};
use super::fields::Fields;
use super::rope;
use super::shapes::{Shapes, activation, at_most_tensors, divided, prefix};
use crate::description::{
    Attention, Block, Description, Embedding, Experts, FeedForward, First, Head, Linear, Mlp, Norm, NormKind, NormSpan,
    Projections, Residual, Rotary, Shared,
};
use crate::error::TransformerError;

/// Sizes and rules that every block shares.
struct Reader<'a> {
    family: &'a Family,
    fields: &'a Fields<'a>,
    shapes: &'a Shapes,
    prefix: &'a str,
    width: usize,
    heads: usize,
    key_heads: usize,
    head_size: usize,
    epsilon: f32,
    context: usize,
}

pub(super) fn describe(family: &Family, fields: &Fields<'_>, shapes: &Shapes) -> Result<Description, TransformerError> {
    let prefix =
        prefix(shapes, &["model.", "language_model.model.", "model.language_model.", ""], "embed_tokens.weight")?;
    let width = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let given = fields.count("head_dim")?;
    let default = || family.defaults.iter().find(|(key, _)| *key == "head_dim").map(|&(_, size)| size);
    let head_size = match given.or_else(default) {
        Some(size) => size,
        None => divided("num_attention_heads", width, heads)?,
    };
    let key_heads = fields.count("num_key_value_heads")?;
    let key_heads = match key_heads {
        Some(count) => count,
        // Llama 1 and others of its time have no such key: every head its own.
        None => fields.size("num_key_value_heads").unwrap_or(heads),
    };
    divided("num_key_value_heads", heads, key_heads)?;
    let (epsilon_key, epsilon) = family.epsilon;
    let reader = Reader {
        family,
        fields,
        shapes,
        prefix,
        width,
        heads,
        key_heads,
        head_size,
        epsilon: fields.positive(epsilon_key)?.unwrap_or(epsilon) as f32,
        context: fields.size("max_position_embeddings")?,
    };
    let description = reader.model()?;
    fields.only("use_bidirectional_attention", false)?;
    fields.finish()?;
    Ok(description)
}

impl Reader<'_> {
    fn model(&self) -> Result<Description, TransformerError> {
        let (family, fields, width) = (self.family, self.fields, self.width);
        let vocabulary = fields.size("vocab_size")?;
        let blocks = at_most_tensors("num_hidden_layers", fields.size("num_hidden_layers")?, self.shapes)?;
        let windows = self.windows(blocks)?;
        let rotary = self.rotary()?;
        let embedding = format!("{}embed_tokens.weight", self.prefix);
        let tied = fields.flag("tie_word_embeddings")?.unwrap_or(family.tied);
        let head = match tied {
            true => embedding.clone(),
            false => {
                let beside = format!("{}lm_head.weight", self.prefix.strip_suffix("model.").unwrap_or_default());
                if self.shapes.contains_key(&beside) { beside } else { "lm_head.weight".to_owned() }
            }
        };
        let soft_cap = |key: &str, default: Option<f64>| -> Result<Option<f32>, TransformerError> {
            let given = fields.positive(key)?;
            Ok(if fields.has(key) { given } else { default }.map(|cap| cap as f32))
        };
        let soft_caps = [
            soft_cap("attn_logit_softcapping", family.soft_caps[0])?,
            soft_cap("final_logit_softcapping", family.soft_caps[1])?,
        ];
        let blocks = (0..blocks).map(|index| {
            let rotary = if windows[index].is_some() { &rotary[1] } else { &rotary[0] };
            self.block(index, windows[index], rotary.clone(), soft_caps[0])
        });
        Ok(Description {
            family: family.model_type.to_owned(),
            vocabulary,
            width,
            context: self.context,
            blocks: blocks.collect::<Result<_, _>>()?,
            embedding: Embedding {
                tokens: embedding,
                scale: if family.embedding_scaled { (width as f32).sqrt() } else { 1.0 },
                positions: None,
                types: None,
                norm: None,
            },
            head: Head {
                norm: Some(self.norm(&format!("{}norm", self.prefix))),
                product: Some(Linear::new(head, vocabulary, width)),
                soft_cap: soft_caps[1],
            },
        })
    }

    /// Positions of layers that see everything, and of those with windows.
    fn rotary(&self) -> Result<[Rotary; 2], TransformerError> {
        let read = |kind, defaults| rope::read(self.fields, kind, defaults, self.head_size, self.context);
        let full = read("full_attention", self.family.rope)?;
        let window = match self.family.window_base {
            None => full.clone(),
            Some((base, base_key)) => read("sliding_attention", rope::Defaults { base, base_key, ..self.family.rope })?,
        };
        Ok([full, window])
    }

    fn windows(&self, blocks: usize) -> Result<Vec<Option<usize>>, TransformerError> {
        let fields = self.fields;
        let types = fields.list("layer_types")?;
        if let Some(types) = types
            && types.len() != blocks
        {
            return Err(TransformerError::config("layer_types", format!("names {} layers of {blocks}", types.len())));
        }
        let named = |index: usize| -> Result<Option<bool>, TransformerError> {
            match types.map(|types| types[index].as_str()) {
                None => Ok(None),
                Some(Some("full_attention")) => Ok(Some(false)),
                Some(Some("sliding_attention")) => Ok(Some(true)),
                Some(_) => {
                    let why = format!("{} is not implemented", types.map_or(&Value::Null, |types| &types[index]));
                    Err(TransformerError::config("layer_types", why))
                }
            }
        };
        // Configurations of models that never use a window may say 0.
        let off = fields.get("sliding_window").is_some_and(|value| value.as_u64() == Some(0));
        let size = || if off { Ok(None) } else { fields.count("sliding_window") };
        let window = |from: &dyn Fn(usize) -> bool, size: usize| -> Result<Vec<Option<usize>>, TransformerError> {
            let one = |index| Ok(named(index)?.unwrap_or_else(|| from(index)).then_some(size));
            (0..blocks).map(one).collect()
        };
        let asked = fields.flag("use_sliding_window")?.unwrap_or(false);
        match self.family.windows {
            Windows::Never => match size()? {
                None => Ok(vec![None; blocks]),
                Some(_) => Err(TransformerError::config("sliding_window", "is not known for this architecture")),
            },
            Windows::All(default) => {
                let size = if fields.has("sliding_window") { size()? } else { default };
                Ok(vec![size; blocks])
            }
            Windows::Asked | Windows::AskedForAll => {
                let from = fields.get("max_window_layers").and_then(Value::as_u64).unwrap_or(28) as usize;
                match size()?.filter(|_| asked) {
                    None => Ok(vec![None; blocks]),
                    Some(size) if matches!(self.family.windows, Windows::AskedForAll) => Ok(vec![Some(size); blocks]),
                    Some(_) if self.family.experts.is_some() && types.is_none() => {
                        Err(TransformerError::config("layer_types", "is missing where `use_sliding_window` is set"))
                    }
                    Some(size) => window(&|index| index >= from, size),
                }
            }
            Windows::Pattern(default) => {
                let pattern = fields.count("sliding_window_pattern")?.or(fields.count("_sliding_window_pattern")?);
                let pattern = pattern.unwrap_or(default);
                window(&|index| !(index + 1).is_multiple_of(pattern), fields.size("sliding_window")?)
            }
        }
    }

    fn norm(&self, name: &str) -> Norm {
        let bias = (self.family.norm == NormKind::Layer).then(|| format!("{name}.bias"));
        Norm {
            kind: self.family.norm,
            epsilon: self.epsilon,
            weight: format!("{name}.weight"),
            offset: self.family.norm_offset,
            bias,
        }
    }

    fn linear(&self, name: &str, outputs: usize, inputs: usize, bias: Bias) -> Result<Linear, TransformerError> {
        let bias = match bias {
            Bias::Never => false,
            Bias::Always => true,
            Bias::Key(key, default) => self.fields.flag(key)?.unwrap_or(default),
        };
        let linear = Linear::new(format!("{name}.weight"), outputs, inputs);
        Ok(Linear { bias: bias.then(|| format!("{name}.bias")), ..linear })
    }

    fn block(
        &self,
        index: usize,
        window: Option<usize>,
        rotary: Rotary,
        soft_cap: Option<f32>,
    ) -> Result<Block, TransformerError> {
        let name = format!("{}layers.{index}", self.prefix);
        let norm = |norm: &str| Some(self.norm(&format!("{name}.{norm}")));
        let [attention_input, attention_output, feed_forward_input, feed_forward_output] = match self.family.norms {
            Norms::Before => [norm("input_layernorm"), None, norm("post_attention_layernorm"), None],
            Norms::Behind => [None, norm("post_attention_layernorm"), None, norm("post_feedforward_layernorm")],
            Norms::Around => [
                norm("input_layernorm"),
                norm("post_attention_layernorm"),
                norm("pre_feedforward_layernorm"),
                norm("post_feedforward_layernorm"),
            ],
        };
        Ok(Block {
            residual: Residual::Sequential,
            attention_input,
            attention: self.attention(&format!("{name}.self_attn"), window, rotary, soft_cap)?,
            attention_output,
            feed_forward_input,
            feed_forward: self.feed_forward(index, &name)?,
            feed_forward_output,
        })
    }

    fn attention(
        &self,
        name: &str,
        window: Option<usize>,
        rotary: Rotary,
        soft_cap: Option<f32>,
    ) -> Result<Attention, TransformerError> {
        let (family, width) = (self.family, self.width);
        let [queries, keys] = [self.heads * self.head_size, self.key_heads * self.head_size];
        let product = |part: &str, outputs| self.linear(&format!("{name}.{part}"), outputs, width, family.qkv_bias);
        let projections = match family.fused {
            true => Projections::Stacked(product("qkv_proj", queries + 2 * keys)?),
            false => Projections::Separate {
                query: product("q_proj", queries)?,
                key: product("k_proj", keys)?,
                value: product("v_proj", keys)?,
            },
        };
        let norm = |part: &str| family.head_norms.map(|_| self.norm(&format!("{name}.{part}")));
        let scale = match family.query_scalar {
            true => match self.fields.positive("query_pre_attn_scalar")? {
                Some(scalar) => scalar,
                None => self.fields.size("query_pre_attn_scalar")? as f64,
            },
            false => self.head_size as f64,
        };
        Ok(Attention {
            heads: self.heads,
            key_heads: self.key_heads,
            head_size: self.head_size,
            projections,
            query_norm: norm("q_norm"),
            key_norm: norm("k_norm"),
            norm_span: family.head_norms.unwrap_or(NormSpan::Head),
            rotary: Some(rotary),
            scale: (1.0 / scale.sqrt()) as f32,
            soft_cap,
            window,
            causal: true,
            output: self.linear(&format!("{name}.o_proj"), width, queries, family.output_bias)?,
        })
    }

    fn feed_forward(&self, index: usize, name: &str) -> Result<FeedForward, TransformerError> {
        let fields = self.fields;
        let Some(names) = self.family.experts else {
            return Ok(FeedForward::Dense(self.network(&format!("{name}.mlp"), fields.size("intermediate_size")?)?));
        };
        // Qwen may leave some layers dense.
        let step = fields.count("decoder_sparse_step")?.unwrap_or(1);
        let dense = fields.list("mlp_only_layers")?;
        let dense = dense.is_some_and(|dense| dense.iter().any(|layer| layer.as_u64() == Some(index as u64)));
        if dense || !(index + 1).is_multiple_of(step) {
            return Ok(FeedForward::Dense(self.network(&format!("{name}.mlp"), fields.size("intermediate_size")?)?));
        }
        if self.family.model_type.starts_with("qwen") {
            fields.pass_over(&["intermediate_size"]);
        }
        self.experts(names, &format!("{name}.{}", names.part)).map(FeedForward::Experts)
    }

    fn experts(&self, names: &ExpertNames, name: &str) -> Result<Experts, TransformerError> {
        let fields = self.fields;
        let mut count = None;
        for key in names.count {
            count = count.or(fields.count(key)?);
        }
        let count = count.ok_or_else(|| TransformerError::config(names.count[0], "is missing"))?;
        let count = at_most_tensors(names.count[0], count, self.shapes)?;
        let inner = fields.size(names.inner)?;
        let chosen = fields.size("num_experts_per_tok")?;
        if chosen > count {
            return Err(TransformerError::config("num_experts_per_tok", format!("{chosen} of {count} experts")));
        }
        let shared = match fields.count("shared_expert_intermediate_size")? {
            None => None,
            Some(inner) => Some(Shared {
                network: self.network(&format!("{name}.shared_expert"), inner)?,
                gate: Some(Linear::new(format!("{name}.shared_expert_gate.weight"), 1, self.width)),
            }),
        };
        let fused = format!("{name}.experts.gate_up_proj");
        let expert = |index: usize| match self.shapes.contains_key(&fused) {
            true => self.fused_expert(&format!("{name}.experts"), index, inner),
            false => self
                .gated([names.gate, names.up, names.down].map(|part| format!("{name}.experts.{index}.{part}")), inner),
        };
        Ok(Experts {
            router: Linear::new(format!("{name}.gate.weight"), count, self.width),
            chosen,
            renormalise: names.renormalise || fields.flag("norm_topk_prob")?.unwrap_or(false),
            experts: (0..count).map(expert).collect::<Result<_, _>>()?,
            shared,
        })
    }

    /// A matrix of each of the three-dimensional tensors.
    fn fused_expert(&self, name: &str, index: usize, inner: usize) -> Result<Mlp, TransformerError> {
        let part = |part: &str, outputs, inputs| Linear {
            expert: Some(index),
            ..Linear::new(format!("{name}.{part}"), outputs, inputs)
        };
        Ok(Mlp {
            first: First::FusedGated(part("gate_up_proj", 2 * inner, self.width)),
            activation: self.activation()?,
            down: part("down_proj", self.width, inner),
            inner,
        })
    }

    fn activation(&self) -> Result<crate::description::Activation, TransformerError> {
        let (key, default) = self.family.activation;
        let name = self.fields.text(key)?.unwrap_or(default);
        if key == "hidden_activation" {
            self.fields.pass_over(&["hidden_act"]);
        }
        activation(key, name)
    }

    fn network(&self, name: &str, inner: usize) -> Result<Mlp, TransformerError> {
        let bias = self.family.mlp_bias;
        let part = |part: &str| format!("{name}.{part}");
        if let Some([up, down]) = self.family.plain {
            return Ok(Mlp {
                first: First::Plain(self.linear(&part(up), inner, self.width, bias)?),
                activation: self.activation()?,
                down: self.linear(&part(down), self.width, inner, bias)?,
                inner,
            });
        }
        if self.family.fused {
            return Ok(Mlp {
                first: First::FusedGated(self.linear(&part("gate_up_proj"), 2 * inner, self.width, bias)?),
                activation: self.activation()?,
                down: self.linear(&part("down_proj"), self.width, inner, bias)?,
                inner,
            });
        }
        self.gated(["gate_proj", "up_proj", "down_proj"].map(part), inner)
    }

    fn gated(&self, [gate, up, down]: [String; 3], inner: usize) -> Result<Mlp, TransformerError> {
        let bias = self.family.mlp_bias;
        Ok(Mlp {
            first: First::Gated {
                gate: self.linear(&gate, inner, self.width, bias)?,
                up: self.linear(&up, inner, self.width, bias)?,
            },
            activation: self.activation()?,
            down: self.linear(&down, self.width, inner, bias)?,
            inner,
        })
    }
}
