//! The best choice for a budget: minimise the sum of costs over items, one choice an item, within a total of bytes.
//!
//! The lower convex hull of each item's choices is climbed step by step, the step with the most gain a byte first: every total that
//! the climb passes is the exact optimum for that many bytes (Lagrange multiplier = the step's slope). What the last step that does
//! not fit leaves over is spent on whatever choice, on the hull or off it, gains most and fits. The result is therefore within the
//! gain of one step of the optimum.
//!
//! `seedpress-exchange` has a solver of its own for files of a size: layouts have few choices, far apart, and there the budget is to be
//! used up, not only kept.

/// One way to store an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    /// Bytes it takes.
    pub bytes: u64,
    /// What it costs: smaller is better, finite.
    pub cost: f64,
}

/// Choices on the lower convex hull, from few bytes to many; costs fall strictly.
pub(crate) fn hull(choices: &[Choice]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..choices.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (choices[a], choices[b]);
        a.bytes.cmp(&b.bytes).then(a.cost.total_cmp(&b.cost))
    });
    let mut hull: Vec<usize> = Vec::new();
    for index in order {
        let new = choices[index];
        if hull.last().is_some_and(|&last| choices[last].cost <= new.cost) {
            continue;
        }
        while let [.., before, last] = hull[..] {
            if slope(choices[before], choices[last]) > slope(choices[last], new) {
                break;
            }
            hull.pop();
        }
        hull.push(index);
    }
    hull
}

/// Gain a byte of moving from one choice to a larger one.
fn slope(from: Choice, to: Choice) -> f64 {
    (from.cost - to.cost) / (to.bytes - from.bytes) as f64
}

/// The least total of bytes any allocation takes.
pub(crate) fn least(items: &[Vec<Choice>]) -> u64 {
    items.iter().map(|choices| choices.iter().map(|choice| choice.bytes).min().unwrap_or(0)).sum()
}

/// The index of the choice for each item, or `None` where even the smallest choices take more than `budget`. Every item needs at
/// least one choice. Equal slopes are taken in the order of items, so the result is the same everywhere.
pub(crate) fn allocate(items: &[Vec<Choice>], budget: u64) -> Option<Vec<usize>> {
    let hulls: Vec<Vec<usize>> = items.iter().map(|choices| hull(choices)).collect();
    let mut left = budget.checked_sub(least(items))?;
    let mut places = vec![0; items.len()];
    let mut steps = Vec::new();
    for (item, hull) in hulls.iter().enumerate() {
        for place in 1..hull.len() {
            let (from, to) = (items[item][hull[place - 1]], items[item][hull[place]]);
            steps.push((slope(from, to), item, place, to.bytes - from.bytes));
        }
    }
    steps.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    for (_, item, place, bytes) in steps {
        // Slopes fall along a hull, so the steps of an item come in order; one that did not fit closes the item.
        if place == places[item] + 1 && bytes <= left {
            places[item] = place;
            left -= bytes;
        }
    }
    let mut chosen: Vec<usize> = hulls.iter().zip(&places).map(|(hull, &place)| hull[place]).collect();
    while let Some((item, index)) = best_that_fits(items, &chosen, left) {
        left = left + items[item][chosen[item]].bytes - items[item][index].bytes;
        chosen[item] = index;
    }
    Some(chosen)
}

