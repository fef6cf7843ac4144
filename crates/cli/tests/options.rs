//! Options that all commands share: where they are, and that they do something.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::*;

/// Commands whose output is a script or a page.
const SCRIPTS: [&str; 3] = ["completions", "man", "help"];
/// Commands that compute.
const THREADS: [&str; 8] = ["audit", "bench", "compress", "decompress", "evaluate", "export", "plan", "verify"];
/// Commands that have several tensors in work at once.
const MAX_MEMORY: [&str; 3] = ["compress", "decompress", "verify"];
/// Commands that go through a file tensor by tensor.
const VERBOSE: [&str; 4] = ["compress", "decompress", "export", "verify"];

/// Every command, as the help lists them.
fn commands(here: &Path) -> Vec<String> {
    let help = succeeds(here, "--help");
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Texts that are wrapped go on further to the right.
    let named = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_has_the_options_that_mean_something_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let commands = commands(folder.path());
    assert!(commands.len() >= 16 && commands.contains(&"compress".to_owned()), "{commands:?}");
    for command in &commands {
        if command == "help" {
            continue;
        }
        let help = succeeds(folder.path(), &format!("{command} --help"));
        let has = |option: &str| help.split_whitespace().any(|word| word.trim_end_matches(',') == option);
        let name = command.as_str();
        let told = !SCRIPTS.contains(&name);
        assert_eq!((has("--json"), has("--quiet"), has("-q")), (told, told, told), "{name}: --json and --quiet");
        assert_eq!(has("--threads"), THREADS.contains(&name), "{name}: --threads");
        assert_eq!(has("--max-memory"), MAX_MEMORY.contains(&name), "{name}: --max-memory");
        assert_eq!(has("--verbose"), VERBOSE.contains(&name), "{name}: --verbose");
    }
    for name in THREADS.iter().chain(&MAX_MEMORY).chain(&VERBOSE).chain(&SCRIPTS) {
        assert!(commands.iter().any(|command| command == name), "there is no command {name}");
    }
}

/// Both outputs of a command that succeeds.
#[track_caller]
fn both(here: &Path, line: &str) -> (String, String) {
    let output = seedpress(here, line);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{line}: {out}{err}");
    (out, err)
}

#[test]
fn json_is_one_value_and_quiet_is_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    save(
        &here.join("model.safetensors"),
        &[("a.weight", f32s(&[64, 64], &noise(1, 4096))), ("b", f32s(&[64], &noise(2, 64)))],
    );
    let experiment = "[run]\nname = \"t\"\n[[codec]]\ncodec = \"raw\"\n[[model]]\npath = \"model.safetensors\"\n";
    std::fs::write(here.join("t.toml"), experiment).unwrap();
    // What each writes is what the next ones read. The last says whether the result is text, which quiet leaves.
    let lines = [
        ("bench t.toml --dry-run --out out", true),
        ("bench t.toml --out out", false),
        ("report out", false),
        ("compare out out", true),
        ("plan model.safetensors --bits 4 --codec ecsq -o plan.toml --force", false),
        ("compress model.safetensors --codec rtn -o model.sdp --force", false),
        ("compress model.safetensors --plan plan.toml -o planned.sdp --force", false),
        ("decompress model.sdp -o back.safetensors --force", false),
        ("verify model.sdp --against model.safetensors", false),
        ("inspect model.sdp", true),
        ("inspect model.safetensors", true),
        ("export model.sdp --to safetensors -o exported --force", false),
        ("codecs", true),
        ("codecs rtn", true),
        ("models list", true),
        ("models fetch fashion-mlp", false),
    ];
    for (line, is_text) in lines {
        let (out, err) = both(here, &format!("{line} --json --quiet"));
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{line}: {out}");
        assert_eq!((out.trim_end().lines().count(), err.as_str()), (1, ""), "{line}");
        let (out, err) = both(here, &format!("{line} -q"));
        assert_eq!((!out.is_empty(), err.as_str()), (is_text, ""), "{line}: {out}");
        let (out, _) = both(here, line);
        assert!(!out.is_empty(), "{line}");
    }
    // Errors are said whatever is asked for.
    let said = fails(here, "decompress nowhere.sdp -o x.safetensors --quiet --json", 1, "nowhere.sdp");
    assert!(said.starts_with("error: "), "{said}");
    let shown = succeeds(here, "decompress model.sdp -o back.safetensors --force --verbose");
    assert!(shown.starts_with("a.weight: rtn, 1 of 1 layers\n"), "{shown}");
}

#[test]
fn threads_change_no_byte_of_plans_and_exports() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    save(&here.join("model.safetensors"), &[("a.weight", f32s(&[64, 256], &noise(1, 64 * 256)))]);
    let run = |threads: u32| {
        succeeds(
            here,
            &format!("plan model.safetensors --bits 3 --codec ecsq -o plan.toml --force -q --threads {threads}"),
        );
        let plan = std::fs::read_to_string(here.join("plan.toml")).unwrap();
        succeeds(here, &format!("compress model.safetensors --plan plan.toml -o m.sdp --force -q --threads {threads}"));
        succeeds(here, &format!("export m.sdp --to safetensors -o out --force -q --threads {threads}"));
        let exported = std::fs::read(here.join("out/model.safetensors")).unwrap();
        // The plan names the command that made it.
        (plan.lines().filter(|line| !line.contains("--threads")).map(str::to_owned).collect::<Vec<_>>(), exported)
    };
    assert!(run(1) == run(3));
}
