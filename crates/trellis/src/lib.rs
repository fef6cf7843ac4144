//! Trellis-coded quantisation.
