//! A plan as TOML that people edit.
//!
//! ```toml
//! [plan]
//! keep_below = 1024            # smaller tensors, biases and norms are kept as they are; everything else here is for readers
//!
//! [[tensor]]
//! name = "fc1.weight"          # a pattern with * and ?; the first that matches decides
//! codec = "trellis:bits=2.719"
//!
//! [[tensor]]
//! name = "*"
//! codec = "trellis"
//! ```

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use seedpress_codec::{AnyCodec, Registry};
use serde::Deserialize;
use toml::Spanned;
use wildmatch::WildMatch;

use crate::plan::Plan;

/// A plan as read.
#[derive(Debug, Clone)]
pub struct PlanFile {
    /// Tensors with fewer weights, and those of rank 0 and 1, are kept as they are.
    pub keep_below: usize,
    assumptions: Vec<String>,
    rules: Vec<(String, WildMatch, AnyCodec)>,
}

/// What is wrong with a plan: one line a problem, with file, line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanFileError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    plan: Head,
    tensor: Vec<Rule>,
}

/// Only `keep_below` changes what is stored; the rest tells readers what the plan was made for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(dead_code)]
struct Head {
    model: String,
    costs: String,
    assumed: Vec<String>,
    target_bytes: u64,
    file_bytes: u64,
    bits_per_weight: f64,
    divergence: f64,
    uniform_divergence: f64,
    keep_below: u32,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            model: String::new(),
            costs: String::new(),
            assumed: Vec::new(),
            target_bytes: 0,
            file_bytes: 0,
            bits_per_weight: 0.0,
            divergence: 0.0,
            uniform_divergence: 0.0,
            keep_below: 1024,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Rule {
    name: Spanned<String>,
    codec: Spanned<String>,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    divergence: f64,
}

impl PlanFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A file that cannot be read, and everything [`parse`](Self::parse) finds.
    pub fn load(path: &Path, registry: &Registry) -> Result<Self, PlanFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| PlanFileError(format!("{}: cannot be read: {error}", path.display())))?;
        Self::parse(path, &text, registry)
    }

    /// Checks a text; `path` is what errors call it.
    ///
    /// # Errors
    /// Unknown keys, wrong types, unknown codecs, illegal options: each with its line and what would be legal.
    pub fn parse(path: &Path, text: &str, registry: &Registry) -> Result<Self, PlanFileError> {
        let problem = |span: Option<Range<usize>>, message: &str| {
            let at = place(text, span.map_or(0, |span| span.start));
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{}:{at}: {message}", path.display())
        };
        let document: Document =
            toml::from_str(text).map_err(|error| PlanFileError(problem(error.span(), error.message())))?;
        let mut rules = Vec::with_capacity(document.tensor.len());
        let mut problems = Vec::new();
        for Rule { name, codec, .. } in document.tensor {
            if name.get_ref().is_empty() {
                problems.push(problem(Some(name.span()), "`name` in [[tensor]] is empty: name a tensor or a pattern"));
            }
            match registry.parse(codec.get_ref()) {
                Ok(codec) => rules.push((name.get_ref().clone(), WildMatch::new(name.get_ref()), codec)),
                Err(error) => {
                    let message = format!("`codec` in [[tensor]]: {}", error.message);
                    problems.push(problem(Some(codec.span()), &message));
                }
            }
        }
        if problems.is_empty() {
            let Head { keep_below, assumed, .. } = document.plan;
            Ok(Self { keep_below: keep_below as usize, assumptions: assumed, rules })
        } else {
            Err(PlanFileError(problems.join("\n")))
        }
    }

    /// What was assumed where costs were not measured, a sentence each.
    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
    }

    /// The codec for a tensor that is not kept: that of the first rule whose pattern matches its name.
    pub fn codec(&self, tensor: &str) -> Option<&AnyCodec> {
        self.rules.iter().find(|(_, pattern, _)| pattern.matches(tensor)).map(|(.., codec)| codec)
    }
}

impl PlanFile {
    /// A rule whose name matches none of these tensors: it was meant for another model, or is misspelt.
    pub fn unused<'a>(&self, tensors: impl Iterator<Item = &'a str> + Clone) -> Option<&str> {
        let unused = |pattern: &WildMatch| !tensors.clone().any(|tensor| pattern.matches(tensor));
        self.rules.iter().find(|(_, pattern, _)| unused(pattern)).map(|(name, ..)| name.as_str())
    }
}

