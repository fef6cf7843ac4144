//! Matrix products of one fixed order.
//!
//! `c[i][j]` takes its terms `a[i][k] b[k][j]` one by one in ascending order of `k`, each with one rounding (a fused multiplication and
//! addition). Registers of any width do the same to each element, so wide and portable paths agree bit for bit, and so do products cut
//! into pieces anywhere: statistics, and everything that is encoded with them, are the same on any machine. Libraries of linear algebra
//! choose their order by the machine.
//!
//! The structure is that of K. Goto and R. van de Geijn, "Anatomy of high-performance matrix multiplication", 2008: panels of both matrices are
//! copied into the order in which a kernel reads them. A machine without fused operations computes them in software:
//! slowly, with the same bits.

mod element;
mod kernel;
mod pack;
mod product;
mod transpose;
mod view;

pub use element::Element;
pub use product::{add_product, multiply, product};
pub use transpose::{transpose, transpose_into};
pub use view::View;

/// `target += factor source`, product and sum rounded one by one.
#[inline]
pub fn add_scaled<T: Element>(target: &mut [T], factor: T, source: &[T]) {
    target.iter_mut().zip(source).for_each(|(t, &s)| *t = *t + factor * s);
}
