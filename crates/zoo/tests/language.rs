//! The language models: their text is split as the list says, their figures tell good weights from bad.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use seedpress_codec::{DType, Tensor};
use seedpress_model::Model;
use seedpress_zoo::sotu::data::{self, Part};
use seedpress_zoo::{assets, load};

const MODELS: [&str; 2] = ["sotu-transformer", "sotu-lstm"];

fn mapped(model: &Model, change: impl Fn(f32) -> f32) -> Vec<Tensor> {
    let changed = |tensor: &Tensor| {
        let values = tensor.values().iter().map(|&value| change(value)).collect();
        Tensor::new(tensor.shape().to_vec(), values, DType::F32).unwrap()
    };
    own(model).iter().map(changed).collect()
}

fn own(model: &Model) -> Vec<Tensor> {
    (0..model.tensors().len()).map(|tensor| model.load(tensor).unwrap()).collect()
}

#[test]
fn no_address_serves_two_ends() {
    let list = data::manifest().unwrap();
    assert_eq!(list.len(), data::ADDRESSES);
    let distinct: HashSet<&str> = list.iter().map(|address| address.sha256.as_str()).collect();
    assert_eq!(distinct.len(), list.len());
    for (index, address) in list.iter().enumerate() {
        assert_eq!(address.part, data::part(index), "{}", address.name);
    }
    let count = |part| list.iter().filter(|address| address.part == part).count();
    assert_eq!([Part::Training, Part::Calibration, Part::HeldOut].map(count), [209, 5, 19]);

    // The committed text is the listed one.
    let held_out = data::held_out().unwrap();
    let listed = list.iter().filter(|address| address.part == Part::HeldOut).map(|address| &address.sha256);
    assert!(held_out.iter().map(|text| assets::sha256(text)).eq(listed.cloned()));

    // No long stretch of it calibrates. Sixty bytes leave room for how such addresses begin.
    const STRETCH: usize = 60;
    let seen: HashSet<&[u8]> = held_out.iter().flat_map(|text| text.windows(STRETCH)).collect();
    let calibration = data::calibration().unwrap();
    assert_eq!(calibration.len(), count(Part::Calibration));
    for text in &calibration {
        assert!(text.len() > 19_000);
        let shared = text.windows(STRETCH).filter(|stretch| seen.contains(stretch)).count();
        assert!(shared * 1000 < text.len(), "{shared}");
    }
}

#[test]
fn figures_tell_good_weights_from_bad() {
    for name in MODELS {
        let model = load(name).unwrap();
        let metrics = model.evaluate([]).unwrap();
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name).collect();
        assert_eq!(names, ["bits per byte", "KL divergence", "KL 99th percentile", "top-1 agreement"]);
        let [bits, divergence, tail, agreement] = &metrics[..] else { panic!("four metrics") };
        // Below what `xz -9e` makes of the whole text and a context model of order three that has read the training text.
        assert!(bits.value < 1.9 && bits.interval[1] < 2.0, "{name}: {bits:?}");
        assert_eq!((divergence.value, tail.value, agreement.value), (0.0, 0.0, 1.0));
        assert!(bits.samples > 18_000 && !bits.higher_is_better && agreement.higher_is_better);

        // Half the mantissa changes next to nothing.
        let narrow = model.evaluate(mapped(&model, |value| DType::BF16.round(value)).iter().enumerate()).unwrap();
        assert!((narrow[0].value - bits.value).abs() < 0.01, "{name}: {narrow:?}");
        assert!(narrow[1].value < 0.01 && narrow[3].value > 0.97, "{name}: {narrow:?}");
        assert!(narrow[1].value > 0.0 && narrow[2].value > narrow[1].value, "{name}: {narrow:?}");

        // Without weights every byte is as likely as any other.
        let empty = model.evaluate(mapped(&model, |_| 0.0).iter().enumerate()).unwrap();
        assert!((empty[0].value - 8.0).abs() < 1e-5 && empty[3].value < 0.3, "{name}: {empty:?}");

        // Broken weights make broken figures, not a panic.
        let broken = model.evaluate(mapped(&model, |_| f32::NAN).iter().enumerate()).unwrap();
        assert!(broken[0].value.is_nan() && broken[2].value.is_nan(), "{name}: {broken:?}");
    }
}

#[test]
fn calibration_fits_the_weights() {
    for name in MODELS {
        let model = load(name).unwrap();
        for (info, statistics) in model.tensors().iter().zip(model.statistics().unwrap()) {
            let multiplies = ["linear", "recurrent"].contains(&info.layer_type.as_str());
            assert_eq!(statistics.is_some(), multiplies, "{}", info.name);
            let Some(statistics) = statistics else { continue };
            let inputs = statistics.inputs();
            assert_eq!((inputs.columns(), inputs.samples()), (info.shape[1], 128 * 256), "{}", info.name);
            // Jensen: (E|x|)^2 <= E x^2.
            let pairs = inputs.mean_square().iter().zip(inputs.mean_abs().unwrap());
            assert!(pairs.clone().all(|(square, magnitude)| magnitude.powi(2) <= square * 1.001), "{}", info.name);
        }
    }
}

#[test]
fn the_recurrent_network_is_stored_in_half_precision() {
    for (name, dtype) in MODELS.into_iter().zip([DType::F32, DType::F16]) {
        assert!(load(name).unwrap().tensors().iter().all(|info| info.dtype == dtype), "{name}");
    }
}
