//! Which type a tensor gets.

use crate::gguf::types::{TYPES, TypeInfo, by_name};

/// What llama.cpp takes where a row is no whole number of a type's blocks: `llama-quant.cpp`.
const FALLBACKS: &[(&str, &str)] = &[
    ("Q2_K", "Q4_0"),
    ("Q3_K", "Q4_0"),
    ("Q4_K", "Q5_0"),
    ("Q5_K", "Q5_1"),
    ("Q6_K", "Q8_0"),
    ("IQ1_S", "IQ4_NL"),
    ("IQ1_M", "IQ4_NL"),
    ("IQ2_XXS", "IQ4_NL"),
    ("IQ2_XS", "IQ4_NL"),
    ("IQ2_S", "IQ4_NL"),
    ("IQ3_XXS", "IQ4_NL"),
    ("IQ3_S", "IQ4_NL"),
    ("IQ4_XS", "IQ4_NL"),
    ("TQ1_0", "Q4_0"),
    ("TQ2_0", "Q4_0"),
];

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The type of matrices; `None` leaves those that are made of blocks as they are, and makes others [`DEFAULT`].
    pub matrices: Option<&'static TypeInfo>,
    /// Types of tensors by patterns of their names in GGUF, the first that matches counts.
    pub patterns: Vec<(String, &'static TypeInfo)>,
}

/// The type of matrices where nothing is said.
pub const DEFAULT: &str = "Q4_K";

/// Whether ggml computes with a tensor as 32-bit floats: vectors, norms, routers, positions.
pub fn is_kept(name: &str, shape: &[usize]) -> bool {
    shape.len() < 2 || ["norm", "ffn_gate_inp", "position_embd"].iter().any(|part| name.contains(part))
}

/// The type of a tensor, and why it is not the one that was asked for. `given` is the type that a plan names or that its file has it in;
/// `matches` tells whether a pattern fits a name.
pub fn choose(
    wanted: &Wanted,
    name: &str,
    shape: &[usize],
    given: Option<&'static TypeInfo>,
    tied: bool,
    matches: &dyn Fn(&str, &str) -> bool,
) -> (&'static TypeInfo, Option<String>) {
    let plain = |name: &str| by_name(name).unwrap_or(&TYPES[0]);
    if is_kept(name, shape) {
        return (plain("F32"), None);
    }
    let pattern = wanted.patterns.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, info)| *info);
    let chosen = pattern.or(given).unwrap_or_else(|| {
        // The matrix that makes the logits gets six bits where others get fewer, as llama.cpp has it.
        let head = name == "output.weight" || (tied && name == "token_embd.weight");
        let matrices = wanted.matrices.unwrap_or(plain(DEFAULT));
        let fewer = matrices.bytes * 8 < 210 * matrices.weights / 32;
        if head && fewer { plain("Q6_K") } else { matrices }
    });
    let columns = shape.last().copied().unwrap_or(1);
    let fits = |info: &TypeInfo| columns.is_multiple_of(info.weights);
    if fits(chosen) {
        return (chosen, None);
    }
    let fallback = FALLBACKS.iter().find(|(from, _)| *from == chosen.name).map(|(_, to)| plain(to));
    let taken = fallback.filter(|info| fits(info)).unwrap_or(plain("F16"));
    let why = format!(
        "`{name}`: rows of {columns} are no whole blocks of {} {} weights: {}",
        chosen.weights, chosen.name, taken.name
    );
    (taken, Some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(matrices: &str, name: &str, shape: &[usize], tied: bool) -> &'static str {
        let wanted = Wanted {
            matrices: by_name(matrices),
            patterns: vec![("blk.0.attn_v.weight".to_owned(), by_name("Q8_0").unwrap())],
        };
        choose(&wanted, name, shape, None, tied, &|pattern, name| pattern == name).0.name
    }

    #[test]
    fn llama_cpps_rules() {
        assert_eq!(chosen("Q4_K", "blk.0.ffn_up.weight", &[8, 512], false), "Q4_K");
        assert_eq!(chosen("Q4_K", "blk.0.ffn_up.weight", &[8, 576], false), "Q5_0");
        assert_eq!(chosen("Q6_K", "blk.0.ffn_up.weight", &[8, 896], false), "Q8_0");
        assert_eq!(chosen("Q2_K", "blk.0.ffn_up.weight", &[8, 576], false), "Q4_0");
        assert_eq!(chosen("Q4_K", "blk.0.ffn_up.weight", &[8, 40], false), "F16");
        assert_eq!(chosen("Q4_K", "blk.0.attn_v.weight", &[8, 512], false), "Q8_0");
        assert_eq!(chosen("Q4_K", "output.weight", &[8, 512], false), "Q6_K");
        assert_eq!(chosen("Q4_K", "token_embd.weight", &[8, 512], true), "Q6_K");
        assert_eq!(chosen("Q4_K", "token_embd.weight", &[8, 512], false), "Q4_K");
        assert_eq!(chosen("Q8_0", "output.weight", &[8, 512], false), "Q8_0");
        assert_eq!(chosen("Q4_K", "blk.0.attn_norm.weight", &[512], false), "F32");
    }
}
