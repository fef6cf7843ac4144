//! The windows that a screening of one vector leaves.

/// The windows that may still hold the best approximation of one vector.
#[derive(Debug, Clone)]
pub struct Survivors {
    /// Captured energy of the best window so far.
    best: f32,
    /// Windows below are discarded.
    pub(crate) threshold: f32,
    /// How many times the least residual a window may leave.
    slack: f32,
    margin: f32,
    found: Vec<(f32, u32)>,
}

impl Survivors {
    /// Keeps windows whose residual is at most `slack` times the least one of all.
    pub fn within_factor(slack: f32, margin: f32) -> Self {
        Self { best: 0.0, threshold: f32::NEG_INFINITY, slack, margin, found: Vec::new() }
    }

    /// Keeps windows whose residual is at most `limit` (of a unit vector).
    pub fn within(limit: f64, margin: f32) -> Self {
        // Two margins: one for the screening, one for the rounding of the limit itself.
        let threshold = (1.0 - limit) as f32 - 2.0 * margin;
        Self { best: f32::INFINITY, threshold, slack: 0.0, margin, found: Vec::new() }
    }

    /// Adds a window that reaches the threshold, and raises that.
    #[inline]
    pub(crate) fn push(&mut self, captured: f32, window: u32) {
        self.found.push((captured, window));
        if captured > self.best {
            self.best = captured;
            self.threshold = 1.0 - self.slack * (1.0 - captured).max(0.0) - 2.0 * self.margin;
        }
    }

    /// What a window may leave and still be kept.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn open(&self) -> f64 {
        f64::from(1.0 - self.threshold) + f64::from(self.margin)
    }

    /// Every window with a residual below this is among the survivors.
    pub fn limit(&self) -> f64 {
        f64::from(1.0 - self.threshold - self.margin)
    }

    /// The surviving windows of which `keep` holds, the best first (equal ones by number).
    pub fn ranked(&mut self, keep: impl Fn(u32) -> bool) -> &[(f32, u32)] {
        let threshold = self.threshold;
        self.found.retain(|entry| entry.0 >= threshold && keep(entry.1));
        self.found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        &self.found
    }
}
