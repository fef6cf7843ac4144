//! Layered SeedLM: every layer refines the residual of the layers before it.
