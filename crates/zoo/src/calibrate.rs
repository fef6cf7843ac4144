//! Input statistics of every layer over calibration data.
//!
//! Columns follow the weight's matrix view (outputs by everything else), so that a codec can use them without knowing the layer.

use candle_core::{Result, Tensor};
use seedpress_calibration::{Accumulator, InputStatistics};

use crate::classifier::{Classifier, batch};
use crate::error::ZooError;
use crate::fashion::Images;
use crate::silero;

/// Beyond this many inputs of a layer (one convolution of `crepe-full` has 65,536) only their mean squares are collected: the second
/// moment, and what factors it, grow with the square, 4 GiB at twice this.
const LARGEST_SECOND_MOMENT: usize = 16_384;

/// Adds inputs, one vector a row, to the statistics of their layer.
pub(crate) fn add(moments: &mut Option<Accumulator>, inputs: &Tensor) -> Result<()> {
    let columns = inputs.dim(1)?;
    let new = if columns > LARGEST_SECOND_MOMENT { Accumulator::squares } else { Accumulator::new };
    moments.get_or_insert_with(|| new(columns)).add(&inputs.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

/// The statistics of each tensor of these shapes, `None` for tensors that multiply nothing. Inputs of convolutions were patches, ordered
/// tap, channel; their kernels are ordered channel, tap.
pub(crate) fn finish<'a>(
    moments: Vec<Option<Accumulator>>,
    shapes: impl Iterator<Item = &'a [usize]>,
) -> std::result::Result<Vec<Option<InputStatistics>>, ZooError> {
    let one = |(moments, shape): (Option<Accumulator>, &[usize])| {
        let Some(moments) = moments else { return Ok(None) };
        let statistics = moments.finish()?;
        Ok(Some(match *shape {
            [_, channels, height, width] => {
                let source = patch_column(channels, height * width);
                statistics.reordered(&(0..statistics.columns()).map(source).collect::<Vec<_>>())
            }
            _ => statistics,
        }))
    };
    moments.into_iter().zip(shapes).map(one).collect()
}

/// Which weight column multiplies a patch's column: patches are ordered tap, channel, kernels channel, tap.
pub(crate) fn patch_column(channels: usize, taps: usize) -> impl Fn(usize) -> usize {
    move |column| column % taps * channels + column / taps
}

/// Statistics of each tensor of Silero VAD, `None` for biases.
pub(crate) fn collect_silero(
    network: &silero::Network<'_>,
    recordings: &[Vec<f32>],
) -> std::result::Result<Vec<Option<InputStatistics>>, ZooError> {
    let mut moments: Vec<Option<Accumulator>> = silero::SLOTS.iter().map(|_| None).collect();
    for samples in recordings {
        network.observe(samples, &mut |slot, x| {
            moments[slot].get_or_insert_with(|| Accumulator::new(x.len())).add(x);
        });
    }
    moments.into_iter().map(|moments| Ok(moments.map(Accumulator::finish).transpose()?)).collect()
}

/// Statistics of each tensor of a classifier, `None` for biases.
pub(crate) fn collect(
    classifier: Classifier,
    weights: &[Tensor],
    images: &Images,
) -> std::result::Result<Vec<Option<InputStatistics>>, ZooError> {
    let mut moments: Vec<Option<Accumulator>> = weights.iter().map(|_| None).collect();
    let indices: Vec<usize> = (0..images.len()).collect();
    for chunk in indices.chunks(256) {
        let input = batch(images, chunk)?;
        classifier.forward(weights, &input, &mut |slot, inputs| add(&mut moments[slot], inputs))?;
    }
    finish(moments, weights.iter().map(Tensor::dims))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::to_candle;
    use crate::synthetic::{Source, synthetic};

    /// The identity behind every calibrated codec: the mean squared output change that a weight change causes is a quadratic form
    /// in the Hessian. It holds only if the columns are in the weight's order.
    #[test]
    fn hessian_predicts_the_change_of_outputs() {
        let images = Images { pixels: (0..784 * 4).map(|i| (i * 37 % 251) as u8).collect(), labels: vec![0; 4] };
        let weights: Vec<_> = (0u64..)
            .zip(Classifier::Cnn.slots())
            .map(|(seed, slot)| {
                let fan: usize = slot.shape[1..].iter().product();
                let values = synthetic(Source::Gaussian, slot.shape, seed).into_values();
                let values = values.into_iter().map(|v| v / (fan as f32).sqrt()).collect();
                seedpress_codec::Tensor::new(slot.shape.to_vec(), values, seedpress_codec::DType::F32).unwrap()
            })
            .collect();
        let weights = to_candle(&weights.iter().collect::<Vec<_>>()).unwrap();
        let statistics = collect(Classifier::Cnn, &weights, &images).unwrap();
        let calibration = statistics[2].as_ref().unwrap();
        assert_eq!((calibration.columns(), calibration.samples()), (576, 4 * 49));
        assert!(statistics[3].is_none());

        // One output row of the second convolution serves as the change.
        let change = weights[2].get(5).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let hessian = calibration.second_moment().unwrap();
        let predicted: f64 = (0..576)
            .flat_map(|i| (0..576).map(move |j| (i, j)))
            .map(|(i, j)| f64::from(change[i]) * f64::from(hessian[i * 576 + j]) * f64::from(change[j]))
            .sum();

        let mut inputs = None;
        let input = batch(&images, &[0, 1, 2, 3]).unwrap();
        let mut tap = |slot: usize, x: &Tensor| {
            if slot == 2 {
                inputs = Some(x.clone());
            }
            Ok(())
        };
        Classifier::Cnn.forward(&weights, &input, &mut tap).unwrap();
        let row = weights[2].narrow(0, 5, 1).unwrap().permute((2, 3, 1, 0)).unwrap().reshape((576, 1)).unwrap();
        let outputs = inputs.unwrap().matmul(&row).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let measured = outputs.iter().map(|&y| f64::from(y * y)).sum::<f64>() / outputs.len() as f64;
        assert!((predicted / measured - 1.0).abs() < 1e-3, "{predicted} {measured}");
    }
}
