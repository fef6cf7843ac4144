//! What llama.cpp does to values between a checkpoint of Hugging Face and GGUF.
//!
//! | change | who | GGUF holds |
//! | --- | --- | --- |
//! | [`Change::Permute`] | q and k of the `llama` architecture | rows of a head in the order 0, d/2, 1, d/2 + 1, ...: rotated pairs side by side |
//! | [`Change::PlusOne`] | norms of Gemma | the weight plus one |
//! | [`Change::Transpose`] | linear layers of GPT-2, which are `Conv1D` | outputs as rows |
//!
//! Source: `convert_hf_to_gguf.py` of llama.cpp.

use seedpress_codec::Tensor;

use crate::cursor::Why;

/// What is done to a tensor on its way into GGUF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The rows of each of so many heads are reordered.
    Permute {
        /// Heads.
        heads: usize,
    },
    /// One is added.
    PlusOne,
    /// Rows become columns.
    Transpose,
}

impl Change {
    /// The shape at the other side.
    pub fn shape(&self, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Self::Transpose, &[rows, columns]) => vec![columns, rows],
            _ => shape.to_vec(),
        }
    }

    /// From Hugging Face's to GGUF's.
    pub fn apply(&self, tensor: Tensor) -> Result<Tensor, Why> {
        self.turn(tensor, true)
    }

    /// From GGUF's to Hugging Face's.
    pub fn undo(&self, tensor: Tensor) -> Result<Tensor, Why> {
        self.turn(tensor, false)
    }

    /// Rows of packed bytes, in GGUF's order (`forward`) or in Hugging Face's; `None` where more is done to them than reordering.
    ///
    /// # Errors
    /// Rows that are no heads.
    pub fn turn_rows(&self, bytes: &[u8], rows: usize, forward: bool) -> Result<Option<Vec<u8>>, Why> {
        match *self {
            Self::None => Ok(Some(bytes.to_vec())),
            Self::Permute { heads } => Ok(Some(permute_rows(bytes, rows, &order_of(rows, heads, forward)?))),
            Self::PlusOne | Self::Transpose => Ok(None),
        }
    }

    fn turn(&self, tensor: Tensor, forward: bool) -> Result<Tensor, Why> {
        let (shape, dtype) = (self.shape(tensor.shape()), tensor.dtype());
        let values = match *self {
            Self::None => return Ok(tensor),
            Self::PlusOne => {
                let one = if forward { 1.0 } else { -1.0 };
                tensor.into_values().into_iter().map(|value| value + one).collect()
            }
            Self::Transpose => {
                let &[rows, columns] = tensor.shape() else { return Ok(tensor) };
                let values = tensor.values();
                (0..rows * columns).map(|at| values[at % rows * columns + at / rows]).collect()
            }
            Self::Permute { heads } => {
                let rows = shape.first().copied().unwrap_or(0);
                permute_rows(tensor.values(), rows, &order_of(rows, heads, forward)?)
            }
        };
        Tensor::new(shape, values, dtype).map_err(|error| error.to_string())
    }
}

fn order_of(rows: usize, heads: usize, forward: bool) -> Result<Vec<usize>, Why> {
    head_order(rows, heads, forward)
        .ok_or_else(|| format!("{rows} rows are not {heads} heads of an even number of rows, as its metadata says"))
}

/// For every row of the result, the row it comes from. `None` where heads do not divide the rows into even parts.
pub(crate) fn head_order(rows: usize, heads: usize, forward: bool) -> Option<Vec<usize>> {
    if heads == 0 || !rows.is_multiple_of(2 * heads) {
        return None;
    }
    let (head, half) = (rows / heads, rows / heads / 2);
    let within = |i: usize| if forward { i % 2 * half + i / 2 } else { i % half * 2 + i / half };
    Some((0..rows).map(|row| row / head * head + within(row % head)).collect())
}

/// Rows in another order. Rows are whole however they are packed.
pub(crate) fn permute_rows<T: Copy>(values: &[T], rows: usize, order: &[usize]) -> Vec<T> {
    let columns = values.len() / rows.max(1);
    order.iter().flat_map(|&row| &values[row * columns..(row + 1) * columns]).copied().collect()
}

#[cfg(test)]
mod tests {
    use seedpress_codec::DType;

    use super::*;

    #[test]
    fn changes_undo_each_other() {
        let values: Vec<f32> = (0..48u8).map(f32::from).collect();
        let tensor = Tensor::new(vec![12, 4], values, DType::F32).unwrap();
        for change in [Change::None, Change::Permute { heads: 2 }, Change::PlusOne, Change::Transpose] {
            let there = change.apply(tensor.clone()).unwrap();
            assert_eq!(change.undo(there).unwrap(), tensor, "{change:?}");
        }
        assert!(Change::Permute { heads: 5 }.apply(tensor).is_err());
    }

    #[test]
    fn rotated_pairs_lie_side_by_side() {
        // reshape(2 heads, 2, 3) with the last two axes swapped, as llama.cpp's converter does it.
        assert_eq!(head_order(12, 2, true).unwrap(), [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    }
}