/// The single change that gains most among those that fit.
fn best_that_fits(items: &[Vec<Choice>], chosen: &[usize], left: u64) -> Option<(usize, usize)> {
    let mut best: Option<(f64, usize, usize)> = None;
    for (item, choices) in items.iter().enumerate() {
        let now = choices[chosen[item]];
        for (index, choice) in choices.iter().enumerate() {
            let gain = now.cost - choice.cost;
            if gain > 0.0 && choice.bytes <= now.bytes + left && best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, item, index));
            }
        }
    }
    best.map(|(_, item, index)| (item, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dice(seedpress_testing::Noise);

    impl Dice {
        fn new(seed: u64) -> Self {
            Self(seedpress_testing::Noise::new(seed))
        }

        fn below(&mut self, bound: u64) -> u64 {
            (self.0.bits() >> 33) % bound
        }
    }

    fn instance(dice: &mut Dice) -> Vec<Vec<Choice>> {
        let choice = |dice: &mut Dice| Choice { bytes: 1 + dice.below(40), cost: dice.below(1000) as f64 / 8.0 };
        (0..1 + dice.below(4)).map(|_| (0..1 + dice.below(5)).map(|_| choice(dice)).collect()).collect()
    }

    fn total(items: &[Vec<Choice>], chosen: &[usize]) -> (u64, f64) {
        let picked = || items.iter().zip(chosen).map(|(choices, &index)| choices[index]);
        (picked().map(|choice| choice.bytes).sum(), picked().map(|choice| choice.cost).sum())
    }

    /// The least cost within a budget, by trying everything.
    fn brute_force(items: &[Vec<Choice>], budget: u64) -> Option<f64> {
        let [first, rest @ ..] = items else { return Some(0.0) };
        let costs = first.iter().filter(|choice| choice.bytes <= budget);
        let costs = costs.filter_map(|choice| Some(choice.cost + brute_force(rest, budget - choice.bytes)?));
        costs.min_by(f64::total_cmp)
    }

    #[test]
    fn never_over_budget_and_within_one_step_of_the_optimum() {
        let mut dice = Dice::new(1);
        for _ in 0..500 {
            let items = instance(&mut dice);
            let budget = dice.below(160);
            let optimum = brute_force(&items, budget);
            let Some(chosen) = allocate(&items, budget) else {
                assert_eq!(optimum, None, "{items:?} {budget}");
                continue;
            };
            let (bytes, cost) = total(&items, &chosen);
            let optimum = optimum.unwrap();
            let gain = |hull: &[usize], choices: &[Choice]| {
                hull.windows(2).map(|pair| choices[pair[0]].cost - choices[pair[1]].cost).fold(0.0, f64::max)
            };
            let step = items.iter().map(|choices| gain(&hull(choices), choices)).fold(0.0, f64::max);
            assert!(bytes <= budget && cost >= optimum - 1e-9 && cost <= optimum + step + 1e-9, "{items:?} {budget}");
        }
    }

    /// Totals that the climb passes are optimal: the claim that makes hulls worth building.
    #[test]
    fn totals_on_the_hull_are_exactly_optimal() {
        let mut dice = Dice::new(2);
        let mut checked = 0;
        for _ in 0..1000 {
            let items = instance(&mut dice);
            let hulls: Vec<Vec<usize>> = items.iter().map(|choices| hull(choices)).collect();
            let slopes = hulls.iter().zip(&items).flat_map(|(hull, choices)| {
                hull.windows(2).map(|pair| slope(choices[pair[0]], choices[pair[1]])).collect::<Vec<_>>()
            });
            for lambda in slopes.chain([0.0]) {
                // Every step at least this steep.
                let chosen: Vec<usize> = hulls
                    .iter()
                    .zip(&items)
                    .map(|(hull, choices)| {
                        let steep = hull.windows(2).take_while(|p| slope(choices[p[0]], choices[p[1]]) >= lambda);
                        hull[steep.count()]
                    })
                    .collect();
                let (bytes, cost) = total(&items, &chosen);
                assert_eq!(total(&items, &allocate(&items, bytes).unwrap()), (bytes, cost), "{items:?}");
                assert_eq!(brute_force(&items, bytes), Some(cost), "{items:?}");
                checked += 1;
            }
        }
        assert!(checked > 1000);
    }

    #[test]
    fn a_budget_below_the_least_is_refused() {
        let items = vec![vec![Choice { bytes: 5, cost: 1.0 }], vec![Choice { bytes: 7, cost: 1.0 }]];
        assert_eq!((least(&items), allocate(&items, 11), allocate(&items, 12)), (12, None, Some(vec![0, 0])));
    }
}
