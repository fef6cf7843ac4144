//! A tensor of any rank seen as a matrix of outputs by inputs.
//!
//! | shape | rows | columns |
//! | --- | --- | --- |
//! | scalar | 1 | 1 |
//! | `[n]` | 1 | `n` |
//! | `[out, in]` | `out` | `in` |
//! | convolution, `[out, in, k]`, `[out, in, kh, kw]` | `out` | `in * k`, `in * kh * kw` |
//! | stacked matrices, `[experts, out, in]`, `[layers, experts, out, in]` | all axes but the last | `in` |
//!
//! From rank 3 on a shape alone does not say which of the last two it is. [`MatrixView::of`] takes a tensor for stacked matrices where a part
//! of its name is `expert`, `experts` or `moe`, or where the last axis is longer than any usual kernel and the one before it is no
//! single channel. A caller who knows better says so with [`TensorView::with_view`](crate::TensorView::with_view). The view is part of a
//! record, so a decoder needs no rule.

/// The longest kernel a last axis is taken for.
const LONGEST_KERNEL: usize = 31;

/// Name parts of weights that hold a matrix for each expert.
const STACKED_NAMES: [&str; 3] = ["expert", "experts", "moe"];

/// Which axes of a tensor are outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixView {
    /// The first axis; all others are inputs. What convolutions and plain matrices are.
    #[default]
    FirstAxis,
    /// All but the last, which holds the inputs: matrices stacked along leading axes.
    Stacked,
}

impl MatrixView {
    /// The view of a tensor by its name and shape (see the module's rule). Up to rank 2 both views are the same and it is `FirstAxis`.
    pub fn of(name: &str, shape: &[usize]) -> Self {
        let [.., before, last] = *shape else { return Self::FirstAxis };
        if shape.len() < 3 {
            return Self::FirstAxis;
        }
        let named = || {
            let lower = name.to_ascii_lowercase();
            lower.split(|c: char| !c.is_ascii_alphabetic()).any(|part| STACKED_NAMES.contains(&part))
        };
        if last > LONGEST_KERNEL && before > 1 || named() { Self::Stacked } else { Self::FirstAxis }
    }

    /// Rows and columns of a shape, saturating. For an empty tensor both factors are reported as they are.
    pub fn matrix_shape(self, shape: &[usize]) -> (usize, usize) {
        let product = |dims: &[usize]| dims.iter().fold(1usize, |product, &dim| product.saturating_mul(dim));
        match (self, shape) {
            (_, []) => (1, 1),
            (_, [n]) => (1, *n),
            (Self::FirstAxis, [rows, rest @ ..]) => (*rows, product(rest)),
            (Self::Stacked, [rest @ .., columns]) => (product(rest), *columns),
        }
    }

    /// The shape that codecs are given: stacked matrices as one tall matrix, so that no codec has to know of them; all else as it is.
    pub(crate) fn coded_shape(self, shape: &[usize]) -> Vec<usize> {
        if self == Self::Stacked && shape.len() > 2 {
            let (rows, columns) = self.matrix_shape(shape);
            vec![rows, columns]
        } else {
            shape.to_vec()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_names_tell_experts_from_convolutions() {
        use MatrixView::{FirstAxis, Stacked};
        let cases: [(&str, &[usize], MatrixView); 15] = [
            ("w", &[], FirstAxis),
            ("experts.bias", &[8], FirstAxis),
            ("mlp.experts.0.w1", &[128, 256], FirstAxis),
            ("conv1.weight", &[128, 129, 3], FirstAxis),
            ("stft", &[258, 1, 256], FirstAxis),
            ("conv2d", &[64, 32, 3, 3], FirstAxis),
            ("crepe.conv1", &[1024, 1, 512, 1], FirstAxis),
            ("conv3d", &[16, 8, 3, 3, 3], FirstAxis),
            ("upsample", &[512, 256, 16], FirstAxis),
            ("w", &[8, 128, 256], Stacked),
            ("mlp.experts.gate_up_proj", &[4, 16, 8], Stacked),
            ("block_sparse_moe.w1", &[4, 16, 8], Stacked),
            ("Experts_w", &[2, 3, 4], Stacked),
            ("pos_embed", &[1, 197, 768], Stacked),
            ("layers.mlp", &[12, 8, 128, 256], Stacked),
        ];
        for (name, shape, expected) in cases {
            assert_eq!(MatrixView::of(name, shape), expected, "{name} {shape:?}");
        }
        assert_eq!(Stacked.matrix_shape(&[12, 8, 128, 256]), (12 * 8 * 128, 256));
        assert_eq!(Stacked.coded_shape(&[8, 128, 256]), [1024, 256]);
        assert_eq!(Stacked.coded_shape(&[7]), [7]);
        assert_eq!(FirstAxis.coded_shape(&[64, 32, 3, 3]), [64, 32, 3, 3]);
    }
}
