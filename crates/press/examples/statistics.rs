//! Compresses a checkpoint with statistics of its layers' inputs that somebody else gathered.
//!
//! `cargo run --example statistics model.safetensors statistics.safetensors trellis:bits=2,hessian=full model.sdp`
//!
//! The second file holds, for each weight `w` that is calibrated, `w/second_moment` (the mean of `x x^T`, f32, square), `w/mean_abs` (the
//! mean of `|x|`, f32) where there is one, and in its metadata the number of samples under `w`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use seedpress_checkpoint::{Checkpoint, Content, Order, Output, Overwrite};
use seedpress_codec::InputStatistics;
use seedpress_press::{Control, Guidance, Guide, PressError, Uniform, compress_file};

/// Statistics by the place of the tensor.
struct Known(Vec<Option<Arc<InputStatistics>>>);

impl Guide for Known {
    fn guide(&mut self, tensor: usize) -> Result<Guidance, PressError> {
        Ok(Guidance { statistics: self.0[tensor].clone(), ..Guidance::default() })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, statistics, codec, output] = arguments.as_slice() else {
        return Err("a model, statistics, a codec and an output are needed".into());
    };
    let registry = seedpress::registry();
    let model = Checkpoint::open(Path::new(model))?;
    let known = read(&Checkpoint::open(Path::new(statistics))?)?;
    let mut known = Known(model.tensors().iter().map(|info| known.get(&info.name).cloned()).collect());
    let output = Output::create(Path::new(output), Overwrite::Allow, &[model.path()])?;
    let codec = Uniform::new(registry.parse(codec)?);
    let control = Control::default();
    let made = compress_file(&model, &codec, &mut known, &registry, &control, output, Order::QualityMajor)?;
    println!("{} bytes", made.file_bytes);
    Ok(())
}

/// Statistics by the name of the weight.
fn read(file: &Checkpoint) -> Result<BTreeMap<String, Arc<InputStatistics>>, Box<dyn Error>> {
    let places: BTreeMap<&str, usize> = file.tensors().iter().map(|info| info.name.as_str()).zip(0..).collect();
    let values = |name: &str| match places.get(name).map(|&place| file.load(place)).transpose()? {
        Some(Content::Float(tensor)) => Ok(Some(tensor.into_values())),
        Some(Content::Opaque(_)) => Err(Box::<dyn Error>::from(format!("`{name}` holds no floats"))),
        None => Ok(None),
    };
    let mut known = BTreeMap::new();
    for (weight, samples) in file.metadata() {
        let moment = values(&format!("{weight}/second_moment"))?.ok_or("a second moment is missing")?;
        let columns = moment.len().isqrt();
        let mut found = InputStatistics::from_second_moment(samples.parse()?, columns, moment)?;
        if let Some(mean_abs) = values(&format!("{weight}/mean_abs"))? {
            found = found.with_mean_abs(mean_abs)?;
        }
        known.insert(weight.clone(), Arc::new(found));
    }
    Ok(known)
}
