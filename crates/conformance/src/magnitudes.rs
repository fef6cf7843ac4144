//! Weights of very different magnitudes in one tensor: what is large must not destroy what is not.

use seedpress_codec::{AnyCodec, DType, EncodeContext, Registry, RowErrors, Tensor, row_errors};

use crate::{Verdict, broken, inputs};

const ROWS: usize = 24;
/// Whole blocks of every codec, so that none crosses rows.
const COLUMNS: usize = 256;
const SPOILT_ROW: usize = 5;

/// How much worse the rows beside an outlier may be than without it.
const WORSE: f64 = 1.1;

/// The largest relative error of a row that is far below its tensor's scale: zeros are 1.
const TINY_ROW: f64 = 1.2;

/// The squared error of all rows but the one with the outlier.
fn elsewhere(registry: &Registry, codec: &AnyCodec, values: &[f32]) -> Result<(f64, Vec<f32>), String> {
    let decoded = decoded(registry, codec, &[ROWS, COLUMNS], values)?;
    let pairs = values.chunks(COLUMNS).zip(decoded.chunks(COLUMNS)).enumerate();
    let others = pairs.filter(|&(row, _)| row != SPOILT_ROW).flat_map(|(_, (a, b))| a.iter().zip(b));
    let error = others.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    Ok((error, decoded))
}

fn decoded(registry: &Registry, codec: &AnyCodec, shape: &[usize], values: &[f32]) -> Result<Vec<f32>, String> {
    let tensor = Tensor::new(shape.to_vec(), values.to_vec(), DType::F32).map_err(|error| error.to_string())?;
    let record = codec.encode(&tensor.view("w"), &EncodeContext::default()).map_err(|error| error.to_string())?;
    let decoded = registry.decode_bytes(&record.to_bytes()).map_err(|error| error.to_string())?;
    Ok(decoded.tensor.into_values())
}

fn rows(registry: &Registry, codec: &AnyCodec, shape: &[usize], values: &[f32]) -> Result<RowErrors, String> {
    let tensor = Tensor::new(shape.to_vec(), values.to_vec(), DType::F32).map_err(|error| error.to_string())?;
    Ok(row_errors(&tensor.view("w"), &decoded(registry, codec, shape, values)?))
}

/// One weight of up to 1e30 deviations leaves the other rows as they are without it, and comes back nearly itself.
///
/// # Errors
/// The first broken promise.
pub fn an_outlier_spares_other_rows(registry: &Registry, codec: &AnyCodec) -> Verdict {
    const DEVIATION: f32 = 0.02;
    let plain: Vec<f32> = inputs::gaussian(ROWS * COLUMNS, 21).iter().map(|v| v * DEVIATION).collect();
    let (usual, _) = elsewhere(registry, codec, &plain)?;
    for size in [1e3f32, 1e4, 1e6, 1e30] {
        let mut values = plain.clone();
        let at = SPOILT_ROW * COLUMNS + 77;
        values[at] = -size * DEVIATION;
        let name = format!("an outlier of {size:e} deviations");
        let (error, decoded) = elsewhere(registry, codec, &values).map_err(|error| broken(error, &name))?;
        if error > WORSE * usual {
            return Err(broken(format!("the error of other rows grew from {usual:e} to {error:e}"), &name));
        }
        // A cast saturates, and the floor keeps nothing.
        let saturates = matches!(codec.id(), "zeros" | "f16") && size > 1e5 || codec.id() == "zeros";
        if !saturates && (decoded[at] / values[at] - 1.0).abs() > 0.2 {
            return Err(broken(format!("it came back as {:e} instead of {:e}", decoded[at], values[at]), &name));
        }
    }
    Ok(())
}

/// Rows of magnitudes 1e-30 among rows of 1e30 come back no worse than zeros would be, nearly; the large ones as well as ever.
///
/// # Errors
/// The first broken promise.
pub fn tiny_rows_stay_tiny(registry: &Registry, codec: &AnyCodec) -> Verdict {
    for (shape, scale) in [([24, 256], 1e30), ([23, 41], 1e30), ([24, 256], 1e-4), ([9, 300], 1e12), ([60, 3], 1e20)] {
        let count = shape[0] * shape[1];
        let tiny = |row: usize| row % 3 != 1;
        let values: Vec<f32> = inputs::gaussian(count, 8)
            .iter()
            .enumerate()
            .map(|(index, v)| v * if tiny(index / shape[1]) { scale * 1e-20 * 1e-20 } else { scale })
            .collect();
        let name = format!("{shape:?} with rows of {scale:e} and 1e-40 of it");
        let errors = rows(registry, codec, &shape, &values).map_err(|error| broken(error, &name))?;
        if errors.largest > TINY_ROW {
            return Err(broken(format!("a row has the relative error {:e}", errors.largest), &name));
        }
    }
    Ok(())
}

/// The same values as stacked matrices and as one tall matrix have the same errors.
///
/// # Errors
/// The first broken promise.
pub fn stacked_matrices_are_one_tall_matrix(registry: &Registry, codec: &AnyCodec) -> Verdict {
    let values = inputs::gaussian(4 * 6 * 64, 13);
    let tall = decoded(registry, codec, &[24, 64], &values)?;
    let stacked = decoded(registry, codec, &[4, 6, 64], &values)?;
    if tall == stacked { Ok(()) } else { Err("stacked matrices decode to other values than one tall matrix".into()) }
}
