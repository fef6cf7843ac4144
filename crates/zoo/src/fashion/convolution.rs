//! Convolution as a matrix product over patches, with gradients.
//!
//! Images are `[batch, height, width, channels]`, so that a patch is nine contiguous copies and the product's result is again an
//! image. The convolution built into the tensor library has a far slower backward pass on a CPU.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Side of a kernel.
const SIDE: usize = 3;

/// Every 3x3 patch (zero padding 1) of an image: `[batch, h, w, c]` to `[batch * h' * w', 9 c]`, columns ordered row, column, channel.
#[derive(Clone, Copy)]
struct Patches {
    stride: usize,
}

/// The adjoint of [`Patches`]: adds every patch back to where it came from.
struct Scatter {
    patches: Patches,
    image: [usize; 4],
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a contiguous tensor is needed"),
    }
}

impl Patches {
    fn outputs(self, inputs: usize) -> usize {
        (inputs + 2 - SIDE) / self.stride + 1
    }

    /// Calls `visit(offset in the image, offset in the patches)` for each run of channels that is copied.
    fn for_each(self, [_, height, width, channels]: [usize; 4], mut visit: impl FnMut(usize, usize)) {
        for y in 0..self.outputs(height) {
            for x in 0..self.outputs(width) {
                let patch = (y * self.outputs(width) + x) * SIDE * SIDE;
                for (tap, (dy, dx)) in (0..SIDE).flat_map(|dy| (0..SIDE).map(move |dx| (dy, dx))).enumerate() {
                    let (row, column) = (y * self.stride + dy, x * self.stride + dx);
                    // One row and column of zeros surround the image.
                    if (1..=height).contains(&row) && (1..=width).contains(&column) {
                        visit(((row - 1) * width + column - 1) * channels, (patch + tap) * channels);
                    }
                }
            }
        }
    }

    fn sizes(self, [_, height, width, channels]: [usize; 4]) -> (usize, usize) {
        (height * width * channels, self.outputs(height) * self.outputs(width) * SIDE * SIDE * channels)
    }
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let shape = [batch, height, width, channels];
        let (image, patches) = self.sizes(shape);
        let mut result = vec![0f32; batch * patches];
        let source = values(storage, layout)?.par_chunks_exact(image);
        result.par_chunks_exact_mut(patches).zip(source).for_each(|(to, from)| {
            self.for_each(shape, |a, b| to[b..b + channels].copy_from_slice(&from[a..a + channels]));
        });
        let rows = batch * self.outputs(height) * self.outputs(width);
        Ok((CpuStorage::F32(result), (rows, SIDE * SIDE * channels).into()))
    }

    fn bwd(&self, image: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (batch, height, width, channels) = image.dims4()?;
        let scatter = Scatter { patches: *self, image: [batch, height, width, channels] };
        gradient.contiguous()?.apply_op1_no_bwd(&scatter).map(Some)
    }
}

impl CustomOp1 for Scatter {
    fn name(&self) -> &'static str {
        "scatter-patches"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (image, patches) = self.patches.sizes(self.image);
        let channels = self.image[3];
        let mut result = vec![0f32; self.image[0] * image];
        let source = values(storage, layout)?.par_chunks_exact(patches);
        result.par_chunks_exact_mut(image).zip(source).for_each(|(to, from)| {
            self.patches.for_each(self.image, |a, b| {
                to[a..a + channels].iter_mut().zip(&from[b..b + channels]).for_each(|(sum, value)| *sum += value);
            });
        });
        Ok((CpuStorage::F32(result), self.image.to_vec().into()))
    }
}

/// The maximum of every 2x2 tile; an odd last row or column is left out.
struct MaxPool;

/// Hands each tile's gradient to the first of its values that equals the maximum.
struct MaxPoolGradient {
    gradient: Vec<f32>,
}

/// Offsets in the image of the four values of each output, and the output's own offset, all for channel 0.
fn tiles([_, height, width, channels]: [usize; 4]) -> impl Iterator<Item = (usize, [usize; 4])> {
    let (rows, columns) = (height / 2, width / 2);
    (0..rows).flat_map(move |y| (0..columns).map(move |x| (y, x))).map(move |(y, x)| {
        let at = |dy: usize, dx: usize| ((2 * y + dy) * width + 2 * x + dx) * channels;
        ((y * columns + x) * channels, [at(0, 0), at(0, 1), at(1, 0), at(1, 1)])
    })
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let (image, pooled) = (height * width * channels, (height / 2) * (width / 2) * channels);
        let mut result = vec![0f32; batch * pooled];
        let source = values(storage, layout)?.par_chunks_exact(image);
        result.par_chunks_exact_mut(pooled).zip(source).for_each(|(to, from)| {
            for (out, corners) in tiles([batch, height, width, channels]) {
                let [a, b, c, d] = corners.map(|at| &from[at..at + channels]);
                for (channel, value) in to[out..out + channels].iter_mut().enumerate() {
                    *value = a[channel].max(b[channel]).max(c[channel].max(d[channel]));
                }
            }
        });
        Ok((CpuStorage::F32(result), (batch, height / 2, width / 2, channels).into()))
    }

    fn bwd(&self, image: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.flatten_all()?.to_vec1()?;
        image.apply_op1_no_bwd(&MaxPoolGradient { gradient }).map(Some)
    }
}

