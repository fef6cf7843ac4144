//! Whether text that measures a model was seen by what calibrated it.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::text::Tokens;

/// So many tokens in a row that two texts share are the same passage (Brown et al., GPT-3, 2020, appendix C, counts words).
pub const GRAM: usize = 13;

/// How much of a text stands in another, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// Tokens that lie in a shared passage.
    pub shared: u64,
    /// All tokens.
    pub tokens: u64,
    /// The first document that shares one.
    pub document: Option<usize>,
}

impl Overlap {
    /// The share of the text that is in the other one.
    pub fn share(&self) -> f64 {
        if self.tokens == 0 { 0.0 } else { self.shared as f64 / self.tokens as f64 }
    }
}

/// How much of `evaluation` stands in `calibration`, in passages of [`GRAM`] tokens or more. A document shorter than that is compared as a
/// whole.
pub fn overlap(calibration: &[Tokens], evaluation: &[Tokens]) -> Overlap {
    let hash = |gram: &[u32]| xxh3_64(&gram.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>());
    let grams = |ids: &[u32]| -> Vec<u64> {
        let length = GRAM.min(ids.len());
        if length == 0 { Vec::new() } else { ids.windows(length).map(hash).collect() }
    };
    let known: HashSet<u64> = calibration.iter().flat_map(|document| grams(&document.ids)).collect();
    let mut found = Overlap { shared: 0, tokens: 0, document: None };
    for (document, tokens) in evaluation.iter().enumerate() {
        let length = GRAM.min(tokens.ids.len());
        // The first token that no passage found so far reaches.
        let (mut end, before) = (0, found.shared);
        for (start, gram) in grams(&tokens.ids).iter().enumerate() {
            if known.contains(gram) {
                found.shared += (start + length - end.max(start)) as u64;
                end = start + length;
            }
        }
        found.tokens += tokens.ids.len() as u64;
        if found.shared > before {
            found.document.get_or_insert(document);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(ids: impl IntoIterator<Item = u32>) -> Tokens {
        Tokens { ids: ids.into_iter().collect(), predicted_bytes: 0 }
    }

    #[test]
    fn passages_are_found_wherever_they_stand() {
        let calibration = [document(0..100), document(500..505)];
        // Twenty tokens of the first document in the middle of another; twelve are too few.
        let evaluation = [document((200..240).chain(30..50).chain(300..330)), document((400..420).chain(60..72))];
        assert_eq!(overlap(&calibration, &evaluation), Overlap { shared: 20, tokens: 122, document: Some(0) });
        assert_eq!(overlap(&calibration, &[document(200..230), document(500..505)]).document, Some(1));
        let none = overlap(&calibration, &[document(200..300), document([])]);
        assert!(none.document.is_none() && none.share() == 0.0);
        assert_eq!(overlap(&calibration, &calibration).share(), 1.0);
    }
}
