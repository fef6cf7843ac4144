//! WordLlama: 32,000 token vectors whose mean is a text's embedding, and the tokens and sentences that measure them.

use rayon::prelude::*;
use seedpress_model::{
    BlockWeights, DataSets, Evaluation, Hidden, Metric, ModelError, Network, Outputs, Samples, Scorer, Tap, TensorInfo,
};
use tokenizers::Tokenizer;

use crate::dense::{Dense, compute};
use crate::error::ZooError;
use crate::fetch;
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

/// The embedding table. Inputs are tokens, a sequence a text.
#[derive(Debug)]
pub(crate) struct WordLlama([TensorInfo; 1]);

impl Default for WordLlama {
    fn default() -> Self {
        Self([TensorInfo::new("embedding.weight", &[TOKENS, WIDTH], "embedding")])
    }
}

impl Network for WordLlama {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn blocks(&self) -> usize {
        1
    }

    fn block_tensors(&self, _: usize) -> Vec<usize> {
        vec![0]
    }

    /// The mean of each text's vectors, of length one. A table is looked up: it multiplies nothing.
    fn step(
        &self,
        _: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        _: &mut dyn Tap,
    ) -> Result<Hidden, ModelError> {
        let table = weights.values(0);
        let mut tokens = hidden.values.iter();
        let mut values = Vec::with_capacity(hidden.lengths.len() * WIDTH);
        for &length in &hidden.lengths {
            let mut mean = vec![0f32; WIDTH];
            for &token in tokens.by_ref().take(length) {
                let row = table.get(token as usize * WIDTH..).and_then(|rest| rest.get(..WIDTH));
                let row = row.ok_or_else(|| ModelError::Shape(format!("{token} is no token")))?;
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            rank::normalise(&mut mean);
            values.extend(mean);
        }
        Hidden::new(values, WIDTH, vec![1; hidden.lengths.len()])
    }

    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
        Ok(Outputs::Vectors { width: WIDTH, values: hidden.values })
    }
}

/// The sentences and all tokens as data.
#[derive(Debug)]
pub(crate) struct Texts;

impl DataSets for Texts {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        let tokenizer = tokenizer()?;
        let tokens =
            sentences::calibration()?.iter().map(|text| tokenize(&tokenizer, text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Box::new(vec![batch(&tokens)])))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        let pairs = sentences::labelled_pairs()?;
        let tokenizer = tokenizer()?;
        let texts = pairs.iter().flat_map(|pair| &pair.sentences);
        let tokens = texts.map(|text| tokenize(&tokenizer, text)).collect::<Result<Vec<_>, _>>()?;
        let labels = pairs.iter().map(|pair| pair.label).collect();
        // Every token as a text of its own: the table with rows of length one.
        let all: Vec<Vec<u32>> = (0..TOKENS as u32).map(|token| vec![token]).collect();
        Ok(Some(Box::new(HeldOut { batches: vec![batch(&tokens), batch(&all)], labels })))
    }
}

fn batch(texts: &[Vec<u32>]) -> Hidden {
    Hidden::tokens(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Labelled pairs of sentences, and the whole table.
#[derive(Debug)]
struct HeldOut {
    batches: Vec<Hidden>,
    labels: Vec<f64>,
}

impl Evaluation for HeldOut {
    fn samples(&self) -> &dyn Samples {
        &self.batches
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(TableScorer { labels: &self.labels, metrics: Vec::new() })
    }
}

struct TableScorer<'a> {
    labels: &'a [f64],
    metrics: Vec<Metric>,
}

impl Scorer for TableScorer<'_> {
    fn add(&mut self, batch: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        let (Outputs::Vectors { values: own, .. }, Outputs::Vectors { values: given, .. }) = (original, given) else {
            return Err(ModelError::Shape("embeddings are needed".to_owned()));
        };
        if batch == 0 {
            let texts: Vec<&[f32]> = given.chunks_exact(WIDTH).collect();
            let alike: Vec<f64> = texts.chunks_exact(2).map(|pair| rank::dot(pair[0], pair[1])).collect();
            self.metrics.push(rank::spearman("labelled similarity", &alike, self.labels));
            return Ok(());
        }
        let kept = |(own, given): (Vec<usize>, Vec<usize>)| {
            given.iter().filter(|token| own.contains(token)).count() as f64 / NEIGHBOURS as f64
        };
        let near = |vectors: &[f32]| neighbours(vectors).map_err(compute);
        let kept: Vec<f64> = near(own)?.into_iter().zip(near(given)?).map(kept).collect();
        self.metrics.push(Metric::mean("neighbour overlap", true, &kept));
        let cosines = |vectors: &[f32]| rank::cosines(&ranked(vectors));
        self.metrics.push(rank::spearman_of_pairs("similarity rank", RANKED, &cosines(given), &cosines(own)));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        Ok(self.metrics)
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

fn query(number: usize) -> usize {
    FIRST + STRIDE * number
}

fn ranked(vectors: &[f32]) -> Vec<Vec<f32>> {
    (0..RANKED).map(|number| vectors[query(2 * number) * WIDTH..][..WIDTH].to_vec()).collect()
}

/// The nearest other tokens of each query, the nearest first.
fn neighbours(vectors: &[f32]) -> candle_core::Result<Vec<Vec<usize>>> {
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
    use seedpress_model::NoTap;

    use super::*;

    /// Tokens, embedding and neighbours by another implementation on the same weights: numpy 1.26 and the Python package tokenizers
    /// 0.19.1, in the way of the package's own `WordLlamaInference.embed`.
    #[test]
    fn vectors_and_neighbours_are_those_of_another_implementation() {
        let Ok(model) = crate::load("wordllama") else {
            eprintln!("skipped: wordllama is not fetched");
            return;
        };
        let tokens = tokenize(&tokenizer().unwrap(), "A man is playing a guitar.").unwrap();
        assert_eq!(tokens, [319, 767, 338, 8743, 263, 11210, 29889]);
        let expected = [6.641665e-3, 8.804438e-2, -8.199586e-5, -3.460225e-2, 8.361411e-2, 7.133172e-2];
        let all: Vec<Vec<u32>> = (0..TOKENS as u32).map(|token| vec![token]).collect();
        let weights = BlockWeights::load(model.network(), 0, model.weights()).unwrap();
        let embed = |texts: &[Vec<u32>]| model.network().step(0, &weights, &batch(texts), &mut NoTap).unwrap().values;
        for (ours, theirs) in embed(&[tokens]).into_iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-6, "{ours}, not {theirs}");
        }
        let neighbours = neighbours(&embed(&all)).unwrap();
        assert_eq!(neighbours[0], [268, 418, 539, 1678, 10541, 308, 25260, 30024, 27531, 965]);
        assert_eq!(neighbours[100], [7523, 6982, 21439, 5183, 1303, 22176, 9591, 13623, 16310, 16950]);
    }
}
