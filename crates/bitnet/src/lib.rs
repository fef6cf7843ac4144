//! Ternary codecs: BitNet b1.58 absmean and its post-training variants.
