//! What fetched models do. Each test leaves out models that are not on this machine.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use seedpress_codec::{DType, Tensor};
use seedpress_model::Model;
use seedpress_zoo::{ZooError, fetch, info, load, sentences, textgenrnn};

fn here(name: &str) -> Option<Model> {
    match load(name) {
        Ok(model) => Some(model),
        Err(ZooError::NotFetched { .. }) => {
            eprintln!("skipped: {name} is not fetched");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn mapped(model: &Model, change: impl Fn(f32) -> f32) -> Vec<Tensor> {
    let changed = |tensor: &Tensor| {
        let values = tensor.values().iter().map(|&value| change(value)).collect();
        Tensor::new(tensor.shape().to_vec(), values, DType::F32).expect("the same shape")
    };
    (0..model.tensors().len()).map(|tensor| changed(&model.load(tensor).unwrap())).collect()
}

#[test]
fn fetched_models_are_what_the_catalogue_says_and_their_metrics_tell_good_weights_from_bad() {
    // Model, least task metric of the original, most of a model without weights (or the other way round).
    let bounds = [
        ("minilm", 0.9, 0.1),
        ("crepe-tiny", 0.9, 0.1),
        ("crepe-full", 0.9, 0.1),
        ("wordllama", 0.85, 0.1),
        ("textgenrnn", 3.5, 8.0),
    ];
    for (name, original, broken) in bounds {
        let Some(model) = here(name) else { continue };
        let info = info(name).unwrap();
        assert_eq!(model.weight_count(), info.weights, "{name}");
        let own = model.evaluate(mapped(&model, |value| value).iter().enumerate()).unwrap();
        assert_eq!(own.iter().map(|metric| metric.name).collect::<Vec<_>>(), info.metrics, "{name}");
        let narrow = model.evaluate(mapped(&model, |value| DType::BF16.round(value)).iter().enumerate()).unwrap();
        let zeros = model.evaluate(mapped(&model, |_| 0.0).iter().enumerate()).unwrap();
        let moved = [DType::BF16, DType::F16]
            .map(|dtype| model.divergence(mapped(&model, |value| dtype.round(value)).iter().enumerate()).unwrap());
        assert!(moved[1] <= moved[0] && moved[0] < 0.05, "{name}: {moved:?}");
        println!("{name}: {own:?}\nbf16 {narrow:?}\nzeros {zeros:?}");
        for (place, own) in own.iter().enumerate() {
            assert!(own.interval[0] <= own.value && own.value <= own.interval[1], "{name}: {own:?}");
            let better = if own.higher_is_better { 1.0 } else { -1.0 };
            assert!(better * zeros[place].value < better * own.value, "{name}: {:?}", zeros[place]);
            let distance = (narrow[place].value - own.value).abs();
            let width = own.interval[1] - own.interval[0];
            assert!(distance <= width.max(0.03 * own.value.abs()).max(0.03), "{name}: {:?}", narrow[place]);
        }
        let better = if own[0].higher_is_better { 1.0 } else { -1.0 };
        assert!(better * own[0].value > better * original, "{name}: {:?}", own[0]);
        assert!(better * zeros[0].value < better * broken, "{name}: {:?}", zeros[0]);
    }
}

#[test]
fn calibration_fits_the_weights() {
    for name in ["minilm", "crepe-tiny", "textgenrnn"] {
        let Some(model) = here(name) else { continue };
        for (info, statistics) in model.tensors().iter().zip(model.statistics().unwrap()) {
            let expected = matches!(info.layer_type.as_str(), "linear" | "conv" | "recurrent");
            assert_eq!(statistics.is_some(), expected, "{name}: {}", info.name);
            let Some(statistics) = statistics else { continue };
            let inputs = statistics.inputs();
            assert_eq!(inputs.columns(), info.columns(), "{name}: {}", info.name);
            assert!(inputs.samples() >= 96 && inputs.second_moment().is_some());
        }
    }
}

#[test]
fn calibration_data_is_not_held_out_data() {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    let held_out: HashSet<Vec<String>> = sentences::held_out().unwrap().iter().map(|text| words(text)).collect();
    let pairs = sentences::labelled_pairs().unwrap();
    let paired: HashSet<Vec<String>> = pairs.iter().flat_map(|pair| &pair.sentences).map(|text| words(text)).collect();
    let calibration = sentences::calibration().unwrap();
    assert_eq!((held_out.len(), pairs.len(), calibration.len()), (200, 96, 128));
    assert!(calibration.iter().all(|text| !held_out.contains(&words(text)) && !paired.contains(&words(text))));

    // Of the two chapters, no eight words in a row are the same.
    let runs = |text: String| -> HashSet<Vec<String>> { words(&text).windows(8).map(<[String]>::to_vec).collect() };
    let (measured, calibrated) = (textgenrnn::held_out().unwrap(), textgenrnn::calibration().unwrap());
    assert!(runs(measured).is_disjoint(&runs(calibrated)));
}

#[test]
fn labels_are_balanced() {
    let pairs = sentences::labelled_pairs().unwrap();
    for label in 0..=5 {
        assert_eq!(pairs.iter().filter(|pair| pair.label == f64::from(label)).count(), 16);
    }
}

#[test]
fn a_model_that_is_not_here_names_the_command() {
    for package in fetch::packages().iter().filter(|package| !fetch::is_here(package)) {
        let error = load(package.model).unwrap_err();
        assert!(error.to_string().contains(&format!("cargo xtask models fetch {}", package.model)));
    }
}
