//! GPT-2: learned positions, weights stored `[inputs, outputs]`.

use super::fields::Fields;
use super::shapes::{Shapes, activation, at_most_tensors, divided, prefix};
use crate::description::{
    Attention, Block, Description, Embedding, FeedForward, First, Head, Linear, Mlp, Norm, NormKind, NormSpan,
    Projections, Residual,
};
use crate::error::TransformerError;

/// Long, for it is one literal read from top to bottom: the architecture, field by field.
pub(super) fn describe(fields: &Fields<'_>, shapes: &Shapes) -> Result<Description, TransformerError> {
    let prefix = prefix(shapes, &["transformer.", ""], "wte.weight")?;
    let width = fields.size("n_embd")?;
    let heads = fields.size("n_head")?;
    let head_size = divided("n_head", width, heads)?;
    let vocabulary = fields.size("vocab_size")?;
    let inner = fields.count("n_inner")?.unwrap_or(4 * width);
    let act = activation("activation_function", fields.text("activation_function")?.unwrap_or("gelu_new"))?;
    let epsilon = fields.positive("layer_norm_epsilon")?.unwrap_or(1e-5) as f32;
    let by_layer = fields.flag("scale_attn_by_inverse_layer_idx")?.unwrap_or(false);
    let scaled = fields.flag("scale_attn_weights")?.unwrap_or(true);
    fields.only("add_cross_attention", false)?;
    let norm = |name: String| Norm {
        kind: NormKind::Layer,
        epsilon,
        weight: format!("{name}.weight"),
        offset: 0.0,
        bias: Some(format!("{name}.bias")),
    };
    let linear = |name: String, outputs, inputs| Linear {
        transposed: true,
        bias: Some(format!("{name}.bias")),
        ..Linear::new(format!("{name}.weight"), outputs, inputs)
    };
    let block = |index: usize| {
        let name = format!("{prefix}h.{index}");
        let scale = if scaled { 1.0 / (head_size as f32).sqrt() } else { 1.0 };
        Block {
            residual: Residual::Sequential,
            attention_input: Some(norm(format!("{name}.ln_1"))),
            attention: Attention {
                heads,
                key_heads: heads,
                head_size,
                projections: Projections::Stacked(linear(format!("{name}.attn.c_attn"), 3 * width, width)),
                query_norm: None,
                key_norm: None,
                norm_span: NormSpan::Head,
                rotary: None,
                scale: if by_layer { scale / (index + 1) as f32 } else { scale },
                soft_cap: None,
                window: None,
                causal: true,
                output: linear(format!("{name}.attn.c_proj"), width, width),
            },
            attention_output: None,
            feed_forward_input: Some(norm(format!("{name}.ln_2"))),
            feed_forward: FeedForward::Dense(Mlp {
                first: First::Plain(linear(format!("{name}.mlp.c_fc"), inner, width)),
                activation: act,
                down: linear(format!("{name}.mlp.c_proj"), width, inner),
                inner,
            }),
            feed_forward_output: None,
        }
    };
    let blocks = at_most_tensors("n_layer", fields.size("n_layer")?, shapes)?;
    let tokens = format!("{prefix}wte.weight");
    let tied = fields.flag("tie_word_embeddings")?.unwrap_or(true);
    let head = if tied { tokens.clone() } else { "lm_head.weight".to_owned() };
    let description = Description {
        family: "gpt2".to_owned(),
        vocabulary,
        width,
        context: fields.size("n_positions")?,
        embedding: Embedding {
            tokens,
            scale: 1.0,
            positions: Some(format!("{prefix}wpe.weight")),
            types: None,
            norm: None,
        },
        blocks: (0..blocks).map(block).collect(),
        head: Head {
            norm: Some(norm(format!("{prefix}ln_f"))),
            product: Some(Linear::new(head, vocabulary, width)),
            soft_cap: None,
        },
    };
    fields.finish()?;
    Ok(description)
}
