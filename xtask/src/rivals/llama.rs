//! `rivals llama.cpp`: its quantisers beside ours, at the same types and so the same bytes, on a real model in its own engine.
//!
//! Both get the same calibration text: theirs as the importance matrix that `llama-imatrix` gathers (mean squares of inputs), ours as
//! `compress` gathers it. The table goes into `docs/interop.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::checked;
use crate::interop;

const MARKERS: (&str, &str) = ("<!-- llama.cpp -->", "<!-- /llama.cpp -->");

/// Types of one comparison: names as GGUF has them, names as Hugging Face has them, and the type. What no pattern names stays F32.
struct Types {
    name: &'static str,
    rules: &'static [(&'static str, &'static str, &'static str)],
}

/// K-quants where rows fit, and types of smaller blocks where rows of 576 are no whole blocks of 256.
const TYPES: [Types; 4] = [
    Types { name: "Q3_K down projections", rules: &[("*ffn_down*", "*down_proj.weight", "q3_k")] },
    Types { name: "Q4_K down projections", rules: &[("*ffn_down*", "*down_proj.weight", "q4_k")] },
    Types { name: "Q3_K, Q4_0 where rows do not fit, Q8_0 embedding", rules: &mixed("q3_k", "q4_0") },
    Types { name: "Q4_K, Q4_0 where rows do not fit, Q8_0 embedding", rules: &mixed("q4_k", "q4_0") },
];

const fn mixed(down: &'static str, others: &'static str) -> [(&'static str, &'static str, &'static str); 6] {
    [
        ("token_embd*", "*embed_tokens.weight", "q8_0"),
        ("*ffn_down*", "*down_proj.weight", down),
        ("*ffn_gate*", "*gate_proj.weight", others),
        ("*ffn_up*", "*up_proj.weight", others),
        ("*attn_output*", "*o_proj.weight", others),
        ("*attn_?.weight", "*self_attn.?_proj.weight", others),
    ]
}

/// Makes both files of each comparison and measures them.
///
/// # Errors
/// A step that fails, with what it printed in sight.
pub(super) fn run(root: &Path, model: &Path) -> Result<u8, String> {
    let (work, script) = (root.join("target/rivals/llama.cpp"), root.join("xtask/rivals/llama.py"));
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let torch = interop::environment_of("transformers", root)?;
    let engine = interop::environment_of("llama-cpp", root)?;
    checked(
        crate::cargo().args(["build", "--quiet", "--release", "--workspace", "--bin", "seedpress"]).current_dir(root),
    )?;
    let seedpress = || Command::new(root.join("target/release/seedpress"));
    let calibration = root.join("assets/language/calibration.jsonl");
    let evaluation = root.join("assets/language/held-out.jsonl");
    let (base, importance) = (work.join("base.gguf"), work.join("importance.npz"));
    checked(seedpress().arg("export").arg(model).args(["--to", "gguf", "--type", "f32", "--force", "-o"]).arg(&base))?;
    checked(Command::new(torch).arg(&script).arg("importance").arg(model).arg(&calibration).arg(&importance))?;
    let mut pairs = Vec::new();
    for (number, types) in TYPES.iter().enumerate() {
        eprintln!("{}", types.name);
        let file = |whose: &str| work.join(format!("{whose}-{number}.gguf"));
        let rules = types.rules.iter().map(|(name, _, kind)| format!("{name}={kind}"));
        let (theirs, ours) = (file("theirs"), file("ours"));
        let mut quantize = Command::new(&engine);
        checked(quantize.arg(&script).arg("quantize").arg(&base).arg(&importance).arg(&theirs).args(rules))?;
        with_feedback(types, &seedpress, model, &calibration, &ours)?;
        pairs.push(format!("{}={}={}", types.name, theirs.display(), ours.display()));
    }
    let table = work.join("table.md");
    let mut measure = Command::new(&engine);
    measure.arg(&script).arg("divergence").arg(model.join("tokenizer.json")).arg(&evaluation).arg(&table).arg(&base);
    checked(measure.args(&pairs))?;
    let table = std::fs::read_to_string(&table).map_err(|error| error.to_string())?;
    println!("{table}");
    interop::keep(&root.join("docs/interop.md"), MARKERS, &table)?;
    std::fs::remove_dir_all(&work).map_err(|error| error.to_string())?;
    Ok(0)
}

/// Our file: compressed under the calibration text with error feedback in every type that has it, and exported with its blocks as they are.
fn with_feedback(
    types: &Types,
    seedpress: &impl Fn() -> Command,
    model: &Path,
    calibration: &Path,
    out: &Path,
) -> Result<(), String> {
    let (plan, archive) = (out.with_extension("toml"), out.with_extension("sdp"));
    let mut text = String::from("[plan]\nkeep_below = 1024\n");
    for (_, name, kind) in types.rules {
        // There is nothing to choose in q8_0.
        let codec = if *kind == "q8_0" { "q8_0".to_owned() } else { format!("{kind}:hessian=full") };
        let _ = write!(text, "\n[[tensor]]\nname = \"{name}\"\ncodec = \"{codec}\"\n");
    }
    text += "\n[[tensor]]\nname = \"*\"\ncodec = \"raw\"\n";
    std::fs::write(&plan, text).map_err(|error| error.to_string())?;
    let mut compress = seedpress();
    compress.arg("compress").arg(model).arg("--plan").arg(&plan).arg("--calibration").arg(calibration);
    checked(compress.args(["--weights-only", "--force", "-o"]).arg(&archive))?;
    let mut export = seedpress();
    export.arg("export").arg(&archive).arg("--config").arg(model).args(["--to", "gguf"]);
    // What is not compressed stays as it is in the base.
    let all = mixed("", "");
    for (name, _, _) in all.iter().filter(|rule| !types.rules.iter().any(|own| own.0 == rule.0)) {
        export.args(["--tensor-type", &format!("{name}=f32")]);
    }
    checked(export.args(["--force", "-o"]).arg(out))?;
    [plan, archive].iter().try_for_each(std::fs::remove_file).map_err(|error: std::io::Error| error.to_string())
}

/// The folder behind `--model`.
pub(super) fn model_of(arguments: &[String]) -> Result<PathBuf, String> {
    match arguments {
        [flag, folder] if flag == "--model" => Ok(PathBuf::from(folder)),
        _ => {
            Err("`rivals llama.cpp` takes --model FOLDER, e.g. that of `seedpress models fetch smollm2-135m`"
                .to_owned())
        }
    }
}
