//! Options, and the shape of the layers they lead to.

use schemars::JsonSchema;
use seedpress_codec::{Int, Number};
use serde::{Deserialize, Serialize};

use crate::codebook::DECIMATIONS;
use crate::values::Values;

/// What of the inputs' second moment an encoder minimises the output error by. Without calibration data there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hessian {
    /// Nothing, or its diagonal where errors are `weighted`.
    #[default]
    None,
    /// All of it: blocks make up for the errors of those before them.
    Full,
}

/// Options of `seedlm-progressive`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Target in bits per weight, all layers together; chooses `layers` and `block`, and may lower `k` and `terms` to land closer.
    /// Met within 1.5 % on tensors of more than a few thousand weights; gains and headers come on top (under 0.02 bits there).
    pub bits: Option<Number<500, 8000>>,
    /// Compression level of the seed report, 0.1 (best quality) to 0.9 (smallest), mapped to a `bits` target of `4.5 - 4 level`:
    /// 0.1 is 4.1 bits, 0.3 is 3.3, 0.5 is 2.5, 0.7 is 1.7, 0.9 is 0.9. Ignored where `bits` is given.
    pub level: Option<Number<100, 900>>,
    /// Layers: the base and its enhancements. Ignored where `bits` or `level` is given.
    pub layers: Int<1, 8>,
    /// Weights in a block. A layer takes `terms (k + 1) / block` bits per weight. Ignored where `bits` or `level` is given.
    pub block: Int<4, 64>,
    /// Codewords a layer adds to each block. Doubling it together with `block` keeps the bits, gains about 0.2 dB and doubles the time.
    pub terms: Int<1, 4>,
    /// Bits of a seed. One more takes twice the time.
    pub k: Int<8, 18>,
    /// Alternatives kept from one codeword to the next: 1 is greedy (best first layer), more favour the last layer.
    pub beam: Int<1, 64>,
    /// What the error of a shorter prefix counts against the error of all layers, in relative terms, when alternatives are compared.
    pub prefix: Number<0, 10_000>,
    /// Codewords tried for each block and stage, from the start of the sequence: fewer is faster and worse.
    pub candidates: Int<16, 262_143>,
    /// Distribution of the values of a codeword.
    pub values: Values,
    /// Weigh the error of a column by the mean square of its input, where calibration data is given: better outputs, larger plain error.
    /// The bytes have the same layout. Slower: every block has penalties of its own.
    pub weighted: bool,
    /// `full` minimises the error of the layer's output, with calibration data: codewords are chosen by the quadratic form of a block's
    /// inputs, and errors of all layers together are fed forward to later blocks, so a prefix gains less than the whole. The bytes have
    /// the same layout; `weighted` then says nothing more.
    pub hessian: Hessian,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bits: None,
            level: None,
            layers: Int::of(3),
            block: Int::of(28),
            terms: Int::of(2),
            k: Int::of(14),
            beam: Int::of(12),
            prefix: Number::of(0.5),
            candidates: Int::of(262_143),
            values: Values::Gaussian,
            weighted: false,
            hessian: Hessian::None,
        }
    }
}

/// The shape of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bits of a seed.
    pub width: u32,
    /// Weights in a block.
    pub block: usize,
    /// Stages in a layer.
    pub terms: usize,
    /// Layers.
    pub layers: usize,
}

impl Shape {
    /// Stages in all.
    pub fn stages(&self) -> usize {
        self.layers * self.terms
    }

    /// Bits per weight that one stage takes.
    pub fn stage_bits(&self) -> f64 {
        f64::from(self.width + 1) / self.block as f64
    }

    /// Bits per weight of seeds and signs.
    pub fn bits(&self) -> f64 {
        self.stage_bits() * self.stages() as f64
    }
}

impl Config {
    /// The shape these options ask for.
    pub fn shape(&self) -> Shape {
        let (width, terms) = (self.k.get() as u32, self.terms.size());
        let target = self.bits.map(Number::get).or(self.level.map(|level| 4.5 - 4.0 * level.get()));
        match target {
            Some(bits) => Self::shape_for(bits, width, terms),
            // Eight layers of four stages are as many as there are sequences.
            None => Shape { width, block: self.block.size(), terms, layers: self.layers.size() },
        }
    }

    /// The shape nearest to a target: every layer between 0.75 and 1.35 bits where that is possible; registers of up to two bits less
    /// or fewer stages a layer where that lands closer.
    fn shape_for(bits: f64, width: u32, terms: usize) -> Shape {
        let mut best = (f64::INFINITY, Shape { width, block: 16, terms, layers: 1 });
        for (less, fewer) in (0..=2.min(width - 8)).flat_map(|less| (0..terms).map(move |fewer| (less, fewer))) {
            let (width, terms) = (width - less, terms - fewer);
            for layers in 1..=(DECIMATIONS.len() / terms).min(8) {
                for block in 4..=64 {
                    let shape = Shape { width, block, terms, layers };
                    let a_layer = shape.bits() / layers as f64;
                    let uneven = (0.75 - a_layer).max(a_layer - 1.35).max(0.0);
                    // A bit less of register or a stage less costs about as much quality as this share of the bits.
                    let loss = 0.004 * f64::from(less) + 0.006 * fewer as f64;
                    let cost = (shape.bits() / bits - 1.0).abs() + loss + 0.3 * uneven;
                    if cost < best.0 {
                        best = (cost, shape);
                    }
                }
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_met_closely() {
        for tenths in 5..=80 {
            let bits = f64::from(tenths) / 10.0;
            let shape = Config { bits: Number::new(bits), ..Config::default() }.shape();
            assert!((shape.bits() / bits - 1.0).abs() < 0.015, "{bits}: {shape:?} {}", shape.bits());
        }
    }
}
