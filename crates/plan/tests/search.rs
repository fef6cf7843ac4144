//! Plans for a model whose divergence is known in closed form: a weighted sum of squared errors.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use seedpress_codec::{DType, InputStatistics, Registry, Tensor};
use seedpress_plan::{Context, Ladder, Part, Plan, PlanError, Profile, Store, Subject, Target, plan};

/// Tensors of noise; an error in tensor `i` counts `importance[i]` times. `interaction` makes the whole more than its parts.
struct Model {
    parts: Vec<Part>,
    tensors: Vec<Tensor>,
    importance: Vec<f64>,
    interaction: f64,
    /// Of every tensor: errors then count by what they do to outputs.
    inputs: Option<InputStatistics>,
    runs: AtomicUsize,
}

impl Model {
    fn new(sizes: &[usize], importance: &[f64]) -> Self {
        let mut noise = seedpress_testing::Noise::new(7);
        let mut tensor = |size: usize| {
            let values = (0..size).map(|_| noise.bell(3)).collect();
            Tensor::new(vec![size / 64, 64], values, DType::F32).unwrap()
        };
        let tensors: Vec<Tensor> = sizes.iter().map(|&size| tensor(size)).collect();
        let part = |(index, tensor): (usize, &Tensor)| Part {
            name: format!("layer.{index}"),
            shape: tensor.shape().to_vec(),
            weights: tensor.values().len() as u64,
            layer_type: "linear".to_owned(),
            hash: format!("{sizes:?} {index}"),
            kept: tensor.values().len() < 1024,
        };
        let parts = tensors.iter().enumerate().map(part).collect();
        Self {
            parts,
            tensors,
            importance: importance.to_vec(),
            interaction: 0.0,
            inputs: None,
            runs: AtomicUsize::new(0),
        }
    }
}

impl Model {
    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}

impl Subject for Model {
    fn name(&self) -> &str {
        "test"
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn load(&self, part: usize) -> Result<Tensor, String> {
        Ok(self.tensors[part].clone())
    }

    fn calibration(&self, _: usize) -> Result<Option<&InputStatistics>, String> {
        Ok(self.inputs.as_ref())
    }

    fn has_divergence(&self) -> bool {
        true
    }

    fn divergence(&self, tensors: &[Tensor]) -> Result<f64, String> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let errors: Vec<f64> = self
            .tensors
            .iter()
            .zip(tensors)
            .map(|(own, given)| {
                let error: Vec<f64> = own.values().iter().zip(given.values()).map(|(a, b)| f64::from(a - b)).collect();
                let Some(inputs) = &self.inputs else { return error.iter().map(|e| e * e).sum::<f64>() };
                let hessian = inputs.second_moment().unwrap();
                let entry = |i: usize, j: usize| f64::from(hessian[64 * i + j]);
                let form = |row: &[f64]| -> f64 {
                    (0..64).map(|i| row[i] * (0..64).map(|j| entry(i, j) * row[j]).sum::<f64>()).sum()
                };
                error.chunks(64).map(form).sum()
            })
            .collect();
        let sum: f64 = errors.iter().zip(&self.importance).map(|(error, weight)| error * weight).sum();
        // Errors of the first and the last tensor amplify each other.
        let product = errors[0] * errors[errors.len() - 1];
        Ok(sum + self.interaction * product)
    }
}

#[derive(Default)]
struct Memory(Mutex<HashMap<String, Vec<u8>>>);

impl Store for Memory {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.0.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
    }
}

struct Bench {
    registry: Registry,
    memory: Memory,
    stop: AtomicBool,
}

impl Bench {
    fn new() -> Self {
        Self { registry: seedpress::registry(), memory: Memory::default(), stop: AtomicBool::new(false) }
    }

    fn plan(&self, model: &Model, ladder: &str, target: &Target, profile: Option<Profile>) -> Result<Plan, PlanError> {
        let context =
            Context { registry: &self.registry, store: &self.memory, progress: &|_, _, _| (), stop: &self.stop };
        let ladder = Ladder::parse(ladder, &self.registry).unwrap();
        Ok(plan(model, &ladder, target, profile, 3, &context)?.0)
    }
}

