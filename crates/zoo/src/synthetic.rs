//! Random tensors, named as such everywhere: a yardstick with known theory, no substitute for trained weights.

use seedpress_codec::{DType, Tensor};
use seedpress_model::TensorInfo;
use seedpress_model::random::{Random, ln};

/// A distribution of independent values with mean 0 and variance 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Normal.
    Gaussian,
    /// Double exponential: kurtosis 6.
    Laplace,
    /// Student's t with 5 degrees of freedom: kurtosis 9, polynomial tails.
    StudentT,
}

impl Distribution {
    /// The name configurations use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Laplace => "laplace",
            Self::StudentT => "student-t",
        }
    }

    /// The distribution of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Gaussian, Self::Laplace, Self::StudentT].into_iter().find(|source| source.name() == name)
    }

    fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Gaussian => random.normal(),
            Self::Laplace => {
                let sign = if random.bits() >> 63 == 0 { 1.0 } else { -1.0 };
                -sign * ln(random.uniform()) * std::f64::consts::FRAC_1_SQRT_2
            }
            Self::StudentT => {
                // Chi-squared with 5 degrees of freedom = two exponentials and one squared normal; the variance 5/3 is divided out.
                let z = random.normal();
                let half = random.normal();
                let chi_squared = -2.0 * ln(random.uniform() * random.uniform()) + half * half;
                z * (3.0 / chi_squared).sqrt()
            }
        }
    }
}

/// A tensor of independent values of unit variance; the same bits for the same arguments on every machine.
///
/// # Panics
/// Where the shape holds more values than memory.
pub fn synthetic(source: Distribution, shape: &[usize], seed: u64) -> Tensor {
    let mut random = Random::new(seed);
    let count = shape.iter().product();
    let values = (0..count).map(|_| source.draw(&mut random) as f32).collect();
    Tensor::new(shape.to_vec(), values, DType::F32).expect("as many values as the shape says")
}

/// The seed report's six layer shapes with Gaussian values of unit variance.
pub fn report_shapes() -> Vec<(TensorInfo, Tensor)> {
    let layers: [(&str, &[usize], &'static str); 6] = [
        ("linear_small", &[64, 128], "linear"),
        ("linear_medium", &[256, 512], "linear"),
        ("linear_large", &[512, 1024], "linear"),
        ("conv_3x3", &[64, 32, 3, 3], "conv3x3"),
        ("conv_1x1", &[128, 256, 1, 1], "conv1x1"),
        ("embedding", &[1000, 256], "embedding"),
    ];
    let tensor = |(seed, (name, shape, layer_type))| {
        (TensorInfo::new(name, shape, layer_type), synthetic(Distribution::Gaussian, shape, seed))
    };
    (0u64..).zip(layers).map(tensor).collect()
}
