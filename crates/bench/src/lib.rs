//! The measuring harness: matrix, resumable runner, results, comparison.
