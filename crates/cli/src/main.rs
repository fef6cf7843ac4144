//! The seedpress command-line tool.
fn main() {}
