//! One choice for every tensor under a budget, filled to within a thousandth: who names a size for a file wants a file of that size.
//!
//! `seedpress-plan` shares bits out, too, with another aim: the least cost provably, whatever it leaves of the budget.

/// What a tensor may become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Bytes it takes then.
    pub bytes: u64,
    /// What that costs.
    pub loss: f64,
}

/// Halvings of the price of a byte.
const STEPS: usize = 100;
/// What may be left of a budget: a thousandth.
const LEFT: u64 = 1000;

/// The place of a choice for every tensor: little loss, and bytes of all that are at most `budget` and come close to it. `None` where the
/// smallest choices are larger.
///
/// By Lagrange: at one price of a byte for all, every tensor takes its cheapest choice; the price is the least that keeps the budget. The
/// rest goes to single improvements, and, where they leave more than a thousandth, to changes of two or
/// three tensors at once, up and down.
pub fn allot(tensors: &[Vec<Choice>], budget: u64) -> Option<Vec<usize>> {
    let smallest: Vec<usize> = tensors.iter().map(|choices| best(choices, f64::INFINITY)).collect();
    if total(tensors, &smallest) > budget {
        return None;
    }
    let (mut low, mut high) = (-40.0f64, 40.0f64);
    let mut chosen = smallest;
    for _ in 0..STEPS {
        let middle = (low + high) / 2.0;
        let found: Vec<usize> = tensors.iter().map(|choices| best(choices, middle.exp())).collect();
        if total(tensors, &found) <= budget {
            high = middle;
            chosen = found;
        } else {
            low = middle;
        }
    }
    fill(tensors, &mut chosen, budget);
    if budget - total(tensors, &chosen) > budget / LEFT {
        exchange(tensors, &mut chosen, budget);
    }
    Some(chosen)
}

/// The choice that is cheapest at a price of a byte; of equals the smaller, at an infinite price the smallest.
fn best(choices: &[Choice], price: f64) -> usize {
    let cost = |choice: &Choice| match price.is_finite() {
        true => choice.loss + price * choice.bytes as f64,
        false => choice.bytes as f64,
    };
    let better = |a: &Choice, b: &Choice| cost(a).total_cmp(&cost(b)).then(a.bytes.cmp(&b.bytes));
    (0..choices.len()).min_by(|&a, &b| better(&choices[a], &choices[b])).unwrap_or(0)
}

/// Bytes of all.
pub fn total(tensors: &[Vec<Choice>], chosen: &[usize]) -> u64 {
    tensors.iter().zip(chosen).map(|(choices, &at)| choices.get(at).map_or(0, |choice| choice.bytes)).sum()
}

/// Improves single tensors, the most for a byte first, as long as there is room.
fn fill(tensors: &[Vec<Choice>], chosen: &mut [usize], budget: u64) {
    let mut room = budget - total(tensors, chosen);
    loop {
        let mut found: Option<(f64, usize, usize, u64)> = None;
        for (tensor, choices) in tensors.iter().enumerate() {
            let Some(now) = choices.get(chosen[tensor]) else { continue };
            for (at, choice) in choices.iter().enumerate() {
                let more = choice.bytes.saturating_sub(now.bytes);
                let gain = (now.loss - choice.loss) / more.max(1) as f64;
                if choice.loss < now.loss && more <= room && found.is_none_or(|(most, ..)| gain > most) {
                    found = Some((gain, tensor, at, choice.bytes));
                }
            }
        }
        let Some((_, tensor, at, bytes)) = found else { return };
        room = room + tensors[tensor][chosen[tensor]].bytes - bytes;
        chosen[tensor] = at;
    }
}

/// What a filled budget may cost at most: a file is not made much worse to be a little larger.
const WORSE: f64 = 0.01;

/// A change of one tensor: bytes, loss, which, and to what.
type Move = (i64, f64, usize, usize);

/// Moves of the same bytes that are looked at, those of the least loss: three, for all of a triple may be alike.
const ALIKE: usize = 3;

