//! The cycle as a table: state by position, position by seed, values ready to multiply.

use std::sync::{Arc, OnceLock};

use crate::cache::Cache;
use crate::register::{BasisError, Register};

/// The states of a maximal register in the order they are visited, every `decimation`-th of them.
///
/// Position 0 is the state 1. With a decimation coprime to the period all states occur, in another order: neighbours are no longer
/// shifts of one another, which makes short windows cover the space far more evenly, at no cost in hardware or bits.
#[derive(Debug)]
pub struct Sequence {
    register: Register,
    decimation: u32,
    states: Box<[u32]>,
    values: Box<[f32]>,
    positions: OnceLock<Box<[u32]>>,
}

static SEQUENCES: Cache<(Register, u32), Sequence> = Cache::new(64 << 20);

impl Sequence {
    /// Values repeated after the end of the cycle: a window of up to this many values may start anywhere without a modulo.
    pub const PADDING: usize = 1024;

    /// The sequence of a register of `width` bits with the paper's taps (`None`) or others, taking every `decimation`-th state.
    /// Sequences are shared: asking twice costs a lookup (beyond 21 bits they are not kept and live as long as the caller holds one).
    ///
    /// # Errors
    /// [`BasisError`] where the parameters give no full cycle.
    pub fn new(width: u32, taps: Option<u32>, decimation: u32) -> Result<Arc<Self>, BasisError> {
        let register = match taps {
            Some(taps) => Register::with_taps(width, taps)?,
            None => Register::new(width)?,
        };
        let period = register.period();
        if decimation == 0 || greatest_common_divisor(decimation, period) != 1 {
            return Err(BasisError::Decimation { decimation, period });
        }
        // Steps are counted modulo the period: decimations that differ by it are one sequence.
        let decimation = decimation % period;
        Ok(SEQUENCES.get((register, decimation), Self::memory(width), || Self::build(register, decimation)))
    }

    /// Upper bound of the bytes a sequence of this width takes: what a decoder asks its limits for.
    pub const fn memory(width: u32) -> usize {
        (12 << width) + 4 * Self::PADDING
    }

    fn build(register: Register, decimation: u32) -> Self {
        let period = register.period() as usize;
        let stride = decimation as usize;
        let mut states = vec![0u32; period];
        let (mut state, mut at) = (1u32, 0usize);
        // Walk the undecimated cycle: the state reached after n steps has the decimated position n / decimation modulo the period.
        let inverse = inverse_modulo(stride as u64, period as u64) as usize;
        for _ in 0..period {
            states[at] = state;
            state = register.step(state);
            at += inverse;
            if at >= period {
                at -= period;
            }
        }
        let half = 1i32 << (register.width() - 1);
        // Both numbers are integers below 2^24, exact in f32, so the quotient is correctly rounded everywhere.
        let values =
            states.iter().cycle().take(period + Self::PADDING).map(|&v| (v as i32 - half) as f32 / (half - 1) as f32);
        let values = values.collect();
        Self { register, decimation, states: states.into(), values, positions: OnceLock::new() }
    }

    /// The register.
    pub fn register(&self) -> Register {
        self.register
    }

    /// Steps of the register from one position to the next.
    pub fn decimation(&self) -> u32 {
        self.decimation
    }

    /// Positions of the cycle, `2^K - 1`.
    #[allow(clippy::len_without_is_empty)] // The shortest cycle has three states.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// All states by position.
    pub fn states(&self) -> &[u32] {
        &self.states
    }

    /// The state at a position below [`len`](Self::len).
    #[inline]
    pub fn state(&self, position: usize) -> u32 {
        self.states[position]
    }

    /// The position of every state, by state; entry 0 is not a state and holds 0.
    pub fn positions(&self) -> &[u32] {
        self.positions.get_or_init(|| {
            let mut positions = vec![0; self.states.len() + 1];
            for (position, &state) in self.states.iter().enumerate() {
                positions[state as usize] = position as u32;
            }
            positions.into()
        })
    }

    /// The position of a seed in `1 ..= 2^K - 1`.
    #[inline]
    pub fn position(&self, seed: u32) -> usize {
        self.positions()[seed as usize] as usize
    }

    /// The states normalised to `[-1, 1]` (Eq. 1 of the paper: `(v - 2^(K-1)) / (2^(K-1) - 1)`) by position, followed by
    /// [`PADDING`](Self::PADDING) values from the start of the cycle again (the cycle repeats where it is shorter).
    ///
    /// The basis of the seed at position `i` begins at value `i + 1`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The basis of a seed, `count <= PADDING` values, row-major whatever its shape.
    #[inline]
    pub fn basis(&self, seed: u32, count: usize) -> &[f32] {
        let start = self.position(seed) + 1;
        &self.values[start..start + count]
    }

    /// The `count` states after a seed.
    pub fn window(&self, seed: u32, count: usize) -> impl Iterator<Item = u32> {
        let start = self.position(seed) + 1;
        self.states.iter().copied().cycle().skip(start).take(count)
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The inverse of a unit modulo `modulus` by the extended Euclidean algorithm.
fn inverse_modulo(unit: u64, modulus: u64) -> u64 {
    let (mut r0, mut r1) = (modulus as i64, (unit % modulus) as i64);
    let (mut t0, mut t1) = (0i64, 1i64);
    while r1 != 0 {
        let quotient = r0 / r1;
        (r0, r1) = (r1, r0 - quotient * r1);
        (t0, t1) = (t1, t0 - quotient * t1);
    }
    t0.rem_euclid(modulus as i64) as u64
}