/// `line:column`, 1-based, columns in characters.
fn place(text: &str, offset: usize) -> String {
    // `str::floor_char_boundary` is newer than the declared compiler version.
    let offset = (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    format!("{}:{}", before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Writes a plan out. `command` is how it was made; `keep_below` the policy it was made under; tensors that it does not name get
/// `otherwise`.
pub fn to_toml(plan: &Plan, command: &str, keep_below: usize, otherwise: &AnyCodec) -> String {
    let mut text = format!("# Made by {command}\n");
    text += "#\n# Edit what you like and follow it with: seedpress compress model.safetensors --plan this.toml -o model.sdp\n";
    text += "# The first [[tensor]] whose name (a pattern with * and ?) matches decides. Names and options of codecs: seedpress codecs.\n";
    text += "# Only keep_below, name and codec count; bytes and divergence say what was measured or expected.\n\n";
    text += "[plan]\n";
    let _ = writeln!(text, "model = {}", quoted(&plan.model));
    let costs = plan.profile.map_or("measured on calibration data".to_owned(), |profile| {
        format!("squared errors, weighed for the profile {}", profile.name())
    });
    let _ = writeln!(text, "costs = {}", quoted(&costs));
    if !plan.assumptions.is_empty() {
        let lines: String = plan.assumptions.iter().map(|line| format!("  {},\n", quoted(line))).collect();
        let _ = writeln!(text, "assumed = [\n{lines}]");
    }
    let _ = writeln!(text, "target_bytes = {}", plan.target);
    let _ = writeln!(text, "file_bytes = {}", plan.bytes);
    let _ = writeln!(text, "bits_per_weight = {:.4}", plan.bits());
    if let Some(joint) = plan.joint {
        let _ = writeln!(text, "divergence = {joint:?}  # of the whole model's outputs on calibration data");
    }
    if let Some(uniform) = plan.uniform {
        let _ = writeln!(text, "uniform_divergence = {uniform:?}  # the same at one rate for all tensors");
    }
    let _ =
        writeln!(text, "keep_below = {keep_below}  # tensors with fewer weights, and vectors, are kept as they are");
    for assignment in &plan.assignments {
        let bits = 8.0 * assignment.bytes as f64 / assignment.weights as f64;
        let share = 100.0 * assignment.bytes as f64 / plan.bytes as f64;
        let _ = write!(
            text,
            "\n[[tensor]]  # {} weights, {bits:.3} bits a weight, {share:.1} % of the file\nname = {}\ncodec = {}\nbytes = {}\n",
            assignment.weights,
            quoted(&assignment.tensor),
            quoted(&assignment.codec.name()),
            assignment.bytes
        );
        let _ = writeln!(text, "divergence = {:?}  # expected from this tensor alone", assignment.cost);
    }
    let otherwise = quoted(&otherwise.name());
    let _ = write!(text, "\n[[tensor]]  # tensors this plan was not made for\nname = \"*\"\ncodec = {otherwise}\n");
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Assignment;

    fn parse(text: &str) -> Result<PlanFile, String> {
        PlanFile::parse(Path::new("p.toml"), text, &seedpress::registry()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let registry = seedpress::registry();
        let assignment = |tensor: &str, codec: &str| Assignment {
            tensor: tensor.to_owned(),
            weights: 1000,
            codec: registry.parse(codec).unwrap(),
            bytes: 250,
            cost: 1.25e-5,
        };
        let plan = Plan {
            model: "a \"quoted\" model".to_owned(),
            assignments: vec![assignment("a.weight", "trellis:bits=1.969"), assignment("b\\.weight", "rtn:bits=3+ans")],
            target: 600,
            bytes: 599,
            weights: 2000,
            profile: None,
            joint: Some(2e-5),
            uniform: Some(1.0),
            assumptions: vec!["a \"b\" is assumed".to_owned()],
        };
        let text = to_toml(&plan, "seedpress plan", 512, &registry.parse("q8_0").unwrap());
        let back = parse(&text).unwrap();
        assert_eq!((back.keep_below, back.assumptions()), (512, ["a \"b\" is assumed".to_owned()].as_slice()));
        let codec = |name: &str| back.codec(name).unwrap().name();
        assert_eq!(codec("a.weight"), "trellis:bits=1.969");
        assert_eq!((codec("b\\.weight").as_str(), codec("c").as_str()), ("rtn:bits=3+ans", "q8_0"));
    }

    #[test]
    fn the_first_pattern_that_matches_decides() {
        let rules =
            "[[tensor]]\nname = \"layer.0.*\"\ncodec = \"q8_0\"\n[[tensor]]\nname = \"layer.?.mlp\"\ncodec = \"nf4\"\n";
        let plan = parse(rules).unwrap();
        let codec = |name: &str| plan.codec(name).map(AnyCodec::id);
        assert_eq!((codec("layer.0.mlp"), codec("layer.1.mlp"), codec("head")), (Some("q8_0"), Some("nf4"), None));
    }

    #[test]
    fn mistakes_name_file_line_key_and_what_is_legal() {
        let wrong = |text: &str| parse(text).unwrap_err();
        let message = wrong(
            "[[tensor]]\nname = \"a\"\ncodec = \"trelis\"\n[[tensor]]\nname = \"b\"\ncodec = \"trellis:bits=99\"\n",
        );
        let lines: Vec<&str> = message.lines().collect();
        assert!(lines[0].starts_with("p.toml:3:9: `codec` in [[tensor]]: "), "{message}");
        assert!(lines[0].contains("unknown codec `trelis`: legal values are "), "{message}");
        assert!(lines[1].starts_with("p.toml:6:9: ") && lines[1].contains("legal values are 0.1 to 12"), "{message}");
        let message = wrong("[[tensor]]\nname = \"a\"\ncodek = \"raw\"\n");
        assert!(message.starts_with("p.toml:3:1: unknown field `codek`") && message.contains("`codec`"), "{message}");
        let message = wrong("[plan]\nkeep_below = -1\n[[tensor]]\nname = \"a\"\ncodec = \"raw\"\n");
        assert!(message.starts_with("p.toml:2:14: "), "{message}");
        assert!(wrong("[plan]\n").contains("missing field `tensor`"));
        assert!(wrong("[plan\n").starts_with("p.toml:1:"));
    }
}
