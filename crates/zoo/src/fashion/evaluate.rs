//! What a classifier achieves on images it has not seen.

use seedpress_model::{DataSets, Evaluation, Hidden, Metric, ModelError, Outputs, Samples, Scorer};

use super::data::Images;
use super::network::images;

/// Small enough to stay in the cache, large enough for the products.
const BATCH: usize = 250;
/// The patches of a convolution take much memory.
const CALIBRATION_BATCH: usize = 64;

/// Fashion-MNIST as data of a classifier.
#[derive(Debug)]
pub(crate) struct Fashion;

impl DataSets for Fashion {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(Some(Box::new(Batches { images: Images::calibration()?, size: CALIBRATION_BATCH })))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        Ok(Some(Box::new(HeldOutImages(Batches { images: Images::held_out()?, size: BATCH }))))
    }
}

#[derive(Debug)]
struct Batches {
    images: Images,
    size: usize,
}

impl Samples for Batches {
    fn batches(&self) -> usize {
        self.images.len().div_ceil(self.size)
    }

    fn batch(&self, index: usize) -> Result<Hidden, ModelError> {
        let first = index * self.size;
        Ok(images(&self.images, first..self.images.len().min(first + self.size)))
    }
}

#[derive(Debug)]
struct HeldOutImages(Batches);

impl Evaluation for HeldOutImages {
    fn samples(&self) -> &dyn Samples {
        &self.0
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(ImageScorer { labels: &self.0.images.labels, own: Vec::new(), given: Vec::new(), told: Vec::new() })
    }
}

/// Classes and divergences, image by image.
struct ImageScorer<'a> {
    labels: &'a [u8],
    own: Vec<u8>,
    given: Vec<u8>,
    told: Vec<f64>,
}

impl Scorer for ImageScorer<'_> {
    fn add(&mut self, _: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        self.told.extend(original.divergences(given));
        for (classes, outputs) in [(&mut self.own, original), (&mut self.given, given)] {
            if let Outputs::Logits { values, .. } = outputs {
                classes.extend(self::classes(values));
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        let hits = |truth: &[u8]| -> Vec<f64> {
            self.given.iter().zip(truth).map(|(class, label)| f64::from(u8::from(class == label))).collect()
        };
        Ok(vec![
            Metric::mean("accuracy", true, &hits(self.labels)),
            Metric::mean("agreement", true, &hits(&self.own)),
            Metric::mean("KL divergence", false, &self.told),
        ])
    }
}

/// The class of each image, ten scores an image: the first of the highest.
fn classes(scores: &[f32]) -> Vec<u8> {
    let best = |scores: &[f32]| {
        let most = scores.iter().fold(f32::NEG_INFINITY, |most, &score| most.max(score));
        scores.iter().position(|&score| score == most).unwrap_or(0) as u8
    };
    scores.chunks_exact(10).map(best).collect()
}
