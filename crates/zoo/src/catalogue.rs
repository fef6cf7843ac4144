//! What the zoo holds.

use crate::error::ZooError;

/// A model of the zoo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name used in configurations and on the command line.
    pub name: &'static str,
    /// One line: what it is and what it was trained on.
    pub summary: &'static str,
    /// Licence of weights and data.
    pub licence: &'static str,
    /// Number of weights in all tensors that [`load`](crate::load) returns.
    pub weights: u64,
    /// Whether the weights are committed under `assets/`.
    pub embedded: bool,
    /// Whether the weights are random numbers and nothing was learnt.
    pub synthetic: bool,
    /// Whether `cargo xtask models train` can make the weights.
    pub trainable: bool,
    /// Names of the metrics that `evaluate` yields, the headline first; empty where there is none.
    pub metrics: &'static [&'static str],
    /// SHA-256 of the weight file, hexadecimal; empty for synthetic models.
    pub sha256: &'static str,
}

/// Every model, in the order tables show them.
pub fn models() -> &'static [ModelInfo] {
    MODELS
}

/// The model of this name.
pub fn info(name: &str) -> Option<&'static ModelInfo> {
    MODELS.iter().find(|model| model.name == name)
}

/// The model of this name, or an error that lists the names there are.
///
/// # Errors
/// [`ZooError::UnknownModel`].
pub fn require(name: &str) -> Result<&'static ModelInfo, ZooError> {
    info(name).ok_or_else(|| ZooError::UnknownModel {
        name: name.to_owned(),
        known: MODELS.iter().map(|model| model.name).collect(),
    })
}

/// Divergence in bits a byte.
const LANGUAGE_METRICS: &[&str] = &["bits per byte", "KL divergence", "KL 99th percentile", "top-1 agreement"];

static MODELS: &[ModelInfo] = &[
    ModelInfo {
        name: "fashion-mlp",
        summary: "MLP 784-512-256-128-10, Fashion-MNIST",
        licence: "MIT (weights and data)",
        weights: 567_434,
        embedded: true,
        synthetic: false,
        trainable: true,
        metrics: &["accuracy", "agreement", "KL divergence"],
        sha256: "3fe2935252e2574f1b362cf4b2c8bae56c82343da57e42a211bb9a812fdb5ad6",
    },
    ModelInfo {
        name: "fashion-cnn",
        summary: "CNN with 64-128-256 channels of 3x3 convolutions, Fashion-MNIST",
        licence: "MIT (weights and data)",
        weights: 379_914,
        embedded: true,
        synthetic: false,
        trainable: true,
        metrics: &["accuracy", "agreement", "KL divergence"],
        sha256: "33b8957e19f90c5fe4a962883ca360bd8d80d2b1e25715732b3f7fedbfcefd9b",
    },
    ModelInfo {
        name: "sotu-transformer",
        summary: "decoder-only transformer over bytes, 3 blocks of width 256, State of the Union addresses",
        licence: "MIT (text in the public domain)",
        weights: 2_500_864,
        embedded: true,
        synthetic: false,
        trainable: true,
        metrics: LANGUAGE_METRICS,
        sha256: "11c6bdef9e7eaa54802a71475062403530f10c5cbeaaf38a0f590f8c2b16ef27",
    },
    ModelInfo {
        name: "sotu-lstm",
        summary: "LSTM over bytes, 2 layers of 512, State of the Union addresses (f16)",
        licence: "MIT (text in the public domain)",
        weights: 3_870_976,
        embedded: true,
        synthetic: false,
        trainable: true,
        metrics: LANGUAGE_METRICS,
        sha256: "dab3f0e58856fe4144a330871e8cc1fbcd28916d534ef7cf079532962dd9bb15",
    },
    ModelInfo {
        name: "silero-vad",
        summary: "Silero VAD 6.2.3, 16 kHz: convolutions and an LSTM that find speech (without its fixed Fourier basis)",
        licence: "MIT (recordings BSD-2-Clause, LibriVox public domain)",
        weights: 243_585,
        embedded: true,
        synthetic: false,
        trainable: false,
        metrics: &["frame agreement", "probability error", "KL divergence"],
        sha256: "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
    },
    ModelInfo {
        name: "minilm",
        summary: "all-MiniLM-L6-v2: a sentence encoder, BERT of 6 layers and width 384 (without its untrained pooler)",
        licence: "Apache-2.0 (weights), MIT (package)",
        weights: 22_565_376,
        embedded: false,
        synthetic: false,
        trainable: false,
        metrics: &["labelled similarity", "similarity rank", "cosine to original"],
        sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
    ModelInfo {
        name: "smollm2-135m",
        summary: "SmolLM2-135M-Instruct as a folder of `transformers`; its weights lie on a 4-bit grid of 32, which flatters 4-bit formats",
        licence: "Apache-2.0",
        weights: 134_515_008,
        embedded: false,
        synthetic: false,
        trainable: false,
        metrics: &[],
        sha256: "dd7fdc71150b856cdd3d354e7ecc3e642ef7c92a9e1bbb6d606417a47b8fc013",
    },
    ModelInfo {
        name: "crepe-tiny",
        summary: "CREPE tiny: six convolutions that find the pitch of a tone",
        licence: "MIT",
        weights: 486_552,
        embedded: false,
        synthetic: false,
        trainable: false,
        metrics: &["pitch accuracy", "cents error", "agreement"],
        sha256: "feb213b32645c7d4cba91d9cd4139e62b5c51507f4f0db26a7bf66bde24cc187",
    },
    ModelInfo {
        name: "crepe-full",
        summary: "CREPE full: the same; its second convolution has as many weights as a linear layer of 2048 x 4096",
        licence: "MIT",
        weights: 22_239_976,
        embedded: false,
        synthetic: false,
        trainable: false,
        metrics: &["pitch accuracy", "cents error", "agreement"],
        sha256: "83fe97f721bf5276427f9ea0f26462bc2062d25253b89ba3f836a0f876d62ea8",
    },
    ModelInfo {
        name: "wordllama",
        summary: "WordLlama: 32,000 token vectors of 256, stored as f16",
        licence: "MIT (distilled from Llama 2's embeddings, whose own terms may apply)",
        weights: 8_192_000,
        embedded: false,
        synthetic: false,
        trainable: false,
        metrics: &["labelled similarity", "neighbour overlap", "similarity rank"],
        sha256: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    },
    ModelInfo {
        name: "textgenrnn",
        summary: "textgenrnn: two LSTMs and attention that continue text by characters",
        licence: "MIT",
        weights: 461_693,
        embedded: false,
        synthetic: false,
        trainable: false,
        metrics: &["bits per character", "KL divergence", "agreement"],
        sha256: "8fd1f72216981ea0fb8184b6c5281adfef809440d53f0fc009b53a9bd02c490d",
    },
    ModelInfo {
        name: "report-shapes",
        summary: "synthetic: the six layer shapes of the seed report, Gaussian",
        licence: "none needed (random numbers)",
        weights: 970_752,
        embedded: true,
        synthetic: true,
        trainable: false,
        metrics: &[],
        sha256: "",
    },
];
