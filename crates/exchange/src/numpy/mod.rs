//! numpy's files: `.npy` holds one array, `.npz` is a zip of them.
//!
//! ```text
//! magic    93 "NUMPY", version 1, 2 or 3, a zero byte
//! length   of the header: u16 in version 1, u32 from 2 on
//! header   a Python dictionary as text: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//! values   row-major, or column-major where fortran_order says so
//! ```
//! Arrays of Python objects are pickles: they are named and left out, never unpickled. Big-endian values are turned round.

mod npy;
mod npz;

pub use npy::Npy;
pub use npz::Npz;
