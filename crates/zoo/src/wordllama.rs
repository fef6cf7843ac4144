//! WordLlama: 32,000 token vectors whose mean is a text's embedding, and the tokens and sentences that measure them.

use rayon::prelude::*;
use seedpress_codec::{InputStatistics, Tensor};
use tokenizers::Tokenizer;

use crate::architecture::{Architecture, Baseline, Probe, Slot};
use crate::dense::Dense;
use crate::error::ZooError;
use crate::fetch;
use crate::metric::Metric;
use crate::outputs::Outputs;
use crate::rank;
use crate::sentences;

const TOKENS: usize = 32_000;
const WIDTH: usize = 256;

/// Tokens whose neighbours are looked for: every 61st after the control tokens and bytes.
const QUERIES: usize = 512;
const FIRST: usize = 259;
const STRIDE: usize = 61;

/// How many of the queries have their similarities ranked.
const RANKED: usize = 256;

/// Neighbours of each query.
const NEIGHBOURS: usize = 10;

/// The embedding table.
pub(crate) struct WordLlama;

impl Architecture for WordLlama {
    fn slots(&self) -> Vec<Slot> {
        vec![Slot::new("embedding.weight", &[TOKENS, WIDTH], "embedding")]
    }

    fn baseline(&self, own: &[&Tensor]) -> Result<Box<dyn Baseline>, ZooError> {
        let pairs = sentences::labelled_pairs()?;
        let tokenizer = tokenizer()?;
        let texts = pairs.iter().flat_map(|pair| &pair.sentences);
        let tokens = texts.map(|text| tokenize(&tokenizer, text)).collect::<Result<Vec<_>, _>>()?;
        let labels = pairs.iter().map(|pair| pair.label).collect();
        let vectors = unit_vectors(own[0]);
        let cosines = rank::cosines(&ranked(&vectors));
        Ok(Box::new(HeldOut { tokens, labels, neighbours: neighbours(&vectors)?, cosines }))
    }

    /// A table is looked up: it multiplies nothing.
    fn calibrate(&self, _: &[&Tensor]) -> Result<Vec<Option<InputStatistics>>, ZooError> {
        Ok(vec![None])
    }

    fn probe(&self) -> Result<Option<Box<dyn Probe>>, ZooError> {
        let tokenizer = tokenizer()?;
        let texts = sentences::calibration()?;
        let tokens = texts.iter().map(|text| tokenize(&tokenizer, text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Box::new(CalibrationSentences { tokens })))
    }
}

/// Calibration sentences to embed.
#[derive(Debug)]
struct CalibrationSentences {
    tokens: Vec<Vec<u32>>,
}

impl Probe for CalibrationSentences {
    fn outputs(&self, given: &[&Tensor]) -> Result<Outputs, ZooError> {
        let values = self.tokens.iter().flat_map(|tokens| embed(given[0], tokens)).collect();
        Ok(Outputs::Vectors { width: WIDTH, values })
    }
}

/// Labelled pairs of sentences, and the uncompressed table's neighbours and similarities.
#[derive(Debug)]
struct HeldOut {
    tokens: Vec<Vec<u32>>,
    labels: Vec<f64>,
    neighbours: Vec<Vec<usize>>,
    cosines: Vec<f64>,
}

impl Baseline for HeldOut {
    fn evaluate(&self, given: &[&Tensor]) -> Result<Vec<Metric>, ZooError> {
        let texts: Vec<Vec<f32>> = self.tokens.iter().map(|tokens| embed(given[0], tokens)).collect();
        let alike: Vec<f64> = texts.chunks_exact(2).map(|pair| rank::dot(&pair[0], &pair[1])).collect();
        let vectors = unit_vectors(given[0]);
        let kept = |(own, given): (&Vec<usize>, Vec<usize>)| {
            given.iter().filter(|token| own.contains(token)).count() as f64 / NEIGHBOURS as f64
        };
        let kept: Vec<f64> = self.neighbours.iter().zip(neighbours(&vectors)?).map(kept).collect();
        Ok(vec![
            rank::spearman("labelled similarity", &alike, &self.labels),
            Metric::mean("neighbour overlap", true, &kept),
            rank::spearman_of_pairs("similarity rank", RANKED, &rank::cosines(&ranked(&vectors)), &self.cosines),
        ])
    }
}

