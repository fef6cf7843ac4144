//! What is committed is what the rows say.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Another program, in another language, comes to the same numbers. Where there is no Python nothing is checked.
#[test]
fn an_independent_script_recomputes_every_number() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let run = |script: &Path, root: &Path| Command::new("python3").arg(script).arg(root).output();
    let script = root.join("docs/check_numbers.py");
    let Ok(output) = run(&script, &root) else {
        eprintln!("skipped: there is no python3");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // And it does find a figure that is not what the rows say.
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join("reports/seedlm");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["results.jsonl", "run.json", "summary.csv", "report.md", "index.html"] {
        std::fs::copy(root.join("reports/seedlm").join(file), folder.join(file)).unwrap();
    }
    assert!(run(&script, copy.path()).unwrap().status.success());
    let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
    let changed = page.replacen("\"b\":1", "\"b\":2", 1);
    assert_ne!(page, changed);
    std::fs::write(folder.join("index.html"), changed).unwrap();
    assert!(!run(&script, copy.path()).unwrap().status.success());
}

/// A book without a chapter is found by nobody until it is built.
#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = |folder: &Path| {
        let pages = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        pages.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect::<Vec<_>>()
    };
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/codecs", "docs/formats"] {
        pages.extend(docs(&root.join(folder)));
    }
    let mut lost = Vec::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or_default();
            let here = page.parent().unwrap_or(&root).join(file);
            if !file.is_empty() && !target.contains("://") && !here.exists() {
                lost.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    // Every page of the folder is in the book.
    let summary = std::fs::read_to_string(root.join("docs/SUMMARY.md")).unwrap();
    for page in pages.iter().filter(|page| page.starts_with(root.join("docs"))) {
        let name = page.strip_prefix(root.join("docs")).unwrap().to_string_lossy().into_owned();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "docs/SUMMARY.md lacks {name}");
    }
}

#[test]
fn reports_are_what_their_rows_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let stale = seedpress_report::refresh(&root, true).unwrap();
    assert!(stale.is_empty(), "`cargo xtask docs` writes {stale:?}");
}

/// What a page may weigh, so that it loads in a second.
const PAGE_BYTES: u64 = 1_500_000;

#[test]
fn pages_load_in_a_second() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for report in std::fs::read_dir(root.join("reports")).unwrap() {
        let page = report.unwrap().path().join("index.html");
        let bytes = std::fs::metadata(&page).map_or(0, |page| page.len());
        assert!(bytes < PAGE_BYTES, "{}: {bytes} bytes", page.display());
    }
}
