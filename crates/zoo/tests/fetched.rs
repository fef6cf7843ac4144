//! What fetched models do. Each test leaves out models that are not on this machine.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use seedpress_codec::{DType, Tensor};
use seedpress_zoo::{Model, ZooError, fetch, info, load, sentences, textgenrnn};

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
    model.tensors.iter().map(|named| changed(&named.tensor)).collect()
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
        assert_eq!(model.weights(), info.weights, "{name}");
        let own = model.evaluate(&mapped(&model, |value| value)).unwrap();
        assert_eq!(own.iter().map(|metric| metric.name).collect::<Vec<_>>(), info.metrics, "{name}");
        let narrow = model.evaluate(&mapped(&model, |value| DType::BF16.round(value))).unwrap();
        let zeros = model.evaluate(&mapped(&model, |_| 0.0)).unwrap();
        let moved = [DType::BF16, DType::F16]
            .map(|dtype| model.divergence(&mapped(&model, |value| dtype.round(value))).unwrap());
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
        for (named, calibration) in model.tensors.iter().zip(model.calibrate().unwrap()) {
            let expected = matches!(named.layer_type, "linear" | "conv" | "recurrent");
            assert_eq!(calibration.is_some(), expected, "{name}: {}", named.name);
            let Some(calibration) = calibration else { continue };
            let columns = calibration.columns();
            assert_eq!(columns, named.tensor.view("").columns(), "{name}: {}", named.name);
            assert_eq!(calibration.second_moment().is_some(), columns <= 16_384, "{name}: {}", named.name);
            assert!(calibration.samples() >= 96);
            for (index, (square, magnitude)) in
                calibration.mean_square().iter().zip(calibration.mean_abs().unwrap()).enumerate()
            {
                // Jensen: (E|x|)^2 <= E x^2.
                assert!(magnitude.powi(2) <= square * 1.001, "{name}: {} {index}", named.name);
                let diagonal = calibration.second_moment().map(|hessian| hessian[index * columns + index]);
                assert!(diagonal.is_none_or(|diagonal| diagonal == *square));
            }
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