fn tokenizer() -> Result<Tokenizer, ZooError> {
    let path = fetch::folder("wordllama").join("tokenizer.json");
    Tokenizer::from_file(&path).map_err(|error| ZooError::bad_file(&path, error.to_string()))
}

fn tokenize(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ZooError> {
    let bad = |what: String| ZooError::bad_file(&fetch::folder("wordllama").join("tokenizer.json"), what);
    let encoding = tokenizer.encode(text, false).map_err(|error| bad(error.to_string()))?;
    if encoding.get_ids().iter().any(|&id| id as usize >= TOKENS) {
        return Err(bad(format!("makes tokens that the model does not know: {text}")));
    }
    Ok(encoding.get_ids().to_vec())
}

/// The unit vector of a text.
fn embed(table: &Tensor, tokens: &[u32]) -> Vec<f32> {
    let mut mean = vec![0f32; WIDTH];
    for &token in tokens {
        let row = &table.values()[token as usize * WIDTH..][..WIDTH];
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    rank::normalise(&mut mean);
    mean
}

/// The table with rows of length one.
fn unit_vectors(table: &Tensor) -> Vec<f32> {
    let mut vectors = table.values().to_vec();
    vectors.par_chunks_exact_mut(WIDTH).for_each(rank::normalise);
    vectors
}

fn query(number: usize) -> usize {
    FIRST + STRIDE * number
}

fn ranked(vectors: &[f32]) -> Vec<Vec<f32>> {
    (0..RANKED).map(|number| vectors[query(2 * number) * WIDTH..][..WIDTH].to_vec()).collect()
}

/// The nearest other tokens of each query, the nearest first.
fn neighbours(vectors: &[f32]) -> Result<Vec<Vec<usize>>, ZooError> {
    let queries = (0..QUERIES).flat_map(|number| &vectors[query(number) * WIDTH..][..WIDTH]).copied().collect();
    let table = Dense::new(vectors, TOKENS)?;
    let cosines = table.apply(&table.rows(queries)?)?;
    let nearest = |(number, cosines): (usize, &[f32])| {
        let mut others: Vec<usize> = (0..TOKENS).filter(|&token| token != query(number)).collect();
        // Equal ones, as with a table of zeros, come in the order of their numbers.
        let order = |a: &usize, b: &usize| cosines[*b].total_cmp(&cosines[*a]).then(a.cmp(b));
        others.select_nth_unstable_by(NEIGHBOURS, order);
        others.truncate(NEIGHBOURS);
        others.sort_unstable_by(order);
        others
    };
    Ok(cosines.par_chunks_exact(TOKENS).enumerate().map(nearest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens, embedding and neighbours by another implementation on the same weights: numpy 1.26 and the Python package tokenizers
    /// 0.19.1, in the way of the package's own `WordLlamaInference.embed`.
    #[test]
    fn vectors_and_neighbours_are_those_of_another_implementation() {
        let Ok(model) = crate::load("wordllama") else {
            eprintln!("skipped: wordllama is not fetched");
            return;
        };
        let table = &model.tensors[0].tensor;
        let tokens = tokenize(&tokenizer().unwrap(), "A man is playing a guitar.").unwrap();
        assert_eq!(tokens, [319, 767, 338, 8743, 263, 11210, 29889]);
        let expected = [6.641665e-3, 8.804438e-2, -8.199586e-5, -3.460225e-2, 8.361411e-2, 7.133172e-2];
        for (ours, theirs) in embed(table, &tokens).into_iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-6, "{ours}, not {theirs}");
        }
        let neighbours = neighbours(&unit_vectors(table)).unwrap();
        assert_eq!(neighbours[0], [268, 418, 539, 1678, 10541, 308, 25260, 30024, 27531, 965]);
        assert_eq!(neighbours[100], [7523, 6982, 21439, 5183, 1303, 22176, 9591, 13623, 16310, 16950]);
    }
}
