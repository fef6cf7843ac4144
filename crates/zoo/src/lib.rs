//! Models with their real task metric: train, load, evaluate.
