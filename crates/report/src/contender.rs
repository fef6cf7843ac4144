//! One row of the matrix: a codec with its options, and what tells it from others.

use std::collections::BTreeSet;

use serde_json::Value;

/// How a row came to its bytes, which its mark shows in every chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// From the weights alone.
    Plain,
    /// Told of the inputs of layers.
    Calibrated,
    /// Each layer behind those before it.
    Sequential,
    /// Bits shared out among tensors by a plan.
    Planned,
    /// By another program.
    Foreign,
}

impl Mode {
    /// One word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Calibrated => "calibrated",
            Mode::Sequential => "sequential",
            Mode::Planned => "planned",
            Mode::Foreign => "foreign",
        }
    }
}

/// One row of the matrix: a codec with its options.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    /// Canonical name.
    pub codec: String,
    /// What charts and tables call it: the name its config gave it, or the canonical one.
    pub label: String,
    /// The codec's id.
    pub codec_id: String,
    /// The entropy stage, or nothing.
    pub stage: String,
    /// Every option.
    pub options: Value,
    /// Whether it was told of the inputs of any tensor.
    pub calibrated: bool,
    /// What its rows say of how they came about; nothing in rows of older runs.
    pub told: Option<seedpress_results::Mode>,
    /// The program and version that made its bytes, where it is not this one.
    pub foreign: Option<String>,
    /// The code that made its bytes, `unknown revision` for rows of older runs.
    pub code: BTreeSet<String>,
}

/// The options that only say how much to spend, the one in force first: points that differ in nothing else lie on one curve.
const RATE_OPTIONS: [&str; 6] = ["slope", "like", "level", "bits", "layers", "qp"];

impl Contender {
    /// How it came to its bytes.
    pub(crate) fn mode(&self) -> Mode {
        use seedpress_results::Mode as Told;
        if self.foreign.is_some() {
            return Mode::Foreign;
        }
        if let Some(told) = self.told {
            return match told {
                Told::Plain => Mode::Plain,
                Told::Calibrated => Mode::Calibrated,
                Told::Sequential => Mode::Sequential,
                Told::Plan | Told::SequentialPlan => Mode::Planned,
            };
        }
        if self.codec_id == "plan" {
            Mode::Planned
        } else if self.options.get("sequential") == Some(&Value::Bool(true)) || self.codec.ends_with(" sequential") {
            Mode::Sequential
        } else if self.calibrated {
            Mode::Calibrated
        } else {
            Mode::Plain
        }
    }

    /// The series it belongs to: its codec, stage and mode, whatever the rate.
    pub(crate) fn family(&self) -> String {
        let stage = if self.stage.is_empty() { String::new() } else { format!("+{}", self.stage) };
        match self.mode() {
            Mode::Plain | Mode::Planned => format!("{}{stage}", self.codec_id),
            mode => format!("{}{stage} {}", self.codec_id, mode.name()),
        }
    }

    /// The codec id whose colour it has: a plan has that of the codec it shares out.
    pub(crate) fn colour_id(&self) -> &str {
        let ladder = (self.codec_id == "plan").then(|| self.options.get("ladder").and_then(Value::as_str)).flatten();
        match ladder.and_then(|ladder| ladder.split([' ', ':']).next()) {
            Some(id) if !id.is_empty() => id,
            _ => &self.codec_id,
        }
    }

    /// Whether it is the floor row that writes zeros: relative error 1 by design.
    pub(crate) fn is_floor(&self) -> bool {
        self.codec_id == "zeros"
    }

    /// The option that says how much to spend, and its value.
    fn rate_option(&self) -> Option<(&'static str, &Value)> {
        let set = |value: &Value| match value {
            Value::Null => false,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            _ => true,
        };
        RATE_OPTIONS.iter().find_map(|key| Some((*key, self.options.get(*key).filter(|value| set(value))?)))
    }

