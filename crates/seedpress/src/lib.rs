//! The facade: every built-in codec and stage, registered explicitly.
