//! What changed between two runs.

#![allow(clippy::unwrap_used)]

use seedpress_bench::compare::{Verdict, compare};
use seedpress_results::{ModelRow, Outcomes, Row, Status, TensorRow};

fn tensor(bytes: u64, seconds: f64) -> Row {
    let (codec, model, tensor) = ("rtn".to_owned(), "m".to_owned(), "t".to_owned());
    let (encode_seconds, decode_seconds) = (vec![seconds], vec![seconds]);
    Row::Tensor(TensorRow {
        codec,
        model,
        tensor,
        bytes,
        weights: 9,
        encode_seconds,
        decode_seconds,
        ..TensorRow::default()
    })
}

/// A thousand images, those below `hits` right, in turns with those from `from` on.
fn model(right: impl Fn(usize) -> bool, kept: bool) -> Row {
    let hits: Vec<f64> = (0..1000).map(|image| f64::from(u8::from(right(image)))).collect();
    let figure = hits.iter().sum::<f64>() / 1000.0;
    Row::Model(ModelRow {
        codec: "rtn".to_owned(),
        model: "m".to_owned(),
        metric: "accuracy".to_owned(),
        higher_is_better: true,
        compressed: Some(figure),
        interval: Some([figure - 0.02, figure + 0.02]),
        outcomes: Outcomes::new(&hits, &[1.0; 1000]).filter(|_| kept),
        ..ModelRow::default()
    })
}

#[test]
fn sizes_are_judged_by_the_threshold_and_speeds_are_summed_up() {
    let compared = compare(&[tensor(100, 1.0)], &[tensor(103, 0.5)], 0.05);
    assert!(!compared.is_worse() && compared.changes.is_empty() && compared.figures == 3);
    let speeds: Vec<_> = compared.speeds.iter().map(|speeds| (speeds.what.as_str(), speeds.mean.round())).collect();
    assert_eq!(speeds, [("encode", 2.0), ("encode rtn", 2.0), ("decode", 2.0), ("decode rtn", 2.0)]);
    let text = compare(&[tensor(100, 1.0)], &[tensor(110, 1.0)], 0.05).to_string();
    assert!(text.contains("WORSE   rtn on m/t: bytes 100.000000 -> 110.000000 (+10.0 %)"), "{text}");
    assert!(text.contains("1 of these cells are of other or unknown revisions"), "{text}");
}

#[test]
fn metrics_are_judged_pair_by_pair() {
    let (all, less) =
        (|image: usize| !image.is_multiple_of(10), |image: usize| !image.is_multiple_of(10) && image % 100 != 1);
    // Ten answers of a thousand, all to the worse: far inside both intervals.
    let compared = compare(&[model(all, true)], &[model(less, true)], 0.05);
    assert!(compared.is_worse() && compared.tested == 1, "{compared}");
    let better = compare(&[model(less, true)], &[model(all, true)], 0.05);
    assert!(!better.is_worse() && better.changes[0].verdict == Verdict::Better, "{better}");
    // As many to either side.
    let other = |image: usize| !image.is_multiple_of(10) && image % 100 != 2;
    assert!(compare(&[model(other, true)], &[model(less, true)], 0.0).changes.is_empty());
    // Without outcomes only intervals are left.
    assert!(compare(&[model(all, false)], &[model(less, true)], 0.05).changes.is_empty());
    let half = |image: usize| image.is_multiple_of(2);
    let compared = compare(&[model(all, false)], &[model(half, false)], 0.05);
    assert!(compared.is_worse() && compared.changes[0].paired.is_none());
    let open = compare(&[model(all, false)], &[model(less, false)], 0.005);
    assert!(!open.is_worse() && open.changes[0].verdict == Verdict::Open, "{open}");
}

#[test]
fn failures_are_no_figures() {
    let failed = |row: Row| match row {
        Row::Tensor(row) => Row::Tensor(TensorRow { status: Status::Failed, ..row }),
        other => other,
    };
    let one = [failed(tensor(1, 1.0))];
    assert!(compare(&one, &one, 0.05).is_empty());
    assert!(compare(&[tensor(1, 1.0)], &one, 0.05).is_worse());
    assert!(!compare(&one, &[tensor(1, 1.0)], 0.05).is_worse());
    assert!(compare(&one, &[], 0.05).is_empty());
}
