//! The backward pass: how much the answers of a model depend on the outputs of each product.
//!
//! Changed weights `W + D` move the distribution `p` of the next token by `KL ~ 1/2 E (g^T D x)^2`, to second order, where `x` is what the
//! weight multiplies at a token, `g` the gradient of `log p(y)` by the product's outputs at that token, and `y` drawn from `p` itself: the
//! Fisher information (Amari 1998; for quantisation: YAQA, arXiv 2505.22988, GuidedQuant, arXiv 2505.07004). So a token's inputs count
//! `|g|^2` of the outputs they end in. Positions whose inputs are loud and matter to nobody, as the first of many models, count little.
//!
//! Gradients by weights are never formed. Hidden states are kept at the start of each block; what lies between is computed again.
//!
//! | module | idea |
//! | --- | --- |
//! | `layers` | products, norms, activations, networks, experts |
//! | `attention` | attention within a sequence |
//! | `backward` | through the head and the blocks |
//! | `importance` | what is kept of it: one weight a token and tensor |

mod attention;
mod backward;
mod importance;
mod layers;
mod seen;

pub use backward::backward;
pub use importance::{Importance, importance};
pub use seen::{Seen, Sight, Targets};
