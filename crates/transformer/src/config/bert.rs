//! BERT-like encoders: learned positions, norms behind the sums, every token sees every other, no head.

use super::fields::Fields;
use super::shapes::{Shapes, activation, at_most_tensors, divided, prefix};
use crate::description::{
    Attention, Block, Description, Embedding, FeedForward, First, Head, Linear, Mlp, Norm, NormKind, NormSpan,
    Projections, Residual,
};
use crate::error::TransformerError;

/// Long, for it is one literal read from top to bottom: the architecture, field by field.
pub(super) fn describe(fields: &Fields<'_>, shapes: &Shapes) -> Result<Description, TransformerError> {
    let prefix = prefix(shapes, &["", "bert."], "embeddings.word_embeddings.weight")?;
    let width = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let head_size = divided("num_attention_heads", width, heads)?;
    let inner = fields.size("intermediate_size")?;
    let act = activation("hidden_act", fields.text("hidden_act")?.unwrap_or("gelu"))?;
    let epsilon = fields.positive("layer_norm_eps")?.unwrap_or(1e-12) as f32;
    fields.only("is_decoder", false)?;
    fields.only("add_cross_attention", false)?;
    if let Some(kind) = fields.text("position_embedding_type")?
        && kind != "absolute"
    {
        return Err(TransformerError::config("position_embedding_type", format!("`{kind}` is not implemented")));
    }
    fields.pass_over(&["type_vocab_size", "tie_word_embeddings"]);
    let norm = |name: String| Norm {
        kind: NormKind::Layer,
        epsilon,
        weight: format!("{name}.weight"),
        offset: 0.0,
        bias: Some(format!("{name}.bias")),
    };
    let linear = |name: String, outputs, inputs| Linear {
        bias: Some(format!("{name}.bias")),
        ..Linear::new(format!("{name}.weight"), outputs, inputs)
    };
    let block = |index: usize| {
        let name = format!("{prefix}encoder.layer.{index}");
        let projection = |part: &str| linear(format!("{name}.attention.self.{part}"), width, width);
        Block {
            residual: Residual::PostNorm,
            attention_input: None,
            attention: Attention {
                heads,
                key_heads: heads,
                head_size,
                projections: Projections::Separate {
                    query: projection("query"),
                    key: projection("key"),
                    value: projection("value"),
                },
                query_norm: None,
                key_norm: None,
                norm_span: NormSpan::Head,
                rotary: None,
                scale: 1.0 / (head_size as f32).sqrt(),
                soft_cap: None,
                window: None,
                causal: false,
                output: linear(format!("{name}.attention.output.dense"), width, width),
            },
            attention_output: Some(norm(format!("{name}.attention.output.LayerNorm"))),
            feed_forward_input: None,
            feed_forward: FeedForward::Dense(Mlp {
                first: First::Plain(linear(format!("{name}.intermediate.dense"), inner, width)),
                activation: act,
                down: linear(format!("{name}.output.dense"), width, inner),
                inner,
            }),
            feed_forward_output: Some(norm(format!("{name}.output.LayerNorm"))),
        }
    };
    let blocks = at_most_tensors("num_hidden_layers", fields.size("num_hidden_layers")?, shapes)?;
    let description = Description {
        family: "bert".to_owned(),
        vocabulary: fields.size("vocab_size")?,
        width,
        context: fields.size("max_position_embeddings")?,
        embedding: Embedding {
            tokens: format!("{prefix}embeddings.word_embeddings.weight"),
            scale: 1.0,
            positions: Some(format!("{prefix}embeddings.position_embeddings.weight")),
            types: Some(format!("{prefix}embeddings.token_type_embeddings.weight")),
            norm: Some(norm(format!("{prefix}embeddings.LayerNorm"))),
        },
        blocks: (0..blocks).map(block).collect(),
        head: Head { norm: None, product: None, soft_cap: None },
    };
    fields.finish()?;
    Ok(description)
}
