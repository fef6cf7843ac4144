//! all-MiniLM-L6-v2: a sentence encoder, and the sentences that measure it.

mod network;

use std::path::Path;

use seedpress_model::{DataSets, Evaluation, Hidden, Metric, ModelError, Outputs, Samples, Scorer};
use tokenizers::Tokenizer;

use crate::error::ZooError;
use crate::fetch;
use crate::rank;
use crate::sentences;
pub(crate) use network::MiniLm;
use network::{POSITIONS, VOCABULARY};

/// Sentences of a batch.
const BATCH: usize = 64;

/// The sentences as data.
#[derive(Debug)]
pub(crate) struct Sentences;

impl DataSets for Sentences {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        let tokenizer = tokenizer(&fetch::folder("minilm"))?;
        let tokens =
            sentences::calibration()?.iter().map(|text| tokenize(&tokenizer, text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Box::new(batches(&tokens))))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        let tokenizer = tokenizer(&fetch::folder("minilm"))?;
        let pairs = sentences::labelled_pairs()?;
        let singles = sentences::held_out()?;
        let texts = singles.iter().chain(pairs.iter().flat_map(|pair| &pair.sentences));
        let tokens = texts.map(|text| tokenize(&tokenizer, text)).collect::<Result<Vec<_>, _>>()?;
        let labels = pairs.iter().map(|pair| pair.label).collect();
        Ok(Some(Box::new(HeldOutSentences { batches: batches(&tokens), singles: singles.len(), labels })))
    }
}

fn batches(sentences: &[Vec<u32>]) -> Vec<Hidden> {
    let batch = |sentences: &[Vec<u32>]| Hidden::tokens(&sentences.iter().map(Vec::as_slice).collect::<Vec<_>>());
    sentences.chunks(BATCH).map(batch).collect()
}

/// Sentences whose similarities are ranked, then the labelled pairs.
#[derive(Debug)]
struct HeldOutSentences {
    batches: Vec<Hidden>,
    singles: usize,
    labels: Vec<f64>,
}

impl Evaluation for HeldOutSentences {
    fn samples(&self) -> &dyn Samples {
        &self.batches
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(SentenceScorer { data: self, own: Vec::new(), given: Vec::new() })
    }
}

struct SentenceScorer<'a> {
    data: &'a HeldOutSentences,
    own: Vec<Vec<f32>>,
    given: Vec<Vec<f32>>,
}

impl Scorer for SentenceScorer<'_> {
    fn add(&mut self, _: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        self.own.extend(rows(original)?);
        self.given.extend(rows(given)?);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        let singles = self.data.singles;
        let (given, paired) = self.given.split_at(singles);
        let own = &self.own[..singles];
        let alike: Vec<f64> = paired.chunks_exact(2).map(|pair| rank::dot(&pair[0], &pair[1])).collect();
        let kept: Vec<f64> = given.iter().zip(own).map(|(a, b)| rank::dot(a, b)).collect();
        Ok(vec![
            rank::spearman("labelled similarity", &alike, &self.data.labels),
            rank::spearman_of_pairs("similarity rank", singles, &rank::cosines(given), &rank::cosines(own)),
            Metric::mean("cosine to original", true, &kept),
        ])
    }
}

/// Embeddings, one a sentence.
fn rows(outputs: &Outputs) -> Result<Vec<Vec<f32>>, ModelError> {
    match outputs {
        Outputs::Vectors { width, values } => Ok(values.chunks_exact(*width).map(<[f32]>::to_vec).collect()),
        _ => Err(ModelError::Shape("embeddings are needed".to_owned())),
    }
}

/// The tokenizer that came with the weights.
pub(crate) fn tokenizer(folder: &Path) -> Result<Tokenizer, ZooError> {
    let path = folder.join("tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| ZooError::bad_file(&path, error.to_string()))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fn tokenize(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ZooError> {
    let encoding = tokenizer.encode(text, true);
    let bad = |what: String| ZooError::bad_file(&fetch::folder("minilm").join("tokenizer.json"), what);
    let encoding = encoding.map_err(|error| bad(error.to_string()))?;
    if encoding.get_ids().iter().any(|&id| id as usize >= VOCABULARY) || encoding.len() > POSITIONS {
        return Err(bad(format!("makes tokens that the model does not know: {text}")));
    }
    Ok(encoding.get_ids().to_vec())
}

#[cfg(test)]
mod tests {
    use seedpress_model::run;

    use super::*;

    /// Token numbers, first eight values of the embeddings and their cosines by another implementation on the same weights: slow
    /// BERT tokenizer and `TFBertModel` of transformers 4.40.2 on TensorFlow 2.15.1, mean over tokens, unit length.
    #[test]
    fn embeddings_are_those_of_another_implementation() {
        let Ok(model) = crate::load("minilm") else {
            eprintln!("skipped: minilm is not fetched");
            return;
        };
        let texts = [
            "A man is playing a guitar.",
            "The soup is too hot to eat.",
            "What ho, Tashtego! let me hear thy hammer.",
            "Pôle-Nord: naïve café, 1890!",
        ];
        let tokenizer = tokenizer(&fetch::folder("minilm")).unwrap();
        let tokens: Vec<_> = texts.iter().map(|text| tokenize(&tokenizer, text).unwrap()).collect();
        assert_eq!(
            tokens[2],
            [101, 2054, 7570, 1010, 11937, 4095, 2618, 3995, 999, 2292, 2033, 2963, 15177, 8691, 1012, 102]
        );
        assert_eq!(tokens[3], [101, 6536, 1011, 13926, 1024, 15743, 7668, 1010, 6193, 999, 102]);
        let mut vectors: Vec<Vec<f32>> = Vec::new();
        run(model.network(), model.weights(), &batches(&tokens), &mut |_, outputs| {
            vectors.extend(rows(&outputs)?);
            Ok(())
        })
        .unwrap();
        let expected = [
            [0.021664, -0.004864, -0.009649, -0.063401, -0.167493, 0.004676, 0.0806, -0.024142],
            [-0.052927, -0.028737, 0.009495, 0.069364, -0.04899, -0.050283, -0.051855, -0.129106],
            [-0.037799, 0.064601, 0.02719, -0.076305, -0.065876, -0.061481, 0.118097, -0.076747],
            [0.015673, 0.112521, -0.020522, 0.01524, 0.045437, 0.016866, 0.01928, 0.026337],
        ];
        for (ours, theirs) in vectors.iter().zip(expected) {
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!((ours - theirs).abs() < 5e-6, "{ours}, not {theirs}");
            }
        }
        let cosines = [-0.050694, 0.071663, 0.08188, -0.126637, 0.119655, 0.102447];
        for (ours, theirs) in rank::cosines(&vectors).into_iter().zip(cosines) {
            assert!((ours - theirs).abs() < 5e-6, "{ours}, not {theirs}");
        }
    }
}
