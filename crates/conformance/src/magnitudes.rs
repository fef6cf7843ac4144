//! Weights of very different magnitudes in one tensor: what is large must not destroy what is not.

use seedpress_codec::{AnyCodec, DType, EncodeContext, Registry, RowErrors, Tensor, row_errors};

use crate::{Verdict, broken, inputs};

const ROWS: usize = 24;
/// Whole blocks of every codec, so that none crosses rows.
const COLUMNS: usize = 256;
const SPOILT_ROW: usize = 5;

/// Of ordinary weights.
const DEVIATION: f32 = 0.02;

/// How much worse the rows beside an outlier may be than without it.
const WORSE: f64 = 1.1;

/// How much worse the middle row, and the worst, may be beside loud rows: powers of two bring these within a factor of the root of 2.
const WORSE_MIDDLE: f64 = 1.2;
const WORSE_ROW: f64 = 1.6;

/// Relative errors of codecs that are nearly lossless.
const TINY_ERROR: f64 = 1e-3;

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

/// Rows of up to 1e30 times their weights leave the others nearly as they are without that, and come back as well as these, each by itself.
///
/// # Errors
/// The first broken promise.
pub fn loud_rows_spare_other_rows(registry: &Registry, codec: &AnyCodec) -> Verdict {
    let plain: Vec<f32> = inputs::gaussian(ROWS * COLUMNS, 22).iter().map(|v| v * DEVIATION).collect();
    let usual = rows(registry, codec, &[ROWS, COLUMNS], &plain)?;
    for (loud, size) in [(&[SPOILT_ROW][..], 1e4f32), (&[0], 1e12), (&[ROWS - 1], 1e30), (&[3, 4, 17], 1e6)] {
        let mut values = plain.clone();
        for &row in loud {
            values[row * COLUMNS..(row + 1) * COLUMNS].iter_mut().for_each(|value| *value *= size);
        }
        let name = format!("rows {loud:?} of {size:e} times their weights");
        let found = rows(registry, codec, &[ROWS, COLUMNS], &values).map_err(|error| broken(error, &name))?;
        // A cast saturates, and the floor keeps nothing: of these, the ordinary rows only.
        let largest = if matches!(codec.id(), "zeros" | "f16") { found.median } else { found.largest };
        let middle = ("median", found.median, WORSE_MIDDLE * usual.median);
        for (what, found, most) in [middle, ("worst", largest, WORSE_ROW * usual.largest)] {
            if found > most + TINY_ERROR {
                return Err(broken(format!("the error of the {what} row is {found}, above {most}"), &name));
            }
        }
    }
    Ok(())
}

/// Columns of up to 1e30 times their weights leave all others as they are without that, where scales are a tensor's.
///
/// # Errors
/// The first broken promise.
pub fn a_loud_column_spares_the_others(registry: &Registry, codec: &AnyCodec) -> Verdict {
    const COLUMN: usize = 77;
    // Within a block, an outlier harms its own: that is what such codecs are.
    if codec.capabilities().local_scales {
        return Ok(());
    }
    let plain: Vec<f32> = inputs::gaussian(ROWS * COLUMNS, 23).iter().map(|v| v * DEVIATION).collect();
    let others = |values: &[f32]| -> Result<f64, String> {
        let decoded = decoded(registry, codec, &[ROWS, COLUMNS], values)?;
        let pairs = values.iter().zip(&decoded).enumerate().filter(|(index, _)| index % COLUMNS != COLUMN);
        Ok(pairs.map(|(_, (&a, &b))| (f64::from(a) - f64::from(b)).powi(2)).sum())
    };
    let usual = others(&plain)?;
    for size in [1e4f32, 1e6, 1e30] {
        let mut values = plain.clone();
        values.chunks_mut(COLUMNS).for_each(|row| row[COLUMN] *= size);
        let name = format!("a column of {size:e} times its weights");
        let found = others(&values).map_err(|error| broken(error, &name))?;
        if found > WORSE * usual {
            return Err(broken(format!("the error of other columns grew from {usual:e} to {found:e}"), &name));
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
