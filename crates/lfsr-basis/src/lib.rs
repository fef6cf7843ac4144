//! Linear-feedback shift registers and the bases that are windows of their sequence.