const SIZES: [usize; 5] = [16384, 8192, 4096, 512, 2048];

#[test]
fn important_tensors_get_more_bits_and_the_file_fits_closely() {
    let bench = Bench::new();
    let model = Model::new(&SIZES, &[1.0, 1.0, 64.0, 1.0, 1.0]);
    let plan = bench.plan(&model, "ecsq", &Target::Bits(3.0), None).unwrap();
    assert!(plan.bytes <= plan.target && plan.target - plan.bytes <= plan.target / 500, "{plan:?}");
    assert_eq!(plan.assignments.len(), 4, "the small one is kept");
    let bits = |index: usize| 8.0 * plan.assignments[index].bytes as f64 / plan.assignments[index].weights as f64;
    // A factor of 64 in importance is worth three bits.
    assert!((bits(2) - bits(0) - 3.0).abs() < 0.35, "{} {}", bits(2), bits(0));
    assert!((bits(1) - bits(0)).abs() < 0.3);
    assert!(plan.joint.unwrap() < 0.6 * plan.uniform.unwrap(), "{plan:?}");
}

#[test]
fn the_same_size_as_a_codec_and_never_worse_on_calibration_data() {
    let bench = Bench::new();
    let model = Model::new(&SIZES, &[1.0; 5]);
    let like = |name: &str| Target::Like(bench.registry.parse(name).unwrap());
    // Equal importance: uniform is the optimum, and what remains is rounding.
    let plan = bench.plan(&model, "ecsq", &like("ecsq:bits=2"), None).unwrap();
    assert!(plan.bytes <= plan.target);
    assert!(plan.joint.unwrap() <= plan.uniform.unwrap());
    // A codec outside the ladder sets a size too.
    let plan = bench.plan(&model, "ecsq", &like("q4_0"), None).unwrap();
    assert!(plan.bytes <= plan.target && plan.joint.unwrap() < plan.uniform.unwrap());
}

#[test]
fn rounds_correct_what_single_tensors_cannot_show() {
    let bench = Bench::new();
    let mut model = Model::new(&SIZES, &[1.0; 5]);
    model.interaction = 1.0;
    let context =
        Context { registry: &bench.registry, store: &bench.memory, progress: &|_, _, _| (), stop: &bench.stop };
    let ladder = Ladder::parse("ecsq", &bench.registry).unwrap();
    let joint = |rounds| plan(&model, &ladder, &Target::Bits(2.0), None, rounds, &context).unwrap().0.joint.unwrap();
    let (none, three) = (joint(0), joint(3));
    assert!(three < 0.95 * none, "{none} {three}");
}

#[test]
fn what_was_measured_is_not_measured_again() {
    let bench = Bench::new();
    let model = Model::new(&SIZES, &[1.0, 2.0, 3.0, 4.0, 5.0]);
    let first = bench.plan(&model, "ecsq", &Target::Ratio(16.0), None).unwrap();
    let runs = model.runs();
    let second = bench.plan(&model, "ecsq", &Target::Ratio(16.0), None).unwrap();
    assert_eq!((model.runs(), first.joint), (runs, second.joint));
    let names = |plan: &Plan| plan.assignments.iter().map(|a| a.codec.name()).collect::<Vec<_>>();
    assert_eq!(names(&first), names(&second));
    // Another size needs the whole model again, and no single tensor.
    bench.plan(&model, "ecsq", &Target::Ratio(12.0), None).unwrap();
    assert!(model.runs() - runs < 4 * 7, "{}", model.runs() - runs);
}

#[test]
fn a_profile_runs_no_model_and_mixed_ladders_work() {
    let bench = Bench::new();
    let model = Model::new(&SIZES, &[1.0; 5]);
    let plan = bench.plan(&model, "q8_0 ecsq rtn", &Target::Bits(3.5), Some(Profile::Cnn)).unwrap();
    assert_eq!((model.runs(), plan.joint, plan.profile), (0, None, Some(Profile::Cnn)));
    assert!(plan.bytes <= plan.target);
    let bits = |index: usize| 8.0 * plan.assignments[index].bytes as f64 / plan.assignments[index].weights as f64;
    assert!(bits(3) > bits(0), "a small layer's relative error counts as much as a large one's");
}

