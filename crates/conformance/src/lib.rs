//! The test suite that every registered codec must pass.
