//! Which codec each tensor gets, as the command line says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seedpress::Registry;
use seedpress::codec::AnyCodec;
use seedpress_checkpoint::TensorInfo;
use seedpress_plan::{PlanFile, ladder};
use seedpress_press::{Assign, Bounded, Kept, Patterns, PressError, SmallTensors, Treatment};

use crate::failure::Failure;

/// One codec or a plan, and what is left out.
pub(crate) struct Choice {
    rule: Rule,
    small: SmallTensors,
    patterns: Patterns,
}

enum Rule {
    One(AnyCodec),
    Within(Arc<Bounded>),
    Plan(PlanFile, PathBuf),
}

impl Choice {
    /// One codec for all.
    pub(crate) fn codec(
        given: &str,
        bits: Option<f64>,
        then: Option<&str>,
        registry: &Registry,
    ) -> Result<Self, Failure> {
        let (mut name, stage) = parts(given, then)?;
        if let Some(bits) = bits {
            let id = name.split(':').next().unwrap_or_default();
            let entry = registry.codec(id).map_err(Failure::usage)?;
            if entry.schema()["properties"]["bits"].is_null() {
                return Err(Failure::usage(format!("codec `{id}` has no option `bits`: see `seedpress codecs {id}`")));
            }
            if registry.parse(given).is_ok_and(|codec| !codec.capabilities().targets_bits) && name.contains("slope=") {
                return Err(Failure::usage(format!("--codec {given} decides the rate by its slope: leave --bits out")));
            }
            name.push(if name.contains(':') { ',' } else { ':' });
            name.push_str(&format!("bits={bits}"));
        }
        let codec = registry.parse(&with_stage(name, stage)).map_err(Failure::usage)?;
        Ok(Self::of(Rule::One(codec)))
    }

    /// One codec for all, each tensor at the lowest rate at which its error is at most this.
    pub(crate) fn within(given: &str, error: f64, then: Option<&str>, registry: &Registry) -> Result<Self, Failure> {
        let (name, stage) = parts(given, then)?;
        let name = with_stage(name, stage);
        let rates = ladder::rates(&name, registry).map_err(|error| Failure::usage(format!("--max-error: {error}")))?;
        if rates.is_empty() {
            let capable: Vec<&str> = registry
                .codecs()
                .filter(|entry| ladder::rates(entry.id, registry).is_ok_and(|rates| !rates.is_empty()))
                .map(|entry| entry.id)
                .collect();
            let capable = capable.join(", ");
            return Err(Failure::usage(format!(
                "--max-error chooses the rate of each tensor, and `{given}` has none to choose: codecs with a rate are {capable}"
            )));
        }
        Ok(Self::of(Rule::Within(Arc::new(Bounded::new(&name, rates, error)))))
    }

    fn of(rule: Rule) -> Self {
        Self { rule, small: SmallTensors::default(), patterns: Patterns::default() }
    }

    /// A plan.
    pub(crate) fn plan(path: &Path, registry: &Registry) -> Result<Self, Failure> {
        let plan = PlanFile::load(path, registry).map_err(Failure::usage)?;
        let small = SmallTensors { below: plan.keep_below };
        Ok(Self { small, ..Self::of(Rule::Plan(plan, path.to_owned())) })
    }

    /// What a plan assumed where nothing was measured, a line each.
    pub(crate) fn assumptions(&self) -> Vec<String> {
        match &self.rule {
            Rule::Plan(plan, path) => {
                plan.assumptions().iter().map(|line| format!("{} assumes: {line}", path.display())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Another bound for small tensors.
    pub(crate) fn keep_below(mut self, below: Option<usize>) -> Self {
        if let Some(below) = below {
            self.small = SmallTensors { below };
        }
        self
    }

    /// Tensors that are compressed at all.
    pub(crate) fn only(mut self, include: &[String], exclude: &[String]) -> Self {
        self.patterns = Patterns::new(include, exclude);
        self
    }

    /// Every pattern must match a tensor, and a plan must have a codec for every tensor: known before any work is done.
    pub(crate) fn check(&self, tensors: &[TensorInfo]) -> Result<(), PressError> {
        self.patterns.check(tensors.iter().map(|info| info.name.as_str()))?;
        for info in tensors.iter().filter(|info| info.float().is_some()) {
            self.treat(info)?;
        }
        if let Rule::Plan(plan, path) = &self.rule {
            let unused = plan.unused(tensors.iter().map(|info| info.name.as_str()));
            if let Some(pattern) = unused {
                let path = path.display();
                return Err(PressError::Assignment(format!("{path}: no tensor matches `{pattern}`")));
            }
        }
        Ok(())
    }

    /// What the file was made with.
    pub(crate) fn name(&self) -> String {
        match &self.rule {
            Rule::One(codec) => codec.name(),
            Rule::Within(bounded) => bounded.name(),
            Rule::Plan(_, path) => format!("plan {}", path.display()),
        }
    }
}

/// A codec's name without its stage, and the stage that it or `--then` names.
fn parts<'a>(given: &'a str, then: Option<&'a str>) -> Result<(String, Option<&'a str>), Failure> {
    match (given.split_once('+'), then) {
        (Some((_, stage)), Some(then)) => Err(Failure::usage(format!(
            "--codec {given} names the stage `{stage}` and --then the stage `{then}`: a codec has one stage"
        ))),
        (Some((name, stage)), None) => Ok((name.to_owned(), Some(stage))),
        (None, then) => Ok((given.to_owned(), then)),
    }
}

fn with_stage(name: String, stage: Option<&str>) -> String {
    stage.map_or(name.clone(), |stage| format!("{name}+{stage}"))
}

impl Assign for Choice {
    fn treat(&self, tensor: &TensorInfo) -> Result<Treatment<'_>, PressError> {
        if !self.patterns.admit(&tensor.name) {
            return Ok(Treatment::Keep(Kept::LeftOut));
        }
        if self.small.keeps(&tensor.shape) {
            return Ok(Treatment::Keep(Kept::Small));
        }
        match &self.rule {
            Rule::One(codec) => Ok(Treatment::Code(codec)),
            Rule::Within(bounded) => Ok(Treatment::Within(bounded)),
            Rule::Plan(plan, path) => plan.codec(&tensor.name).map(Treatment::Code).ok_or_else(|| {
                let (path, name) = (path.display(), seedpress::codec::text::printable(&tensor.name));
                PressError::Assignment(format!(
                    "{path}: no [[tensor]] matches `{name}`: add one, or a last one with name = \"*\""
                ))
            }),
        }
    }
}
