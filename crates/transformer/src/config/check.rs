//! Whether a description and a checkpoint fit: every tensor that is named is there in its shape, and none is left over.

use std::collections::BTreeSet;

use super::shapes::Shapes;
use crate::description::{Description, Linear, Norm, NormSpan};
use crate::error::TransformerError;

/// Ends of names of tensors that hold no weights: tables of positions and masks that older checkpoints carry.
const TABLES: &[&str] =
    &[".inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".position_ids"];

/// Beginnings of names of parts that text models and encoders do without: eyes, and heads of pre-training tasks.
const OTHER_PARTS: &[&str] = &[
    "vision_tower.",
    "multi_modal_projector.",
    "model.vision_tower.",
    "model.multi_modal_projector.",
    "pooler.",
    "cls.",
    "bert.pooler.",
];

pub(super) fn check(description: &Description, shapes: &Shapes) -> Result<(), TransformerError> {
    let mut checker = Checker { shapes, named: BTreeSet::new() };
    let width = description.width;
    let embedding = &description.embedding;
    checker.exact(&embedding.tokens, &[description.vocabulary, width])?;
    if let Some(positions) = &embedding.positions {
        checker.exact(positions, &[description.context, width])?;
    }
    if let Some(types) = &embedding.types {
        let fits = |given: &[usize]| matches!(*given, [1..=usize::MAX, columns] if columns == width);
        checker.expect(types, &fits, &format!("[types, {width}]"))?;
    }
    for block in &description.blocks {
        let attention = &block.attention;
        for (part, heads) in [(&attention.query_norm, attention.heads), (&attention.key_norm, attention.key_heads)] {
            let size = match attention.norm_span {
                NormSpan::Head => attention.head_size,
                NormSpan::All => heads * attention.head_size,
            };
            checker.norm(part.as_ref(), size)?;
        }
        checker.norm(block.attention_input.as_ref(), width)?;
        checker.norm(block.attention_output.as_ref(), width)?;
        checker.norm(block.feed_forward_input.as_ref(), width)?;
        checker.norm(block.feed_forward_output.as_ref(), width)?;
    }
    checker.norm(embedding.norm.as_ref(), width)?;
    checker.norm(description.head.norm.as_ref(), width)?;
    for product in description.blocks.iter().flat_map(|block| block.linears()).chain(&description.head.product) {
        let (shape, wanted) = shape_of(product);
        checker.expect(&product.weight, &shape, &wanted)?;
        if let Some(bias) = &product.bias {
            checker.exact(bias, &[product.outputs])?;
        }
    }
    left_over(description, shapes, &checker.named)
}

/// Which tensors were asked for.
struct Checker<'a> {
    shapes: &'a Shapes,
    named: BTreeSet<String>,
}

impl Checker<'_> {
    fn expect(&mut self, tensor: &str, fits: &dyn Fn(&[usize]) -> bool, wanted: &str) -> Result<(), TransformerError> {
        self.named.insert(tensor.to_owned());
        match self.shapes.get(tensor) {
            None => Err(TransformerError::tensor(tensor, "is missing")),
            Some(shape) if fits(shape) => Ok(()),
            Some(shape) => Err(TransformerError::tensor(tensor, format!("has shape {shape:?}, not {wanted}"))),
        }
    }

    fn exact(&mut self, tensor: &str, shape: &[usize]) -> Result<(), TransformerError> {
        self.expect(tensor, &|given| given == shape, &format!("{shape:?}"))
    }

    fn norm(&mut self, norm: Option<&Norm>, size: usize) -> Result<(), TransformerError> {
        let tensors = norm.into_iter().flat_map(|norm| std::iter::once(&norm.weight).chain(&norm.bias));
        tensors.into_iter().try_for_each(|tensor| self.exact(tensor, &[size]))
    }
}

type Fits<'a> = Box<dyn Fn(&[usize]) -> bool + 'a>;

fn shape_of(product: &Linear) -> (Fits<'_>, String) {
    let matrix = match product.transposed {
        true => [product.inputs, product.outputs],
        false => [product.outputs, product.inputs],
    };
    match product.expert {
        None => (Box::new(move |given| given == matrix), format!("{matrix:?}")),
        Some(expert) => (
            Box::new(move |given| matches!(given, [experts, a, b] if *experts > expert && [*a, *b] == matrix)),
            format!("[experts, {}, {}]", matrix[0], matrix[1]),
        ),
    }
}

fn left_over(description: &Description, shapes: &Shapes, named: &BTreeSet<String>) -> Result<(), TransformerError> {
    let tied = description.head.product.as_ref().is_some_and(|head| head.weight == description.embedding.tokens);
    for (tensor, shape) in shapes {
        let known = TABLES.iter().any(|end| tensor.ends_with(end))
            || OTHER_PARTS.iter().any(|beginning| tensor.starts_with(beginning));
        // A copy of the embedding that some tools write beside it.
        let copy = tied
            && (tensor.ends_with("lm_head.weight") || tensor == "embed_out.weight")
            && shapes.get(&description.embedding.tokens) == Some(shape);
        if !named.contains(tensor) && !known && !copy {
            let why = format!("is in the checkpoint, but architecture `{}` has no use for it", description.family);
            return Err(TransformerError::tensor(tensor, why));
        }
    }
    Ok(())
}
