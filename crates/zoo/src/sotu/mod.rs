//! Language models over bytes, trained on State of the Union addresses: a transformer and a recurrent network.

pub mod data;
mod evaluate;
pub mod kernel;
mod language;
pub mod lstm;
pub mod transformer;

use seedpress_model::{Metric, Model};

pub(crate) use evaluate::Text;
pub use language::{Language, VOCABULARY, bytes};
pub use lstm::Lstm;
pub use transformer::Transformer;

use crate::error::ZooError;

/// Bits per byte of a language model on every byte of the held-out addresses; [`Model::evaluate`] reads a fixed sample of them.
/// Takes minutes.
///
/// # Errors
/// [`ZooError::Unsupported`] for other models, and where the committed text cannot be read.
pub fn whole(model: &Model) -> Result<Metric, ZooError> {
    let language = Language::from_name(model.name())
        .ok_or_else(|| ZooError::Unsupported { name: model.name().to_owned(), what: "text to read" })?;
    evaluate::whole(language, model, &data::held_out()?)
}

#[cfg(test)]
mod tests {
    use seedpress_codec::{DType, Tensor};
    use seedpress_model::random::Random;
    use seedpress_model::{Network, Outputs, run};

    use super::*;

    fn random_weights(network: &dyn Network, random: &mut Random) -> Vec<Tensor> {
        let tensor = |info: &seedpress_model::TensorInfo| {
            let centre = if info.layer_type == "norm" { 1.0 } else { 0.0 };
            let spread = if info.layer_type == "embedding" { 1.0 } else { 0.05 };
            let values = (0..info.weights()).map(|_| (centre + spread * random.normal()) as f32).collect();
            Tensor::new(info.shape.clone(), values, DType::F32).unwrap()
        };
        network.tensors().iter().map(tensor).collect()
    }

    /// A prediction that saw its answer, or another window, would make every figure worthless.
    #[test]
    fn scores_depend_on_the_past_of_their_window_alone() {
        let mut random = Random::new(8);
        let length = 150;
        let text: Vec<u8> = (0..2 * length).map(|_| random.below(VOCABULARY) as u8).collect();
        let networks: [Box<dyn Network>; 2] = [Box::new(Transformer::default()), Box::new(Lstm::default())];
        for network in networks {
            let weights = random_weights(network.as_ref(), &mut random);
            let scores = |text: &[u8]| {
                let mut all = Vec::new();
                let samples = vec![bytes(text.chunks(length))];
                run(network.as_ref(), &weights, &samples, &mut |_, outputs| {
                    let Outputs::Logits { values, .. } = outputs else { unreachable!("a language model") };
                    all.extend(values);
                    Ok(())
                })
                .unwrap();
                all
            };
            let both = scores(&text);
            let alone = scores(&text[length..]);
            let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
            assert!(close(&both[length * VOCABULARY..], &alone));
            for changed in [0, 63, 64, 100, length - 1] {
                let mut other = text[length..].to_vec();
                other[changed] ^= 1;
                let other = scores(&other);
                let (before, after) = (&other[..changed * VOCABULARY], &other[changed * VOCABULARY..]);
                assert!(close(before, &alone), "{changed}");
                assert!(!close(after, &alone[changed * VOCABULARY..]), "{changed}");
            }
        }
    }
}
