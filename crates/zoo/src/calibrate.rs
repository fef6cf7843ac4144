//! Input statistics of every layer: the mean of `x x^T`, of `x^2` and of `|x|` over calibration data.
//!
//! Columns follow the weight's matrix view (outputs by everything else), so that a codec can use them without knowing the layer.

use candle_core::{Result, Tensor};
use seedpress_codec::Calibration;

use crate::classifier::{Classifier, batch};
use crate::error::ZooError;
use crate::fashion::Images;
use crate::silero;

/// Beyond this many inputs a layer's `x x^T` is left out: it grows with the square (4 GiB at 32,768) and the calibration data of the
/// zoo could not fill it.
const LARGEST_OUTER: usize = 2048;

/// Sums over the inputs of one layer.
pub(crate) struct Sums {
    count: u64,
    outer: Option<Tensor>,
    square: Tensor,
    magnitude: Tensor,
}

impl Sums {
    /// Adds inputs, one vector a row.
    pub(crate) fn add(sums: &mut Option<Self>, inputs: &Tensor) -> Result<()> {
        let (count, columns) = inputs.dims2()?;
        let outer = (columns <= LARGEST_OUTER).then(|| inputs.t()?.matmul(inputs)).transpose()?;
        let new = Self { count: count as u64, outer, square: inputs.sqr()?.sum(0)?, magnitude: inputs.abs()?.sum(0)? };
        *sums = Some(match sums.take() {
            None => new,
            Some(old) => Self {
                count: old.count + new.count,
                outer: old.outer.zip(new.outer).map(|(old, new)| old + new).transpose()?,
                square: (old.square + new.square)?,
                magnitude: (old.magnitude + new.magnitude)?,
            },
        });
        Ok(())
    }

    /// Means, with column `i` taken from `source(i)`.
    pub(crate) fn finish(self, source: impl Fn(usize) -> usize) -> Result<Calibration> {
        let magnitude = self.magnitude.to_vec1::<f32>()?;
        let columns = magnitude.len();
        let mean = |sum: f32| (f64::from(sum) / self.count as f64) as f32;
        let order: Vec<usize> = (0..columns).map(source).collect();
        let hessian = match self.outer {
            None => None,
            Some(outer) => {
                let outer = outer.flatten_all()?.to_vec1::<f32>()?;
                let row = |row: usize| order.iter().map(move |&column| row * columns + column);
                Some(order.iter().flat_map(|&at| row(at)).map(|at| mean(outer[at])).collect::<Vec<f32>>())
            }
        };
        // The diagonal is summed twice, in another order: codecs may rely on its being the mean square.
        let square = self.square.to_vec1::<f32>()?;
        let mean_square = match &hessian {
            Some(hessian) => (0..columns).map(|at| hessian[at * columns + at]).collect(),
            None => order.iter().map(|&at| mean(square[at])).collect(),
        };
        Ok(Calibration {
            columns,
            samples: self.count,
            mean_square,
            mean_abs: order.iter().map(|&at| mean(magnitude[at])).collect(),
            hessian,
        })
    }
}

/// Which weight column multiplies a patch's column: patches are ordered tap, channel, kernels channel, tap.
pub(crate) fn patch_column(channels: usize, taps: usize) -> impl Fn(usize) -> usize {
    move |column| column % taps * channels + column / taps
}

/// Statistics of each tensor of Silero VAD, `None` for biases.
pub(crate) fn collect_silero(network: &silero::Network<'_>, recordings: &[Vec<f32>]) -> Vec<Option<Calibration>> {
    struct Moments {
        count: u64,
        /// The lower triangle of the sum of `x x^T`, rows of full length.
        outer: Vec<f64>,
        magnitude: Vec<f64>,
    }
    let mut slots: Vec<Option<Moments>> = silero::SLOTS.iter().map(|_| None).collect();
    for samples in recordings {
        network.observe(samples, &mut |slot, x| {
            let columns = x.len();
            let new = || Moments { count: 0, outer: vec![0.0; columns * columns], magnitude: vec![0.0; columns] };
            let moments = slots[slot].get_or_insert_with(new);
            moments.count += 1;
            for (i, (row, &a)) in moments.outer.chunks_exact_mut(columns).zip(x).enumerate() {
                // Rectified inputs are often zero.
                if a != 0.0 {
                    row[..=i].iter_mut().zip(x).for_each(|(sum, &b)| *sum += f64::from(a) * f64::from(b));
                }
            }
            moments.magnitude.iter_mut().zip(x).for_each(|(sum, &a)| *sum += f64::from(a.abs()));
        });
    }
    let finish = |moments: Moments| {
        let columns = moments.magnitude.len();
        let mean = |sum: f64| (sum / moments.count as f64) as f32;
        let entry = |i: usize, j: usize| mean(moments.outer[i.max(j) * columns + i.min(j)]);
        Calibration {
            columns,
            samples: moments.count,
            mean_square: (0..columns).map(|i| entry(i, i)).collect(),
            mean_abs: moments.magnitude.iter().map(|&sum| mean(sum)).collect(),
            hessian: Some((0..columns * columns).map(|at| entry(at / columns, at % columns)).collect()),
        }
    };
    slots.into_iter().map(|moments| moments.map(finish)).collect()
}

/// Statistics of each tensor of a classifier, `None` for biases.
pub(crate) fn collect(
    classifier: Classifier,
    weights: &[Tensor],
    images: &Images,
) -> std::result::Result<Vec<Option<Calibration>>, ZooError> {
    let mut sums: Vec<Option<Sums>> = weights.iter().map(|_| None).collect();
    let indices: Vec<usize> = (0..images.len()).collect();
    for chunk in indices.chunks(256) {
        let input = batch(images, chunk)?;
        classifier.forward(weights, &input, &mut |slot, inputs| Sums::add(&mut sums[slot], inputs))?;
    }
    let finish = |(sums, weight): (Option<Sums>, &Tensor)| {
        let Some(sums) = sums else { return Ok(None) };
        let calibration = match *weight.dims() {
            [_, channels, height, width] => sums.finish(patch_column(channels, height * width)),
            _ => sums.finish(|column| column),
        };
        Ok(Some(calibration?))
    };
    sums.into_iter().zip(weights).map(finish).collect()
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
        assert_eq!((calibration.columns, calibration.samples), (576, 4 * 49));
        assert!(statistics[3].is_none());

        // One output row of the second convolution serves as the change.
        let change = weights[2].get(5).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let hessian = calibration.hessian.as_ref().unwrap();
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