/// Six small layers and a table of a vocabulary that holds most weights.
fn with_table(layers: usize, rows: usize) -> Model {
    let mut model = Model::new(&vec![8192; layers + 1], &vec![1.0; layers + 1]);
    let table = Model::new(&[64 * rows], &[1.0]);
    model.tensors[layers] = table.tensors[0].clone();
    model.parts[layers] = Part { name: "model.embed_tokens.weight".to_owned(), ..table.parts[0].clone() };
    model
}

/// Bits a weight of each tensor with one codec for all.
fn uniform_bits(bench: &Bench, model: &Model, codec: &str) -> Vec<f64> {
    let codec = bench.registry.parse(codec).unwrap();
    let encoded = model.tensors.iter().map(|tensor| codec.encode(&tensor.view("x"), &Default::default()).unwrap());
    encoded.zip(&model.parts).map(|(record, part)| 8.0 * record.to_bytes().len() as f64 / part.weights as f64).collect()
}

/// What a profile makes of one codec for all, or of a plan.
fn profile_cost<'a>(bench: &Bench, model: &Model, codecs: impl Iterator<Item = &'a str>) -> f64 {
    let weights = Profile::Transformer.weights(&model.parts);
    let cost = |((tensor, weight), codec): ((&Tensor, f64), &str)| {
        let record = bench.registry.parse(codec).unwrap().encode(&tensor.view("x"), &Default::default()).unwrap();
        let decoded = bench.registry.decode_bytes(&record.to_bytes()).unwrap().tensor;
        let squares =
            |other: &[f32]| -> f64 { tensor.values().iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum() };
        weight * squares(decoded.values()) / squares(&vec![0.0; decoded.values().len()])
    };
    model.tensors.iter().zip(weights).zip(codecs).map(cost).sum()
}

#[test]
fn without_data_rates_stay_near_one_rate_and_tables_never_fall_below_it() {
    let bench = Bench::new();
    // The second as in small language models: the table holds more weights than a layer by a factor of 64.
    for model in [with_table(6, 1024), with_table(6, 8192)] {
        for (ladder, like) in [("ecsq", "ecsq:bits=2"), ("ecsq", "ecsq:bits=3"), ("rtn", "rtn:bits=3"), ("rtn", "rtn")]
        {
            let like_target = Target::Like(bench.registry.parse(like).unwrap());
            let plan = bench.plan(&model, ladder, &like_target, Some(Profile::Transformer)).unwrap();
            assert!(plan.bytes <= plan.target);
            assert!(plan.assumptions.iter().any(|line| line.contains("model.embed_tokens.weight")), "{plan:?}");
            let uniform = uniform_bits(&bench, &model, like);
            for (assignment, uniform) in plan.assignments.iter().zip(&uniform) {
                let bits = 8.0 * assignment.bytes as f64 / assignment.weights as f64;
                let lowest = if assignment.tensor.contains("embed") { uniform - 0.05 } else { uniform - 1.05 };
                assert!((lowest..=uniform + 1.05).contains(&bits), "{ladder} {like}: {bits} {uniform} {assignment:?}");
            }
            let names: Vec<String> = plan.assignments.iter().map(|assignment| assignment.codec.name()).collect();
            let planned = profile_cost(&bench, &model, names.iter().map(String::as_str));
            let common = profile_cost(&bench, &model, std::iter::repeat(like));
            assert!(planned <= common * (1.0 + 1e-9), "{ladder} {like}: {planned} against {common}");
            assert!((planned / plan.cost() - 1.0).abs() < 1e-6, "costs are those of what was encoded");
        }
    }
}

