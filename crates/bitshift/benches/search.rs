//! The search beside what it was before, and the whole encoder, in one run.

#![allow(unsafe_code)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use seedpress_bitshift::code::DEVIATION;
use seedpress_bitshift::search::Search;
use seedpress_codec::{DType, EncodeContext, Registry, Tensor};
use seedpress_testing::Noise;

fn noise(count: usize) -> Vec<f32> {
    let mut noise = Noise::new(7);
    (0..count).map(|_| noise.bell(4) * 1.732).collect()
}

fn searches(criterion: &mut Criterion) {
    let samples = noise(256);
    let mut group = criterion.benchmark_group("bitshift");
    group.throughput(Throughput::Elements(samples.len() as u64)).sample_size(20);
    for (state_bits, bits) in [(10, 2), (12, 1), (12, 2), (12, 3), (12, 4), (16, 2)] {
        let name = format!("{state_bits}x{bits}");
        let mut before = before::Search::new(state_bits, bits, 1.0 / DEVIATION);
        let mut search = Search::new(state_bits, bits, 1.0 / DEVIATION);
        assert_eq!(before.tail_biting(&samples), search.tail_biting(&samples), "the same path");
        group
            .bench_function(BenchmarkId::new("before", &name), |bencher| bencher.iter(|| before.tail_biting(&samples)));
        group
            .bench_function(BenchmarkId::new("search", &name), |bencher| bencher.iter(|| search.tail_biting(&samples)));
    }
    let registry = seedpress_bitshift::register(Registry::default());
    let tensor = Tensor::new(vec![256, 256], noise(1 << 16), DType::F32).expect("a matrix");
    group.throughput(Throughput::Elements(1 << 16)).sample_size(10);
    for bits in [1, 2, 3, 4] {
        let codec = registry.parse(&format!("bitshift:bits={bits}")).expect("legal options");
        let encode = || codec.encode(&tensor.view("t"), &EncodeContext::default()).expect("finite");
        group.bench_function(BenchmarkId::new("encode", bits), |bencher| bencher.iter(encode));
    }
    group.finish();
}

criterion_group!(benches, searches);
criterion_main!(benches);

/// The search that went through all states three times a step, with the transpose in memory.
mod before {
    use seedpress_bitshift::code::value;

    /// A trellis and room to search it.
    pub(crate) struct Search {
        /// Bits of a state.
        state_bits: u32,
        /// Bits of a weight.
        bits: u32,
        /// Values in the order of the costs.
        values: Vec<f32>,
        costs: Vec<f32>,
        least: Vec<f32>,
        choice: Vec<u32>,
        /// For each sample and group, which predecessor.
        decisions: Vec<u8>,
    }

    const NEVER: f32 = 1e30;

    impl Search {
        /// A search with `state_bits` in 10..=16 and `bits` in 1..=4; `unit` turns values into the samples' scale.
        pub(crate) fn new(state_bits: u32, bits: u32, unit: f32) -> Self {
            let states = 1usize << state_bits;
            let groups = states >> bits;
            let values = (0..states).map(|at| {
                let state = ((at % groups) << bits) | (at / groups);
                value(state as u32) as f32 * unit
            });
            Self {
                state_bits,
                bits,
                values: values.collect(),
                costs: vec![0.0; states],
                least: vec![0.0; groups],
                choice: vec![0; groups],
                decisions: Vec::new(),
            }
        }

        /// The circular stream of states for `samples`; `bits x samples` is at least a state's length.
        pub(crate) fn tail_biting(&mut self, samples: &[f32]) -> Vec<u16> {
            // A first search, with free ends, finds what the window at the seam should be. Some lengths of the register on either side
            // are as good as the whole block.
            let half = (samples.len() / 2).min(4 * self.state_bits.div_ceil(self.bits) as usize);
            let (tail, head) = (&samples[samples.len() - half..], &samples[..half]);
            let free = self.search(&[tail, head].concat(), None);
            let at_seam = usize::from(free[half]);
            let overlap = at_seam & (self.least.len() - 1);
            self.search(samples, Some(overlap))
        }

