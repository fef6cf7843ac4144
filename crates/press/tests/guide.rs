//! Guides: what is known of inputs reaches encoders, and what became of tensors reaches guides, in order.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use seedpress_checkpoint::{Content, Entry, TensorInfo};
use seedpress_codec::{DType, InputStatistics, Tensor};
use seedpress_press::{
    Compressed, Control, Guidance, Guide, NoGuide, Outcome, PressError, Sink, Source, Uniform, compress,
};

struct Memory {
    infos: Vec<TensorInfo>,
    tensors: Vec<Tensor>,
}

impl Memory {
    fn new(count: usize) -> Self {
        let value = |tensor: usize, at: usize| ((tensor * 7919 + at * 104_729) % 1000) as f32 / 500.0 - 1.0;
        let tensor =
            |n: usize| Tensor::new(vec![32, 64], (0..2048).map(|at| value(n, at)).collect(), DType::F32).unwrap();
        let info =
            |n: usize| TensorInfo { name: format!("w{n}"), dtype: "F32".into(), shape: vec![32, 64], bytes: 8192 };
        Self { infos: (0..count).map(info).collect(), tensors: (0..count).map(tensor).collect() }
    }
}

impl Source for Memory {
    fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn load(&self, tensor: usize) -> Result<Content, PressError> {
        Ok(Content::Float(self.tensors[tensor].clone()))
    }

    fn sample(&self, tensor: usize) -> Result<Option<u128>, PressError> {
        Ok(Some(u128::from(self.tensors[tensor].values()[1].to_bits())))
    }
}

#[derive(Default)]
struct Collect(Vec<Entry>);

impl Sink for Collect {
    fn push(&mut self, compressed: Compressed) -> Result<u64, PressError> {
        assert_eq!(compressed.tensor, self.0.len());
        self.0.push(compressed.entry);
        Ok(0)
    }
}

/// Halves every tensor and insists on hearing of each before the next.
struct Halving<'a> {
    source: &'a Memory,
    heard: usize,
}

impl Guide for Halving<'_> {
    fn guide(&mut self, tensor: usize) -> Result<Guidance, PressError> {
        assert_eq!(tensor, self.heard);
        let values = self.source.tensors[tensor].values().iter().map(|value| value / 2.0).collect();
        Ok(Guidance { corrected: Some(Tensor::new(vec![32, 64], values, DType::F32).unwrap()), ..Guidance::default() })
    }

    fn follows(&self) -> bool {
        true
    }

    fn compressed(&mut self, tensor: usize, decoded: &Tensor) -> Result<(), PressError> {
        assert_eq!(tensor, self.heard);
        let weights = self.source.tensors[tensor].values();
        assert!(decoded.values().iter().zip(weights).all(|(decoded, weight)| *decoded == weight / 2.0));
        self.heard += 1;
        Ok(())
    }
}

#[test]
fn a_guide_that_follows_hears_of_every_tensor_before_the_next() {
    let (source, registry) = (Memory::new(9), seedpress::registry());
    let codec = Uniform::new(registry.parse("raw").unwrap());
    let mut guide = Halving { source: &source, heard: 0 };
    let control = Control { threads: 4, verify: false, ..Control::default() };
    let mut sink = Collect::default();
    let summary = compress(&source, &codec, &mut guide, &registry, &control, &mut sink).unwrap();
    assert_eq!((guide.heard, sink.0.len(), summary.tensors.len()), (9, 9, 9));
    // Errors are those of the tensor that was asked for.
    assert!(summary.tensors.iter().all(|tensor| (tensor.errors.unwrap().relative - 0.5).abs() < 1e-6));
}

struct Statistics;

impl Guide for Statistics {
    fn guide(&mut self, _: usize) -> Result<Guidance, PressError> {
        let mean_square: Vec<f32> = (0..64).map(|column| if column % 2 == 0 { 100.0 } else { 0.01 }).collect();
        let statistics = InputStatistics::from_mean_square(10, mean_square).unwrap();
        Ok(Guidance { statistics: Some(Arc::new(statistics)), ..Guidance::default() })
    }
}

#[test]
fn statistics_reach_codecs_that_use_them() {
    let (source, registry) = (Memory::new(3), seedpress::registry());
    let run = |name: &str, guide: &mut dyn Guide| {
        let codec = Uniform::new(registry.parse(name).unwrap());
        let mut sink = Collect::default();
        let summary = compress(&source, &codec, guide, &registry, &Control::default(), &mut sink).unwrap();
        (sink.0, summary.tensors.iter().any(|tensor| tensor.unguided))
    };
    let calibrated = "seedlm-paper:weighted=true";
    if registry.parse(calibrated).is_ok_and(|codec| codec.capabilities().uses_calibration) {
        let (with, unguided) = run(calibrated, &mut Statistics);
        let (without, alone) = run(calibrated, &mut NoGuide);
        assert!(with != without && !unguided && alone);
    }
    assert_eq!(run("rtn", &mut Statistics), run("rtn", &mut NoGuide));
}

/// Statistics of which the first two tensors have the same, and keys by which results are taken up again.
#[derive(Default)]
struct Pairs(Vec<u128>);

impl Guide for Pairs {
    fn guide(&mut self, tensor: usize) -> Result<Guidance, PressError> {
        let mean_square = (0..64).map(|column| if column < 32 { 1.0 } else { (1 + tensor / 2) as f32 }).collect();
        let statistics = InputStatistics::from_mean_square(10, mean_square).unwrap();
        Ok(Guidance { statistics: Some(Arc::new(statistics)), ..Guidance::default() })
    }
}

impl Sink for Pairs {
    fn push(&mut self, compressed: Compressed) -> Result<u64, PressError> {
        self.0.push(compressed.key);
        Ok(0)
    }
}

#[test]
fn calibrated_tensors_are_tied_and_taken_up_by_content_codec_and_inputs() {
    let mut source = Memory::new(4);
    source.tensors = vec![source.tensors[0].clone(); 4];
    let registry = seedpress::registry();
    let run = |name: &str| {
        let codec = Uniform::new(registry.parse(name).unwrap());
        let mut sink = Pairs::default();
        let made = compress(&source, &codec, &mut Pairs::default(), &registry, &Control::default(), &mut sink).unwrap();
        (made.tensors.into_iter().map(|tensor| tensor.outcome).collect::<Vec<_>>(), sink.0)
    };
    let (outcomes, keys) = run("trellis:bits=2,hessian=full");
    assert!(matches!(outcomes[..], [Outcome::Coded(_), Outcome::Same(0), Outcome::Coded(_), Outcome::Same(2)]));
    let (_, others) = run("trellis:bits=3,hessian=full");
    assert!(keys.iter().zip(&others).all(|(key, other)| key != other));
}