    /// The curve it lies on: its series, which option sets the rate, and every other option.
    pub(crate) fn curve(&self) -> String {
        let mut options = self.options.clone();
        let rate = self.rate_option().map_or("", |(key, _)| key);
        if let Some(options) = options.as_object_mut() {
            // With the rate by bits, the number of layers is no rate.
            options.retain(|key, _| !RATE_OPTIONS.contains(&key.as_str()) || (key == "layers" && rate == "bits"));
        }
        format!("{} {rate} {options}", self.family())
    }

    /// What stands beside its mark on a curve: `2`, `level 0.3`; nothing for codecs without a rate.
    pub(crate) fn rate(&self) -> String {
        match self.rate_option() {
            None => String::new(),
            Some(("bits", value)) => short(value),
            Some(("layers", value)) => format!("{} layers", short(value)),
            Some(("like", value)) => {
                let like = short(value);
                like.split("bits=").nth(1).and_then(|rest| rest.split(',').next()).map_or(like.clone(), str::to_owned)
            }
            Some((key, value)) => format!("{key} {}", short(value)),
        }
    }

    /// The canonical name without what only the harness adds.
    fn plain_name(&self) -> &str {
        self.codec.strip_suffix(" sequential").unwrap_or(&self.codec)
    }

    /// The `[[codec]]` section that makes this row.
    pub(crate) fn toml(&self) -> String {
        if let Some(program) = &self.foreign {
            return format!("# {program} with {}: no codec of ours\n", self.options);
        }
        let mut text = format!("[[codec]]\ncodec = \"{}\"\n", self.codec_id);
        let own = self.plain_name().split('+').next().unwrap_or_default();
        let named = own.split_once(':').map_or("", |(_, options)| options);
        let pairs: Vec<(String, String)> = if self.codec_id == "plan" {
            let keys = ["like", "bits", "ladder", "costs", "rounds"].into_iter();
            let set = |key: &&str| *key != "bits" || self.options.get("like").is_none_or(Value::is_null);
            let value = |key: &str| Some((key.to_owned(), literal(self.options.get(key)?)));
            keys.filter(set).filter_map(value).collect()
        } else {
            let pairs = named.split(',').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, text)| (key.to_owned(), self.literal_of(key, text))).collect()
        };
        for (key, value) in pairs {
            text += &format!("{key} = {value}\n");
        }
        if !self.stage.is_empty() {
            text += &format!("then = \"{}\"\n", self.stage);
        }
        if self.mode() == Mode::Sequential {
            text += "sequential = true\n";
        }
        text
    }

    fn literal_of(&self, key: &str, text: &str) -> String {
        let known = self.options.get(key).filter(|value| !value.is_null());
        known.map_or_else(|| literal(&Value::String(text.to_owned())), literal)
    }

    fn language_command(&self, text: &str) -> String {
        let sequential = self.mode() == Mode::Sequential || self.told == Some(seedpress_results::Mode::SequentialPlan);
        let alone = if sequential { "" } else { " --not-sequential" };
        let option = |key: &str| self.options.get(key).map(short);
        match option("ladder") {
            Some(ladder) => format!(
                "seedpress plan MODEL --bits {} --codec {ladder} {text} -o plan.toml && seedpress compress MODEL --plan plan.toml {text}{alone} -o MODEL.sdp",
                option("bits").unwrap_or_default()
            ),
            None => format!("seedpress compress MODEL --codec '{}' {text}{alone} -o MODEL.sdp", self.plain_name()),
        }
    }

    /// The command that makes its file, with `MODEL` for the model. `text` are the options that calibrate language models, where the models of
    /// the run are such.
    pub(crate) fn command(&self, text: Option<&str>) -> String {
        let option = |key: &str| self.options.get(key).and_then(Value::as_str);
        if let Some(text) = text.filter(|_| !matches!(self.mode(), Mode::Foreign | Mode::Plain)) {
            return self.language_command(text);
        }
        match self.mode() {
            Mode::Foreign => "cargo xtask rivals".to_owned(),
            Mode::Sequential => {
                "cargo xtask bench row.toml   # the section above and one [[model]]: layers are compressed in a run"
                    .to_owned()
            }
            Mode::Planned => {
                let size = option("like").map_or_else(
                    || format!("--bits {}", self.options.get("bits").map_or_else(String::new, short)),
                    |like| format!("--like {like}"),
                );
                let ladder = option("ladder").unwrap_or("trellis");
                let codecs: Vec<String> = ladder.split_whitespace().map(|codec| format!(" --codec {codec}")).collect();
                format!(
                    "seedpress plan MODEL {size}{} -o plan.toml && seedpress compress MODEL --plan plan.toml -o MODEL.sdp",
                    codecs.concat()
                )
            }
            Mode::Plain | Mode::Calibrated => {
                format!("seedpress compress MODEL --codec '{}' -o MODEL.sdp", self.plain_name())
            }
        }
    }
}

