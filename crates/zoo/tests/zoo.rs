//! The committed files are what the catalogue and the cards say.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use seedpress_codec::{DType, Tensor};
use seedpress_model::{Model, ModelError};
use seedpress_zoo::fashion::{CALIBRATION_IMAGES, Images};
use seedpress_zoo::{Distribution, assets, load, models, report_shapes, synthetic};

fn tensors(model: &Model) -> Vec<Tensor> {
    (0..model.tensors().len()).map(|tensor| model.load(tensor).unwrap()).collect()
}

fn mapped(model: &Model, change: impl Fn(&Tensor) -> Vec<f32>) -> Vec<Tensor> {
    let changed =
        |tensor: &Tensor| Tensor::new(tensor.shape().to_vec(), change(tensor), DType::F32).expect("the same shape");
    tensors(model).iter().map(changed).collect()
}

#[test]
fn every_embedded_model_loads_as_the_catalogue_describes_it() {
    for info in models().iter().filter(|info| info.embedded) {
        let model = load(info.name).unwrap();
        assert_eq!(model.weight_count(), info.weights, "{}", info.name);
        assert_eq!(model.has_task().unwrap(), !info.metrics.is_empty());
        assert!(tensors(&model).iter().all(|tensor| tensor.values().iter().all(|value| value.is_finite())));
        if !info.synthetic {
            let path = assets::asset(&format!("{}/model.safetensors", info.name));
            assert_eq!(assets::sha256(&std::fs::read(path).unwrap()), info.sha256, "{}", info.name);
        }
    }
}

