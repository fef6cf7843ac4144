//! What people use today: casts, round-to-nearest, NF4 and GGUF block formats.