impl CustomOp1 for MaxPoolGradient {
    fn name(&self) -> &'static str {
        "max-pool-gradient"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let (image, pooled) = (height * width * channels, (height / 2) * (width / 2) * channels);
        let mut result = vec![0f32; batch * image];
        let source = values(storage, layout)?.par_chunks_exact(image).zip(self.gradient.par_chunks_exact(pooled));
        result.par_chunks_exact_mut(image).zip(source).for_each(|(to, (from, gradient))| {
            for (out, corners) in tiles([batch, height, width, channels]) {
                for channel in 0..channels {
                    let best = corners.into_iter().reduce(|best, corner| {
                        if from[corner + channel] > from[best + channel] { corner } else { best }
                    });
                    to[best.unwrap_or(0) + channel] = gradient[out + channel];
                }
            }
        });
        Ok((CpuStorage::F32(result), layout.shape().clone()))
    }
}

/// Every 3x3 patch of `image`, one a row; zero padding 1.
///
/// # Errors
/// Where the image is not of rank 4 and contiguous.
pub(super) fn patches(image: &Tensor, stride: usize) -> Result<Tensor> {
    image.apply_op1(Patches { stride })
}

/// The convolution of patches with `kernels` `[out, in, 3, 3]`, as an image `[batch, h', w', out]`.
///
/// # Errors
/// Where the shapes do not fit.
pub(super) fn convolve(image: &Tensor, patches: &Tensor, kernels: &Tensor, stride: usize) -> Result<Tensor> {
    let (batch, height, width, _) = image.dims4()?;
    let (out, inner, _, _) = kernels.dims4()?;
    let outputs = |inputs: usize| Patches { stride }.outputs(inputs);
    let matrix = kernels.permute((2, 3, 1, 0))?.reshape((SIDE * SIDE * inner, out))?;
    patches.matmul(&matrix)?.reshape((batch, outputs(height), outputs(width), out))
}

/// The maximum of every 2x2 tile.
///
/// # Errors
/// Where the image is not of rank 4 and contiguous.
pub(super) fn max_pool(image: &Tensor) -> Result<Tensor> {
    image.apply_op1(MaxPool)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::synthetic::{Distribution, synthetic};

    fn random(shape: &[usize], seed: u64) -> Var {
        let values = synthetic(Distribution::Gaussian, shape, seed).into_values();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// Largest difference between two tensors.
    fn distance(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn values_and_gradients_are_those_of_the_tensor_library() {
        for stride in [1, 2] {
            let (image, kernels) = (random(&[2, 7, 7, 3], 1), random(&[5, 3, 3, 3], 2));
            let ours = convolve(&image, &patches(&image, stride).unwrap(), &kernels, stride).unwrap();
            let planes = image.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let theirs = planes.conv2d(&kernels, 1, stride, 1, 1).unwrap().permute((0, 2, 3, 1)).unwrap();
            assert!(distance(&ours, &theirs) < 1e-5);
            let weights = random(ours.dims(), 3);
            let gradients =
                |result: &Tensor| (result * weights.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
            let (ours, theirs) = (gradients(&ours), gradients(&theirs));
            for variable in [&image, &kernels] {
                assert!(distance(ours.get(variable).unwrap(), theirs.get(variable).unwrap()) < 1e-4);
            }
        }
    }

    #[test]
    fn pooling_is_that_of_the_tensor_library_and_its_gradient_the_difference_quotient() {
        let image = random(&[2, 7, 6, 3], 1);
        let planes = image.narrow(1, 0, 6).unwrap().permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let theirs = planes.max_pool2d(2).unwrap().permute((0, 2, 3, 1)).unwrap();
        assert!(distance(&max_pool(&image).unwrap(), &theirs) == 0.0);

        // The library's own gradient of pooling is scaled by the share of maxima in a tile, so differences are the truth here.
        let (weights, direction) = (random(theirs.dims(), 3), random(image.dims(), 4));
        let sum = |tensor: Tensor| tensor.sum_all().unwrap();
        let value = |image: &Tensor| sum((max_pool(image).unwrap() * weights.as_tensor()).unwrap());
        let gradient = value(&image).backward().unwrap().get(&image).unwrap().clone();
        let slope = sum((gradient * direction.as_tensor()).unwrap()).to_scalar::<f32>().unwrap();
        let shifted = |step: f64| value(&(image.as_tensor() + (direction.as_tensor() * step).unwrap()).unwrap());
        let quotient = (shifted(1e-3) - shifted(-1e-3)).unwrap().to_scalar::<f32>().unwrap() / 2e-3;
        assert!((slope - quotient).abs() < 0.02 * slope.abs().max(1.0), "{slope} {quotient}");
    }
}
