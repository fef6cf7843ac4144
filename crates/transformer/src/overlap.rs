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

/// The passages of a text: every [`GRAM`] tokens in a row, of a shorter document all.
#[derive(Debug, Clone)]
pub struct Passages(HashSet<u64>);

impl Passages {
    /// Of all documents; memory follows their length.
    pub fn of(documents: &[Tokens]) -> Self {
        Self(documents.iter().flat_map(|document| passages(&document.ids)).map(hash).collect())
    }

    /// Where those passages of a document begin that this text has too.
    pub fn shared<'a>(&'a self, ids: &'a [u32]) -> impl Iterator<Item = usize> + 'a {
        passages(ids).enumerate().filter(|(_, passage)| self.0.contains(&hash(passage))).map(|(start, _)| start)
    }
}

fn passages(ids: &[u32]) -> impl Iterator<Item = &[u32]> {
    // A document without tokens has none.
    ids.windows(GRAM.min(ids.len()).max(1))
}

fn hash(passage: &[u32]) -> u64 {
    xxh3_64(&passage.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>())
}

/// How much of `evaluation` stands in `calibration`, in passages of [`GRAM`] tokens or more. A document shorter than that is compared as a
/// whole.
pub fn overlap(calibration: &[Tokens], evaluation: &[Tokens]) -> Overlap {
    let known = Passages::of(calibration);
    let mut found = Overlap { shared: 0, tokens: 0, document: None };
    for (document, tokens) in evaluation.iter().enumerate() {
        let length = GRAM.min(tokens.ids.len());
        // The first token that no passage found so far reaches.
        let (mut end, before) = (0, found.shared);
        for start in known.shared(&tokens.ids) {
            found.shared += (start + length - end.max(start)) as u64;
            end = start + length;
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
