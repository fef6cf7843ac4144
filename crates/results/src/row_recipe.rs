//! The recipe of a row, also of rows whose runs did not yet say it.

use crate::recipe::{Mode, Recipe};
use crate::row::{ModelRow, TensorRow};

impl TensorRow {
    /// What was measured; the mode is a guess in rows of older runs.
    pub fn recipe(&self) -> Recipe {
        let mode = self.mode.unwrap_or_else(|| guess(&self.codec, &self.codec_id, self.calibrated));
        let (codec_id, stage) = (self.codec_id.clone(), self.stage.clone());
        Recipe { codec_id, stage, options: self.options.clone(), mode }
    }
}

impl ModelRow {
    /// What was measured; rows of older runs know no more than their name.
    pub fn recipe(&self) -> Recipe {
        let (name, stage) = self.codec.split_once('+').unwrap_or((&self.codec, ""));
        let known = |field: &String, name: &str| if field.is_empty() { name.to_owned() } else { field.clone() };
        let codec_id = known(&self.codec_id, name.split([':', ' ']).next().unwrap_or(name));
        let mode = self.mode.unwrap_or_else(|| guess(&self.codec, &codec_id, self.codec.contains("hessian=full")));
        let stage = match self.mode {
            Some(_) => self.stage.clone(),
            None => stage.trim_end_matches(" sequential").to_owned(),
        };
        Recipe { codec_id, stage, options: self.options.clone(), mode }
    }
}

/// The mode of a row that does not say it.
fn guess(name: &str, id: &str, calibrated: bool) -> Mode {
    match (id == "plan", name.ends_with(" sequential")) {
        (true, true) => Mode::SequentialPlan,
        (true, false) => Mode::Plan,
        (false, true) => Mode::Sequential,
        (false, false) if calibrated => Mode::Calibrated,
        (false, false) => Mode::Plain,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;
    use crate::recipe::Code;
    use crate::row::Row;

    #[test]
    fn rows_of_older_runs_are_read_and_marked() {
        let old = r#"{"kind":"model","key":"k","codec":"rtn:bits=3+ans sequential","model":"m","bytes":7}"#;
        let row: Row = serde_json::from_str(old).unwrap();
        assert!(row.code().is_unknown() && row.code().to_string() == "unknown revision");
        let recipe = row.recipe();
        assert_eq!((recipe.codec_id.as_str(), recipe.stage.as_str(), recipe.mode), ("rtn", "ans", Mode::Sequential));
        let old = r#"{"kind":"tensor","codec":"trellis:hessian=full","codec_id":"trellis","calibrated":true,"options":{"bits":3.0}}"#;
        let row: Row = serde_json::from_str(old).unwrap();
        assert!(row.code().is_unknown() && row.recipe().mode == Mode::Calibrated);
        assert_eq!(row.recipe().options["bits"], 3.0);
    }

    #[test]
    fn what_a_row_says_of_itself_counts() {
        let code =
            Code(BTreeMap::from([("trellis".to_owned(), "2.1".to_owned()), ("ans".to_owned(), "1.1".to_owned())]));
        let row = ModelRow {
            codec: "trellis+planes+ans".to_owned(),
            codec_id: "trellis".to_owned(),
            stage: "planes+ans".to_owned(),
            mode: Some(Mode::SequentialPlan),
            code,
            ..ModelRow::default()
        };
        let text = serde_json::to_string(&Row::Model(row.clone())).unwrap();
        assert!(text.contains(r#""mode":"sequential_plan","code":{"ans":"1.1","trellis":"2.1"}"#), "{text}");
        let back: Row = serde_json::from_str(&text).unwrap();
        assert_eq!((back.recipe().stage, back.recipe().mode), ("planes+ans".to_owned(), Mode::SequentialPlan));
        assert_eq!(back.code().to_string(), "ans 1.1, trellis 2.1");
    }
}
