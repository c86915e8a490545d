//! The compiled part of the Python package `foldnet`. What programs see is `python/foldnet`, which checks shapes and
//! types and allocates arrays; here is what needs Rust: the network, and the converter.

mod array;
mod engine;
mod error;
#[cfg(feature = "quantize")]
mod quantize;

/// See the crate.
#[pyo3::pymodule]
mod _foldnet {
    #[pymodule_export]
    use crate::engine::{Engine, kernels};
    #[pymodule_export]
    use crate::error::{ArchiveError, Error, ImageError, QuantizeError};
    #[cfg(feature = "quantize")]
    #[pymodule_export]
    use crate::quantize::quantize;
}
