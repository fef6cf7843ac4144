//! Screening in plain Rust, with exact products.

use super::codewords::TILE;
use super::exact::{Judge, Search};
use super::target::{GROUP, Target};

/// See [`Index::screen`](super::Index::screen).
pub(super) fn screen(search: Search<'_>, targets: &[Target], judge: &mut impl Judge) {
    let (codewords, penalties) = (search.codewords, search.penalties.as_slice());
    for (first, targets) in (0..).step_by(GROUP).zip(targets.chunks(GROUP)) {
        for start in (0..codewords.count).step_by(TILE) {
            for (number, target) in (first..).zip(targets) {
                let mut products = [0i32; TILE];
                for (i, &factor) in target[..codewords.block].iter().enumerate() {
                    for (product, &value) in products.iter_mut().zip(&codewords.values[start + i..start + i + TILE]) {
                        *product += i32::from(factor) * i32::from(value);
                    }
                }
                let mut scores = [0i32; TILE];
                let penalties = &penalties[start..start + TILE];
                for (score, (product, penalty)) in scores.iter_mut().zip(products.iter().zip(penalties)) {
                    *score = product.abs() - penalty;
                }
                // One comparison spares nearly all tiles the others.
                if scores.iter().fold(i32::MIN, |best, &score| best.max(score)) < judge.bar(number) {
                    continue;
                }
                for (position, &score) in (start..codewords.count).zip(&scores) {
                    if score >= judge.bar(number) {
                        judge.offer(number, position as u32, score);
                    }
                }
            }
        }
    }
}
