//! The environment variable holds a process to a level.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use seedpress_simd::{Level, VARIABLE, requested};

/// Runs the test of this name in a process of its own with the variable set.
fn passes(test: &str, value: &str) -> bool {
    let own = std::env::current_exe().unwrap();
    Command::new(own).args(["--exact", test, "--ignored"]).env(VARIABLE, value).output().unwrap().status.success()
}

#[test]
#[ignore = "run by the others, with the variable set"]
fn only_portable_is_used() {
    assert_eq!((requested(), Level::fastest()), (Ok(Some(Level::Portable)), Level::Portable));
}

#[test]
#[ignore = "run by the others, with the variable set"]
fn the_machine_decides() {
    assert_eq!(Some(Level::fastest()), Level::supported().last());
    assert!(requested().is_err_and(|message| message.contains("portable, avx2")));
}

#[test]
fn a_process_is_held_to_a_level() {
    assert!(passes("only_portable_is_used", "portable"));
    assert!(!passes("only_portable_is_used", "avx2"));
}

#[test]
fn an_unknown_level_is_named_and_passed_over() {
    assert!(passes("the_machine_decides", "fast"));
    assert!(!passes("the_machine_decides", "portable"));
}
