//! A report can be drawn whatever the rows hold, and the same rows give the same bytes.

#![allow(clippy::unwrap_used)]

use seedpress_results::{
    AssignmentRow, ModelRow, Outcomes, PlanRow, Prefix, Row, Run, SensitivityRow, Status, TensorRow, append,
    append_plans, write_run,
};

fn tensor_row(codec: &str, bits: f64, model: &str, tensor: &str, synthetic: bool) -> Row {
    let error = 100.0 * 4f64.powf(-bits);
    let prefixes = vec![Prefix { bytes: 100, squared_error: 50.0 }, Prefix { bytes: 300, squared_error: error }];
    Row::Tensor(TensorRow {
        key: format!("{codec}{model}{tensor}"),
        codec: codec.into(),
        codec_id: codec.split(':').next().unwrap().into(),
        model: model.into(),
        tensor: tensor.into(),
        synthetic,
        layer_type: "linear".into(),
        shape: vec![64, 128],
        weights: 8192,
        bytes: (bits * 1024.0) as u64 + 20,
        squared_error: error,
        energy: 100.0,
        dot: 90.0,
        decoded_energy: 95.0,
        encode_seconds: vec![0.1],
        decode_seconds: vec![0.01],
        threads: 1,
        prefixes,
        parts: [("indices".to_owned(), 500)].into(),
        ..TensorRow::default()
    })
}

fn model_rows(codec: &str, bits: f64) -> [Row; 2] {
    let row =
        ModelRow { key: codec.into(), codec: codec.into(), model: "mlp".into(), weights: 16384, ..ModelRow::default() };
    let accuracy = ModelRow {
        bytes: 4200,
        source_bytes: 65536,
        metric: "accuracy".into(),
        higher_is_better: true,
        baseline: Some(0.9),
        compressed: Some(0.8),
        interval: Some([0.7, 0.85]),
        tensors_ok: 2,
        tensors: 2,
        ..row.clone()
    };
    let divergence = ModelRow {
        bytes: (bits * 2048.0) as u64 + 104,
        metric: "KL divergence".into(),
        baseline: Some(0.0),
        compressed: Some(4f64.powf(-bits)),
        interval: Some([0.9 * 4f64.powf(-bits), 1.1 * 4f64.powf(-bits)]),
        ..row
    };
    [Row::Model(accuracy), Row::Model(divergence)]
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (codec, bits) in [("a<b:bits=2", 2.0), ("a<b:bits=4", 4.0), ("zeros", 0.01)] {
        for (model, synthetic) in [("mlp", false), ("gaussian", true)] {
            rows.extend(["fc1", "fc2"].map(|tensor| tensor_row(codec, bits, model, tensor, synthetic)));
        }
        rows.extend(model_rows(codec, bits));
    }
    let failed = TensorRow {
        key: "x".into(),
        codec: "bad".into(),
        model: "mlp".into(),
        status: Status::Failed,
        ..TensorRow::default()
    };
    rows.push(Row::Tensor(failed));
    rows
}

fn draw(rows: &[Row]) -> String {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &Run { name: "<x>".into(), memcpy_bytes_per_second: 1e10, ..Run::default() }).unwrap();
    append(folder.path(), rows).unwrap();
    seedpress_report::results_table(folder.path()).unwrap();
    let files = seedpress_report::render(folder.path()).unwrap().files;
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn the_same_rows_give_the_same_bytes_and_escape_names() {
    let text = draw(&rows());
    assert_eq!(text, draw(&rows()));
    assert!(text.contains("Rate-distortion frontier") && !text.contains("<x>"));
    if let Ok(folder) = std::env::var("SEEDPRESS_REPORT_LOOK") {
        std::fs::write(folder, &text).unwrap();
    }
}