#[test]
fn data_files_are_the_published_ones() {
    let files = [
        ("t10k-images-idx3-ubyte.gz", "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"),
        ("t10k-labels-idx1-ubyte.gz", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"),
    ];
    for (file, hash) in files {
        let bytes = std::fs::read(assets::asset("fashion-mnist").join(file)).unwrap();
        assert_eq!(assets::sha256(&bytes), hash, "{file}");
    }
}

#[test]
fn classifiers_reach_their_accuracy_and_lose_it_without_weights() {
    for (name, floor) in [("fashion-mlp", 0.88), ("fashion-cnn", 0.91)] {
        let model = load(name).unwrap();
        let metrics = model.evaluate([]).unwrap();
        assert_eq!(
            metrics.iter().map(|metric| metric.name).collect::<Vec<_>>(),
            ["accuracy", "agreement", "KL divergence"]
        );
        let accuracy = &metrics[0];
        assert!(accuracy.value >= floor, "{name}: {}", accuracy.value);
        assert!(accuracy.samples == 10_000 && accuracy.higher_is_better);
        // Half-width of a binomial's 95 % interval: 1.96 sqrt(p (1 - p) / n).
        let width = 2.0 * 1.96 * (accuracy.value * (1.0 - accuracy.value) / 10_000.0).sqrt();
        assert!(((accuracy.interval[1] - accuracy.interval[0]) / width - 1.0).abs() < 0.15, "{:?}", accuracy.interval);
        assert_eq!(metrics[1].value, 1.0);
    }
    let model = load("fashion-mlp").unwrap();
    let zeros = mapped(&model, |tensor| vec![0.0; tensor.values().len()]);
    let zeros = model.evaluate(zeros.iter().enumerate()).unwrap();
    assert!((zeros[0].value - 0.1).abs() < 1e-9, "one class of ten: {}", zeros[0].value);
    // Rounding to eight bits of mantissa must not matter.
    let narrow = mapped(&model, |tensor| tensor.values().iter().map(|&value| DType::BF16.round(value)).collect());
    let metrics = model.evaluate(narrow.iter().enumerate()).unwrap();
    assert!(metrics[1].value > 0.99 && metrics[1].value <= 1.0);
}

/// What plans are made by: nothing for the model itself, little for little harm, much for much.
#[test]
fn divergence_grows_with_the_harm_done() {
    for name in ["fashion-mlp", "fashion-cnn", "silero-vad"] {
        let model = load(name).unwrap();
        assert!(model.has_divergence().unwrap());
        let with_bits = |bits: u32| {
            mapped(&model, |tensor| {
                let keep = u32::MAX << (23 - bits);
                tensor.values().iter().map(|value| f32::from_bits(value.to_bits() & keep)).collect()
            })
        };
        let divergences = [23, 7, 4, 1].map(|bits| model.divergence(with_bits(bits).iter().enumerate()).unwrap());
        assert!(
            divergences[0] == 0.0 && divergences.windows(2).all(|pair| pair[0] < pair[1]),
            "{name}: {divergences:?}"
        );
        assert!(divergences[1] < 1e-3, "{name}: {divergences:?}");
    }
    let shapes = load("report-shapes").unwrap();
    assert!(!shapes.has_divergence().unwrap());
    assert!(matches!(shapes.divergence([]), Err(ModelError::Unsupported { .. })));
}

#[test]
fn speech_detection_tells_good_weights_from_bad() {
    let model = load("silero-vad").unwrap();
    let exact = model.evaluate([]).unwrap();
    assert_eq!(
        exact.iter().map(|metric| metric.name).collect::<Vec<_>>(),
        ["frame agreement", "probability error", "KL divergence"]
    );
    assert_eq!((exact[0].value, exact[1].value), (1.0, 0.0));
    let narrow = mapped(&model, |tensor| tensor.values().iter().map(|&value| DType::BF16.round(value)).collect());
    assert!(model.evaluate(narrow.iter().enumerate()).unwrap()[0].value > 0.99);
    // Without weights every frame has the same probability; the recordings must hold enough of both kinds to show it.
    let zeros = mapped(&model, |tensor| vec![0.0; tensor.values().len()]);
    let zeros = model.evaluate(zeros.iter().enumerate()).unwrap();
    assert!((0.2..0.8).contains(&zeros[0].value), "{}", zeros[0].value);
}

#[test]
fn unsuitable_tensors_are_refused() {
    let model = load("fashion-mlp").unwrap();
    let mut own = tensors(&model);
    own.swap(0, 2);
    assert!(matches!(model.evaluate(own.iter().enumerate()), Err(ModelError::Weights { .. })));
    assert!(matches!(model.divergence([(8, &own[0])]), Err(ModelError::Unsupported { .. })));
    assert!(load("fashion").unwrap_err().to_string().contains("fashion-cnn"));
}

#[test]
fn calibration_images_are_not_held_out_images() {
    let (calibration, held_out) = (Images::calibration().unwrap(), Images::held_out().unwrap());
    assert_eq!((calibration.len(), held_out.len()), (CALIBRATION_IMAGES, 10_000));
    let seen: HashSet<&[u8]> = (0..calibration.len()).map(|index| calibration.image(index)).collect();
    assert_eq!((0..held_out.len()).filter(|&index| seen.contains(held_out.image(index))).count(), 0);
}

#[test]
fn calibration_clips_are_not_held_out_clips() {
    use seedpress_zoo::silero::{CALIBRATION_CLIPS, HELD_OUT_CLIPS, clip};
    for name in CALIBRATION_CLIPS {
        let ours = clip(name).unwrap();
        assert!(HELD_OUT_CLIPS.iter().all(|held_out| clip(held_out).unwrap() != ours && *held_out != name));
    }
}

#[test]
fn calibration_fits_the_weights() {
    for name in ["fashion-mlp", "silero-vad"] {
        let model = load(name).unwrap();
        for (info, statistics) in model.tensors().iter().zip(model.statistics().unwrap()) {
            assert_eq!(statistics.is_some(), info.layer_type != "bias", "{}", info.name);
            let Some(statistics) = statistics else { continue };
            let inputs = statistics.inputs();
            assert_eq!(inputs.columns(), info.columns(), "{}", info.name);
            assert!(inputs.samples() >= 300 && inputs.second_moment().is_some());
            // Jensen: (E|x|)^2 <= E x^2.
            let pairs = inputs.mean_square().iter().zip(inputs.mean_abs().unwrap());
            assert!(pairs.clone().all(|(square, magnitude)| magnitude.powi(2) <= square * 1.0001));
        }
    }
    let shapes = load("report-shapes").unwrap();
    assert!(!shapes.can_be_calibrated().unwrap());
    assert!(matches!(shapes.statistics(), Err(ModelError::Unsupported { .. })));
}

#[test]
fn synthetic_sources_have_their_moments() {
    for (source, kurtosis, tolerance) in
        [(Distribution::Gaussian, 3.0, 0.05), (Distribution::Laplace, 6.0, 0.3), (Distribution::StudentT, 9.0, 3.0)]
    {
        let values = synthetic(source, &[1000, 1000], 7).into_values();
        let moment = |power: i32| values.iter().map(|&v| f64::from(v).powi(power)).sum::<f64>() / values.len() as f64;
        assert!(moment(1).abs() < 4e-3, "{source:?}");
        assert!((moment(2) - 1.0).abs() < 1e-2, "{source:?}: {}", moment(2));
        assert!((moment(4) - kurtosis).abs() < tolerance, "{source:?}: {}", moment(4));
        assert_eq!(Distribution::from_name(source.name()), Some(source));
        assert_ne!(synthetic(source, &[4], 1), synthetic(source, &[4], 2));
    }
}

/// Hash of the bits, so that any change on any machine shows. Made by this crate on x86-64; the moments above and the logarithm's
/// test are the independent truth.
#[test]
fn synthetic_sources_have_the_same_bits_everywhere() {
    let hash = |source| assets::sha256(&synthetic(source, &[10_000], 42).to_le_bytes())[..16].to_owned();
    assert_eq!(
        [hash(Distribution::Gaussian), hash(Distribution::Laplace), hash(Distribution::StudentT)],
        ["44f1003dc22b8846", "f75fd50a029e9167", "8a9dd2b45d18aa65"]
    );
}

#[test]
fn report_shapes_are_those_of_the_report() {
    let shapes: Vec<Vec<usize>> = report_shapes().iter().map(|(_, tensor)| tensor.shape().to_vec()).collect();
    let expected: [&[usize]; 6] =
        [&[64, 128], &[256, 512], &[512, 1024], &[64, 32, 3, 3], &[128, 256, 1, 1], &[1000, 256]];
    assert_eq!(shapes, expected);
}
