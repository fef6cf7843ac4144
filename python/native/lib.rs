//! `seedpress._native`: what the Python package is made of.
//!
//! The package in `src/seedpress` turns arrays of any kind into flat bytes with a data type and a shape, and back; this module does the
//! work on those, outside the interpreter's lock. Nothing here is public: names and arguments are those of `_native.pyi`.
//!
//! | module | idea |
//! | --- | --- |
//! | `array` | bytes of arrays in, arrays out, without copies |
//! | [`bench`] | experiments |
//! | `calibration` | statistics of a layer's inputs |
//! | `codec` | one array to bytes and back; the list of codecs |
//! | `errors` | the library's errors as Python's exceptions |
//! | `file` | `.sdp` files in |
//! | `parts` | files made in parts, on several machines |
//! | `save` | `.sdp` files out |
//! | `work` | the interpreter's lock, Ctrl-C, progress, threads |

mod array;
#[cfg(feature = "bench")]
mod bench;
mod calibration;
mod codec;
mod errors;
mod file;
mod parts;
mod save;
mod work;

use std::sync::LazyLock;

use pyo3::prelude::*;
use seedpress::Registry;

/// Every codec there is.
static REGISTRY: LazyLock<Registry> = LazyLock::new(seedpress::registry);

#[pymodule]
mod _native {
    #[cfg(feature = "bench")]
    #[pymodule_export]
    use super::bench::{bench, bench_cell, bench_cells, bench_join, bench_name, bench_report};
    #[pymodule_export]
    use super::calibration::{Accumulator, Statistics};
    #[pymodule_export]
    use super::codec::{codecs, compress, decompress, name, uses_calibration};
    #[pymodule_export]
    use super::file::{File, inspect, inspect_bytes};
    #[pymodule_export]
    use super::parts::{Joiner, part, tensors};
    #[pymodule_export]
    use super::save::{save, save_checkpoint};

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
