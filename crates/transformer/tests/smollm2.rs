//! A real model: answers, tokens and greedy text are those of `transformers` 5.24.0 (torch 2.15.0, f32) on the folder that
//! `models fetch smollm2-135m` makes. Skipped where that was not fetched.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use seedpress_transformer::Transformer;
use tokenizers::Tokenizer;

fn numbers(value: &serde_json::Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u32).collect()
}

#[test]
fn a_real_model_answers_as_in_transformers() {
    let folder = seedpress_zoo::fetch::folder("smollm2-135m");
    let package = seedpress_zoo::fetch::package("smollm2-135m").unwrap();
    if !seedpress_zoo::fetch::is_here(package) {
        eprintln!("skipped: smollm2-135m is not fetched");
        return;
    }
    let golden: serde_json::Value = serde_json::from_str(include_str!("smollm2.json")).unwrap();
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    let tokens = numbers(&golden["tokens"]);
    assert_eq!(tokenizer.encode(golden["text"].as_str().unwrap(), true).unwrap().get_ids(), tokens);

    let model = Transformer::open(&folder).unwrap();
    let vocabulary = model.description().vocabulary;
    let scores = model.scores(&tokens).unwrap();
    let mut largest = 0f64;
    let mut equal = 0;
    for (at, row) in scores.chunks_exact(vocabulary).enumerate() {
        let top = (1..vocabulary).fold(0, |best, at| if row[at] > row[best] { at } else { best });
        equal += usize::from(top as u64 == golden["top"][at].as_u64().unwrap());
        if let Some(&next) = tokens.get(at + 1) {
            let most = f64::from(row[top]);
            let total = row.iter().map(|&score| (f64::from(score) - most).exp()).sum::<f64>().ln();
            let nats = most + total - f64::from(row[next as usize]);
            largest = largest.max((nats - golden["nats"][at].as_f64().unwrap()).abs());
        }
    }
    assert!(largest < 1e-3, "a prediction differs by {largest:.2e} nats");
    assert_eq!(equal, tokens.len());

    let prompt = tokenizer.encode(golden["prompt"].as_str().unwrap(), true).unwrap();
    assert_eq!(model.continue_greedily(prompt.get_ids(), 50, &[]).unwrap(), numbers(&golden["greedy"]));
}
