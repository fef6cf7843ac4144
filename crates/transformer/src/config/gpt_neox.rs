//! GPT-NeoX and Pythia: parallel halves, queries, keys and values interleaved by head, a part of each head turns.

use super::fields::Fields;
use super::rope;
use super::shapes::{Shapes, activation, at_most_tensors, divided, prefix};
use crate::description::{
    Attention, Block, Description, Embedding, FeedForward, First, Head, Linear, Mlp, Norm, NormKind, NormSpan,
    Projections, Residual,
};
use crate::error::TransformerError;

const ROPE: rope::Defaults =
    rope::Defaults { base: 10_000.0, share: 0.25, base_key: "rotary_emb_base", share_key: "rotary_pct" };

/// Long, for it is one literal read from top to bottom: the architecture, field by field.
pub(super) fn describe(fields: &Fields<'_>, shapes: &Shapes) -> Result<Description, TransformerError> {
    let prefix = prefix(shapes, &["gpt_neox.", ""], "embed_in.weight")?;
    let width = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let head_size = divided("num_attention_heads", width, heads)?;
    let vocabulary = fields.size("vocab_size")?;
    let inner = fields.size("intermediate_size")?;
    let context = fields.size("max_position_embeddings")?;
    let act = activation("hidden_act", fields.text("hidden_act")?.unwrap_or("gelu"))?;
    let epsilon = fields.positive("layer_norm_eps")?.unwrap_or(1e-5) as f32;
    let biased = fields.flag("attention_bias")?.unwrap_or(true);
    let rotary = rope::read(fields, "full_attention", ROPE, head_size, context)?;
    let residual = match fields.flag("use_parallel_residual")?.unwrap_or(true) {
        true => Residual::Parallel,
        false => Residual::Sequential,
    };
    let norm = |name: String| Norm {
        kind: NormKind::Layer,
        epsilon,
        weight: format!("{name}.weight"),
        offset: 0.0,
        bias: Some(format!("{name}.bias")),
    };
    let linear = |name: String, outputs, inputs, biased: bool| Linear {
        bias: biased.then(|| format!("{name}.bias")),
        ..Linear::new(format!("{name}.weight"), outputs, inputs)
    };
    let block = |index: usize| {
        let name = format!("{prefix}layers.{index}");
        Block {
            residual,
            attention_input: Some(norm(format!("{name}.input_layernorm"))),
            attention: Attention {
                heads,
                key_heads: heads,
                head_size,
                projections: Projections::Interleaved(linear(
                    format!("{name}.attention.query_key_value"),
                    3 * width,
                    width,
                    biased,
                )),
                query_norm: None,
                key_norm: None,
                norm_span: NormSpan::Head,
                rotary: Some(rotary.clone()),
                scale: 1.0 / (head_size as f32).sqrt(),
                soft_cap: None,
                window: None,
                causal: true,
                output: linear(format!("{name}.attention.dense"), width, width, biased),
            },
            attention_output: None,
            feed_forward_input: Some(norm(format!("{name}.post_attention_layernorm"))),
            feed_forward: FeedForward::Dense(Mlp {
                first: First::Plain(linear(format!("{name}.mlp.dense_h_to_4h"), inner, width, true)),
                activation: act,
                down: linear(format!("{name}.mlp.dense_4h_to_h"), width, inner, true),
                inner,
            }),
            feed_forward_output: None,
        }
    };
    let blocks = at_most_tensors("num_hidden_layers", fields.size("num_hidden_layers")?, shapes)?;
    let tokens = format!("{prefix}embed_in.weight");
    let tied = fields.flag("tie_word_embeddings")?.unwrap_or(false);
    let head = if tied { tokens.clone() } else { "embed_out.weight".to_owned() };
    fields.only("is_decoder", false)?;
    let description = Description {
        family: "gpt_neox".to_owned(),
        vocabulary,
        width,
        context,
        embedding: Embedding { tokens, scale: 1.0, positions: None, types: None, norm: None },
        blocks: (0..blocks).map(block).collect(),
        head: Head {
            norm: Some(norm(format!("{prefix}final_layer_norm"))),
            product: Some(Linear::new(head, vocabulary, width)),
            soft_cap: None,
        },
    };
    fields.finish()?;
    Ok(description)
}
