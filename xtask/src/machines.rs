//! `machines`: the bytes of every codec on processors that this one is not, under QEMU.
//!
//! aarch64 has none of the vector units that kernels are written for, so that portable paths run; s390x is big-endian besides. Golden
//! encodings are hashes of what every codec and stage writes for fixed inputs: equal hashes mean equal bytes on all three.

use std::path::Path;

/// Names of Rust's target, of QEMU's processor and of the C compiler's.
const MACHINES: [(&str, &str, &str); 2] = [
    ("aarch64-unknown-linux-gnu", "aarch64", "aarch64-linux-gnu"),
    ("s390x-unknown-linux-gnu", "s390x", "s390x-linux-gnu"),
];

/// What has to hold on each.
const TEST: [&str; 4] = ["-p", "seedpress-conformance", "--test", "encodings"];

/// Builds and runs the tests for each machine. Debian calls what is needed qemu-user, gcc-aarch64-linux-gnu and gcc-s390x-linux-gnu.
///
/// # Errors
/// A tool that is missing.
pub(crate) fn run(root: &Path) -> Result<u8, String> {
    let mut worst = 0;
    for (target, processor, compiler) in MACHINES {
        super::status(std::process::Command::new("rustup").args(["target", "add", target]))?;
        let variable = target.replace('-', "_");
        eprintln!("{target}: cargo test {}", TEST.join(" "));
        let mut cargo = super::cargo();
        cargo.args(["test", "--target", target]).args(TEST).current_dir(root);
        cargo.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), format!("{compiler}-gcc"));
        let runner = format!("qemu-{processor} -L /usr/{compiler}");
        cargo.env(format!("CARGO_TARGET_{}_RUNNER", variable.to_uppercase()), runner);
        cargo.env(format!("CC_{variable}"), format!("{compiler}-gcc"));
        cargo.env(format!("AR_{variable}"), format!("{compiler}-ar"));
        worst = worst.max(super::status(&mut cargo)?);
    }
    Ok(worst)
}
