//! `summary.csv`: one line for each codec, model and metric, derived numbers to 12 digits.

use std::fmt::Write as _;

use seedpress_results::{ModelRow, Status};

use crate::format::rounded;
use crate::study::Study;
use crate::sums::{Sums, speed};

const HEADINGS: &str = "codec,label,codec_id,stage,model,synthetic,status,tensors_ok,weights,bytes,bits_per_weight,ratio,relative_error,relative_mse,snr_db,gap_db,encode_weights_per_second,decode_weights_per_second,metric,baseline,compressed,low,high,samples";

/// The file.
pub(crate) fn summary(study: &Study) -> String {
    let mut csv = format!("{HEADINGS}\n");
    for contender in &study.contenders {
        for model in &study.model_names {
            let sums = Sums::over(study.cell(contender, model));
            let whole: Vec<Option<&ModelRow>> = study.whole(contender, model).map(Some).collect();
            let rows = if whole.is_empty() { vec![None] } else { whole };
            if rows == [None] && study.cell(contender, model).next().is_none() {
                continue;
            }
            for row in rows {
                let failed = row.map_or(sums.tensors == 0, |row| row.status == Status::Failed);
                let done = row.filter(|row| row.status == Status::Ok);
                let (bytes, weights) = done.map_or((sums.bytes, sums.weights), |row| (row.bytes, row.weights));
                let bits = 8.0 * bytes as f64 / weights as f64;
                let words = [&contender.codec, &contender.label, &contender.codec_id, &contender.stage, model];
                for word in words {
                    let _ = write!(csv, "{},", quote(word));
                }
                let _ = write!(csv, "{},{},", study.is_synthetic(model), if failed { "failed" } else { "ok" });
                let _ = write!(csv, "{},{weights},{bytes},", done.map_or(sums.tensors, |row| row.tensors_ok));
                for value in [bits, 32.0 / bits, sums.relative_error(), sums.relative_mse(), sums.snr(), sums.gap()] {
                    let _ = write!(csv, "{},", number(Some(value)));
                }
                let encode = done.and_then(|row| speed(row.weights, &row.encode_seconds)).or(sums.encode_speed());
                let decode = done.and_then(|row| speed(row.weights, &row.decode_seconds)).or(sums.decode_speed());
                let _ = write!(csv, "{},{},", number(encode), number(decode));
                let _ = write!(csv, "{},", quote(done.map_or("", |row| &row.metric)));
                let interval = done.and_then(|row| row.interval);
                let (low, high) = (interval.map(|i| i[0]), interval.map(|i| i[1]));
                for value in [done.and_then(|row| row.baseline), done.and_then(|row| row.compressed), low, high] {
                    let _ = write!(csv, "{},", number(value));
                }
                let _ = writeln!(csv, "{}", done.map_or_else(String::new, |row| row.samples.to_string()));
            }
        }
    }
    csv
}

fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or_else(String::new, |value| rounded(value, 12).to_string())
}

fn quote(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
