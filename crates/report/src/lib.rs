//! Tables, charts and pages drawn from stored results.