#[test]
fn a_plan_without_data_is_never_worse_than_one_codec_of_the_ladder() {
    let bench = Bench::new();
    let model = with_table(3, 1024);
    for bits in [1.5, 2.5, 4.2] {
        let plan = bench.plan(&model, "rtn ecsq", &Target::Bits(bits), Some(Profile::Transformer)).unwrap();
        let names =
            ["rtn:bits=1", "rtn:bits=2", "rtn:bits=3", "rtn", "ecsq:bits=1.2", "ecsq:bits=1.8", "ecsq:bits=3.7"];
        for name in names.into_iter().filter(|name| bench.registry.parse(name).is_ok()) {
            let bytes = |bits: Vec<f64>| {
                bits.iter().zip(&model.parts).map(|(bits, part)| bits * part.weights as f64 / 8.0).sum::<f64>()
            };
            if bytes(uniform_bits(&bench, &model, name)) + 1000.0 < plan.target as f64 {
                let common = profile_cost(&bench, &model, std::iter::repeat(name));
                assert!(plan.cost() <= common * (1.0 + 1e-9), "{bits}: {} against {name} {common}", plan.cost());
            }
        }
    }
}

/// The smallest records need not make the smallest file: names of codecs count in its index.
#[test]
fn the_size_of_a_codec_can_always_be_reached() {
    let bench = Bench::new();
    for sizes in [&SIZES[..], &[1024; 9], &[4096, 1024]] {
        let model = Model::new(sizes, &vec![1.0; sizes.len()]);
        for like in ["rtn:bits=2", "ecsq:bits=0.5", "ecsq:bits=1.07", "bitnet", "q4_0"] {
            for ladder in ["ecsq", "rtn", "q8_0"] {
                let like = Target::Like(bench.registry.parse(like).unwrap());
                let plan = bench.plan(&model, ladder, &like, None).unwrap();
                assert!(plan.bytes <= plan.target && plan.joint <= plan.uniform, "{ladder} {like:?}");
                let blind = bench.plan(&model, ladder, &like, Some(Profile::Cnn)).unwrap();
                assert!(blind.bytes <= blind.target);
            }
        }
    }
}

#[test]
fn what_cannot_be_is_said() {
    let bench = Bench::new();
    let model = Model::new(&SIZES, &[1.0; 5]);
    let error = bench.plan(&model, "q8_0", &Target::Bits(3.0), None).unwrap_err();
    assert!(matches!(error, PlanError::OutOfReach { least, target } if least > target), "{error}");
    let error = bench.plan(&Model::new(&[512], &[1.0]), "q8_0", &Target::Bits(3.0), None).unwrap_err();
    assert!(matches!(error, PlanError::Nothing));
    bench.stop.store(true, Ordering::Relaxed);
    let error = bench.plan(&model, "ecsq", &Target::Bits(5.0), None).unwrap_err();
    assert!(matches!(error, PlanError::Stopped));
}

/// Ladders of calibrated codecs are measured and allocated as they will be used, and smoothed by the error that they minimise.
#[test]
fn calibrated_ladders_are_planned_with_calibrated_encodings() {
    let mut model = Model::new(&[4096, 16_384, 8192], &[8.0, 1.0, 2.0]);
    let alike = |at: usize| 0.95f32.powi((at / 64).abs_diff(at % 64) as i32);
    let moment = (0..64 * 64).map(alike).collect();
    model.inputs = Some(InputStatistics::from_second_moment(100, 64, moment).unwrap());
    let bench = Bench::new();
    let target = |name: &str| Target::Like(bench.registry.parse(name).unwrap());
    let calibrated = target("trellis:bits=2,hessian=full");
    let plan = bench.plan(&model, "trellis:hessian=full", &calibrated, None).unwrap();
    assert!(plan.assignments.iter().all(|assignment| assignment.codec.name().contains("hessian=full")));
    let (joint, uniform) = (plan.joint.unwrap(), plan.uniform.unwrap());
    assert!(joint < 0.9 * uniform, "{joint} against {uniform}");
    let blind = bench.plan(&model, "trellis", &target("trellis:bits=2"), None).unwrap();
    assert!(joint < 0.5 * blind.joint.unwrap(), "{joint} against {:?}", blind.joint);
    // The error of outputs is what a profile weighs, too: plain errors of calibrated rungs are larger, not worse.
    let guessed = bench.plan(&model, "trellis trellis:hessian=full", &calibrated, Some(Profile::Transformer)).unwrap();
    assert!(guessed.assignments.iter().all(|assignment| assignment.codec.name().contains("hessian=full")));
}
