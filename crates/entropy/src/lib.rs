//! Entropy stages: integer probability models, ANS, zstd and lossless float coding.
