//! What is committed is what the rows say.

#![allow(clippy::unwrap_used)]

use std::path::Path;

#[test]
fn reports_are_what_their_rows_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let stale = seedpress_report::refresh(&root, true).unwrap();
    assert!(stale.is_empty(), "`cargo xtask docs` writes {stale:?}");
}
