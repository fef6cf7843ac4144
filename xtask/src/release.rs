//! `release-run`: the runs that committed reports are made of, anew, from a clean commit.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// In the order in which they matter; minutes they took on two idle cores, about.
const RUNS: [(&str, u64); 5] = [("full", 26), ("seedlm", 2), ("30x", 12), ("30x-language", 12), ("plan", 12)];
/// Minutes after which no further run is started.
const MINUTES: u64 = 60;

/// Runs the named configurations, or as many of all as fit: each measured anew, with what the release before had beside it. Documentation
/// and pages are drawn from the new rows at the end.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<u8, String> {
    let mut names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut minutes = MINUTES;
    if let Some(at) = names.iter().position(|name| *name == "--minutes") {
        let given = names.get(at + 1).and_then(|text| text.parse().ok());
        minutes = given.ok_or("--minutes takes a number")?;
        names.drain(at..at + 2);
    }
    if let Some(unknown) = names.iter().find(|name| !RUNS.iter().any(|(known, _)| known == *name)) {
        return Err(format!("{unknown} is none of {}", RUNS.map(|(name, _)| name).join(", ")));
    }
    let clean = ["status", "--porcelain", "--", ":/", ":(top,exclude)reports"];
    let changed =
        Command::new("git").args(clean).current_dir(root).output().map_err(|error| format!("git: {error}"))?;
    if !changed.stdout.is_empty() {
        return Err("there are local changes: a release run is of a commit".to_owned());
    }
    let (start, limit) = (Instant::now(), Duration::from_secs(60 * minutes));
    for (name, expected) in RUNS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        if start.elapsed() + Duration::from_secs(60 * expected) > limit {
            println!("{name}: left as it is, about {expected} minutes would not fit");
            continue;
        }
        let folder = root.join("reports").join(name);
        if folder.join("summary.csv").exists() {
            std::fs::copy(folder.join("summary.csv"), folder.join("previous.csv"))
                .map_err(|error| error.to_string())?;
        }
        println!("{name}: about {expected} minutes");
        let config = root.join("configs").join(format!("{name}.toml"));
        match super::status(super::seedpress().arg("bench").arg(config).arg("--fresh").current_dir(root))? {
            0 => println!("{name}: {} minutes so far", start.elapsed().as_secs() / 60),
            code => return Ok(code),
        }
    }
    super::status(&mut super::docs(root))
}
