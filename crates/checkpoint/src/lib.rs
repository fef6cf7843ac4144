//! Checkpoints in (safetensors, sharded) and the .sdp container out.