/// Changes two or three tensors, up and down, where that fills the budget; of all ways the one that loses least.
fn exchange(tensors: &[Vec<Choice>], chosen: &mut [usize], budget: u64) {
    let room = (budget - total(tensors, chosen)) as i64;
    let wanted = room - (budget / LEFT) as i64;
    let moves = moves(tensors, chosen);
    let now: f64 = tensors.iter().zip(&*chosen).filter_map(|(choices, &at)| Some(choices.get(at)?.loss)).sum();
    let mut least = now * WORSE;
    let mut found: Vec<Move> = Vec::new();
    let mut try_all = |some: &[Move]| {
        let (bytes, loss) = some.iter().fold((0, 0.0), |(bytes, loss), one| (bytes + one.0, loss + one.1));
        if bytes >= wanted && bytes <= room && loss < least {
            least = loss;
            found = some.to_vec();
        }
    };
    for (at, &one) in moves.iter().enumerate() {
        for (behind, &two) in moves.iter().enumerate().skip(at + 1).filter(|(_, two)| two.2 != one.2) {
            try_all(&[one, two]);
            let others = moves[behind + 1..].iter().filter(|three| three.2 != one.2 && three.2 != two.2);
            others.for_each(|&three| try_all(&[one, two, three]));
        }
    }
    for (_, _, tensor, at) in found {
        chosen[tensor] = at;
    }
}

fn moves(tensors: &[Vec<Choice>], chosen: &[usize]) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    for (tensor, choices) in tensors.iter().enumerate() {
        let Some(now) = choices.get(chosen[tensor]) else { continue };
        let others = choices.iter().enumerate().filter(|(at, _)| *at != chosen[tensor]);
        moves.extend(others.map(|(at, to)| (to.bytes as i64 - now.bytes as i64, to.loss - now.loss, tensor, at)));
    }
    moves.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut kept: Vec<Move> = Vec::new();
    for one in moves {
        let alike = kept.iter().rev().take_while(|other| other.0 == one.0).count();
        if alike < ALIKE {
            kept.push(one);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tensors of growing sizes in eight widths; a bit less is four times the loss.
    fn tensors(count: u64) -> Vec<Vec<Choice>> {
        let tensor = |number: u64| {
            let weights = 1000 + 137 * (number % 17);
            let choice = |bits: u64| Choice {
                bytes: weights * bits / 8 + 16,
                loss: weights as f64 * (1.0 + (number % 5) as f64) * 0.25f64.powi(bits as i32),
            };
            (1..=8).map(choice).collect()
        };
        (0..count).map(tensor).collect()
    }

    #[test]
    fn budgets_are_kept_and_nearly_used_up() {
        let tensors = tensors(60);
        for budget in [20_000u64, 31_000, 45_678, 60_001, 99_999] {
            let chosen = allot(&tensors, budget).unwrap();
            let bytes = total(&tensors, &chosen);
            let most: u64 = tensors.iter().map(|choices| choices[7].bytes).sum();
            assert!(bytes <= budget && bytes + budget / LEFT >= budget.min(most), "{bytes} of {budget}");
        }
        assert_eq!(allot(&tensors, 100), None);
    }

    #[test]
    fn it_is_near_what_trying_all_finds() {
        let tensors = tensors(5);
        let loss = |chosen: &[usize]| tensors.iter().zip(chosen).map(|(t, &at)| t[at].loss).sum::<f64>();
        for budget in [1500, 2100, 3000, 4000] {
            let mut least = f64::INFINITY;
            for code in 0..8usize.pow(5) {
                let chosen: Vec<usize> = (0..5u32).map(|place| code / 8usize.pow(place) % 8).collect();
                if total(&tensors, &chosen) <= budget {
                    least = least.min(loss(&chosen));
                }
            }
            let found = loss(&allot(&tensors, budget).unwrap());
            assert!(found <= 1.5 * least, "{found} {least}");
        }
    }
}
