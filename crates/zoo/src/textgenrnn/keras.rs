//! The package's Keras file as tensors, outputs first.

use super::layout::{CLASSES, GATES, NAMES, WIDTH};
use crate::error::ZooError;
use crate::fetch::tensors::Tensors;

/// Shape and values of the data set at a path.
pub(crate) type Read<'a> = dyn Fn(&str) -> Result<(Vec<usize>, Vec<f32>), ZooError> + 'a;

/// The tensors of the package's Keras file, outputs first. The LSTMs were stored in the layout of cuDNN: of each gate's block of
/// `kernel`, the numbers in order of storage are the transposed matrix row by row; of `recurrent_kernel` the block is that matrix; two
/// biases add up.
pub(crate) fn from_keras(read: &Read<'_>) -> Result<Tensors, ZooError> {
    let mut tensors = Tensors::new();
    let mut values = Vec::new();
    for (name, shape, _) in NAMES {
        let layer = name.split('.').next().unwrap_or(name);
        let part = match name.rsplit('.').next() {
            Some("weight_ih") => "kernel:0",
            Some("weight_hh") => "recurrent_kernel:0",
            Some("bias") => "bias:0",
            _ if layer == "embedding" => "embeddings:0",
            _ if layer == "attention" => "attention_W:0",
            _ => "kernel:0",
        };
        let (_, stored) = read(&format!("{layer}/{layer}/{part}"))?;
        let columns = *shape.last().unwrap_or(&1);
        values.clear();
        match part {
            "kernel:0" | "recurrent_kernel:0" if layer != "output" => {
                // The four gates stand side by side in each row.
                for gate in 0..4 {
                    values.extend(stored.chunks(GATES).flat_map(|row| row.iter().skip(gate * WIDTH).take(WIDTH)));
                }
            }
            "bias:0" if layer != "output" => {
                let (first, second) = stored.split_at(stored.len() / 2);
                values.extend(first.iter().zip(second).map(|(a, b)| a + b));
            }
            "kernel:0" => {
                let at = |row: usize, column: usize| stored.get(column * CLASSES + row).copied().unwrap_or(f32::NAN);
                values.extend(
                    (0..CLASSES).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|(r, c)| at(r, c)),
                );
            }
            _ => values.extend(&stored),
        }
        if values.len() != shape.iter().product::<usize>() {
            return Err(ZooError::bad_file(
                std::path::Path::new("textgenrnn_weights.hdf5"),
                format!("{layer} {part} holds {} numbers", stored.len()),
            ));
        }
        tensors.insert(name.to_owned(), (shape.to_vec(), values.clone()));
    }
    Ok(tensors)
}
