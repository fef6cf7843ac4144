//! Experts as MLX has them: the matrices of a layer's experts stacked in one tensor, first axis the expert.
//!
//! | Hugging Face | MLX |
//! | --- | --- |
//! | `mlp.experts.E.up_proj`, `gate_proj`, `down_proj` | `mlp.switch_mlp.up_proj`, ... |
//! | `block_sparse_moe.experts.E.w1`, `w2`, `w3` | `block_sparse_moe.switch_mlp.gate_proj`, `down_proj`, `up_proj` |

use std::collections::BTreeMap;

use seedpress_checkpoint::SavedTensor;

use crate::error::ExchangeError;

const STACK: &str = ".switch_mlp.";
const EXPERTS: &str = ".experts.";
/// Mixtral's names of the three matrices.
const MIXTRAL: [(&str, &str); 3] = [("w1", "gate_proj"), ("w2", "down_proj"), ("w3", "up_proj")];
/// The block of such a layer in Mixtral.
const MIXTRAL_BLOCK: &str = ".block_sparse_moe";
/// No model has more experts in a layer; a file that says so is no such stack.
pub(crate) const MOST: usize = 4096;

/// The name, without its last part, of an expert in a stack; `None` where `stack` is none.
pub(crate) fn expert_of(stack: &str, expert: usize) -> Option<String> {
    let (block, matrix) = stack.split_once(STACK)?;
    let mixtral = MIXTRAL.iter().find(|(_, name)| block.ends_with(MIXTRAL_BLOCK) && *name == matrix);
    Some(format!("{block}{EXPERTS}{expert}.{}", mixtral.map_or(matrix, |(short, _)| short)))
}

/// The stack that an expert's matrix is part of, and which expert it is.
pub(crate) fn stack_of(stem: &str) -> Option<(String, usize)> {
    let (block, rest) = stem.split_once(EXPERTS)?;
    let (expert, matrix) = rest.split_once('.')?;
    let mixtral = MIXTRAL.iter().find(|(short, _)| block.ends_with(MIXTRAL_BLOCK) && *short == matrix);
    Some((format!("{block}{STACK}{}", mixtral.map_or(matrix, |(_, name)| name)), expert.parse().ok()?))
}

/// The parts of a matrix by the last part of their names.
type Parts = Vec<(&'static str, SavedTensor)>;

/// Stacks in the making: their experts may come in any order.
#[derive(Debug)]
pub(crate) struct Stacks {
    experts: usize,
    open: BTreeMap<String, BTreeMap<usize, Parts>>,
}

impl Stacks {
    /// Stacks of as many experts.
    pub(crate) fn new(experts: usize) -> Self {
        Self { experts, open: BTreeMap::new() }
    }

    /// Adds the parts of an expert; the parts of the stack once it has all of them.
    ///
    /// # Errors
    /// Experts of different shapes or widths.
    pub(crate) fn add(&mut self, stack: &str, expert: usize, parts: Parts) -> Result<Option<Parts>, ExchangeError> {
        let found = self.open.entry(stack.to_owned()).or_default();
        found.insert(expert, parts);
        if found.len() < self.experts {
            return Ok(None);
        }
        let mut members = self.open.remove(stack).unwrap_or_default().into_values();
        let mut joined = members.next().unwrap_or_default();
        for (_, tensor) in &mut joined {
            tensor.shape.insert(0, self.experts);
        }
        for member in members {
            for ((_, whole), (_, tensor)) in joined.iter_mut().zip(member) {
                if whole.shape[1..] != tensor.shape || whole.dtype != tensor.dtype {
                    return Err(ExchangeError::CannotHold {
                        format: "mlx",
                        tensor: stack.to_owned(),
                        why: "the experts of a layer are one tensor, and these differ in shape or bits".to_owned(),
                        instead: "give all experts of a layer the same bits and group".to_owned(),
                    });
                }
                whole.bytes.extend(tensor.bytes);
            }
        }
        Ok(Some(joined))
    }

    /// Whether every stack was completed.
    ///
    /// # Errors
    /// One that was not.
    pub(crate) fn finish(self) -> Result<(), ExchangeError> {
        match self.open.into_iter().next() {
            None => Ok(()),
            Some((stack, found)) => Err(ExchangeError::CannotHold {
                format: "mlx",
                tensor: stack,
                why: format!("{} of its {} experts are quantised, which are one tensor", found.len(), self.experts),
                instead: "quantise all experts of a layer, or none".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (expert, stack) in [
            ("model.layers.3.mlp.experts.12.up_proj", "model.layers.3.mlp.switch_mlp.up_proj"),
            ("model.layers.0.block_sparse_moe.experts.12.w2", "model.layers.0.block_sparse_moe.switch_mlp.down_proj"),
        ] {
            assert_eq!(stack_of(expert), Some((stack.to_owned(), 12)));
            assert_eq!(expert_of(stack, 12).as_deref(), Some(expert));
        }
        assert!(
            stack_of("model.layers.0.mlp.up_proj").is_none() && expert_of("model.layers.0.mlp.up_proj", 0).is_none()
        );
        assert!(stack_of("model.layers.0.mlp.experts.gate_up_proj").is_none());
    }
}
