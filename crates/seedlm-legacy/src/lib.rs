//! The seed report's block format, done right.
