//! A network of one's own, in one file: it has calibrated and sequential rows, plans and evaluation, without a line anywhere else.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use seedpress_bench::cache::Cache;
use seedpress_bench::config::Config;
use seedpress_bench::filter::Filter;
use seedpress_bench::matrix::Matrix;
use seedpress_bench::progress::Silent;
use seedpress_bench::runner::{Options, run};
use seedpress_codec::{DType, Tensor};
use seedpress_model::random::Random;
use seedpress_model::{
    BlockWeights, DataSets, Evaluation, Hidden, Metric, Model, ModelError, Network, Outputs, Samples, Scorer, Tap,
    TensorInfo,
};
use seedpress_results::{ModelRow, Row, TensorRow, read_rows};

const WIDTH: usize = 64;
const CLASSES: usize = 16;

/// Two layers, a rectifier between.
struct Toy([TensorInfo; 2]);

impl Network for Toy {
    fn tensors(&self) -> &[TensorInfo] {
        &self.0
    }

    fn blocks(&self) -> usize {
        2
    }

    fn block_tensors(&self, block: usize) -> Vec<usize> {
        vec![block]
    }

    fn step(
        &self,
        block: usize,
        weights: &BlockWeights<'_>,
        hidden: &Hidden,
        tap: &mut dyn Tap,
    ) -> Result<Hidden, ModelError> {
        tap.inputs(block, &hidden.values)?;
        let dot = |w: &[f32], x: &[f32]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
        let rectified = |value: f32| if block == 0 { value.max(0.0) } else { value };
        let row =
            |x: &[f32]| -> Vec<f32> { weights.values(block).chunks(WIDTH).map(|w| rectified(dot(w, x))).collect() };
        Ok(hidden.with(hidden.values.chunks(WIDTH).flat_map(row).collect(), self.0[block].shape[0]))
    }

    fn finish(&self, hidden: Hidden) -> Result<Outputs, ModelError> {
        Ok(Outputs::Logits { width: CLASSES, values: hidden.values })
    }
}

/// Noise with correlated columns.
#[derive(Debug)]
struct Noise(u64);

fn noise(seed: u64) -> Vec<Hidden> {
    let mut random = Random::new(seed);
    let mut row = |_| {
        let common = random.normal();
        (0..WIDTH).map(|_| (common + random.normal()) as f32).collect::<Vec<_>>()
    };
    let batch = |row: &mut dyn FnMut(usize) -> Vec<f32>| {
        Hidden::new((0..50).flat_map(row).collect(), WIDTH, vec![1; 50]).unwrap()
    };
    (0..4).map(|_| batch(&mut row)).collect()
}

impl DataSets for Noise {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(Some(Box::new(noise(self.0))))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        Ok(Some(Box::new(HeldOut(noise(self.0 + 1)))))
    }
}

#[derive(Debug)]
struct HeldOut(Vec<Hidden>);

impl Evaluation for HeldOut {
    fn samples(&self) -> &dyn Samples {
        &self.0
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(Divergences(Vec::new()))
    }
}

struct Divergences(Vec<f64>);

impl Scorer for Divergences {
    fn add(&mut self, _: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        self.0.extend(original.divergences(given));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        Ok(vec![Metric::mean("KL divergence", false, &self.0)])
    }
}

fn toy() -> Model {
    let infos =
        [TensorInfo::new("hidden", &[WIDTH, WIDTH], "linear"), TensorInfo::new("classes", &[CLASSES, WIDTH], "linear")];
    let mut random = Random::new(5);
    let mut tensor = |info: &TensorInfo| {
        let values = (0..info.weights()).map(|_| 0.2 * random.normal() as f32).collect();
        Tensor::new(info.shape.clone(), values, DType::F32).unwrap()
    };
    let weights: Vec<Tensor> = infos.iter().map(&mut tensor).collect();
    Model::new("toy", Box::new(Toy(infos)), Box::new(weights), Box::new(Noise(7)))
}

#[test]
fn a_network_of_ones_own_has_every_kind_of_row() {
    let registry = seedpress::registry();
    let text = "[run]\nname = \"t\"\nencode_runs = 1\ndecode_runs = 1\nkeep_below = 0\n\
                [[codec]]\ncodec = \"trellis\"\nbits = 2\n\
                [[codec]]\ncodec = \"trellis\"\nbits = 2\nhessian = \"full\"\nsequential = [false, true]\n\
                [[codec]]\ncodec = \"plan\"\nlike = \"trellis:bits=2,hessian=full\"\nladder = \"trellis:hessian=full\"\n\
                [[model]]\nmodel = \"toy\"\n";
    let config = Config::parse(Path::new("t.toml"), text, &registry, &["toy"]).unwrap();
    let own = |name: &str| (name == "toy").then(toy);
    let matrix = Matrix::with_models(config, &registry, &own).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        out: folder.path().join("out"),
        cache: Cache::new(folder.path().join("cache")),
        filter: Filter(Vec::new()),
        fresh: false,
        reevaluate: false,
    };
    let outcome = run(&matrix, &registry, &options, &Silent, &AtomicBool::new(false)).unwrap();
    assert!(outcome.failed == 0 && outcome.complete);
    let rows = read_rows(&options.out).unwrap();
    let tensors: Vec<&TensorRow> =
        rows.iter().filter_map(|row| if let Row::Tensor(row) = row { Some(row) } else { None }).collect();
    let models: Vec<&ModelRow> =
        rows.iter().filter_map(|row| if let Row::Model(row) = row { Some(row) } else { None }).collect();
    assert!(tensors.len() == 8 && tensors.iter().filter(|row| row.calibrated).count() == 6);
    let divergence = |place: usize| models[place].compressed.unwrap();
    assert!(models.len() == 4 && models.iter().all(|row| row.baseline == Some(0.0)));
    // Plain, calibrated, sequential, planned: each knows more than the one before.
    assert!(divergence(1) < divergence(0) && divergence(2) < divergence(1), "{models:?}");
    assert!(divergence(3) < divergence(0), "{models:?}");
}