/// A value as text, without the zeros that say nothing.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string()),
        other => other.to_string(),
    }
}

/// A value as TOML writes it.
fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contender(codec: &str, id: &str, options: Value) -> Contender {
        let stage = codec.split_once('+').map_or("", |(_, stage)| stage).to_owned();
        Contender {
            codec: codec.into(),
            label: codec.into(),
            codec_id: id.into(),
            stage,
            options,
            calibrated: codec.contains("hessian"),
            told: None,
            foreign: None,
            code: BTreeSet::new(),
        }
    }

    #[test]
    fn rows_say_how_they_are_made() {
        let options = json!({"bits": 2.0, "hessian": "full", "slope": 0.0, "effort": "default"});
        let row = contender("trellis:bits=2.0,hessian=full", "trellis", options);
        assert_eq!(row.toml(), "[[codec]]\ncodec = \"trellis\"\nbits = 2.0\nhessian = \"full\"\n");
        assert_eq!(row.command(None), "seedpress compress MODEL --codec 'trellis:bits=2.0,hessian=full' -o MODEL.sdp");
        let command = row.command(Some("--calibration a.jsonl"));
        assert_eq!(
            command,
            "seedpress compress MODEL --codec 'trellis:bits=2.0,hessian=full' --calibration a.jsonl --not-sequential -o MODEL.sdp"
        );
        assert_eq!((row.mode(), row.rate()), (Mode::Calibrated, "2".into()));
        let staged = contender("rtn:bits=2+ans", "rtn", json!({"bits": 2, "group": 64}));
        assert_eq!(staged.toml(), "[[codec]]\ncodec = \"rtn\"\nbits = 2\nthen = \"ans\"\n");
        let options = json!({"bits": 3.0, "ladder": "trellis", "like": "trellis:bits=1.07", "rounds": 3});
        let plan = contender("plan:like=trellis:bits=1.07", "plan", options);
        assert_eq!((plan.mode(), plan.rate(), plan.colour_id()), (Mode::Planned, "1.07".into(), "trellis"));
        assert!(
            plan.command(None)
                .starts_with("seedpress plan MODEL --like trellis:bits=1.07 --codec trellis -o plan.toml")
        );
        let sequential = contender("rtn:bits=3 sequential", "rtn", json!({"bits": 3, "sequential": true}));
        assert!(sequential.toml().ends_with("bits = 3\nsequential = true\n"));
    }

    #[test]
    fn curves_differ_in_the_rate_only() {
        let by_bits = |bits: f64| contender("t", "t", json!({"bits": bits, "slope": 0.0, "layers": 2}));
        assert_eq!(by_bits(2.0).curve(), by_bits(3.0).curve());
        assert_ne!(by_bits(2.0).curve(), contender("t", "t", json!({"bits": 2.0, "slope": 0.0, "layers": 3})).curve());
        assert_ne!(by_bits(3.0).curve(), contender("t", "t", json!({"bits": 3.0, "slope": 5.0, "layers": 2})).curve());
        let layers = |layers| contender("p", "p", json!({"bits": null, "layers": layers}));
        assert_eq!(layers(2).curve(), layers(4).curve());
        assert_eq!(layers(4).rate(), "4 layers");
    }
}
