//! SeedLM as published: one seed, one exponent and a few coefficients a block.
