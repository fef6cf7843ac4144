//! Pairs of states: their costs, the decisions that led to them, and which lead where.

use crate::code::Code;

/// Branch costs of one weight: entry `4 near + far`, either branch twice the quantiser plus the parity.
pub(crate) type Branches = [u16; 16];

/// Weights settled at a time.
pub(super) const WINDOW: usize = 4096;
/// Weights looked at beyond, many times the memory of both codes.
pub(super) const MARGIN: usize = 512;
/// Weights between two subtractions of the least cost: far fewer than what fills 16 bits.
pub(super) const PERIOD: usize = 16;
/// States a register and a decision word.
pub(super) const LANES: usize = 16;

/// The product of a code with itself.
pub(crate) struct Product {
    pub(super) code: Code,
    pub(super) costs: Vec<u16>,
    pub(super) after: Vec<u16>,
    pub(super) decisions: Vec<u32>,
}

/// Where the two rows of a butterfly lead: `targets[parity]` from `sources[0]`, the other way round from `sources[1]`.
#[derive(Clone, Copy)]
pub(super) struct Butterfly {
    pub(super) sources: [usize; 2],
    pub(super) targets: [usize; 2],
}

/// The bit of the near parity of a column in its decision word; that of the far parity is 8 above.
#[inline]
pub(super) fn place(column: usize) -> usize {
    (column & 7) + 16 * ((column % LANES) >> 3)
}

impl Product {
    /// For a code of at least 32 states.
    pub(crate) fn new(code: Code) -> Self {
        assert!(code.states() >= 2 * LANES);
        let states = code.states() * code.states();
        let decisions = vec![0; (WINDOW + MARGIN) * states / LANES];
        Self { code, costs: vec![0; states], after: vec![0; states], decisions }
    }

    /// All butterflies of rows.
    pub(super) fn butterflies(&self) -> Vec<Butterfly> {
        let code = self.code;
        let first = |&state: &usize| state <= code.previous(code.next(state, 0), 1);
        (0..code.states())
            .filter(first)
            .map(|state| {
                let targets = [code.next(state, 0), code.next(state, 1)];
                Butterfly { sources: [state, code.previous(targets[0], 1)], targets }
            })
            .collect()
    }
}

/// Subtracts the least cost; what no path reaches stays out of reach.
pub(super) fn settle(costs: &mut [u16]) {
    let least = costs.iter().copied().min().unwrap_or(0);
    costs.iter_mut().for_each(|cost| *cost = if *cost == u16::MAX { *cost } else { *cost - least });
}
