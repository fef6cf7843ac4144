//! A list that would make more rows than anybody waits for is an error, found before any work.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use seedpress_bench::config::Config;

#[test]
fn lists_are_capped() {
    let numbers = |count: usize| (0..count).map(|n| (n + 1).to_string()).collect::<Vec<_>>().join(", ");
    let parse = |codec: &str, model: &str| {
        let text = format!("[run]\nname = \"t\"\n[[codec]]\n{codec}\n[[model]]\n{model}\n");
        Config::parse(Path::new("t.toml"), &text, &seedpress::registry(), &[])
    };
    let model = "synthetic = \"gaussian\"\nshape = [4, 8]";
    let many = format!("codec = \"rtn\"\nbits = [2, 3, 4, 5]\ngroup = [{}]", numbers(2000));
    let error = parse(&many, model).unwrap_err().to_string();
    assert!(error.contains("t.toml:4") && error.contains("make 8000 rows of `rtn`: a run has at most 4096"), "{error}");
    let seeds = format!("{model}\nseed = [{}]", numbers(2000));
    let error = parse("codec = \"rtn\"", &seeds).unwrap_err().to_string();
    assert!(error.contains("make 2000 models"), "{error}");
    assert_eq!(parse("codec = \"rtn\"\nbits = [2, 3, 4]", model).unwrap().codecs.len(), 3);
}