        /// The best states, where `seam` is given with the bits shared by the last and the first.
        fn search(&mut self, samples: &[f32], seam: Option<usize>) -> Vec<u16> {
            let groups = self.least.len();
            self.decisions.resize(samples.len() * groups, 0);
            match seam {
                None => self.costs.fill(0.0),
                Some(overlap) => {
                    // Only a predecessor of the allowed first states is free; its own value never counts.
                    self.costs.fill(NEVER);
                    self.costs[overlap] = 0.0;
                }
            }
            forward(self, samples);
            let branches = 1usize << self.bits;
            let cost = |state: usize| self.costs[(state & (branches - 1)) * groups + (state >> self.bits)];
            let candidates = match seam {
                None => 0..groups * branches,
                Some(overlap) => overlap << self.bits..(overlap + 1) << self.bits,
            };
            let mut state = candidates.start;
            for candidate in candidates {
                if cost(candidate) < cost(state) {
                    state = candidate;
                }
            }
            let mut states = vec![0u16; samples.len()];
            for (at, slot) in states.iter_mut().enumerate().rev() {
                *slot = state as u16;
                let group = state & (groups - 1);
                state = group << self.bits | usize::from(self.decisions[at * groups + group]);
            }
            states
        }
    }

    fn forward(search: &mut Search, samples: &[f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            wide::forward(search, samples);
            return;
        }
        steps(search, samples);
    }

    #[inline(always)]
    fn steps(search: &mut Search, samples: &[f32]) {
        match search.bits {
            1 => steps_of::<2>(search, samples),
            2 => steps_of::<4>(search, samples),
            3 => steps_of::<8>(search, samples),
            _ => steps_of::<16>(search, samples),
        }
    }

    #[inline(always)]
    fn steps_of<const BRANCHES: usize>(search: &mut Search, samples: &[f32]) {
        let groups = search.least.len();
        let Search { values, costs, least, choice, decisions, .. } = search;
        let (least, choice) = (&mut least[..groups], &mut choice[..groups]);
        // Group `g` leads to states whose low bits are those of `g`, whatever bits come in.
        let inner = groups / BRANCHES;
        let mut dealt = vec![0f32; groups];
        for (&sample, decisions) in samples.iter().zip(decisions.chunks_exact_mut(groups)) {
            least.copy_from_slice(&costs[..groups]);
            choice.fill(0);
            for (branch, costs) in costs.chunks_exact(groups).enumerate().skip(1) {
                for ((least, choice), &cost) in least.iter_mut().zip(choice.iter_mut()).zip(costs) {
                    *choice = if cost < *least { branch as u32 } else { *choice };
                    *least = if cost < *least { cost } else { *least };
                }
            }
            decisions.iter_mut().zip(choice.iter()).for_each(|(to, &from)| *to = from as u8);
            for (at, group) in least.chunks_exact(BRANCHES).enumerate() {
                for (low, &cost) in group.iter().enumerate() {
                    dealt[low * inner + at] = cost;
                }
            }
            for (low, dealt) in dealt.chunks_exact(inner).enumerate() {
                let range = low * groups..(low + 1) * groups;
                let targets = costs[range.clone()].chunks_exact_mut(inner).zip(values[range].chunks_exact(inner));
                for (costs, values) in targets {
                    for ((cost, &value), &before) in costs.iter_mut().zip(values).zip(dealt) {
                        let miss = sample - value;
                        *cost = before + miss * miss;
                    }
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    mod wide {
        //! The same loops, compiled for wider registers.

        use super::{Search, steps};

        pub(super) fn forward(search: &mut Search, samples: &[f32]) {
            // SAFETY: the caller has checked for AVX2.
            unsafe { compiled(search, samples) }
        }

        #[target_feature(enable = "avx2")]
        unsafe fn compiled(search: &mut Search, samples: &[f32]) {
            steps(search, samples);
        }
    }
}
