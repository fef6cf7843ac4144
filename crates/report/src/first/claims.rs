//! The figures of the report the project started from, table by table. They were never reproduced.

/// Layer, shape, and the ratios of its four methods.
pub(super) const RATIOS: [(&str, &[usize], [f64; 4]); 6] = [
    ("Linear Small (64×128)", &[64, 128], [4.2, 3.8, 8.0, 6.0]),
    ("Linear Medium (256×512)", &[256, 512], [4.5, 4.1, 8.0, 6.0]),
    ("Linear Large (512×1024)", &[512, 1024], [4.8, 4.3, 8.0, 6.0]),
    ("Conv 3×3 (64,32,3,3)", &[64, 32, 3, 3], [3.9, 3.6, 8.0, 6.0]),
    ("Conv 1×1 (128,256,1,1)", &[128, 256, 1, 1], [4.1, 3.9, 8.0, 6.0]),
    ("Embedding (1000×256)", &[1000, 256], [4.7, 4.2, 8.0, 6.0]),
];

/// Its four methods: name, codec id here, mean relative error, deviation, maximum, MSE, seconds, deviation, weights per second.
pub(super) const METHODS: [(&str, &str, [f64; 7]); 4] = [
    ("SeedLM Progressive", "seedlm-progressive", [0.845, 0.312, 1.987, 0.428, 12.45, 8.23, 4200.0]),
    ("SeedLM Legacy", "seedlm-legacy", [1.123, 0.441, 2.834, 0.892, 8.67, 5.91, 6100.0]),
    ("BitNet", "bitnet", [0.234, 0.089, 0.567, 0.045, 0.12, 0.04, 425_000.0]),
    ("VPTQ", "vptq", [0.445, 0.156, 1.023, 0.134, 0.34, 0.11, 152_000.0]),
];

/// Level, relative error, deviation, ratio, what it is for.
pub(super) const LEVELS: [(f64, f64, f64, f64, &str); 5] = [
    (0.1, 0.423, 0.145, 3.2, "High-precision layers"),
    (0.3, 0.667, 0.223, 4.1, "Attention mechanisms"),
    (0.5, 0.912, 0.334, 4.7, "General purpose"),
    (0.7, 1.245, 0.456, 5.3, "MLP layers"),
    (0.9, 1.789, 0.623, 6.1, "Aggressive compression"),
];

/// Layers, relative error, improvement, bandwidth.
pub(super) const LAYERS: [(&str, f64, &str, &str); 4] = [
    ("1 (Base only)", 1.234, "-", "100 %"),
    ("2 (Base + 1)", 0.923, "25 %", "143 %"),
    ("3 (Base + 2)", 0.756, "18 %", "187 %"),
    ("4 (Base + 3)", 0.645, "15 %", "234 %"),
];

/// Seconds, ratio, success.
type Figures = Option<(f64, f64, &'static str)>;

/// Model as it named it, a word of its name here, codec id, and where it gave them seconds, ratio and success.
pub(super) const MODELS: [(&str, &str, &str, Figures); 10] = [
    ("MLP", "mlp", "seedlm-legacy", Some((45.2, 4.1, "100 %"))),
    ("MLP", "mlp", "bitnet", Some((2.1, 8.0, "100 %"))),
    ("CNN", "cnn", "seedlm-legacy", Some((98.7, 4.3, "95 %"))),
    ("CNN", "cnn", "bitnet", Some((4.8, 8.0, "100 %"))),
    ("Transformer Block", "sotu-transformer", "seedlm-legacy", None),
    ("Transformer Block", "sotu-transformer", "bitnet", None),
    ("LSTM Model", "lstm", "seedlm-legacy", None),
    ("LSTM Model", "lstm", "bitnet", None),
    ("Large Linear Layer (2048→4096)", "crepe-full", "seedlm-legacy", None),
    ("Large Linear Layer (2048→4096)", "crepe-full", "bitnet", None),
];

/// Method, codec ids here, ratio, accuracy preserved, speed.
pub(super) const RIVALS: [(&str, &[&str], &str, &str, &str); 5] = [
    ("SeedLM (Current)", &["seedlm-progressive", "seedlm-paper", "seedlm-legacy"], "4-6x", "85-95 %", "Slow"),
    ("BitNet", &["bitnet"], "8x", "90-98 %", "Fast"),
    ("VPTQ", &["vptq"], "6x", "88-96 %", "Medium"),
    ("GPTQ", &["gptq"], "4-8x", "92-99 %", "Fast"),
    ("AWQ", &["awq"], "4x", "95-99 %", "Fast"),
];
