//! One page of an audit, whole in itself: no script, nothing that is fetched.

use std::fmt::Write as _;

use super::findings::Findings;
use super::overlap::RUN;
use super::weights::Compared;
use crate::print::bytes;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child{text-align:left}.bar{display:block;width:8rem}.bar i{display:block;height:.7rem;background:#4878a8}\
.bad i{background:#b0413e}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}code{overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th,td{border-color:#444}}";

/// Text that HTML takes literally.
fn escaped(text: &str) -> String {
    let printable = seedpress::codec::text::printable(text);
    printable.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn table(page: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    page.push_str("<table><thead><tr>");
    head.iter().for_each(|cell| *page += &format!("<th>{cell}</th>"));
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        row.iter().for_each(|cell| *page += &format!("<td>{cell}</td>"));
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

/// The page.
pub(super) fn page(found: &Findings) -> String {
    let weights = &found.weights;
    let mut page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Audit of {0}</title><style>{STYLE}</style></head><body>\n<h1>Audit of <code>{0}</code></h1>\n\
         <p>{1}, against <code>{2}</code>. {3}, <strong>{4:.4} bits a weight</strong> of the whole file, embedding and head counted.</p>\n",
        escaped(&found.model),
        escaped(&weights.format),
        escaped(&found.reference),
        bytes(weights.file_bytes),
        weights.bits(),
    );
    let evaluation = &found.evaluation;
    let _ = writeln!(
        page,
        "<h2>On text</h2><p>{} predictions, {} documents, context {}, stride {}; divergence is KL(reference || file) in nats a token; \
         95 % intervals, {} resampled, both models on the same text.</p>",
        evaluation.predictions, evaluation.documents, found.context, found.stride, evaluation.resampled
    );
    let figure = |(name, value, interval): (&str, String, String)| vec![name.to_owned(), value, interval];
    table(&mut page, &["figure", "value", "95 %"], found.figures().into_iter().map(figure));
    if let Some(overlap) = &found.overlap {
        let _ = writeln!(
            page,
            "<p>{:.3} % of the text was in the calibration text: {} of {} runs of {RUN} tokens, in {} of {} documents.</p>",
            100.0 * overlap.share(),
            overlap.shared,
            overlap.runs,
            overlap.touched,
            overlap.documents
        );
    }
    page.push_str("<h2>Types</h2>\n");
    let kinds = found.kinds();
    let kind = |kind: &super::findings::Kind| {
        let bits = format!("{:.3}", kind.bits());
        vec![escaped(&kind.kind), kind.tensors.to_string(), kind.weights.to_string(), bytes(kind.bytes), bits]
    };
    table(&mut page, &["type", "tensors", "weights", "bytes", "bits a weight"], kinds.iter().map(kind));
    let above = found.above().len();
    let _ = writeln!(
        page,
        "<h2>Tensors</h2><p>{above} of {} have a relative error above {}.</p>",
        weights.tensors.len(),
        found.threshold
    );
    let largest =
        weights.tensors.iter().filter_map(|tensor| tensor.error).filter(|error| error.is_finite()).fold(0.0, f64::max);
    let heads = ["tensor", "type", "bits a weight", "error", "worst row", ""];
    table(&mut page, &heads, weights.tensors.iter().map(|tensor| row(tensor, largest, found.threshold)));
    for name in &weights.missing {
        let _ = writeln!(page, "<p><code>{}</code> is not in the file.</p>", escaped(name));
    }
    page.push_str("</body></html>\n");
    page
}

fn row(tensor: &Compared, largest: f64, threshold: f64) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let share = tensor.error.filter(|_| largest > 0.0).map_or(0.0, |error| (100.0 * error / largest).clamp(0.0, 100.0));
    let bad = if tensor.error.is_some_and(|error| error > threshold) { " bad" } else { "" };
    vec![
        format!("<code>{}</code>", escaped(&tensor.name)),
        escaped(&tensor.kind),
        format!("{:.3}", tensor.bits()),
        number(tensor.error),
        number(tensor.worst_row),
        format!("<span class=\"bar{bad}\"><i style=\"width:{share:.1}%\"></i></span>"),
    ]
}