/// Rows that keep their samples are judged by them: intervals overlap, pairs do not.
#[test]
fn pairs_decide_what_intervals_leave_open() {
    let ones = vec![1.0; 1000];
    let hits = |wrong: usize| Outcomes::new(&(0..1000).map(|n| f64::from(n % wrong != 0)).collect::<Vec<_>>(), &ones);
    let row = |codec: &str, wrong: usize, value: f64| {
        Row::Model(ModelRow {
            key: codec.into(),
            codec: codec.into(),
            model: "mlp".into(),
            bytes: 4000 + wrong as u64,
            weights: 16384,
            metric: "accuracy".into(),
            higher_is_better: true,
            baseline: Some(0.95),
            compressed: Some(value),
            interval: Some([value - 0.04, value + 0.04]),
            outcomes: hits(wrong),
            baseline_outcomes: hits(20),
            ..ModelRow::default()
        })
    };
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &Run::default()).unwrap();
    append(folder.path(), &[row("a", 20, 0.95), row("b", 10, 0.9)]).unwrap();
    let drawn = seedpress_report::draw(folder.path()).unwrap();
    let data = drawn[0].1.split("id=\"rows\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let pairs = data["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 2, "{pairs:?}");
    assert!(pairs[0][4].as_f64().unwrap() < 0.001, "{pairs:?}");
    assert_eq!(data["cells"][0]["u"]["0"][0], 1);
    assert!(drawn[1].1.contains("no detectable difference"));
}

/// Plans whose codecs, tensors and values are as odd as rows may be.
fn plans() -> Vec<PlanRow> {
    let mut plans = Vec::new();
    for (index, tensor) in ["fc1", "fc2"].into_iter().enumerate() {
        for (codec, divergence) in [("a<b:bits=2", Some(0.5)), ("a<b:bits=4", Some(0.0)), ("c", Some(1e-9))] {
            plans.push(PlanRow::Sensitivity(SensitivityRow {
                model: "mlp".into(),
                tensor: tensor.into(),
                codec: codec.into(),
                weights: 8192,
                bytes: 2048 + index as u64,
                squared_error: 1.0,
                energy: 100.0,
                divergence,
                ..SensitivityRow::default()
            }));
        }
        plans.push(PlanRow::Assignment(AssignmentRow {
            model: "mlp".into(),
            plan: "a<b:bits=4".into(),
            tensor: tensor.into(),
            codec: "c".into(),
            weights: 8192,
            bytes: 2048,
            divergence: 0.25,
            file_bytes: 4200,
            joint: Some(0.5),
            uniform: Some(0.75),
            ..AssignmentRow::default()
        }));
    }
    plans
}

#[test]
fn plans_are_drawn_from_their_own_file() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &Run::default()).unwrap();
    append(folder.path(), &rows()).unwrap();
    append_plans(folder.path(), &plans()).unwrap();
    seedpress_report::render(folder.path()).unwrap();
    let chart = std::fs::read_to_string(folder.path().join("charts/sensitivity-mlp.svg")).unwrap();
    assert!(chart.contains("a&lt;b:bits=2") && !chart.contains("NaN"), "{chart}");
    let text = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
    assert!(text.contains("Plans: mlp") && text.contains("0.500, 0.750 at one rate for all"), "{text}");
}

/// What scripts read must not end the element it stands in, and the page asks for nothing from anywhere.
#[test]
fn the_page_is_whole_in_itself() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &Run::default()).unwrap();
    let mut rows = rows();
    if let Some(Row::Tensor(row)) = rows.first_mut() {
        row.label = Some("</script><b>".into());
    }
    append(folder.path(), &rows).unwrap();
    let page = &seedpress_report::draw(folder.path()).unwrap()[0].1;
    assert_eq!(page.matches("<script").count(), 2);
    assert!(
        !page.contains("<b>&quot;")
            && !page.contains("src=")
            && !page.contains("@import")
            && !page.contains("href=\"http")
            && !page.contains("url("),
        "{page}"
    );
    let data = page.split("id=\"rows\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["codecs"].as_array().unwrap().len(), 4);
    assert_eq!(data["cells"][0]["e"][0], 4136);
}

#[test]
fn changes_since_the_release_before_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &Run::default()).unwrap();
    append(folder.path(), &rows()).unwrap();
    let before = "codec,model,metric,bytes,compressed,low,high\na<b:bits=2,mlp,accuracy,4200,.9,.89,.91\ngone,mlp,accuracy,1,.5,.4,.6\n";
    std::fs::write(folder.path().join("previous.csv"), before).unwrap();
    let text = &seedpress_report::draw(folder.path()).unwrap()[1].1;
    assert!(text.contains("**worse**") && text.contains("Rows gone: gone"), "{text}");
}

#[test]
fn empty_runs_and_failed_rows_draw() {
    draw(&[]);
    draw(&rows()[15..]);
    draw(&rows()[..1]);
}

#[test]
fn the_table_of_the_readme_looks_like_this() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &Run { name: "fixture".into(), ..Run::default() }).unwrap();
    append(folder.path(), &rows()).unwrap();
    insta::assert_snapshot!(seedpress_report::results_table(folder.path()).unwrap());
}
