//! One cell of the matrix: one codec on one tensor.

use rayon::ThreadPool;
use seedpress_results::{Status, TensorRow};

use crate::config::CodecRow;
use crate::measure::{Bench, measure};
use crate::records::Records;
use crate::source::{Source, TensorInfo};

/// Measures a cell; failing is a row too. `None` where the user stopped the search for a plan that the cell needs.
pub(crate) fn tensor_row(
    records: &mut Records<'_>,
    decode_pool: &ThreadPool,
    model: &Source,
    codec: &CodecRow,
    info: &TensorInfo,
) -> Option<TensorRow> {
    let mut row = blank(records, model, codec, info);
    let chosen = records.chosen(model, codec, info);
    if chosen.is_err() && records.stopped() {
        return None;
    }
    let measured = chosen.and_then(|chosen| measured(records, decode_pool, model, (codec, &chosen), info, &mut row));
    if let Err(error) = measured {
        row.status = Status::Failed;
        row.error = Some(one_line(&error));
    }
    Some(row)
}

/// What is known of a cell before it is measured.
fn blank(records: &Records<'_>, model: &Source, codec: &CodecRow, info: &TensorInfo) -> TensorRow {
    TensorRow {
        key: records.matrix.tensor_key(codec, model, info),
        codec: codec.name(),
        label: codec.label.clone(),
        codec_id: codec.codec.id().to_owned(),
        stage: codec.codec.stage().unwrap_or_default().to_owned(),
        options: codec.options(),
        mode: Some(codec.mode()),
        code: records.matrix.tensor_code(codec, info),
        ..model.row(info)
    }
}

fn measured(
    records: &mut Records<'_>,
    decode_pool: &ThreadPool,
    model: &Source,
    (codec, chosen): (&CodecRow, &CodecRow),
    info: &TensorInfo,
    row: &mut TensorRow,
) -> Result<(), String> {
    let matrix = records.matrix;
    let (stored, kept_by) = matrix.stored_by(chosen, info);
    let planned = (chosen.codec.name() != codec.codec.name()).then(|| chosen.codec.name());
    row.stored_by = kept_by.or(planned);
    let prepared = records.prepared(model, codec, stored, info)?;
    row.sequential = codec.sequential.then_some(prepared.corrected.is_some());
    row.calibrated = prepared.calibration.is_some();
    row.scarce = prepared.scarce;
    let bench = Bench {
        registry: records.registry,
        encode_pool: &records.pool,
        decode_pool,
        encode_runs: records.matrix.run.encode_runs.size(),
        decode_runs: records.matrix.run.decode_runs.size(),
        calibration: prepared.calibration.as_deref(),
        corrected: prepared.corrected.as_ref(),
    };
    let tensor = model.load(info)?;
    let bytes = measure(bench, stored, &info.name, &tensor, row).map_err(|error| error.to_string())?;
    records.keep(model, codec, chosen, info, &bytes);
    Ok(())
}

/// A message as it stands in a row.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
